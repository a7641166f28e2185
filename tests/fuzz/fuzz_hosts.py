"""Parsers of what hosts say: the frame around it, the probe's transcript, sudo, the engine's records."""

from __future__ import annotations

import asyncio
import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import elf_corpus
from fit_kit import facts_of
from fuzz_target import Target, result_of, still, told, utf8

from sealboot.artifacts.elf import parse as parse_elf
from sealboot.artifacts.reader import Memory
from sealboot.checks.run import run_all
from sealboot.engine import journal, lock
from sealboot.engine.jobs import missing_output
from sealboot.engine.observe import parse_answers
from sealboot.engine.shell import NodePaths
from sealboot.engine.upload import smoke_problem
from sealboot.fit import judge
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Kind
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.facts import Facts
from sealboot.model.host import BecomeSettings, Host
from sealboot.model.secret import Secret, SecretRef
from sealboot.model.steps import Run
from sealboot.plan.diagnose import diagnose
from sealboot.probe.parse import parse
from sealboot.render.text import safe
from sealboot.render.view import make_view
from sealboot.transport.base import Result
from sealboot.transport.become import Become
from sealboot.transport.channel import Conversation, Readable
from sealboot.transport.endings import conclude
from sealboot.transport.shell import Framed
from sealboot.transport.upload import digest

BOARDS = Path(__file__).parents[1] / "transcripts"
PATHS = NodePaths("/var/lib/sealboot/lab", "/var/lib/sealboot/lock")
NONCE = "0123456789abcdef0123456789abcdef"
PASSWORD = "Zebra-7 purple"


@dataclass
class Scripted:
    """A session whose host answers everything with the same bytes."""

    said: bytes
    status: int = 0
    host: str = "h"
    lost: Diagnostic | None = None

    async def run(self, script: str, **_: Any) -> Result:
        """The one answer."""
        return Result("exited", self.status, self.said, self.said[:300])


# -- the probe


@cache
def _programs() -> list[Artifact]:
    found = []
    for sample in elf_corpus.samples()[::24]:
        elf = parse_elf(Memory(sample.bytes)).elf
        if elf is not None:
            found.append(Artifact(sample.name, Kind.ELF, size=len(sample.bytes), layers=(elf,)))
    return found


def feed_transcript(data: bytes) -> None:
    """Facts or one finding; the facts can be judged by, checked and shown."""
    found = parse(data, host="h", nonce="BOARD", sent=1000.0, received=1000.2)
    if isinstance(found, Diagnostic):
        told(found)
        return
    for artifact in _programs():
        told(*judge(artifact, found).diagnostics)
    told(*run_all((Host("h", "10.0.0.1", "node"),), {"h": found}, chosen={}, wants={}))
    _shown(found)


def _shown(facts: Facts) -> None:
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(out):
        for details in (False, True):
            make_view("plain").facts((facts,), (), details=details)
        make_view("json").facts((facts,), (), details=True)
    still(out.getvalue())


def transcript_seeds() -> list[bytes]:
    """Boards of every kind."""
    return [path.read_bytes() for path in sorted(BOARDS.glob("*.txt"))][::2]


# -- the session's frame


def feed_frame(data: bytes) -> None:
    """However it is cut, the same is read; at most the limit is kept."""
    limit = 256
    step = data[0] % 61 + 1 if data else 1
    whole, parts = Framed(NONCE, limit), Framed(NONCE, limit)
    body = data[1:].replace(b"@", NONCE.encode())
    whole.feed(body)
    for at in range(0, len(body), step):
        parts.feed(body[at : at + step])
        assert len(parts.data) + len(parts.noise) <= 4 * limit + 4 * len(NONCE) + step + len(body)
    assert len(whole.data) <= limit + 64
    if not whole.overflow and not parts.overflow:
        assert (whole.data, whole.status, whole.begun) == (parts.data, parts.status, parts.begun)
    talk = Conversation(limit)
    talk.received(body.replace(NONCE.encode(), talk.nonce.encode()), error=False)
    talk.received(body[: len(body) // 2].replace(NONCE.encode(), talk.nonce.encode()), error=True)
    talk.exited(step % 3)
    talk.ended(None if step % 2 else "reset")
    ended = conclude("h", talk, timed_out=step % 5 == 0, seconds=1.0)
    assert ended.ending != "exited" or ended.exit_status == talk.exit_status
    if ended.diagnostic is not None:
        told(ended.diagnostic)


def frame_seeds() -> list[bytes]:
    """Whole frames, noise before, a marker of another run, no end."""
    return [
        b"\x07\n@:begin:\nhello\n@:end:0\n",
        b"\x01motd\n\n@:begin:\n@:end:126\nmore",
        b"\x20sb_n=@\n@:begin:\n" + b"x" * 300,
        b"\x04@:begin:\n@:begin:\n@:end:1\n@:end:0\n",
    ]


@dataclass
class Wire:
    """The other side of a pipe: what is written to it is kept."""

    wrote: list[bytes] = field(default_factory=list)

    def write(self, data: bytes | memoryview) -> None:
        """Keep it."""
        self.wrote.append(bytes(data))

    def feed(self, source: Readable, offset: int) -> int | None:
        """Nothing is sent this way here."""
        raise AssertionError(source, offset)

    def write_eof(self) -> None:
        """Not of interest."""

    def backlog(self) -> int:
        """Everything is gone at once."""
        return 0

    def close(self) -> None:
        """Nothing to close."""


async def _speak(talk: Conversation, wire: Wire, parts: list[bytes]) -> None:
    """A host that says one part after the other, and then hangs up; `$` repeats a password it was told."""
    for part in parts:
        await asyncio.sleep(0)
        told_so = any(PASSWORD.encode() in text for text in wire.wrote)
        said = part.replace(b"$", PASSWORD.encode()) if told_so else part
        talk.received(said, error=True)
        talk.received(said[1:] if said[:1] == b"!" else said, error=False)
    talk.ended(None)


def feed_become(data: bytes) -> None:
    """sudo's part of the dialogue: the password goes out only after its own prompt, once, and is never repeated."""
    host = Host("h", "10.0.0.1", "node", become=BecomeSettings(password_from=SecretRef("env", "A")))
    talk, wire = Conversation(4096), Wire()
    nonce = talk.nonce.encode()
    parts = [part.replace(b"@", nonce) for part in data.split(b"\n--\n")[:6]]
    become = Become(host, "ops", lambda _: Secret(PASSWORD))

    async def ascend() -> Diagnostic | None:
        speaking = asyncio.create_task(_speak(talk, wire, parts))
        try:
            async with asyncio.timeout(5):
                return await become.ascend(talk, wire)
        finally:
            await speaking

    found = asyncio.run(ascend())
    passwords = [text for text in wire.wrote if PASSWORD.encode() in text]
    assert len(passwords) <= 1
    if passwords:
        assert b"[sb-" + nonce + b"]" in talk.err.noise
        assert PASSWORD[:6] not in str(found), "a host that repeats it is quoted"
    if found is not None:
        told(found)


def become_seeds() -> list[bytes]:
    """The prompt, the marker, refusals."""
    end = b"\n--\n"
    return [
        b"[sb-@]" + end + b"@:become:\n",
        b"@:become:\n",
        b"[sb-@]" + end + b"[sb-@]Sorry, try again." + end,
        b"sudo: a password is required\n" + end,
        b"ops is not in the sudoers file.\n[sb-@]" + end + b"$\n",
    ]


# -- the engine's records


def feed_records(data: bytes) -> None:
    """Journal, lock, checks, digests and outputs, as a host that lies would have them."""
    session: Any = Scripted(data)
    history = result_of(journal.read(session, PATHS))
    assert isinstance(history, journal.History)
    step = Run(id="a", host="h", title="t", script="true", only_after=("b",), expects=("ok",))
    history.owes(step)
    if history.cut_off is not None:
        told(journal.resumed("h", history.cut_off))
    for status in (0, 3, 255):
        held = result_of(lock.status(Scripted(data, status), PATHS))  # type: ignore[arg-type]
        if isinstance(held, lock.Holder):
            told(lock.busy("h", held))
        elif held is not None:
            told(held)
    answers = parse_answers(utf8(data), "@", 5)
    assert len(answers) == 5
    assert digest(Result("exited", 0, data)) in {"", *_digests(data)}
    text = utf8(data)
    lacking = missing_output("h", step, text)
    assert lacking is not None or "ok" in text
    smoke_problem(Result("exited", 0, data, data), ("v1.30",))
    still(safe(text))


def _digests(data: bytes) -> set[str]:
    return {data[at : at + 64].decode("latin-1") for at in range(len(data))}


def record_seeds() -> list[bytes]:
    """Every kind of record once."""
    return [
        b'\n{"run": "r1", "step": "a", "mark": "started", "at": "2026-01-01"}\n{"run": 1}\nnull\n',
        b'{"run": "r1", "step": "b", "mark": "done"}\n',
        b'{"run": "r1", "step": "-", "mark": "finished", "at": ""}\n{"run": "r2", "step": "a", "mark": "failed"}\n',
        b"state=held\nrun=r1\nwho=me@x\ncommand=apply\nsince=now\nfrom=::1\npid=12 3\njob=j\n",
        b"@:0:same:x\n@:1:differs:mode 644\n@:1:same:\n@:9:absent:\n",
        b"a" * 64 + b"  /opt/x\nok\n",
    ]


def feed_exits(data: bytes) -> None:
    """What a program said when it ended."""
    status = data[0] if data else 0
    out, err = utf8(data[1 : len(data) // 2]), utf8(data[len(data) // 2 :])
    facts = facts_of(Arch.AMD64)
    for artifact in (None, *_programs()[:3]):
        found = diagnose(status, out, err, facts, artifact, answer_expected=status % 2 == 0)
        if found is not None:
            told(found)


def exit_seeds() -> list[bytes]:
    """One for every shell's words."""
    return [
        b"\x7esh: 1: /x: Exec format error",
        b"\x7fsh: /x: not found",
        b"\x84Illegal instruction",
        b"\0",
        b"\x02/x: line 1: syntax error: unexpected word",
    ]


HOSTS = (
    Target("transcript", feed_transcript, transcript_seeds, 1 << 15),
    Target("session-frame", feed_frame, frame_seeds, 1 << 11),
    Target("become", feed_become, become_seeds, 1 << 10),
    Target("host-records", feed_records, record_seeds, 1 << 12),
    Target("exits", feed_exits, exit_seeds, 1 << 10),
)
