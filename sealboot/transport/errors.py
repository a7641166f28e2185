"""What can go wrong on the way to a login, told apart and put into words.

asyncssh and the kernel say `reset`, `lost` or nothing at all; the operator
needs the stage that was reached, since a closed port, a mute server and a
refused key have nothing in common but the red line.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, replace
from enum import StrEnum

import asyncssh

from sealboot.model.diagnostic import Diagnostic, Location
from sealboot.model.host import Host
from sealboot.transport.endpoint import Endpoint
from sealboot.transport.knownhosts import Known, KnownKey
from sealboot.transport.verdict import Trust, Verdict

#: All that asyncssh, the kernel and decoding let through (asyncssh documents none of it in one place).
EXPECTED = (asyncssh.Error, OSError, TimeoutError, ValueError, EOFError)
#: What the end of a connection looks like when the peer gave no reason.
LOST = (asyncssh.ConnectionLost, ConnectionError, EOFError)
#: Some servers hang up without a word after their tries; more keys than this make that the likely reason.
MANY_KEYS = 5
#: Remote text that is quoted is cut to this many characters.
QUOTED = 200

_NO_ROUTE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EACCES})
_UNTOUCHED = "no login was tried and no command was run on this host"


class Stage(StrEnum):
    """How far a connection got."""

    NAME = "name"
    ROUTE = "route"
    CONNECT = "connect"
    HOP = "hop"
    BANNER = "banner"
    KEY_EXCHANGE = "key exchange"
    HOST_KEY = "host key"
    LOGIN = "login"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an endpoint was not logged in to; `summary` continues the name of the endpoint."""

    endpoint: Endpoint
    code: str
    stage: Stage
    summary: str
    evidence: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    at: Location | None = None
    retry: bool = False

    def diagnostic(self, host: Host) -> Diagnostic:
        """The finding about `host`, which may be behind the endpoint that failed."""
        hop = self.endpoint.label != host.name
        subject = f"{host.name} not reached: its jump host {self.endpoint.label}" if hop else host.name
        where = (("hop", f"{self.endpoint.label} ({self.endpoint})"),) if hop else ()
        stage = (("address", str(self.endpoint)), ("stage", self.stage.value)) if self.code == "SB201" else ()
        return Diagnostic(
            self.code,
            f"{subject} {self.summary}",
            host=host.name,
            at=self.at or host.origin("address"),
            evidence=(*where, *stage, *self.evidence),
            notes=self.notes,
            hints=self.hints,
        )


def unreachable(
    endpoint: Endpoint, stage: Stage, summary: str, *, retry: bool = False, hint: str = ""
) -> Failure:
    """An SB201 of this stage."""
    return Failure(endpoint, "SB201", stage, summary, hints=(hint,) if hint else (), retry=retry)


def dial_failure(endpoint: Endpoint, ip: str, error: OSError) -> Failure:
    """Why TCP did not connect."""
    where = f"{ip}:{endpoint.port}"
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        failure = unreachable(
            endpoint,
            Stage.CONNECT,
            f"did not answer: no TCP connection to {where} within {endpoint.timeout:g} s",
            hint="is it switched on, and does a firewall drop the port?",
        )
    elif isinstance(error, ConnectionRefusedError):
        failure = unreachable(
            endpoint,
            Stage.CONNECT,
            f"refused the connection: nothing listens at {where}",
            retry=True,
            hint="is sshd running, and is `ssh.port` right?",
        )
    elif error.errno in _NO_ROUTE:
        failure = unreachable(
            endpoint,
            Stage.ROUTE,
            f"cannot be reached: no route to {where} ({error.strerror})",
            retry=True,
            hint="check the address, and the routes of this machine: `ip route get ADDRESS`",
        )
    else:
        failure = unreachable(
            endpoint, Stage.CONNECT, f"could not be connected to: {error.strerror or error}", retry=True
        )
    return failure


def timeout_failure(endpoint: Endpoint, stage: Stage) -> Failure:
    """The deadline passed at this stage."""
    said = {
        Stage.BANNER: "accepted the connection but never said anything",
        Stage.KEY_EXCHANGE: "stopped answering during the key exchange",
        Stage.LOGIN: "stopped answering during the login",
    }.get(stage, "did not answer")
    return unreachable(
        endpoint,
        stage,
        f"{said} (waited {endpoint.timeout:g} s)",
        hint="is that port really SSH, and is the machine overloaded or out of memory?",
    )


def protocol_failure(endpoint: Endpoint, stage: Stage, error: Exception) -> Failure:
    """The peer broke off, or is no SSH server (anything but keys and logins)."""
    text = quoted(getattr(error, "reason", "") or str(error) or type(error).__name__)
    if isinstance(error, asyncssh.ChannelOpenError):
        return unreachable(
            endpoint,
            Stage.HOP,
            f"cannot be reached from its jump host: {text}",
            retry=error.code == asyncssh.OPEN_CONNECT_FAILED,
            hint="try it there: `nc -vz ADDRESS PORT`; does its sshd allow TCP forwarding?",
        )
    if isinstance(error, asyncssh.KeyExchangeFailed):
        return unreachable(
            endpoint,
            Stage.KEY_EXCHANGE,
            f"has no algorithm in common with us: {text}",
            hint="an old server may need `ssh.legacy_crypto: true`",
        )
    broken_off = isinstance(error, LOST)
    if stage is Stage.BANNER and not broken_off:
        return unreachable(endpoint, stage, f"is not an SSH server: {text}", hint="is `ssh.port` right?")
    if not broken_off:
        return unreachable(
            endpoint,
            stage,
            f"does not speak SSH as it should ({stage.value}): {text}",
            hint="is `ssh.port` right?",
        )
    return unreachable(
        endpoint,
        stage,
        f"broke off the connection ({stage.value}): {text}",
        retry=stage in {Stage.BANNER, Stage.KEY_EXCHANGE},
        hint="its log says why: `journalctl -u ssh`; MaxStartups or fail2ban may be at work",
    )


def key_failure(endpoint: Endpoint, verdict: Verdict) -> Failure:
    """The host key is not trusted: unknown, changed, revoked, or a certificate that does not hold."""
    offered = (("offered", str(verdict.offered)),) if verdict.offered else ()
    lines = tuple(_line(line) for line in verdict.lines)
    at = verdict.lines[0].at if verdict.lines else None
    trust = f"compare the fingerprint at its console, then: `sealboot trust {endpoint.label}`"
    failure = Failure(
        endpoint,
        "SB202",
        Stage.HOST_KEY,
        "presented a different host key",
        evidence=(*lines, *offered),
        notes=(_UNTOUCHED,),
        hints=(f"if you reinstalled it, {trust}",),
        at=at,
    )
    match verdict.trust:
        case Trust.CHANGED_TYPE:
            return replace(
                failure,
                summary="presented a host key of another type than the known one",
                notes=("the known key was asked for and not offered", _UNTOUCHED),
            )
        case Trust.REVOKED:
            return replace(
                failure,
                code="SB206",
                summary="presented a host key that is revoked",
                hints=("give the host a new key; nothing but the @revoked line admits this one",),
            )
        case Trust.BAD_CERTIFICATE:
            return replace(
                failure,
                code="SB207",
                summary=f"presented a host certificate that does not hold: {verdict.reason}",
                hints=("have the host key signed again: `ssh-keygen -s CA -h -n NAME -V +52w KEY.pub`",),
            )
        case Trust.UNKNOWN:
            return replace(
                failure,
                code="SB203",
                summary="has a host key that is not known",
                hints=(trust, "or record first-seen keys of new hosts: `sealboot apply --accept-new`"),
                at=None,
            )
        case _:
            return failure


def unreadable_revocation(endpoint: Endpoint, known: Known) -> Failure:
    """A revocation that may be about this host cannot be read: its key cannot be cleared of it."""
    at = known.unreadable[0]
    return Failure(
        endpoint,
        "SB206",
        Stage.HOST_KEY,
        f"is not connected to: the revocation at {at.file}:{at.line} cannot be read",
        notes=(_UNTOUCHED,),
        hints=("correct that @revoked line, or delete it if it is not needed",),
        at=at,
    )


def login_failure(
    endpoint: Endpoint, error: Exception, *, tried: tuple[str, ...], methods: tuple[str, ...], expired: bool
) -> Failure:
    """The server refused us: once, and for good."""
    reason = quoted(getattr(error, "reason", "") or str(error))
    too_many = "too many authentication failures" in reason.lower()
    hung_up = isinstance(error, LOST)
    evidence = (
        ("login", str(endpoint)),
        ("offered by host", ", ".join(methods) or "no method we can do"),
        *(("tried", name) for name in tried),
    )
    keys = len([name for name in tried if name.split(" ", 1)[0].isupper()])
    if too_many or (hung_up and keys > MANY_KEYS):
        summary = f"hung up after too many login attempts ({keys} keys were offered)"
        hint = "name the one key it knows: `ssh.identity_file` (no others are offered then)"
    elif hung_up:
        summary = f"hung up during the login as {endpoint.user}: {reason}"
        hint = "its log says why: `journalctl -u ssh`; the account may be locked, or the address banned"
    elif expired:
        summary = f"refused the login as {endpoint.user}: the password has expired"
        hint = "set a new password at the host; sealboot changes none"
    elif not tried:
        summary = f"refused the login as {endpoint.user}: there was nothing to try"
        hint = "name a key with `ssh.identity_file`, load one into an agent, or name `ssh.password_from`"
    else:
        summary = f"refused the login as {endpoint.user}"
        hint = "is that the right user, and is the key in its authorized_keys?"
    return Failure(
        endpoint,
        "SB204",
        Stage.LOGIN,
        summary,
        evidence=evidence,
        notes=("a refused login is not tried again",),
        hints=(hint,),
    )


def quoted(text: str) -> str:
    """Text of the other side, shortened; `render` makes it safe."""
    text = " ".join(text.split())
    return text if len(text) <= QUOTED else text[: QUOTED - 3] + "..."


def _line(line: KnownKey) -> tuple[str, str]:
    label = {"": "known", "revoked": "revoked", "cert-authority": "authority"}[line.marker]
    return (label, f"{line.key} ({line.at.file}:{line.at.line})")
