"""The narrow protocol between those who change hosts and those who reach them.

Nothing here imports asyncssh, so that a fake stays small and commands that do
not connect stay quick.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from sealboot.model.diagnostic import Diagnostic
from sealboot.model.secret import Secret

#: Output that is kept of each stream of one command, in bytes; the rest stops the command.
OUTPUT_LIMIT = 1 << 20

#: Called with the bytes of a file that the host has been sent so far.
Progress: TypeAlias = Callable[[int], None]

Ending: TypeAlias = Literal["exited", "lost", "timeout", "overflow", "no-shell", "no-become"]


@dataclass(frozen=True, slots=True)
class Result:
    """How one remote script ended.

    exited: it ran to its end and `exit_status` is its own, proven by the nonce
    sentinel. lost: the connection broke, so nobody knows how it ended. timeout:
    the deadline passed; the script was told to stop. overflow: it wrote more
    than the limit and was stopped. no-shell: what answered was no POSIX shell
    (a nologin account, a forced command); `stdout` holds what it said.
    no-become: the become user could not be reached, so the script never started.
    `diagnostic` says why for lost (SB506), no-shell (SB205) and no-become (SB303).
    Output is bytes that a host chose: decode with `text`, print through `render`.
    """

    ending: Ending
    exit_status: int | None
    stdout: bytes = b""
    stderr: bytes = b""
    seconds: float = 0.0
    diagnostic: Diagnostic | None = None

    @property
    def ok(self) -> bool:
        """Exit status 0 *and* the sentinel (promise P8)."""
        return self.ending == "exited" and self.exit_status == 0

    @property
    def text(self) -> str:
        """Standard output, decoded without ever failing."""
        return self.stdout.decode("utf-8", "backslashreplace")

    @property
    def error_text(self) -> str:
        """Standard error, decoded without ever failing."""
        return self.stderr.decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class PutResult:
    """How one file transfer ended: `result` as for a script, `sha256` as the host computed it."""

    result: Result
    sha256: str
    sent: int


@dataclass(frozen=True, slots=True)
class Greeting:
    """What answered on a port. Nobody vouches for it: no certificate was verified, and nothing was asked.

    `key` is the SHA-256 of the certificate's public key (base64 of the digest of its
    SubjectPublicKeyInfo, RFC 7469 section 2.4), empty where none was shown. `alpn` is the protocol the
    server chose. `wants_certificate`: it turned away a client that has no certificate of its own.
    """

    key: str = ""
    alpn: str = ""
    wants_certificate: bool = False


#: Connects from the controller to a port of an inventory host and looks who answers; a text says why nobody
#: does. With protocols (ALPN) a TLS hello is said, with `None` the connection alone counts. Never raises.
Knock: TypeAlias = Callable[[str, int, tuple[str, ...] | None], Awaitable[Greeting | str]]


class Session(Protocol):
    """One verified, logged-in connection to one host, reused for everything.

    Both methods may be called concurrently; a session bounds its channels.
    Neither raises for what a host does: the result says it. After the
    connection is lost every further call ends as `lost` at once, and `lost`
    holds the reason.
    """

    @property
    def host(self) -> str:
        """The inventory name."""
        ...

    @property
    def lost(self) -> Diagnostic | None:
        """Why the connection is gone; `None` while it lives."""
        ...

    async def run(
        self,
        script: str,
        *,
        args: Sequence[str] = (),
        env: Mapping[str, str | Secret] | None = None,
        stdin: bytes = b"",
        become: bool = False,
        timeout: float,  # noqa: ASYNC109 (the deadline travels to the host as well)
        limit: int = OUTPUT_LIMIT,
    ) -> Result:
        """Run a POSIX script in `/bin/sh`, whatever the login shell.

        `args` become `$1`…; `env` is set inside the script's shell. All of
        them, secrets included, travel on stdin: nothing of it is in any argv
        or SSH environment. `stdin` is what the script itself may read.
        `become` runs it as the become user (root) by the host's settings.
        """
        ...

    async def put(
        self,
        source: Path | bytes,
        dest: str,
        *,
        mode: int = 0o600,
        become: bool = False,
        stall: float = 60.0,
        progress: Progress | None = None,
    ) -> PutResult:
        """Write `source` to the new file `dest` (created exclusively) and hash it there.

        The transfer fails when no byte moves for `stall` seconds. Nothing is
        renamed and nothing cleaned up: staging and going live are the engine's.
        """
        ...

    async def stream(
        self,
        pieces: Iterator[bytes],
        size: int,
        script: str,
        *,
        args: Sequence[str] = (),
        become: bool = False,
        stall: float = 60.0,
        progress: Progress | None = None,
    ) -> Result:
        """Run a script that reads `size` bytes, the pieces in order, on its standard input.

        Ends like `put` when no byte moves for `stall` seconds. A broken
        connection ends the script's input as well, and nothing on the channel
        tells that end from a true one: a script that acts on its input must
        know from elsewhere what it is to be. Raises what `pieces` raises.
        """
        ...

    def hold(
        self, script: str, *, args: Sequence[str] = (), become: bool = False, ready: str, timeout: float
    ) -> Awaitable[Hold | Result]:
        """Start a script that must live as long as the connection (a lock).

        Resolves to a `Hold` once the script printed the line `ready`, or to
        its `Result` when it ended before that.
        """
        ...

    async def close(self) -> None:
        """End the connection; never raises, never waits for a hung host."""
        ...


class Hold(Protocol):
    """A script that is held open on the host; it ends when its stdin does."""

    async def release(self) -> None:
        """Let it end, and wait briefly for that."""
        ...

    @property
    def alive(self) -> bool:
        """Whether it still runs, as far as is known."""
        ...


class Connector(Protocol):
    """Opens sessions. A failure is a diagnostic, never an exception."""

    async def connect(self, name: str) -> Session | Diagnostic:
        """Log in to the inventory host `name`."""
        ...

    async def knock(self, name: str, port: int, alpn: tuple[str, ...] | None) -> Greeting | str:
        """See `Knock`."""
        ...

    async def close(self) -> None:
        """End every connection, those to jump hosts included."""
        ...
