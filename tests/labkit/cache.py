"""Where the lab keeps what is costly to make: `.lab/` in the project's folder, ignored by git.

Everything in it is made from the network's packages and can be deleted at any time.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".lab"


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the cache entry `name` against other test runs in the same folder."""
    locks = CACHE / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / name).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def key(*parts: object) -> str:
    """A short digest of everything an entry depends on."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def made(path: Path, make: Callable[[Path], None]) -> Path:
    """Return `path`, made by `make` in a neighbouring place first and renamed when whole."""
    with locked(path.name):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(path.name + ".part")
            _remove(part)
            make(part)
            part.rename(path)
    return path


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
