"""What a machine's kernel does with a file: execve itself is asked, many files in one round trip."""

from __future__ import annotations

import errno
import io
import signal
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

from labkit.lab import Lab
from labkit.launcher import REFUSED, launcher
from labkit.machines import Node

_SCRIPT = """
d=$(mktemp -d /tmp/oracle.XXXXXX) && cd "$d" && tar xf - || exit 1
exec 2>/dev/null
for f in s*; do
  timeout 10 ./launch "./$f" </dev/null >"$f.out" 2>"$f.err"; echo $? >"$f.code"
done
tar cf - *.out *.err *.code && cd / && rm -rf "$d"
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """How one execve ended: the exit code that the launcher or the program left, and what it wrote."""

    code: int
    output: bytes
    errors: bytes = b""

    @property
    def ran(self) -> bool:
        """Whether the program itself had its say: it ended by itself, not by a refusal or a fatal signal."""
        return self.code < REFUSED

    @property
    def emulator_refused(self) -> bool:
        """Whether the kernel accepted the file and qemu-user's own loader then did not."""
        return b"Invalid ELF image for this architecture" in self.errors

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
    if done.returncode:
        raise RuntimeError(f"{node.name}: {done.stderr.decode(errors='replace')[-500:]}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        parts = {m.name: _content(archive, m) for m in archive.getmembers()}
    return {
        name: Answer(int(parts[f"s{n}.code"]), parts[f"s{n}.out"], parts[f"s{n}.err"])
        for n, name in enumerate(files)
    }


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    part = archive.extractfile(member)
    return part.read() if part else b""
