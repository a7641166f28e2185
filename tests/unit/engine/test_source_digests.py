"""A file on the controller is read once for each of its states, and never taken for another."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from sealboot.engine import context
from sealboot.engine.context import Sources

OLD, NEW = b"what was planned", b"what is there now"
DIGESTS = {data: hashlib.sha256(data).hexdigest() for data in (OLD, NEW)}


async def test_a_file_that_was_not_touched_since_is_not_read_again(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(OLD)
    # The digest is a mark here: only who did not read the file can answer it.
    sources = Sources({str(file): "as planned"}, since=time.time() + 10)
    assert await sources.digest(str(file)) == "as planned"


async def test_a_file_touched_shortly_before_or_since_is_read(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(NEW)
    for since in (0.0, time.time() - 60, time.time(), file.stat().st_ctime + context.CLOCK_STEP):
        sources = Sources({str(file): DIGESTS[OLD]}, since=since)
        assert await sources.digest(str(file)) == DIGESTS[NEW]


async def test_another_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(NEW)
    sources = Sources({str(tmp_path / "other"): DIGESTS[OLD]}, since=time.time() + 10)
    assert await sources.digest(str(file)) == DIGESTS[NEW]


async def test_a_missing_file_is_an_error_even_if_planned(tmp_path: Path) -> None:
    sources = Sources({str(tmp_path / "gone"): DIGESTS[OLD]}, since=time.time() + 10)
    assert isinstance(await sources.digest(str(tmp_path / "gone")), FileNotFoundError)
