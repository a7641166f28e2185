"""What a machine's kernel does with a file: execve itself is asked, many files in one round trip."""

from __future__ import annotations

import errno
import gzip
import io
import signal
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from labkit.lab import Lab
from labkit.launcher import REFUSED, launcher
from labkit.machines import Node
from labkit.trials import FOLDER, Batch, Trial, batches, tar

#: The files' names begin with `busybox`, because busybox obeys its first argument under that name alone.
#: A fork takes 20 ms under an emulator, so there are no more than it takes.
_SCRIPT = """
d=$(mktemp -d /tmp/oracle.XXXXXX) && cd "$d" && tar xzf - || exit 1
exec 2>/dev/null
mkdir @FOLDER@
: >busybox-cut
chmod 755 busybox-cut
n=0
try() {
  f=$1 keep=$2
  shift 2
  case $keep in -) ;; *) head -c $keep $f >busybox-cut && f=busybox-cut ;; esac
  timeout 20 ./launch ./$f "$@" </dev/null >$n.out 2>$n.err
  echo $? >$n.code
  n=$((n + 1))
}
. ./plan
tar cf - *.out *.err *.code && cd / && rm -rf "$d"
""".replace("@FOLDER@", FOLDER)


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
    return answers(lab, node, batches(Trial(name, "", data, b"") for name, data in files.items()))


def answers(lab: Lab, node: Node, parts: Iterable[Batch]) -> dict[str, Answer]:
    """Execute every trial on `node`, one batch after the other, and return the answers by name."""
    # A gzip member and an archive without its end may both be followed by another.
    first = gzip.compress(tar({"launch": launcher(node.about.kernel_debian)}, end=False), mtime=0)
    found: dict[str, Answer] = {}
    for part in parts:
        done = lab.ssh(node, _SCRIPT, stdin=first + part.packed, limit=600)
        if done.returncode:
            raise RuntimeError(f"{node.name}: {done.stderr.decode(errors='replace')[-500:]}")
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            told = {m.name: _content(archive, m) for m in archive.getmembers()}
        for n, trial in enumerate(part.trials):
            found[trial.name] = Answer(int(told[f"{n}.code"]), told[f"{n}.out"], told[f"{n}.err"])
    return found


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    part = archive.extractfile(member)
    return part.read() if part else b""
