"""The kinds of value an inventory has: each reads text, and says how editors may check it.

A validator raises `PydanticCustomError` whose type is one of our codes and
whose context has `why` and `hint`; the rejected value is never in either.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypeAlias, TypeVar

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from sealboot.diagnostics.promises import NEVER_IGNORED
from sealboot.inventory import hygiene, secrets
from sealboot.model.arch import ARCHITECTURES, Arch, arch_from_text
from sealboot.model.secret import SecretRef

T = TypeVar("T")


_CODE = re.compile(r"SB\d{3}", re.ASCII)
_SECONDS = re.compile(r"\d{1,4}(?:\.\d{1,3})?", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._+-]{0,62}[A-Za-z0-9_+])?", re.ASCII)
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)
_ARM_LEVEL = re.compile(r"arm/?v([567])", re.ASCII)
_MAXIMUM_TIMEOUT = 600.0
_MAXIMUM_VALUE = 65_536


class Expected(NamedTuple):
    """An expected architecture, and for 32-bit ARM the level that was written with it."""

    arch: Arch
    level: int | None


def refuse(code: str, why: str, hint: str = "") -> PydanticCustomError:
    """The error of one rejected value."""
    return PydanticCustomError(code, "{why}", {"why": why, "hint": hint})


def one_value(value: object) -> str:
    """The text of a value that must be one; the error says what stands there instead."""
    if isinstance(value, str):
        return value
    found = "nothing" if value is None else "a list" if isinstance(value, list | tuple) else "a map"
    raise refuse("SB007", f"is {found}, where one value belongs", "write one value after the colon")


def _read(check: Callable[[str], T], code: str = "SB013") -> Callable[[object], T]:
    def run(value: object) -> T:
        try:
            return check(one_value(value))
        except hygiene.UnsafeError as error:
            raise refuse(code, str(error), error.hint) from None

    return run


def _kind(check: Callable[[str], Any], schema: dict[str, Any], code: str = "SB007") -> tuple[Any, Any]:
    return BeforeValidator(_read(check, code)), WithJsonSchema(schema)


def _word(text: str) -> str:
    if not _WORD.fullmatch(text):
        raise hygiene.UnsafeError("is no plain word", "use letters, digits, `.`, `+`, `-` and `_`")
    return text


def _switch(text: str) -> bool:
    if text in {"true", "True", "TRUE"}:
        return True
    if text in {"false", "False", "FALSE"}:
        return False
    raise hygiene.UnsafeError("is neither true nor false", "write `true` or `false`")


def _seconds(text: str) -> float:
    if not _SECONDS.fullmatch(text) or not 0 < float(text) <= _MAXIMUM_TIMEOUT:
        raise hygiene.UnsafeError(
            "is no number of seconds", "write a number above 0 and up to 600, without a unit"
        )
    return float(text)


def _release(text: str) -> str:
    hygiene.clean_text(text, limit=256)
    if text.startswith("-") or any(c.isspace() for c in text):
        raise hygiene.UnsafeError(
            "is no release", "write it as the distribution does, such as `v1.33.4+k3s1`"
        )
    return text


def _sha256(text: str) -> str:
    if not _SHA256.fullmatch(text):
        raise hygiene.UnsafeError("is no SHA-256", "64 hexadecimal digits, as `sha256sum FILE` prints them")
    return text.lower()


def _expected(text: str) -> Expected:
    arch = arch_from_text(text)
    if arch is None:
        names = ", ".join(f"`{row.arch}`" for row in ARCHITECTURES)
        raise hygiene.UnsafeError("is no architecture sealboot knows", f"one of {names}, `arm/v6`, `arm/v7`")
    level = _ARM_LEVEL.match(text.strip().lower()) if arch is Arch.ARM else None
    return Expected(arch, int(level[1]) if level else None)


def _code(text: str) -> str:
    if not _CODE.fullmatch(text):
        raise hygiene.UnsafeError("is no code", "a code looks like `SB304`; there is none for all of them")
    if text in NEVER_IGNORED:
        raise hygiene.UnsafeError(
            f"({text}) can never be ignored", f"`sealboot explain {text}` says why and what to do"
        )
    return text


def _secret(value: object) -> SecretRef:
    # A value that is no reference may be the secret itself: it is not shown, and called what it is.
    found = secrets.parse_secret_ref(one_value(value))
    if isinstance(found, SecretRef):
        return found
    raise refuse("SB011", f"must name where the secret is, and {found}", secrets.FORMS)


def _free_text(value: object) -> str:
    text = one_value("" if value is None else value)
    if len(text) > _MAXIMUM_VALUE:
        raise refuse("SB007", f"is longer than {_MAXIMUM_VALUE} characters", "put it into a file")
    return text


def one_of(*words: str) -> BeforeValidator:
    """Exactly one of these words."""

    def check(text: str) -> str:
        if text not in words:
            raise hygiene.UnsafeError(
                "is none of the words known here", "write " + " or ".join(f"`{w}`" for w in words)
            )
        return text

    return BeforeValidator(_read(check, "SB007"))


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else () if value is None else value


def _hops(value: object) -> object:
    """`a,b`, a list, or `none` for a direct connection, as OpenSSH's ProxyJump has it."""
    if not isinstance(value, str):
        return value
    return () if value == "none" else tuple(part.strip() for part in value.split(","))


def _or_empty(value: object) -> object:
    return {} if value is None else value


_TEXT: dict[str, Any] = {"type": ["string", "number", "boolean"]}
_STRING: dict[str, Any] = {"type": "string", "minLength": 1}
_LIST: dict[str, Any] = {"anyOf": [_STRING, {"type": "array", "items": _STRING}]}

Address: TypeAlias = Annotated[str, *_kind(hygiene.clean_text, _STRING, "SB013")]
HostAlias: TypeAlias = Annotated[str, *_kind(hygiene.address, _STRING, "SB013")]
User: TypeAlias = Annotated[str, *_kind(hygiene.user_name, _STRING, "SB013")]
Hop: TypeAlias = Annotated[str, *_kind(hygiene.clean_text, _STRING, "SB013")]
Word: TypeAlias = Annotated[str, *_kind(_word, _STRING)]
Text: TypeAlias = Annotated[str, *_kind(hygiene.clean_text, _STRING)]
HostPath: TypeAlias = Annotated[str, *_kind(hygiene.absolute_path, {"type": "string", "pattern": "^/"})]
Release: TypeAlias = Annotated[str, *_kind(_release, {"type": ["string", "number"]})]
Port: TypeAlias = Annotated[int, *_kind(hygiene.port, {"type": "integer", "minimum": 1, "maximum": 65535})]
Seconds: TypeAlias = Annotated[
    float, *_kind(_seconds, {"type": "number", "exclusiveMinimum": 0, "maximum": _MAXIMUM_TIMEOUT})
]
Switch: TypeAlias = Annotated[bool, *_kind(_switch, {"type": "boolean"})]
Sha256: TypeAlias = Annotated[str, *_kind(_sha256, {"type": "string", "pattern": "^[0-9A-Fa-f]{64}$"})]
ArchText: TypeAlias = Annotated[Expected, *_kind(_expected, _STRING)]
Code: TypeAlias = Annotated[str, *_kind(_code, {"type": "string", "pattern": "^SB[0-9]{3}$"}, "SB017")]
Secret: TypeAlias = Annotated[
    SecretRef,
    BeforeValidator(_secret),
    WithJsonSchema({"type": "string", "pattern": "^(prompt|env:.+|file:.+|fd:[0-9]+|keyring:.+/.+)$"}),
]
Value: TypeAlias = Annotated[str, BeforeValidator(_free_text), WithJsonSchema(_TEXT)]
Texts: TypeAlias = Annotated[tuple[Text, ...], BeforeValidator(_several), WithJsonSchema(_LIST)]
Words: TypeAlias = Annotated[tuple[Word, ...], BeforeValidator(_several), WithJsonSchema(_LIST)]
Hops: TypeAlias = Annotated[tuple[Hop, ...], BeforeValidator(_hops), WithJsonSchema(_LIST)]
OrEmpty = BeforeValidator(_or_empty)
