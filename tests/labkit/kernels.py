"""What a machine's kernel does with a file: execve itself is asked, many files in one round trip."""

from __future__ import annotations

import errno
import io
import re
import signal
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

from labkit.lab import Lab
from labkit.launcher import REFUSED, launcher
from labkit.machines import Node

_SCRIPT = """
set -u
d=$(mktemp -d /tmp/oracle.XXXXXX) && cd "$d" && tar xf - || exit 1
for f in s*; do
  ( exec 2>/dev/null; timeout 10 ./launch "./$f" </dev/null >out; echo "$f $? $(head -c 200 out | od -An -v -tx1 | tr -d ' \\n')" )
done
cd / && rm -rf "$d"
"""
_LINE = re.compile(r"s(\d+) (\d+) ?([0-9a-f]*)")


@dataclass(frozen=True, slots=True)
class Answer:
    """How one execve ended: the exit code that the launcher or the program left, and the program's output."""

    code: int
    output: bytes

    @property
    def ran(self) -> bool:
        """Whether the program itself had its say: it ended by itself, not by a refusal or a fatal signal."""
        return self.code < REFUSED

    @property
    def text(self) -> str:
        """In words: `ran`, `ENOEXEC`, `SIGSEGV`."""
        if self.ran:
            return "ran" if self.code == 0 else f"ran, exit {self.code}"
        if self.code > 128 and self.code - 128 in set(signal.Signals):
            return signal.Signals(self.code - 128).name
        return errno.errorcode.get(self.code - REFUSED, f"exit {self.code}")


def ask(lab: Lab, node: Node, files: Mapping[str, bytes]) -> dict[str, Answer]:
    """Execute every file on `node`, directly, and return the answers by name."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        members = {"launch": launcher(node.about.debian)}
        members |= {f"s{number}": content for number, content in enumerate(files.values())}
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    done = lab.ssh(node, _SCRIPT, stdin=packed.getvalue(), limit=110)
    found = {int(m[1]): Answer(int(m[2]), bytes.fromhex(m[3])) for m in _LINE.finditer(done.stdout.decode())}
    assert len(found) == len(files), (node.name, done.stdout[-500:], done.stderr[-500:])
    return {name: found[number] for number, name in enumerate(files)}
