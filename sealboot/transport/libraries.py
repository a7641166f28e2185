"""Finding optional C libraries without compiling anything.

asyncssh looks for two of them when it is imported. For a library that is not
installed, `ctypes.util.find_library` then starts ldconfig, and gcc and ld
where they are installed: a fifth of the time that the import takes.
"""

from __future__ import annotations

import ctypes.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: What the dynamic loader of glibc knows (ld.so(8)); other systems have none.
CACHE = Path("/etc/ld.so.cache")


@contextmanager
def from_cache(cache: Path = CACHE) -> Iterator[None]:
    """While this lasts, `find_library` knows what the loader knows; without a cache nothing changes."""
    try:
        known = cache.read_bytes()
    except OSError:
        yield
        return
    ordinary = ctypes.util.find_library

    def find(name: str) -> str | None:
        found = re.search(rb"[\0/](lib%s\.so\.[.0-9]+)\0" % re.escape(name.encode()), known)
        return found[1].decode() if found else None

    setattr(ctypes.util, "find_library", find)  # noqa: B010 (to mypy, a function is no variable)
    try:
        yield
    finally:
        setattr(ctypes.util, "find_library", ordinary)  # noqa: B010
