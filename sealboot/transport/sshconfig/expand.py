"""Tokens and variables in the values of ssh_config (section TOKENS of ssh_config(5))."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from sealboot.model.diagnostic import Location

_DEFAULT_PORT = 22
_PARTS = re.compile(r"%.?|\$\{(?P<name>[^}]*)\}|\$\{", re.DOTALL)


class CannotExpandError(ValueError):
    """A value that cannot be expanded: ssh ends here, and so does the way to this host."""

    def __init__(self, at: Location, why: str) -> None:
        super().__init__(why)
        self.at = at


@dataclass(frozen=True, slots=True)
class Tokens:
    """What is known of a connection when its values are expanded; `port` is `None` for the default one."""

    home: Path
    local_user: str
    alias: str
    hostname: str
    user: str
    port: int | None
    key_alias: str | None

    def expand(self, value: str, at: Location) -> str:
        """The value with every `%` token and `${VARIABLE}`; raises `CannotExpandError`."""
        local = socket.gethostname()
        known = {
            "%%": "%",
            "%d": str(self.home),
            "%h": self.hostname,
            "%i": str(os.getuid()),
            "%k": self.key_alias or self.alias,
            "%L": local.partition(".")[0],
            "%l": local,
            "%n": self.alias,
            "%p": str(self.port or _DEFAULT_PORT),
            "%r": self.user,
            "%u": self.local_user,
        }

        def one(found: re.Match[str]) -> str:
            name = found["name"]
            if found[0].startswith("%"):
                if found[0] not in known:
                    raise CannotExpandError(at, f"the token {found[0]!r} is not known here")
                return known[found[0]]
            if not name or name not in os.environ:
                raise CannotExpandError(at, f"the variable {found[0]!r} is not set")
            return os.environ[name]

        return _PARTS.sub(one, value)

    def path(self, value: str, at: Location) -> str:
        """The same for a path; `~` and `~name` first, as OpenSSH does. Raises `CannotExpandError`."""
        if value == "~" or value.startswith("~/"):
            value = str(self.home / value[2:])
        elif value.startswith("~"):
            expanded = Path(value).expanduser() if _has_home(value) else None
            if expanded is None:
                raise CannotExpandError(at, f"{value.partition('/')[0]!r} is no user of this machine")
            value = str(expanded)
        return self.expand(value, at)


def _has_home(value: str) -> bool:
    try:
        Path(value).expanduser()
    except (RuntimeError, KeyError, ValueError):
        return False
    return True
