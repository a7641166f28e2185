"""What was found in a file, kept until the file or the parsers change.

**What makes an entry valid.** The key is the path as shown, the depth, and a
digest of the parsers' own sources. Under it stand device, inode, size, and the
times of the last write and of the last change (`st_ctime`), in nanoseconds.
All of them must be what the open file has now.

**Why that is enough.** Nobody sets `st_ctime`: the kernel does, at every
write, truncation, rename and every change of the other times, so a file whose
`mtime` was set back shows. What could still change bytes unnoticed:

- *The clock is coarse.* A write in the same tick as the one before shows
  nothing. So nothing is kept of a file that changed less than `SETTLED`
  seconds before it was opened (git calls such entries racy).
- *A shared mapping.* The first store into a clean page moves the time, further
  ones do not until the page was written back (tried: ext4, up to 35 seconds;
  tmpfs, for ever). So a file that changed within the last hour is written
  back with `fsync` before it is read: from then on each store shows again.
- *Other file systems.* FAT has no change time, NFS and FUSE tell what another
  machine's clock said, tmpfs see above. So only `TRUSTED` ones are kept.
- *Root* may write to the disk behind the file system, or set the clock back.
  That is no hole that another tool could close.

And whatever is believed here, nothing is shipped on it alone: a host hashes
what it received, and goes live with the planned SHA-256 or not at all.

**Who may write entries.** A folder of mode 0700 that belongs to us, opened
without following links, or there is no cache. An entry is JSON, at most
`MAX_ENTRY` bytes, with its own SHA-256 in front; it is decoded strictly
(`cache_codec`). What is not as it should be is not there: it is made anew.
Entries appear by rename, so processes need not know of each other.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache as memoized
from pathlib import Path

from sealboot.artifacts.cache_codec import decode, encode
from sealboot.artifacts.mounts import filesystem_of, writeback_seconds
from sealboot.artifacts.reader import Reader
from sealboot.model.artifact import Artifact

#: Counts changes of the entries' own form.
FORMAT = 1
#: Seconds for which a file must have been left alone. The coarsest time of a trusted file system is one second.
SETTLED = 5.0
#: Seconds after which a dirty page was surely written back, with the kernel's settings as they should be.
WRITTEN_BACK = 3600.0
#: Local file systems whose change time moves with every write.
TRUSTED = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"})

MAX_ENTRY = 1 << 20
#: Files and bytes that are kept; the oldest go first, down to three quarters.
MAX_ENTRIES, MAX_BYTES = 8192, 64 << 20

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ENTRY_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: Findings about this reading rather than about the file: another time it may go well.
_PASSING = frozenset({"SB408", "SB409"})


class Cache:
    """Results in `folder`, made when the first is kept. Never raises: whatever goes wrong, there is no entry."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = folder
        self._folder: int | None = None
        self._clock = clock
        self.found = 0
        self.kept = 0

    def _open(self, *, make: bool = False) -> int | None:
        """The folder's descriptor; `None` where it is not there, or not ours alone."""
        if self._folder is not None:
            return self._folder
        try:
            if make:
                self._path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                for part in (self._path.parent, self._path):
                    part.mkdir(mode=0o700, exist_ok=True)
            handle = os.open(self._path, _FOLDER_FLAGS)
        except (OSError, ValueError):
            return None
        if _ours(os.fstat(handle)):
            self._folder = handle
        else:
            os.close(handle)
        return self._folder

    def prepare(self, reader: Reader) -> bool:
        """Whether what will be read now may be kept. Asked before the first byte is read.

        Writes back what may be dirty, and looks at the file's times again after that.
        """
        now = self._clock()
        changed = max(reader.info.st_ctime, reader.info.st_mtime)
        if changed > now - SETTLED or filesystem_of(reader.fileno()) not in TRUSTED:
            return False
        if changed <= now - max(WRITTEN_BACK, 10 * writeback_seconds()):
            return True
        try:
            os.fsync(reader.fileno())
        except OSError:
            return False
        return not reader.changed

    def find(self, label: str, reader: Reader, *, deep: bool) -> Artifact | None:
        """What an earlier process found in exactly this file."""
        folder = self._open()
        if folder is None or filesystem_of(reader.fileno()) not in TRUSTED:
            return None
        key = _key(label, reader, deep=deep)
        try:
            known = _read(_load(folder, _name(key)), key, _stamp(reader))
        except (OSError, ValueError, RecursionError):
            return None
        self.found += known is not None
        return known

    def keep(self, artifact: Artifact, reader: Reader, *, deep: bool) -> None:
        """Remember what was found; `prepare` said yes before, and the file is still what it was."""
        if reader.changed or not artifact.sha256 or any(d.code in _PASSING for d in artifact.diagnostics):
            return
        key = _key(artifact.path, reader, deep=deep)
        try:
            data = _written(key, _stamp(reader), artifact)
        except ValueError:  # a value that the codec does not know
            return
        folder = self._open(make=True)
        if folder is None or len(data) > MAX_ENTRY:
            return
        with contextlib.suppress(OSError):
            _save(folder, _name(key), data)
            self.kept += 1

    def close(self) -> None:
        """Make room if anything was added, and let the folder go."""
        if self._folder is None:
            return
        with contextlib.suppress(OSError):
            if self.kept:
                _prune(self._folder)
        os.close(self._folder)
        self._folder = None


def open_cache(env: Mapping[str, str], *, clock: Callable[[], float] = time.time) -> Cache | None:
    """The cache of this user by the XDG base directory specification; `None` where there can be none.

    A relative `XDG_CACHE_HOME` counts as unset, as the specification says.
    """
    base = env.get("XDG_CACHE_HOME", "")
    if not base.startswith("/"):
        home = env.get("HOME", "")
        if not home.startswith("/"):
            return None
        base = f"{home}/.cache"
    return Cache(Path(base) / "sealboot" / "inspect", clock=clock) if parsers() else None


@memoized
def parsers() -> str:
    """A digest of everything that makes an artifact of bytes; empty where the sources cannot be read."""
    digest = hashlib.sha256(f"{FORMAT} {sys.version}".encode())
    try:
        for folder in (Path(__file__).parent, Path(__file__).parents[1] / "model"):
            for path in sorted(folder.glob("*.py")):
                digest.update(path.name.encode() + b"\0" + path.read_bytes())
    except OSError:
        return ""
    return digest.hexdigest()


def _ours(info: os.stat_result) -> bool:
    return info.st_uid == os.geteuid() and not info.st_mode & 0o077


def _key(label: str, reader: Reader, *, deep: bool) -> list[object]:
    """What an entry is for. The device and inode are part of it: one label is many files in many folders."""
    return [parsers(), label, deep, reader.info.st_dev, reader.info.st_ino]


def _name(key: list[object]) -> str:
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()


def _stamp(reader: Reader) -> list[int]:
    info = reader.info
    return [info.st_size, info.st_mtime_ns, info.st_ctime_ns]


def _load(folder: int, name: str) -> bytes:
    """One entry as it is; raises `OSError` and `ValueError` for what is none."""
    handle = os.open(name, _ENTRY_FLAGS, dir_fd=folder)
    try:
        info = os.fstat(handle)
        if not _ours(info) or not stat.S_ISREG(info.st_mode) or info.st_size > MAX_ENTRY:
            raise ValueError("no entry of ours")
        return os.read(handle, MAX_ENTRY)
    finally:
        os.close(handle)


def _save(folder: int, name: str, data: bytes) -> None:
    """Write an entry: whole under its name, or not there."""
    part = f".{os.urandom(8).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(part, flags, 0o600, dir_fd=folder), "wb") as file:
            file.write(data)
        os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(part, dir_fd=folder)
        raise


def _written(key: list[object], stamp: list[int], artifact: Artifact) -> bytes:
    made = encode(artifact)
    if decode(made) != artifact:
        raise ValueError("an artifact that does not come back as it was")
    body = json.dumps({"key": key, "stamp": stamp, "artifact": made}, separators=(",", ":")).encode()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def _read(data: bytes, key: list[object], stamp: list[int]) -> Artifact | None:
    digest, _, body = data.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        return None
    entry = json.loads(body)
    if not isinstance(entry, dict) or entry.keys() != {"key", "stamp", "artifact"}:
        return None
    if entry["key"] != key or entry["stamp"] != stamp:
        return None
    found = decode(entry["artifact"])
    return found if found.path == key[1] and found.size == stamp[0] else None


def _prune(folder: int) -> None:
    """Drop the oldest entries beyond the bounds, and what a killed process left half-written an hour ago."""
    entries: list[tuple[float, int, str]] = []
    with os.scandir(folder) as found:
        for entry in found:
            with contextlib.suppress(OSError):
                info = entry.stat(follow_symlinks=False)
                entries.append((info.st_mtime, info.st_size, entry.name))
    entries.sort()
    size, count = sum(e[1] for e in entries), len(entries)
    crowded = count > MAX_ENTRIES or size > MAX_BYTES
    for age, length, name in entries:
        full = crowded and (count > MAX_ENTRIES * 3 // 4 or size > MAX_BYTES * 3 // 4)
        if not full and not (name.startswith(".") and age < time.time() - WRITTEN_BACK):
            continue
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=folder)
            size, count = size - length, count - 1
