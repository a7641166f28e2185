"""Our side of one handshake: decides about the host key, then answers the login methods.

asyncssh is given empty lists of trusted keys, so it asks here about every
key; until the answer is yes it sends nothing but its own key exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncssh

from sealboot.model.secret import Secret
from sealboot.transport.auth import Identity
from sealboot.transport.errors import Stage
from sealboot.transport.knownhosts import HostKey, Known
from sealboot.transport.verdict import Trust, Verdict, judge, judge_authority

#: Records a key of a host nobody knew; the verdict after that, or `None` where it could not be recorded.
Pin = Callable[[HostKey], Verdict | None]


@dataclass(frozen=True, slots=True)
class Login:
    """What may be tried, in this order: keys, then the password, once."""

    identities: Sequence[Identity] = ()
    password: Secret | None = None


class Client(asyncssh.SSHClient):
    """Follows one connection until it is logged in."""

    def __init__(self, known: Known, login: Login, *, pin: Pin | None = None) -> None:
        self.known = known
        self.verdict: Verdict | None = None
        self.tried: list[str] = []
        self.methods: tuple[str, ...] = ()
        self.expired = False
        self.connection: asyncssh.SSHClientConnection | None = None
        self._keys = iter(login.identities)
        self._password = login.password
        self._pin = pin
        self._login = False

    @property
    def stage(self) -> Stage:
        """How far it got."""
        if self.connection is None:
            return Stage.CONNECT
        if self._login:
            return Stage.LOGIN
        return Stage.KEY_EXCHANGE if self.connection.get_extra_info("server_version") else Stage.BANNER

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """TCP, or the channel through a jump host, stands."""
        self.connection = conn

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """The one place where a plain host key is accepted."""
        del host, addr, port  # the caller's idea of the name is not what the files are asked for
        offered = HostKey(key.algorithm.decode("ascii", "replace"), key.public_data)
        verdict = judge(self.known, offered)
        if verdict.trust is Trust.UNKNOWN and self._pin and not self.known.authorities:
            verdict = self._pin(offered) or verdict
        self.verdict = verdict
        return verdict.trust is Trust.TRUSTED

    def validate_host_ca_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """The one place where the authority behind a host certificate is accepted."""
        del host, addr, port
        offered = HostKey(key.algorithm.decode("ascii", "replace"), key.public_data)
        self.verdict = judge_authority(self.known, offered)
        return self.verdict.trust is Trust.TRUSTED

    def begin_auth(self, username: str) -> None:
        """The host key was accepted; from here on the server learns who we are."""
        del username
        self._login = True

    def public_key_auth_requested(self) -> asyncssh.SSHKeyPair | None:
        """The next key; each one is offered once."""
        self._note_methods()
        identity = next(self._keys, None)
        if identity is None:
            return None
        self.tried.append(identity.name)
        return identity.fresh()

    def password_auth_requested(self) -> str | None:
        """The password, once: a second try could lock the account."""
        self._note_methods()
        return self._once("password")

    def password_change_requested(self, prompt: str, lang: str) -> Any:
        """An expired password is not changed behind the operator's back."""
        del prompt, lang
        self.expired = True
        return NotImplemented

    def kbdint_auth_requested(self) -> str | None:
        """Whether to begin keyboard-interactive: only with a password that was not refused yet."""
        self._note_methods()
        return None if self._password is None else ""

    def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: Sequence[tuple[str, bool]]
    ) -> list[str] | None:
        """Answer one hidden prompt with the password; any other question is not ours."""
        del name, instructions, lang
        if not prompts:
            return []
        if len(prompts) > 1 or prompts[0][1]:
            return None
        password = self._once("keyboard-interactive")
        return None if password is None else [password]

    def _once(self, method: str) -> str | None:
        password, self._password = self._password, None
        if password is None:
            return None
        self.tried.append(method)
        return password.reveal()

    def _note_methods(self) -> None:
        if self.connection is not None and not self.methods:
            self.methods = tuple(self.connection.get_server_auth_methods())


class Onlooker(Client):
    """Looks at the key a server offers and hangs up before any login."""

    def __init__(self) -> None:
        super().__init__(Known(), Login())
        self.offered: HostKey | None = None

    def itself(self) -> Client:
        """Serves as a client factory: what an earlier attempt saw is kept."""
        self.connection = None
        return self

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Never accepts."""
        del host, addr, port
        self.offered = HostKey(key.algorithm.decode("ascii", "replace"), key.public_data)
        return False
