"""The kernel modules an initial RAM file system needs, in the order in which they can be loaded."""

from __future__ import annotations

import lzma
from pathlib import Path


class Modules:
    """The module tree of one unpacked Debian kernel package."""

    def __init__(self, package: Path) -> None:
        # Debian 13 keeps modules below /usr.
        folders = [package / "lib/modules", package / "usr/lib/modules"]
        self._paths = {_key(path.name): path for folder in folders for path in folder.rglob("*.ko*")}

    def content(self, name: str) -> bytes:
        """The module file, decompressed."""
        path = self._paths[_key(name)]
        raw = path.read_bytes()
        return lzma.decompress(raw) if path.suffix == ".xz" else raw

    def ordered(self, names: tuple[str, ...]) -> dict[str, bytes]:
        """`names` and what they depend on, dependencies first; built-in ones are left out."""
        found: dict[str, bytes] = {}
        for name in names:
            self._add(_key(name), found)
        return found

    def _add(self, name: str, found: dict[str, bytes]) -> None:
        if name in found or name not in self._paths:
            return
        content = self.content(name)
        for dependency in depends(content):
            self._add(_key(dependency), found)
        found[name] = content


def _key(name: str) -> str:
    return name.partition(".ko")[0].replace("-", "_")


def depends(module: bytes) -> list[str]:
    """What a module says it depends on, in its `.modinfo` section (NUL-ended `key=value` strings)."""
    start = module.find(b"\0depends=")
    if start < 0:
        return []
    value = module[start + len(b"\0depends=") :].partition(b"\0")[0].decode()
    return [name for name in value.split(",") if name]
