"""What the file says about one host: the first value of an option counts, as ssh_config(5) says."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sealboot.model.diagnostic import Diagnostic, Location
from sealboot.transport.sshconfig import options
from sealboot.transport.sshconfig.expand import CannotExpandError, Tokens
from sealboot.transport.sshconfig.reading import HostLine, Include, Line, MatchLine, Option, Reader, Refusal
from sealboot.transport.sshconfig.words import host_line_fits, list_fits, parse_flag, parse_port, parse_time

#: Criteria of `Match` that are answered; the others would run a program, or ask what is not known here.
_ANSWERED = frozenset({"all", "canonical", "final", "host", "originalhost", "user", "localuser", "tagged"})
_FULL_NAME = "write the host's full name as its `address` in the inventory, or as `HostName`"


@dataclass(frozen=True, slots=True)
class Ignored:
    """A line that is for this host and is deliberately not obeyed."""

    what: str
    at: Location


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the file says about one host. Paths have `~`, tokens and variables expanded.

    `identities` is `None` where the file names no key, and empty where it says
    that there is none (`IdentityFile none`).
    """

    hostname: str | None = None
    user: str | None = None
    port: int | None = None
    jump: tuple[str, ...] = ()
    alias: str | None = None
    identities: tuple[str, ...] | None = None
    certificates: tuple[str, ...] = ()
    identities_only: bool = False
    agent: str | None = None  # a path, `none`, or None where nothing is said
    timeout: float | None = None
    proxy_command: Location | None = None
    ignored: tuple[Ignored, ...] = ()


class SshConfig:
    """A parsed file with everything it includes."""

    def __init__(self, path: Path, *, home: Path, local_user: str) -> None:
        reader = Reader(home)
        self._lines = reader.read(path)
        self._refusals = reader.refusals
        self._home = home
        self._local_user = local_user
        self.findings: list[Diagnostic] = reader.findings

    def lookup(self, alias: str, *, user: str | None = None) -> Resolved | Refusal:
        """What holds for `ssh [-l user] alias`, or the line that stops it, as it would stop ssh."""
        if self._refusals:
            return self._refusals[0]
        search = _Search(alias, user, self._local_user)
        search.walk(self._lines, active=True, never=False)
        try:
            search.hostname = search.host()
            refusal = search.canonical()
            if refusal:
                return refusal
            if search.final or search.canonicalizes:
                search.second = True
                search.walk(self._lines, active=True, never=False)
            return self._resolved(search)
        except CannotExpandError as error:
            return Refusal(error.at, str(error))

    def _resolved(self, search: _Search) -> Resolved | Refusal:
        refused = search.values.get("refuseconnection")
        if refused:
            return Refusal(refused.at, f"RefuseConnection: {refused.value[:200]}", "the file forbids it")
        port = search.values.get("port")
        login = search.login_said
        if login is not None and search.user is None and re.search(r"%|\$\{", login.value):
            return Refusal(login.at, "User holds a token, which not every OpenSSH expands", "write the name")
        name = login.value if login and search.user is None else search.user
        alias = search.text("hostkeyalias")
        tokens = Tokens(
            home=self._home,
            local_user=self._local_user,
            alias=search.alias,
            hostname=search.hostname,
            user=name or self._local_user,
            port=parse_port(port.value) if port else None,
            key_alias=alias.lower() if alias else None,
        )
        return Resolved(
            hostname=search.hostname,
            user=name,
            port=parse_port(port.value) if port else None,
            jump=_hops(search.values.get("proxyjump"), tokens),
            alias=alias.lower() if alias else None,
            identities=_paths(search.several["identityfile"], tokens),
            certificates=_paths(search.several["certificatefile"], tokens) or (),
            identities_only=bool(parse_flag(search.text("identitiesonly") or "no")),
            agent=_agent(search.values.get("identityagent"), tokens),
            timeout=_seconds(search.text("connecttimeout")),
            proxy_command=_command(search.values.get("proxycommand")),
            ignored=tuple(search.ignored),
        )


@dataclass(slots=True)
class _Search:
    """One pass, or two, over the lines for one alias."""

    alias: str
    user: str | None
    local_user: str
    values: dict[str, Option] = field(default_factory=dict)
    several: dict[str, list[Option]] = field(default_factory=lambda: {n: [] for n in options.MULTIPLE})
    ignored: list[Ignored] = field(default_factory=list)
    hostname: str = ""
    second: bool = False
    final: bool = False  # a line asks for a second pass

    def walk(self, lines: Sequence[Line], *, active: bool, never: bool) -> None:
        """Take the options of the lines that are for this alias; `never`: an outer line was not."""
        unanswered: MatchLine | None = None
        for line in lines:
            if isinstance(line, Option):
                if active:
                    self._take(line)
                elif unanswered and line.name in options.SINGLE | options.MULTIPLE | options.LISTS:
                    self._ignore(f"Match {_asks(unanswered)}", unanswered.at)
                    unanswered = None
            elif isinstance(line, HostLine):
                # The second pass is one for the name that is connected to.
                named = self.hostname if self.second else self.alias
                active, unanswered = not never and host_line_fits(line.patterns, named), None
            elif isinstance(line, MatchLine):
                answer = self._answer(line)
                active = answer is True and not never
                unanswered = line if answer is None and not never else None
            else:
                self._included(line, active=active, never=never)

    def _included(self, line: Include, *, active: bool, never: bool) -> None:
        for lines in line.files:
            self.walk(lines, active=active, never=never or not active)

    def _take(self, option: Option) -> None:
        name = option.name
        if name in options.MULTIPLE:
            if option.value not in {o.value for o in self.several[name]}:
                self.several[name].append(option)
        elif name in options.TOLD:
            first = self.values.setdefault(name, option)
            if first is option and option.value.lower() not in options.HARMLESS.get(name, ()):
                self._ignore(f"{name} {' '.join(option.values)}", option.at)
        elif name == "connecttimeout" and option.value == "none":
            return  # as if nothing was said: a later line counts
        elif name == "proxyjump":
            # The first of ProxyJump and ProxyCommand counts, but `ProxyJump none` stands in nobody's way.
            none = option.value.lower() == "none"
            if "proxyjump" not in self.values and ("proxycommand" not in self.values or none):
                self.values[name] = option
        elif name == "proxycommand" and not _is_none(self.values.get("proxyjump")):
            return
        else:
            self.values.setdefault(name, option)

    def _ignore(self, what: str, at: Location) -> None:
        said = Ignored(what, at)
        if said not in self.ignored:
            self.ignored.append(said)

    def _answer(self, line: MatchLine) -> bool | None:
        """Whether all conditions are met; `None` when that hangs on one that is not asked."""
        answer: bool | None = True
        for criterion in line.criteria:
            if criterion.name == "final":
                self.final = self.final or not criterion.negated
            if criterion.name not in _ANSWERED:
                answer = None if answer is not False else False
            elif self._meets(criterion.name, criterion.argument) is criterion.negated:
                answer = False
        return answer

    def _meets(self, name: str, argument: str) -> bool:
        match name:
            case "canonical" | "final":
                return self.second
            case "host":
                return list_fits(argument.lower(), (self.hostname or self.host()).lower())
            case "originalhost":
                return list_fits(argument.lower(), self.alias.lower())
            case "user":
                return list_fits(argument, self.login)
            case "localuser":
                return list_fits(argument, self.local_user)
            case "tagged":
                tag = self.text("tag") or ""
                return list_fits(argument, tag) if tag else not argument
        return True

    @property
    def login_said(self) -> Option | None:
        return self.values.get("user")

    @property
    def login(self) -> str:
        return self.user or self.text("user") or self.local_user

    def text(self, name: str) -> str | None:
        """The first value of an option, where there is one."""
        return self.values[name].value if name in self.values else None

    def host(self) -> str:
        """The name to connect to: `HostName` with `%h` and `%%`, the only tokens that it may hold."""
        said = self.values.get("hostname")
        if said is None:
            return _lower(self.alias)

        def token(found: re.Match[str]) -> str:
            if found[0] not in ("%h", "%%"):
                raise CannotExpandError(said.at, f"HostName cannot hold {found[0]!r}")
            return "%" if found[0] == "%%" else self.alias

        return _lower(re.sub(r"%.?", token, said.value))

    @property
    def canonicalizes(self) -> bool:
        return (self.text("canonicalizehostname") or "no").lower() not in {"no", "false"}

    def canonical(self) -> Refusal | None:
        """A refusal where ssh would now ask the resolver for another name of this host (`resolve_canonicalize`)."""
        mode = self.values.get("canonicalizehostname")
        direct = _is_none(self.values.get("proxycommand")) and _is_none(self.values.get("proxyjump"))
        if _is_address(self.hostname) or not (direct or (mode and mode.value.lower() == "always")):
            return None
        aliases = self.values.get("canonicalizepermittedcnames")
        if not _is_none(aliases) and aliases:
            return Refusal(
                aliases.at, f"CanonicalizePermittedCNAMEs would ask for {self.hostname}", _FULL_NAME
            )
        listed = self.values.get("canonicaldomains")
        domains = () if listed is None or _is_none(listed) else listed.values
        short = bool(domains) and self.hostname.count(".") <= int(self.text("canonicalizemaxdots") or "1")
        if mode is None or not self.canonicalizes or not (short or self.hostname.endswith(".")):
            return None
        return Refusal(
            mode.at, f"CanonicalizeHostname would look for {self.hostname} in other domains", _FULL_NAME
        )


def _asks(line: MatchLine) -> str:
    return next(c.name for c in line.criteria if c.name not in _ANSWERED)


def _is_none(option: Option | None) -> bool:
    return option is None or option.value.lower() == "none"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def _lower(text: str) -> str:
    return text if _is_address(text) else text.lower()


def _hops(option: Option | None, tokens: Tokens) -> tuple[str, ...]:
    if option is None or option.value.lower() == "none":
        return ()
    text = option.value.partition("#")[0].rstrip()
    hops = (hop.removeprefix("ssh://").removesuffix("/") for hop in text.split(","))
    return tuple(tokens.expand(hop, option.at) for hop in hops if hop)


def _paths(said: Sequence[Option], tokens: Tokens) -> tuple[str, ...] | None:
    if not said:
        return None
    # A relative path is one of the folder that the command is run in (ssh opens it so).
    return tuple(str(Path.cwd() / tokens.path(o.value, o.at)) for o in said if o.value.lower() != "none")


def _agent(option: Option | None, tokens: Tokens) -> str | None:
    """A socket's path, or `none`; `SSH_AUTH_SOCK` and `$NAME` stand for variables of the environment."""
    if option is None:
        return None
    if option.value == "SSH_AUTH_SOCK":
        return os.environ.get(option.value)
    value = tokens.path(option.value, option.at)
    # A variable that is not set means no agent: ssh then takes away its own (`ssh.c`).
    return os.environ.get(value[1:], "none") if value.startswith("$") else value


def _seconds(text: str | None) -> float | None:
    return float(parse_time(text) or 0) or None if text else None


def _command(option: Option | None) -> Location | None:
    return None if option is None or option.value.lower() == "none" else option.at
