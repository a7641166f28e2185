"""Secrets by reference: reading the reference, and getting the value when it is needed."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from sealboot.model.diagnostic import Diagnostic, Location
from sealboot.model.secret import Secret, SecretKind, SecretRef

#: What to write; shown wherever a reference is wrong.
FORMS: Final = "write `prompt`, `env:NAME`, `file:PATH`, `fd:N` or `keyring:SERVICE/NAME`"

#: A password, a passphrase or a token; a larger file is a mistake.
MAXIMUM_SECRET = 64 * 1024

_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}", re.ASCII)
_FD = re.compile(r"\d{1,4}", re.ASCII)
_KEYRING = re.compile(r"[^/\s][^/]*/\S.*")


def parse_secret_ref(text: str) -> SecretRef | str:
    """The reference that a text is, or why it is none (a text that never repeats the value)."""
    kind, colon, name = text.partition(":")
    if text == "prompt":
        return SecretRef("prompt")
    wanted: dict[str, tuple[SecretKind, bool, str]] = {
        "prompt": ("prompt", False, "`prompt` takes no argument"),
        "env": ("env", bool(_ENV.fullmatch(name)), "`env:` takes the name of a variable"),
        "file": ("file", bool(name) and name.isprintable(), "`file:` takes a path"),
        "fd": ("fd", bool(_FD.fullmatch(name)), "`fd:` takes the number of an open file"),
        "keyring": (
            "keyring",
            bool(_KEYRING.fullmatch(name)) and name.isprintable(),
            "`keyring:` takes SERVICE/NAME",
        ),
    }
    if not colon or kind not in wanted:
        return "this is not a reference to a secret"
    found, valid, why = wanted[kind]
    return SecretRef(found, name) if valid else why


def unavailable(
    ref: SecretRef, error: LookupError, *, host: str | None = None, at: Location | None = None
) -> Diagnostic:
    """SB012 for what a `SecretResolver` raised: the text before its last semicolon is why, the rest the fix."""
    why, _, fix = str(error.args[0] if error.args else error).rpartition("; ")
    summary = f"{ref} cannot be had: {(why or fix).removeprefix(f'{ref} ')}"
    return Diagnostic("SB012", summary, host=host, at=at, hints=(fix,) if why else ())


class SecretResolver:
    """Gets secrets, each at most once; call it with a reference.

    `prompt` asks a person (the label says what for) and is `None` where no
    one can be asked; relative paths start from `base`. Raises `LookupError`
    whose text says why a secret cannot be had and what to do. A failure is
    remembered as well: a person is not asked again for each host.
    """

    def __init__(self, prompt: Callable[[str], str] | None, base: Path) -> None:
        self._prompt = prompt
        self._base = base
        self._known: dict[SecretRef, Secret | LookupError] = {}

    def __call__(self, ref: SecretRef) -> Secret:
        """The secret of this reference; raises `LookupError`."""
        if ref not in self._known:
            try:
                self._known[ref] = Secret(self._value(ref))
            except LookupError as error:
                self._known[ref] = error
        found = self._known[ref]
        if isinstance(found, Secret):
            return found
        raise LookupError(*found.args)

    def _value(self, ref: SecretRef) -> str:
        match ref.kind:
            case "prompt":
                value = self._asked(ref.name or "Password")
            case "env":
                value = _from_environment(ref.name)
            case "file":
                value = self._from_file(ref)
            case "fd":
                value = _from_fd(ref)
            case "keyring":
                value = _from_keyring(ref)
        if not value:
            raise LookupError(f"{ref} is empty; put the secret there")
        if "\0" in value:
            raise LookupError(f"{ref} holds a NUL byte; a password is text")
        return value

    def _asked(self, label: str) -> str:
        if self._prompt is None:
            raise LookupError(
                "no one can be asked for the password (no terminal, or --no-input);"
                " name another source in the inventory, such as `env:NAME` or `file:PATH`"
            )
        try:
            return self._prompt(label)
        except (EOFError, OSError):
            raise LookupError(
                "the question for the password was not answered; run it again and type it"
            ) from None

    def _from_file(self, ref: SecretRef) -> str:
        path = self._base / _expanded(ref)
        try:
            # O_NONBLOCK: opening a FIFO must not wait for a writer that never comes.
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise LookupError(_why_not_opened(ref, path, error)) from None
        try:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                raise LookupError(f"{ref} is not a regular file; name a file that holds the secret alone")
            if info.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                mode = stat.S_IMODE(info.st_mode)
                raise LookupError(
                    f"{ref} can be read or changed by others (mode {mode:04o}); run `chmod 600 {ref.name}`"
                )
            if info.st_uid not in {os.geteuid(), 0}:
                raise LookupError(
                    f"{ref} belongs to another user (uid {info.st_uid}); use a file of your own"
                )
            return _text(ref, _read(ref, fd))
        finally:
            os.close(fd)


def _expanded(ref: SecretRef) -> Path:
    try:
        return Path(ref.name).expanduser()
    except RuntimeError:
        raise LookupError(f"{ref} names a home directory that does not exist; write the whole path") from None


def _why_not_opened(ref: SecretRef, path: Path, error: Exception) -> str:
    if path.is_symlink():
        return f"{ref} is a symbolic link, which is not followed; name the file itself"
    why = getattr(error, "strerror", None) or "not a path"
    return f"{ref} cannot be opened ({why}); create it with `install -m 600 /dev/null {ref.name}` and fill it"


def _from_environment(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise LookupError(f"the environment variable {name} is not set; export it before you run sealboot")
    return value


def _from_fd(ref: SecretRef) -> str:
    number = int(ref.name)
    try:
        return _text(ref, _read(ref, number))
    except OSError as error:
        raise LookupError(
            f"{ref} cannot be read ({error.strerror}); open it when you run sealboot: `sealboot … {number}<FILE`"
        ) from None


def _from_keyring(ref: SecretRef) -> str:
    try:
        keyring: Any = import_module("keyring")
    except ImportError:
        raise LookupError(f"{ref} needs the keyring library; run `pip install 'sealboot[keyring]'`") from None
    service, _, name = ref.name.partition("/")
    try:
        value = keyring.get_password(service, name)
    except Exception as error:  # noqa: BLE001 - back ends of third parties raise anything
        raise LookupError(
            f"{ref}: the keyring does not answer ({type(error).__name__}); unlock it, or name another source"
        ) from None
    if value is None:
        raise LookupError(f"{ref} is not in the keyring; run `keyring set {service} {name}`")
    return str(value)


def _read(ref: SecretRef, fd: int) -> bytes:
    data = b""
    while chunk := os.read(fd, MAXIMUM_SECRET + 1 - len(data)):
        data += chunk
        if len(data) > MAXIMUM_SECRET:
            raise LookupError(
                f"{ref} is larger than {MAXIMUM_SECRET // 1024} KiB; it should hold the secret alone"
            )
    return data


def _text(ref: SecretRef, data: bytes) -> str:
    """The text without the line end that editors add; other white space may belong to the secret."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise LookupError(f"{ref} is not UTF-8 text; a password is text") from None
    return text.removesuffix("\n").removesuffix("\r")
