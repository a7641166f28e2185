"""What a kernel is asked to execute: a file, how it is called, and what it says when all of it runs."""

from __future__ import annotations

import gzip
import io
import shlex
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

#: A batch's files stay below this many bytes: a virtual machine keeps them in its memory.
_BATCH = 12 << 20

#: An empty directory that stands for every trial without data.
FOLDER = "busybox-folder"

#: `bytes`, under a name that the field of that name does not hide.
Data: TypeAlias = bytes


@dataclass(frozen=True, slots=True)
class Trial:
    """One file to be judged and executed.

    `name` is unique and a valid file name; `data` is `None` for a directory.
    Of `data` only the first `keep` bytes are the file, where that is given:
    files cut from one another travel once. `mode` is the file's before it is
    shipped; there it may be executed, as whatever sealboot puts in place.
    `beside` are files that must lie in the same folder, by name. It *ran* when
    it wrote `says` and exited with 0.
    """

    name: str
    note: str
    data: Data | None
    says: Data
    arguments: tuple[str, ...] = ()
    keep: int | None = None
    mode: int = 0o755
    beside: tuple[tuple[str, Data], ...] = ()

    def write(self, path: Path) -> None:
        """Make the file, or the directory, at `path`."""
        if self.data is None:
            path.mkdir()
            return
        path.write_bytes(self.data[: self.keep])
        path.chmod(self.mode)


@dataclass(frozen=True, slots=True)
class Batch:
    """Trials that travel together: `packed` is a gzipped tar, and holds a shell script named `plan`."""

    trials: tuple[Trial, ...]
    packed: Data


def batches(trials: Iterable[Trial]) -> list[Batch]:
    """All trials, in their order, in batches that even a small machine holds."""
    return [_pack(part) for part in _parts(trials)]


def _parts(trials: Iterable[Trial]) -> Iterator[list[Trial]]:
    part: list[Trial] = []
    held: dict[int, int] = {}
    for trial in trials:
        size = {id(trial.data): len(trial.data or b"")}
        if part and sum((held | size).values()) > _BATCH:
            yield part
            part, held = [], {}
        part.append(trial)
        held |= size
    if part:
        yield part


def _pack(trials: Sequence[Trial]) -> Batch:
    sources: dict[int, tuple[str, bytes]] = {}
    for trial in trials:
        if trial.data is not None:
            sources.setdefault(id(trial.data), (f"busybox-{len(sources)}", trial.data))
    plan = "".join(_line(t, sources[id(t.data)][0] if t.data is not None else FOLDER) for t in trials)
    beside = dict(file for trial in trials for file in trial.beside)
    raw = tar(dict(sources.values()) | beside | {"plan": plan.encode()})
    return Batch(tuple(trials), gzip.compress(raw, 3, mtime=0))


def _line(trial: Trial, source: str) -> str:
    """A call of the function that the script on the machine defines; see `kernels`."""
    keep = "-" if trial.keep is None else str(trial.keep)
    words = [source, keep, *trial.arguments]
    return f"try {shlex.join(words)}\n"


def tar(files: dict[str, bytes], *, end: bool = True) -> bytes:
    """Files as a tar archive; without its `end` another archive may follow."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
        whole = archive.offset
    return packed.getvalue() if end else packed.getvalue()[:whole]
