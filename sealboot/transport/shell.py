r"""The remote shell protocol: how a script reaches `/bin/sh` whatever the login shell, and how it ends.

The command of every exec request is the constant `LOADER`; it holds no text of
an operator, a host or a script. Script, arguments, environment and secrets
follow on standard input, inside single quotes, so that no process list and no
SSH environment ever shows them.

Output is framed by a random nonce. The host *computes* the markers (the text
sent holds `begin` and the nonce apart), so a forced command that echoes its
input is not mistaken for a shell. What an rc file printed before the first
marker is dropped.

A script that must end early is ended on the host by its own wrapper, because a
signal over SSH reaches neither a child process group nor anything under sudo:
a watcher ends the process group when standard input closes, and a timer does
so when the deadline passes even though the connection hangs. Jobs that left
the group (`setsid`) live on, which is what detached steps want.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from sealboot.model.secret import Secret

#: What the script's standard input is: nothing, or the rest of the channel's.
Feed: TypeAlias = Literal["none", "channel"]

#: Seconds that the host waits beyond the controller's deadline before it acts on its own.
HOST_GRACE = 5.0

# A process group of its own is what makes a script stoppable. OpenSSH gives every command one;
# dropbear runs all commands of a connection in one, and so does sudo: those take `setsid`.
# qemu-user shows a program its own stat with zeros; a subshell, being another process, sees the kernel's.
# Taking that zero for a group would let setsid fork, and the server would see its command end at once.
OWN_GROUP = (
    "g=; { read -r a b c d g r </proc/$$/stat; "
    '[ "$g" = 0 ] && g=$(read -r a b c d g r </proc/$$/stat; echo $g); } 2>/dev/null; '
    'case $g in ""|"$$") ;; *) command -v setsid >/dev/null 2>&1 && exec setsid /bin/sh -s ;; esac; '
    "exec /bin/sh -s"
)

#: The command of every exec request. Single quotes mean the same in bash, dash, fish, tcsh and ash
#: for this text: it has no backslash, no `!`, no newline and no single quote.
LOADER = f"exec /bin/sh -c '{OWN_GROUP}'"

#: Appended to what the login gives: a plain user of some systems lacks the sbin folders.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# `kill -TERM -PGID` is the one spelling that dash, bash and busybox all take.
_PROLOGUE = """\
{
sb_n=%(nonce)s
PATH="${PATH:+$PATH:}%(path)s" LC_ALL=C
export PATH LC_ALL
exec 3<&0
sb_g=
{ read -r sb_a sb_b sb_c sb_d sb_g sb_r </proc/$$/stat
[ "$sb_g" = 0 ] && sb_g=$(read -r sb_a sb_b sb_c sb_d sb_g sb_r </proc/$$/stat; echo "$sb_g"); } 2>/dev/null
case $sb_g in "$$") sb_k=-$$ ;; *) sb_k=$$ ;; esac
sb_stop() { trap '' TERM; kill -TERM "$sb_k"; sleep 2; kill -KILL "$sb_k"; }
sb_w= sb_t=
"""

_WATCHER = """\
( trap '' TERM HUP; while read -r sb_x; do :; done; sb_stop ) <&3 >/dev/null 2>&1 3<&- & sb_w=$!
"""

# Its own signal is USR1: a TERM that the server sends to the whole group must not disarm it.
# `$!` and not a variable: it is set before a trap can run.
_TIMER = """\
( trap '[ -z "$!" ] || kill -KILL "$!"; exit' USR1; trap '' TERM HUP
sleep %(seconds)d & wait "$!"; sb_stop ) </dev/null >/dev/null 2>&1 3<&- & sb_t=$!
"""

_EPILOGUE = """\
sb_s=$?
printf '%%s:%%s:%%s\\n' "$sb_n" end "$sb_s" >&2
printf '%%s:%%s:%%s\\n' "$sb_n" end "$sb_s"
{ [ -z "$sb_w" ] || kill -KILL "$sb_w"; [ -z "$sb_t" ] || kill -USR1 "$sb_t"; } >/dev/null 2>&1
exit "$sb_s"
}
"""


def new_nonce() -> str:
    """A fresh marker that no output holds by accident (128 random bits)."""
    return secrets.token_hex(16)


def quote(text: str) -> str:
    """The text as one POSIX shell word; raises `ValueError` for NUL, which no shell can hold."""
    if "\0" in text:
        raise ValueError("a NUL character cannot be part of a shell word")
    return "'" + text.replace("'", "'\\''") + "'"


def prelude(
    script: str,
    *,
    nonce: str,
    args: Sequence[str] = (),
    env: Mapping[str, str | Secret] | None = None,
    feed: Feed = "none",
    seconds: float | None = None,
) -> bytes:
    """The text for standard input that runs `script` between two markers.

    The script runs in a subshell through `eval`, so that a syntax error or an
    `exit` in it cannot skip the end marker. `seconds` is the deadline that the
    host enforces by itself. Arguments and values may hold any bytes but NUL
    (as surrogate escapes). Raises `ValueError` for a NUL or a malformed
    variable name.
    """
    lines = [_PROLOGUE % {"nonce": nonce, "path": PATH}]
    lines.append("printf '\\n%s:%s:\\n' \"$sb_n\" begin >&2\nprintf '\\n%s:%s:\\n' \"$sb_n\" begin\n")
    if feed == "none":
        lines.append(_WATCHER)
    if seconds is not None:
        lines.append(_TIMER % {"seconds": math.ceil(seconds + HOST_GRACE)})
    lines.append("( unset sb_n sb_g sb_k sb_w sb_t sb_a sb_b sb_c sb_d sb_r\n")
    lines.append(f"set -- {' '.join(map(quote, args))}\n")
    lines.extend(_assignments(env or {}))
    stdin = "</dev/null" if feed == "none" else "<&3"
    lines.append(f"eval {quote(script)}\n) {stdin} 3<&-\n")
    lines.append(_EPILOGUE % {})
    return "".join(lines).encode("utf-8", "surrogateescape")


def _assignments(env: Mapping[str, str | Secret]) -> list[str]:
    lines = []
    for name, value in env.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a shell variable")
        text = value.reveal() if isinstance(value, Secret) else value
        lines.append(f"{name}={quote(text)}\nexport {name}\n")
    return lines


class Framed:
    """One output stream of the protocol: what lies between the markers, bounded.

    `before` is what came ahead of the first marker (rc files, banners, a
    nologin text, sudo's prompt), kept up to the limit; `status` the exit
    status of the end marker. `overflow` says that more than `limit` bytes came.
    """

    __slots__ = ("_buffer", "_limit", "_marks", "_scanned", "before", "begun", "overflow", "status")

    def __init__(self, nonce: str, limit: int) -> None:
        self._marks = (f"{nonce}:begin:\n".encode(), re.compile(f"{nonce}:end:([0-9]{{1,3}})\n".encode()))
        self._limit = limit
        self._buffer = bytearray()
        self._scanned = 0
        self.before = b""
        self.begun = False
        self.overflow = False
        self.status: int | None = None

    def feed(self, data: bytes) -> None:
        """Take what arrived; nothing after the end marker or an overflow is kept."""
        if self.status is not None or self.overflow:
            return
        self._buffer += data
        if not self.begun:
            self._begin()
        if self.begun:
            self._end()
        # A marker is at most 64 bytes: only what cannot be part of one counts.
        if len(self._buffer) > self._limit + 64:
            self._overflowed()

    def _begin(self) -> None:
        mark = self._marks[0]
        at = self._buffer.find(mark, max(0, self._scanned - len(mark)))
        self._scanned = len(self._buffer)
        if at >= 0:
            self.before = bytes(self._buffer[:at])
            del self._buffer[: at + len(mark)]
            self.begun, self._scanned = True, 0

    def _end(self) -> None:
        found = self._marks[1].search(self._buffer, max(0, self._scanned - 64))
        self._scanned = len(self._buffer)
        if found:
            status = int(found[1])
            del self._buffer[found.start() :]
            if len(self._buffer) > self._limit:
                self._overflowed()
            else:
                self.status = status

    def _overflowed(self) -> None:
        del self._buffer[self._limit :]
        self.overflow = True

    @property
    def data(self) -> bytes:
        """What the script wrote so far; empty before it began."""
        return bytes(self._buffer) if self.begun else b""

    @property
    def noise(self) -> bytes:
        """What came ahead of the first marker, so far."""
        return self.before if self.begun else bytes(self._buffer)
