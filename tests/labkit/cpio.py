"""Initial RAM file systems: newc cpio archives (Linux Documentation/driver-api/early-userspace/buffer-format.rst)."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class Archive:
    """A newc archive under construction; the first entry of a name wins."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._names: set[str] = set()

    def add(
        self, name: str, mode: int, data: bytes = b"", *, device: tuple[int, int] = (0, 0), owner: int = 0
    ) -> None:
        """Add one entry with its parent directories; `mode` includes the file type."""
        name = name.strip("/")
        if name in self._names:
            return
        parent = name.rpartition("/")[0]
        if parent:
            self.add(parent, stat.S_IFDIR | 0o755)
        self._names.add(name)
        self._entry(name, mode, data, device, owner)

    def _entry(self, name: str, mode: int, data: bytes, device: tuple[int, int], owner: int) -> None:
        raw = name.encode() + b"\0"
        fields = (len(self._names), mode, owner, owner, 1, 0, len(data), 0, 0, *device, len(raw), 0)
        self._out += b"070701" + b"".join(b"%08x" % field for field in fields) + raw
        self._out += b"\0" * (-len(self._out) % 4) + data
        self._out += b"\0" * (-len(self._out) % 4)

    def add_file(self, name: str, data: bytes, mode: int = 0o644, *, owner: int = 0) -> None:
        """Add a regular file."""
        self.add(name, stat.S_IFREG | mode, data, owner=owner)

    def add_tree(self, root: Path) -> None:
        """Add every directory, regular file and symbolic link below `root`."""
        for folder, names, files in os.walk(root):
            for name in sorted(names) + sorted(files):
                path = Path(folder, name)
                facts = path.lstat()
                inside = str(path.relative_to(root))
                if stat.S_ISLNK(facts.st_mode):
                    self.add(inside, facts.st_mode, str(path.readlink()).encode())
                elif stat.S_ISDIR(facts.st_mode):
                    self.add(inside, facts.st_mode, owner=facts.st_uid)
                elif stat.S_ISREG(facts.st_mode):
                    self.add(inside, facts.st_mode, path.read_bytes(), owner=facts.st_uid)

    def bytes(self) -> bytes:
        """The whole archive. The kernel unpacks several of them one after the other, the later wins."""
        self._entry("TRAILER!!!", 0, b"", (0, 0), 0)
        self._out += b"\0" * (-len(self._out) % 512)
        return bytes(self._out)
