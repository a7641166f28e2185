"""Record what the probe says on a machine, as a board for the tests.

    python tests/transcripts/record.py BOARD "how it was made" -- COMMAND...

COMMAND must start a POSIX shell that reads a script on its input, for instance
`ssh pi sh -s BOARD` or `sh -s BOARD`. Ids, the hostname and private paths are
replaced; then the records are framed anew. Look at the result before you add
it, and write beside it, in BOARD.json, what the parser must make of it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from sealboot.drivers.base import Wants
from sealboot.probe import compose
from sealboot.probe.transcript import read

NONCE = "BOARD"
FOLDER = Path(__file__).parent
WANTS = Wants(
    directories=("/usr/local/bin", "/var/lib/sealboot", "/etc/systemd/system"),
    questions={"greeting": "echo hello; echo from the question"},
)
#: The controller's clock around the round trip is made up: the host's own, give or take a tenth of a second.
SENT, RECEIVED = -0.1, 0.1

_PRIVATE = (
    (re.compile(rb"(boot_id:)[0-9a-f-]{36}"), rb"\g<1>11111111-2222-4333-8444-555555555555"),
    (re.compile(rb"(machine-id:)[0-9a-f]{32}"), rb"\g<1>0123456789abcdef0123456789abcdef"),
    (re.compile(rb"(kernel/hostname:)[^\n]*"), rb"\g<1>board"),
    (re.compile(rb"(lowerdir|upperdir|workdir)=[^, ]*"), rb"\g<1>=/srv/node"),
    (re.compile(rb"(interpreter )[^\n]*/"), rb"\g<1>/srv/emulators/"),
)


def frame(records: Mapping[str, bytes], comment: str) -> bytes:
    """Put records into the frame that the script uses, below comment lines."""
    head = "".join(f"# {line}\n" for line in comment.splitlines()).encode()
    return head + b"".join(
        b"%s %s %d\n%s\n" % (NONCE.encode(), k.encode(), len(v), v) for k, v in records.items()
    )


def scrub(records: Mapping[str, bytes]) -> dict[str, bytes]:
    """Replace what identifies the machine."""
    clean = {}
    for key, original in records.items():
        value = original
        for pattern, instead in _PRIVATE:
            value = pattern.sub(instead, value)
        clean[key] = value
    return clean


def record(board: str, comment: str, command: list[str]) -> None:
    """Run the probe through `command` and write BOARD.txt."""
    ended = subprocess.run(
        command, input=compose(WANTS).encode(), capture_output=True, check=True, timeout=120
    )
    told = read(ended.stdout, NONCE)
    if told is None or not told.complete:
        raise SystemExit(f"no whole transcript: {ended.stdout[:200]!r} {ended.stderr[:200]!r}")
    (FOLDER / f"{board}.txt").write_bytes(frame(scrub(told.records), comment))


if __name__ == "__main__":
    name, how, _, *argv = sys.argv[1:]
    record(name, how, argv)
