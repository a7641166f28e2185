"""Results of earlier readings, for as long as a command takes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sealboot.artifacts.cache import Cache


@contextmanager
def results(*, no_cache: bool) -> Iterator[Cache | None]:
    """The cache of this user; `None` where it is not wanted or there can be none."""
    from sealboot.artifacts.cache import open_cache

    cache = None if no_cache else open_cache(os.environ)
    try:
        yield cache
    finally:
        if cache is not None:
            cache.close()
