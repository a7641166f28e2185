"""Which host names, addresses, users and paths are let in at all.

The deny rules are those of OpenSSH's client (`valid_hostname` and
`valid_ruser` in ssh.c): nothing that a shell, an option parser or a terminal
could take for something else. Addresses are brought to one spelling, so that
two spellings of one machine are seen to be one.
"""

from __future__ import annotations

import ipaddress
import re
import socket

_DENIED = frozenset("'`\"$\\;&<>|(){}")
_DENIED_USER = frozenset("'`\";&<>|(){}$")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII | re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?", re.ASCII)
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*", re.ASCII | re.IGNORECASE)
_ZONE = re.compile(r"[A-Za-z0-9._-]{1,15}", re.ASCII)
_PORT = re.compile(r"[1-9]\d{0,4}", re.ASCII)

MAXIMUM_HOST = 253  # octets of a name in the DNS, RFC 1035 section 2.3.4, without the root's dot
MAXIMUM_USER = 256
MAXIMUM_PATH = 4096
MAXIMUM_PORT = 65535


class UnsafeError(ValueError):
    """A text that is not let in: `str()` says why without repeating it, `hint` what to write."""

    def __init__(self, why: str, hint: str = "") -> None:
        super().__init__(why)
        self.hint = hint


def clean_text(text: str, *, limit: int = MAXIMUM_PATH) -> str:
    """The text, if it is printable, not empty and not over-long; raises `UnsafeError`."""
    if not text:
        raise UnsafeError("is empty")
    if len(text) > limit:
        raise UnsafeError(f"is longer than {limit} characters")
    if not text.isprintable():
        bad = next(c for c in text if not c.isprintable())
        raise UnsafeError(f"has a control or invisible character (U+{ord(bad):04X})", "delete that character")
    return text


def host_name(text: str) -> str:
    """A host's name in the inventory: ASCII letters, digits, `.`, `-` and `_`; raises `UnsafeError`."""
    _no_option(clean_text(text, limit=MAXIMUM_HOST))
    if not _NAME.fullmatch(text):
        raise UnsafeError(
            "is no host name",
            "use letters, digits, `.`, `-` and `_`; what the network calls it goes into `address`",
        )
    return text


def user_name(text: str) -> str:
    """A login name, by OpenSSH's rule and without white space; raises `UnsafeError`."""
    _no_option(clean_text(text, limit=MAXIMUM_USER))
    _no_metacharacters(text, _DENIED_USER)
    if text.endswith("\\"):
        raise UnsafeError("ends in a backslash")
    return text


def address(text: str) -> str:
    """The one spelling of an IP address or DNS name; raises `UnsafeError`.

    IPv6 loses its brackets and is compressed (RFC 5952), names become lower
    case A-labels (RFC 3490) without the root's dot. Numbers that only
    `inet_aton` takes for an IPv4 address (`127.1`, `0x7f.1`, `2130706433`,
    `010.0.0.1`) are refused, since readers disagree on what they mean.
    """
    _no_option(clean_text(text, limit=MAXIMUM_HOST + 2))
    if "@" in text:
        raise UnsafeError(
            "holds an `@`", "the address alone goes here; write the user as `ssh: {user: NAME}`"
        )
    _no_metacharacters(text, _DENIED)
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") and ":" in text else text
    literal = _ip(bare)
    if literal is not None:
        return literal
    if ":" in bare:
        _refuse_port(bare)
    name = _ascii(bare.removesuffix("."))
    # Full-width digits become plain ones in IDNA's preparation, so numbers are looked for after it.
    literal = _ip(name)
    if literal is not None:
        return literal
    _refuse_numbers(name)
    labels = name.split(".")
    if len(name) > MAXIMUM_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        raise UnsafeError("is neither an IP address nor a DNS name")
    return name.lower()


def comparable(normal: str) -> str:
    """The key under which a normalised address is compared: IPv4 in IPv6 is the IPv4 address."""
    try:
        mapped = ipaddress.IPv6Address(normal).ipv4_mapped if ":" in normal else None
    except ValueError:  # refused before; compared all the same, so that all findings come at once
        return normal
    return normal if mapped is None else str(mapped)


def port(text: str) -> int:
    """A TCP port in plain decimal, 1 to 65535; raises `UnsafeError`."""
    if not _PORT.fullmatch(text) or int(text) > MAXIMUM_PORT:
        raise UnsafeError("is no port", "write a plain number from 1 to 65535")
    return int(text)


def absolute_path(text: str) -> str:
    """An absolute path on a host, with neither `..` nor trailing slash; raises `UnsafeError`."""
    clean_text(text)
    if not text.startswith("/"):
        raise UnsafeError("is not an absolute path", "begin it with `/`")
    if ".." in text.split("/"):
        raise UnsafeError("holds `..`", "write the path it leads to")
    return "/" + "/".join(part for part in text.split("/") if part not in {"", "."})


def hop(text: str) -> tuple[str | None, str, int | None]:
    """A jump written as `[user@]host[:port]`, in its parts; raises `UnsafeError`."""
    clean_text(text, limit=MAXIMUM_HOST + MAXIMUM_USER)
    user, at, rest = text.rpartition("@")
    if ":" in user:
        raise UnsafeError("holds a password", "write `user@host:port`, and the password by reference")
    number: int | None = None
    match = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*):([^:]*)", rest)
    if match:
        rest, number = match[1], port(match[2])
    if at and not user:
        raise UnsafeError("has no user before the `@`")
    return (user_name(user) if user else None), address(rest), number


def _no_option(text: str) -> None:
    if text.startswith("-"):
        raise UnsafeError("begins with `-`", "a program could take it for an option")


def _no_metacharacters(text: str, denied: frozenset[str]) -> None:
    for character in text:
        if character in denied:
            raise UnsafeError(f"holds {character!r}", "shells give that character a meaning")
        if character.isspace():
            raise UnsafeError("holds a space")


def _ip(text: str) -> str | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.scope_id and not _ZONE.fullmatch(found.scope_id):
        raise UnsafeError("names an impossible network interface after `%`")
    if found.is_multicast or found.is_unspecified or str(found) == "255.255.255.255":
        raise UnsafeError("is not the address of one host")
    return str(found)


def _refuse_port(text: str) -> None:
    name, _, number = text.rpartition(":")
    if _PORT.fullmatch(number) and (":" not in name or name.endswith("]")):
        raise UnsafeError("has a port", f"write the port as `ssh: {{port: {number}}}`")
    raise UnsafeError("is no IPv6 address")


def _ascii(text: str) -> str:
    if text.isascii():
        return text
    try:
        return text.encode("idna").decode("ascii")
    except UnicodeError:
        raise UnsafeError("is no valid internationalised name") from None


def _refuse_numbers(name: str) -> None:
    """Refuse what ends in a number: it is an IPv4 address in somebody's eyes (WHATWG URL, 3.5)."""
    if not _NUMBER.fullmatch(name.rpartition(".")[2]):
        return
    try:
        meant = socket.inet_ntoa(socket.inet_aton(name))
    except (OSError, UnicodeError):
        raise UnsafeError(
            "looks like an IPv4 address and is none", "write four numbers from 0 to 255"
        ) from None
    raise UnsafeError("is an odd spelling of an IPv4 address", f"if you mean {meant}, write `{meant}`")
