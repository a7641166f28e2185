"""P6: a host that lies, shouts or scribbles cannot crash the command, fool it, or move the cursor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from promise_kit import CONTROLS, Handler, Process, Room, first_lines, hostile, nonce_of

EVIL = b"\x1b]0;owned\x07\x1b[2J\x9b31m\xe2\x80\xae[bold red]x[/]\r\x08\xff\xed\xa0\x80\x00"


def framed(nonce: bytes, body: bytes, status: bytes, errors: bytes = b"") -> tuple[bytes, bytes]:
    begin, end = b"\n" + nonce + b":begin:\n", nonce + b":end:" + status + b"\n"
    return begin + body + end, begin + errors + end


async def long_status(process: Process) -> None:
    """Ends with a status of more digits than Python converts."""
    nonce = nonce_of(await first_lines(process))
    out, err = framed(nonce, b"", b"9" * 6000)
    process.stdout.write(out)
    process.stderr.write(err)
    process.exit(0)


async def early_long_status(process: Process) -> None:
    """The same, in many pieces, after a right beginning."""
    nonce = nonce_of(await first_lines(process))
    out, err = framed(nonce, EVIL * 10, b"0" * 20_000 + b"1")
    for start in range(0, len(out), 1000):
        process.stdout.write(out[start : start + 1000])
        process.stderr.write(err[start : start + 1000])
        await process.stdout.drain()
    process.exit(1)


async def endless(process: Process) -> None:
    """One line without an end."""
    nonce = nonce_of(await first_lines(process))
    process.stdout.write(b"\n" + nonce + b":begin:\n")
    while True:
        process.stdout.write(b"A" * 65536)
        await process.stdout.drain()


async def scribbling(process: Process) -> None:
    """Text instead of a shell, full of controls."""
    process.stdout.write(EVIL * 100)
    process.stderr.write(EVIL * 100)
    process.exit(1)


async def lying_probe(process: Process) -> None:
    """A well-framed transcript whose every value is hostile."""
    script = await first_lines(process)
    token = script.split(b"'sb-", 1)[1].split(b"'", 1)[0]
    mark = b"sb-" + token
    records = b""
    keys = b"begin files uname exe abi linux32 config interpreters cpu hints id doas sudo clock page home tools loaders auxv fs.0 fs.1 ask.x libc end"
    for key in keys.split():
        value = EVIL * 5 + b"\n" + EVIL + b"9" * 5000
        records += mark + b" " + key + b" " + str(len(value)).encode() + b"\n" + value + b"\n"
    out, err = framed(nonce_of(script), records, b"0", EVIL)
    process.stdout.write(out)
    process.stderr.write(err)
    process.exit(0)


async def statuses_disagree(process: Process) -> None:
    """The frame says 0, the server says 1."""
    out, err = framed(nonce_of(await first_lines(process)), b"fine\n", b"0")
    process.stdout.write(out)
    process.stderr.write(err)
    process.exit(1)


async def signalled(process: Process) -> None:
    """Killed by a signal with a name nobody knows."""
    await first_lines(process)
    process.exit_with_signal("\u202eEVIL", core_dumped=True, msg="\x1b[2Jx", lang="xx")


async def closes_at_once(process: Process) -> None:
    """The channel closes with nothing said."""
    process.close()


HOSTS: list[Handler] = [
    long_status,
    early_long_status,
    endless,
    scribbling,
    lying_probe,
    statuses_disagree,
    signalled,
    closes_at_once,
]


@pytest.mark.parametrize("kind", ["json", "plain"])
async def test_hostile_hosts_are_findings_and_nothing_else(tmp_path: Path, kind: str) -> None:
    room = Room(tmp_path)
    async with (
        hostile(room, "h0", HOSTS[0]),
        hostile(room, "h1", HOSTS[1]),
        hostile(room, "h2", HOSTS[2]),
        hostile(room, "h3", HOSTS[3]),
        hostile(room, "h4", HOSTS[4]),
        hostile(room, "h5", HOSTS[5]),
        hostile(room, "h6", HOSTS[6]),
        hostile(room, "h7", HOSTS[7]),
    ):
        ran = await room.run("check", "--format", kind, "-v", "--timeout", "8")
    assert ran.code in {1, 4}, ran
    assert not CONTROLS & set(ran.all), [bytes([c]) for c in CONTROLS & set(ran.all)]
    text = ran.all.decode()  # strict: no half characters either
    assert not {"\x9b", "\u202e", "\ud800"} & set(text)
    if kind == "json":
        rows = {h["host"]: h["status"] for h in json.loads(ran.out)["hosts"]}
        assert set(rows) == {f"h{n}" for n in range(len(HOSTS))}
        assert "ok" not in rows.values(), rows
