"""Where a connection goes and who logs in: one value for each hop, made from inventory and ssh_config."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sealboot.model.diagnostic import Diagnostic, Location, Severity
from sealboot.model.host import Host, SshSettings
from sealboot.transport.knownhosts import SSH_PORT
from sealboot.transport.sshconfig import Refusal, Resolved, SshConfig

#: More hops than this are a mistake.
MAX_HOPS = 16
#: Lines of ssh_config that one finding quotes.
_MOST_SHOWN = 12

_HOP = re.compile(
    r"(?:ssh://)?(?:(?P<user>.+)@)?(?P<host>\[[^\]@]+\]|[^:@]+|[^\[@]*:[^@]*:[^@]*?)(?::(?P<port>[0-9]{1,5}))?/?"
)
#: A user, a host name and a port are shorter; the pattern above takes its time with much longer texts.
_LONGEST_HOP = 400


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server to log in to.

    `label` is what the operator calls it; `trust_name` and `trust_port` are
    what known_hosts is asked for; `explicit` says that the inventory names the
    keys, so no others are offered.
    """

    label: str
    address: str
    port: int
    user: str
    settings: SshSettings
    alias: str | None = None
    identities: tuple[str, ...] | None = None  # None: the default files; empty: no file at all
    certificates: tuple[str, ...] = ()
    identities_only: bool = False
    agent: str | None = None  # a path, `none`, or None for the run's own
    timeout: float = 15.0

    @property
    def trust_name(self) -> str:
        """The name in known_hosts: the alias, or the address as written."""
        return (self.alias or self.address.strip("[]")).lower()

    @property
    def trust_port(self) -> int:
        """The port in known_hosts; an alias stands for itself, whatever the port (as in OpenSSH)."""
        return SSH_PORT if self.alias else self.port

    def __str__(self) -> str:
        return f"{self.user}@{self.address}:{self.port}"


@dataclass(slots=True)
class Routes:
    """Turns inventory names into chains of endpoints, the target last."""

    hosts: Mapping[str, Host]
    config: SshConfig | None
    local_user: str
    _ignored: dict[str, dict[str, Location]] = field(default_factory=dict)
    _told: set[tuple[str, str]] = field(default_factory=set)

    def route(self, name: str) -> tuple[Endpoint, ...] | Diagnostic:
        """The hops to an inventory host and the host itself; raises `KeyError` for an unknown name."""
        host = self.hosts[name]
        found = self._chain(host, ())
        if isinstance(found, Refusal):
            return Diagnostic(
                "SB201",
                f"{name} cannot be reached: {found.why}",
                host=name,
                at=found.at,
                evidence=(("stage", "route"), ("file", found.at.file)),
                hints=(found.hint,),
            )
        if isinstance(found, str):
            return Diagnostic(
                "SB201",
                f"{name} cannot be reached: {found}",
                host=name,
                at=host.origin("ssh.jump"),
                evidence=(("stage", "route"), ("jump", " -> ".join(host.ssh.jump) or "from ssh_config")),
                hints=("correct `ssh.jump`",),
            )
        return found

    def told(self) -> list[Diagnostic]:
        """What of ssh_config was not obeyed for the hosts of this run and was not told yet: one finding a file."""
        found = []
        for file, lines in self._ignored.items():
            new = {what: at for what, at in lines.items() if (file, what) not in self._told}
            self._told |= {(file, what) for what in new}
            if new:
                found.append(_not_obeyed(new))
        return found

    def _chain(self, host: Host, above: tuple[str, ...]) -> tuple[Endpoint, ...] | str | Refusal:
        if host.name in above:
            return "the jump hosts form a circle: " + " -> ".join((*above, host.name))
        resolved = self._lookup(host.address, host.ssh, host.ssh.user, reached=bool(host.ssh.jump))
        if isinstance(resolved, Refusal):
            return resolved
        hops = self._hops(
            host.ssh.jump or resolved.jump, host.ssh, (*above, host.name), inventory=bool(host.ssh.jump)
        )
        return (
            hops
            if isinstance(hops, (str, Refusal))
            else (*hops, _endpoint(host.name, host, resolved, self.local_user))
        )

    def _hops(
        self, jump: tuple[str, ...], settings: SshSettings, above: tuple[str, ...], *, inventory: bool
    ) -> tuple[Endpoint, ...] | str | Refusal:
        chain: tuple[Endpoint, ...] = ()
        for index, text in enumerate(jump):
            known = self.hosts.get(text) if inventory else None
            if text == above[-1]:
                continue  # a group's jump host is often a member of the group itself
            before = (
                self._chain(known, above)
                if known is not None
                else self._foreign(text, settings, above, reached=bool(chain))
            )
            if isinstance(before, (str, Refusal)):
                return before
            # Only the first hop is reached in its own way; each further one through the hop before it.
            chain = before if index == 0 or not chain else (*chain, before[-1])
            if len(chain) > MAX_HOPS:
                return f"more than {MAX_HOPS} hops"
        return chain

    def _foreign(
        self, text: str, settings: SshSettings, above: tuple[str, ...], *, reached: bool
    ) -> tuple[Endpoint, ...] | str | Refusal:
        """A hop that is no inventory host: an alias of ssh_config, or user@host:port.

        It inherits how to connect, not as whom: like OpenSSH, a hop without a
        user gets the local one, and no password of the target is sent to it.
        `reached`: it is reached through the hop before it, whatever its own way is.
        """
        if text in above:
            return "the jump hosts form a circle: " + " -> ".join((*above, text))
        parsed = _HOP.fullmatch(text) if len(text) <= _LONGEST_HOP else None
        if parsed is None or int(parsed["port"] or SSH_PORT) >= 1 << 16:
            return f"{text[:_LONGEST_HOP]!r} is not user@host:port"
        own = replace(
            settings,
            user=parsed["user"],
            port=int(parsed["port"]) if parsed["port"] else None,
            jump=(),
            password_from=None,
            host_key_alias=None,
        )
        hop = Host(name=text, address=parsed["host"], role="", ssh=own)
        resolved = self._lookup(hop.address, own, own.user, reached=reached)
        if isinstance(resolved, Refusal):
            return resolved
        hops = () if reached else self._hops(resolved.jump, own, (*above, text), inventory=False)
        return (
            hops
            if isinstance(hops, (str, Refusal))
            else (*hops, _endpoint(text, hop, resolved, self.local_user))
        )

    def _lookup(
        self, alias: str, settings: SshSettings, user: str | None, *, reached: bool
    ) -> Resolved | Refusal:
        if not settings.config or self.config is None:
            return Resolved()
        resolved = self.config.lookup(alias, user=user)
        if isinstance(resolved, Refusal):
            return resolved
        if resolved.proxy_command and not reached:
            return Refusal(
                resolved.proxy_command,
                "ssh_config asks for a ProxyCommand, and no program of it is run here",
                "use `ProxyJump` there, or `ssh.jump` in the inventory",
            )
        for ignored in resolved.ignored:
            self._ignored.setdefault(ignored.at.file, {}).setdefault(ignored.what, ignored.at)
        return resolved


def _not_obeyed(lines: Mapping[str, Location]) -> Diagnostic:
    shown = list(lines.items())[:_MOST_SHOWN]
    more = len(lines) - len(shown)
    return Diagnostic(
        "SB209",
        "options of ssh_config are not obeyed: " + ", ".join(what.partition(" ")[0] for what, _ in shown),
        Severity.WARNING,
        at=shown[0][1],
        evidence=(
            *((f"line {at.line}", what) for what, at in shown),
            *((("more", f"{more} other lines"),) if more else ()),
        ),
        hints=("say what you need of it in the inventory's `ssh` settings",),
    )


def _endpoint(label: str, host: Host, resolved: Resolved, local_user: str) -> Endpoint:
    """The inventory wins over ssh_config, and both over the defaults."""
    ssh = host.ssh
    default = SshSettings()
    return Endpoint(
        label=label,
        address=resolved.hostname or host.address,
        port=ssh.port or resolved.port or SSH_PORT,
        user=ssh.user or resolved.user or local_user,
        settings=ssh,
        alias=ssh.host_key_alias or resolved.alias,
        identities=ssh.identity_files or resolved.identities,
        certificates=() if ssh.identity_files else resolved.certificates,
        identities_only=bool(ssh.identity_files) or resolved.identities_only,
        agent=resolved.agent,
        timeout=(
            resolved.timeout
            if resolved.timeout and ssh.connect_timeout == default.connect_timeout
            else ssh.connect_timeout
        ),
    )
