"""`~/.ssh/config`, read once and only where the inventory asks for it.

Understood is what says *where* and *as whom* to connect (ssh_config(5)). What
could weaken the connection or run a program on this machine is never obeyed:
the operator is told so, with file and line.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from glob import glob
from pathlib import Path

from sealboot.model.diagnostic import Diagnostic, Location, Severity
from sealboot.transport.smallfile import read_small

MAX_BYTES = 1 << 20
MAX_DEPTH = 16
#: Files read in all: two lines that include the same file double the work at each depth.
MAX_FILES = 256

# Each number but the last has its unit: with an optional one, a row of digits could be cut in 2^n ways.
_TIME = re.compile(r"(?:\d+[smhdw])*\d+[smhdw]?", re.ASCII | re.IGNORECASE)
_PORT = re.compile(r"0{0,9}[1-9][0-9]{0,4}")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

#: Options with one value, where the first one found counts.
_SINGLE = frozenset(
    {"hostname", "user", "port", "proxyjump", "hostkeyalias", "identityagent", "identitiesonly"}
    | {"connecttimeout", "proxycommand"}
)
#: Options that add up.
_MULTIPLE = frozenset({"identityfile", "certificatefile"})
#: Options that would weaken what sealboot promises, whatever their value: always told about.
_WEAKENING = frozenset(
    {
        "stricthostkeychecking",
        "userknownhostsfile",
        "globalknownhostsfile",
        "knownhostscommand",
        "verifyhostkeydns",
        "nohostauthenticationforlocalhost",
        "forwardagent",
        "forwardx11",
        "forwardx11trusted",
        "localcommand",
        "permitlocalcommand",
        "hostkeyalgorithms",
        "pubkeyacceptedalgorithms",
        "kexalgorithms",
        "ciphers",
        "macs",
        "casignaturealgorithms",
        "pkcs11provider",
        "securitykeyprovider",
    }
)
#: Values of those that ask for no less than sealboot does anyway.
_HARMLESS = {
    "stricthostkeychecking": {"yes", "ask", "accept-new"},
    "forwardagent": {"no"},
    "forwardx11": {"no"},
    "forwardx11trusted": {"no"},
    "permitlocalcommand": {"no"},
    "verifyhostkeydns": {"no"},
    "nohostauthenticationforlocalhost": {"no"},
}


@dataclass(frozen=True, slots=True)
class Option:
    """One option line."""

    name: str
    value: str
    at: Location


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the file says about one host. Paths have `~` and tokens expanded."""

    hostname: str | None = None
    user: str | None = None
    port: int | None = None
    jump: tuple[str, ...] = ()
    alias: str | None = None
    identities: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    identities_only: bool = False
    agent: str | None = None  # a path, `none`, or None where nothing is said
    timeout: float | None = None
    proxy_command: Location | None = None
    findings: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class _Block:
    """The options below one `Host` or `Match` line; `applies` gets the alias, host name and user."""

    applies: Callable[[str, str, str], bool]
    options: list[Option] = field(default_factory=list)


class SshConfig:
    """A parsed file with everything it includes."""

    def __init__(self, path: Path, *, home: Path, local_user: str) -> None:
        self._home = home
        self._local_user = local_user
        self.findings: list[Diagnostic] = []
        self._files = 0
        self._blocks = [_Block(lambda *_: True)]
        self._read(path, 0, required=False)

    def lookup(self, alias: str, *, user: str | None = None) -> Resolved:
        """What holds for `ssh alias`; the first value of an option counts, as ssh_config(5) says."""
        values: dict[str, Option] = {}
        several: dict[str, list[Option]] = {name: [] for name in _MULTIPLE}
        notes: list[Diagnostic] = []
        for block in self._blocks:
            hostname = values["hostname"].value if "hostname" in values else alias
            login = user or (values["user"].value if "user" in values else self._local_user)
            if not block.applies(alias, hostname, login):
                continue
            for option in block.options:
                if option.name in _MULTIPLE:
                    several[option.name].append(option)
                elif option.name in _WEAKENING:
                    notes += self._ignored(option)
                else:
                    values.setdefault(option.name, option)
        return self._resolved(alias, user, values, several, notes)

    def _resolved(
        self,
        alias: str,
        user: str | None,
        values: dict[str, Option],
        several: dict[str, list[Option]],
        notes: list[Diagnostic],
    ) -> Resolved:
        def text(name: str) -> str | None:
            return values[name].value if name in values else None

        hostname = (text("hostname") or alias).replace("%h", alias).replace("%%", "%")
        port = self._number(values.get("port"), notes)
        login = user or text("user")
        expand = self._expander(alias, hostname, login or self._local_user, port or 22)
        jump = text("proxyjump") or ""
        proxy = values.get("proxycommand")
        agent = text("identityagent")
        return Resolved(
            hostname=hostname,
            user=login,
            port=port,
            jump=() if jump.lower() == "none" else tuple(hop for hop in jump.split(",") if hop),
            alias=text("hostkeyalias"),
            identities=tuple(expand(o.value) for o in several["identityfile"] if o.value.lower() != "none"),
            certificates=tuple(expand(o.value) for o in several["certificatefile"]),
            identities_only=(text("identitiesonly") or "no").lower() in {"yes", "true"},
            agent=None if agent is None else self._agent(expand(agent)),
            timeout=self._time(values.get("connecttimeout"), notes),
            proxy_command=proxy.at if proxy and not jump and proxy.value.lower() != "none" else None,
            findings=tuple(notes),
        )

    @staticmethod
    def _agent(value: str) -> str | None:
        """A socket's path, or `none`; `SSH_AUTH_SOCK` and `$NAME` stand for variables of the environment."""
        if value == "SSH_AUTH_SOCK" or value.startswith("$"):
            return os.environ.get(value.strip("${}"))
        return value

    def _expander(self, alias: str, hostname: str, user: str, port: int) -> Callable[[str], str]:
        tokens = {
            "%d": str(self._home),
            "%h": hostname,
            "%n": alias,
            "%r": user,
            "%u": self._local_user,
            "%p": str(port),
            "%%": "%",
        }

        def expand(value: str) -> str:
            value = re.sub(r"%.", lambda m: tokens.get(m[0], m[0]), value)
            return str(self._home / value[2:]) if value.startswith("~/") else value

        return expand

    def _number(self, option: Option | None, notes: list[Diagnostic]) -> int | None:
        if option is None:
            return None
        if _PORT.fullmatch(option.value) and int(option.value) < 1 << 16:
            return int(option.value)
        notes.append(_note(option.at, f"{option.name} is not a port number"))
        return None

    def _time(self, option: Option | None, notes: list[Diagnostic]) -> float | None:
        if option is None or option.value.lower() == "none":
            return None
        seconds = parse_time(option.value)
        if not seconds:
            notes.append(_note(option.at, f"{option.name} is not a time"))
            return None
        return float(seconds)

    def _ignored(self, option: Option) -> list[Diagnostic]:
        if option.value.lower() in _HARMLESS.get(option.name, ()):
            return []
        return [_note(option.at, f"{option.name} {option.value} is not obeyed")]

    def _read(self, path: Path, depth: int, *, required: bool = True) -> None:
        self._files += 1
        if self._files > MAX_FILES:
            if self._files == MAX_FILES + 1:
                self.findings.append(
                    _note(Location(str(path), 1), f"more than {MAX_FILES} files are included")
                )
            return
        try:
            data = read_small(path, MAX_BYTES)
        except FileNotFoundError:
            return
        except OSError as error:
            if required or depth == 0:
                self.findings.append(_note(Location(str(path), 1), f"could not be read: {error.strerror}"))
            return
        if isinstance(data, str):
            self.findings.append(_note(Location(str(path), 1), f"could not be read: {data}"))
            return
        lines = data.decode("utf-8", "surrogateescape").splitlines()
        for number, line in enumerate(lines, 1):
            self._line(line, Location(str(path), number), path, depth)

    def _line(self, line: str, at: Location, path: Path, depth: int) -> None:
        name, _, rest = line.strip().replace("=", " ", 1).partition(" ")
        name, _, tabbed = name.partition("\t")
        if not name or name.startswith("#"):
            return
        words = _words(f"{tabbed} {rest}")
        if not words:
            self.findings.append(_note(at, "an option without a value, or an open quote"))
            return
        name = name.lower()
        if name == "host":
            self._blocks.append(_Block(_host(words)))
        elif name == "match":
            self._blocks.append(_Block(self._match(words, at)))
        elif name == "include":
            self._include(words, path, depth, at)
        elif name in _SINGLE | _MULTIPLE | _WEAKENING:
            value = " ".join(words) if name in {"proxycommand", *_WEAKENING} else words[0]
            self._blocks[-1].options.append(Option(name, value, at))

    def _include(self, words: Sequence[str], path: Path, depth: int, at: Location) -> None:
        if depth >= MAX_DEPTH:
            self.findings.append(_note(at, f"more than {MAX_DEPTH} nested Include"))
            return
        outer = self._blocks[-1]
        base = Path("/etc/ssh") if path.is_relative_to("/etc/ssh") else self._home / ".ssh"
        for word in words:
            if "\0" in word:
                self.findings.append(_note(at, "no file can have that name"))
                continue
            pattern = str(self._home / word[2:]) if word.startswith("~/") else str(base / word)
            for found in sorted(glob(pattern)):  # noqa: PTH207 (the pattern may be absolute)
                start = len(self._blocks)
                # An included file stands under the condition of the line that includes it.
                self._blocks.append(_Block(outer.applies))
                self._read(Path(found), depth + 1)
                self._blocks[start + 1 :] = [
                    _Block(_both(outer.applies, block.applies), block.options)
                    for block in self._blocks[start + 1 :]
                ]
        self._blocks.append(_Block(outer.applies))

    def _match(self, words: list[str], at: Location) -> Callable[[str, str, str], bool]:
        tests: list[Callable[[str, str, str], bool]] = []
        rest = iter(words)
        for raw in rest:
            word = raw.lower()
            negated, word = word.startswith("!"), word.removeprefix("!")
            if word == "all":
                test: Callable[[str, str, str], bool] = lambda *_: True  # noqa: E731 (one of a family)
            elif word in _CRITERIA:
                test = _CRITERIA[word](_patterns(next(rest, "")))
            elif word == "localuser":
                test = _constant(_patterns(next(rest, ""))(self._local_user))
            else:
                # `exec` would run a program here; `canonical`, `final` and the rest need a second pass.
                self.findings.append(
                    _note(at, f"Match {word} is never evaluated, so its block never applies")
                )
                return lambda *_: False
            tests.append(_negated(test) if negated else test)
        return lambda *args: all(test(*args) for test in tests)


def parse_time(text: str) -> int | None:
    """Seconds of an sshd_config(5) time (`90`, `5s`, `1h30m`); `None` when it is none."""
    if not _TIME.fullmatch(text):
        return None
    return sum(int(n) * _UNITS[unit.lower()] for n, unit in re.findall(r"(\d{1,9})([smhdwSMHDW]?)", text))


_CRITERIA: dict[str, Callable[[Callable[[str], bool]], Callable[[str, str, str], bool]]] = {
    "host": lambda fits: lambda _alias, hostname, _user: fits(hostname),
    "originalhost": lambda fits: lambda alias, _hostname, _user: fits(alias),
    "user": lambda fits: lambda _alias, _hostname, user: fits(user),
}


def _host(words: Sequence[str]) -> Callable[[str, str, str], bool]:
    fits = _patterns(",".join(words))
    return lambda alias, _hostname, _user: fits(alias)


def _patterns(text: str) -> Callable[[str], bool]:
    """A test for `a,b*,!c`: at least one fits and no negated one does."""
    parts = [part for part in text.split(",") if part]
    denied = [_wildcard(p[1:]) for p in parts if p.startswith("!")]
    allowed = [_wildcard(p) for p in parts if not p.startswith("!")]
    return lambda value: not any(p.match(value) for p in denied) and any(p.match(value) for p in allowed)


def _wildcard(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(re.sub(r"\*+", "*", pattern).replace("[", "[[]")), re.IGNORECASE)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return []


def _constant(value: bool) -> Callable[[str, str, str], bool]:
    return lambda *_: value


def _negated(test: Callable[[str, str, str], bool]) -> Callable[[str, str, str], bool]:
    return lambda *args: not test(*args)


def _both(
    first: Callable[[str, str, str], bool], second: Callable[[str, str, str], bool]
) -> Callable[[str, str, str], bool]:
    return lambda *args: first(*args) and second(*args)


def _note(at: Location, why: str) -> Diagnostic:
    return Diagnostic("SB209", f"a line of ssh_config was not followed: {why}", Severity.WARNING, at=at)
