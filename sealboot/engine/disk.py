"""Write an image over a disk of the host, and prove it: what is read back is what was to be written.

There is no way back from the first byte on, so everything that can be asked
is asked before it. The image is inflated here, because hosts lack zstd and xz,
and sent as gzip where the host has that: images are mostly zeros.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sealboot.artifacts.diskimage import ImageError, pieces
from sealboot.engine.context import StepEnd, Work
from sealboot.engine.diskscript import LOOK, READ_BACK, WRITE
from sealboot.engine.failures import ending_words, quotes
from sealboot.engine.shell import key
from sealboot.engine.upload import source_moved
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.steps import WriteDisk
from sealboot.transport.base import Result

#: Seconds for the questions about a device.
LOOK_TIMEOUT = 60.0
#: Bytes of the image after which something is sent in any case, so that a stretch of zeros is no silence.
_FLUSH = 4 << 20
#: How often an image is written where the running system is on that disk.
IN_USE_ATTEMPTS = 3
#: What remembers things where the host's own disks are read-only by now.
_IN_MEMORY = "/run/sealboot"


async def write_disk(work: Work, step: WriteDisk) -> StepEnd:
    """Look at the device, write, read back.

    SB504: the file here is not the planned one. SB523: refused before a byte was written. SB524: begun
    and not finished; neither the old nor the new content is there. SB525: all was written, and what is
    read back is something else.
    """
    moved = await source_moved(work, step)
    if moved is not None:
        return StepEnd("failed", moved)
    async with work.uploads:
        gzip = await _look(work, step)
        if isinstance(gzip, StepEnd):
            return gzip
        if step.in_use:
            work.paths = replace(work.paths, state=f"{_IN_MEMORY}/{key(work.paths.state)}")
        for left in reversed(range(IN_USE_ATTEMPTS if step.in_use else 1)):
            end = await _write(work, step, gzip=gzip)
            if end.result == "changed":
                end = await _read_back(work, step)
            # What ran on the disk may have written a last time, over the image. Whoever still reads its files
            # finds garbage, and a file system that notes this in its superblock writes once more: told by
            # what is read back, as long as it happens before that.
            if not (left and end.diagnostic is not None and end.diagnostic.code == "SB525"):
                break
    return end


async def _look(work: Work, step: WriteDisk) -> StepEnd | bool:
    """Whether the stream may be gzip; or why the device is not to be written."""
    result = await work.session.run(LOOK, args=(step.device,), become=step.become, timeout=LOOK_TIMEOUT)
    told = _told(result)
    if result.ending != "exited" or (not result.ok and "why" not in told):
        return work.ended(step, result, "the device cannot be looked at")
    why = told["why"][0] if "why" in told else _refusal(step, told)
    if why is None:
        return told.get("gzip") == ("1",)
    rows = (
        ("device", told.get("device", (step.device,))[0]),
        *(("in use", who) for who in told.get("user", ())),
    )
    hints = (
        ("stop what uses it, or write to another disk",) if "user" in told else ("see `lsblk` on the host",)
    )
    told_so = Diagnostic(
        "SB523",
        f"{step.title}: {step.device} is not written: {why}",
        host=work.host,
        evidence=rows,
        notes=("not a byte of it was changed",),
        hints=hints,
    )
    return StepEnd("failed", told_so)


def _refusal(step: WriteDisk, told: Mapping[str, tuple[str, ...]]) -> str | None:
    size = told.get("size", ("",))[0]
    if not (size.isascii() and size.isdigit()):
        return "its size is not known"
    if int(size) < step.raw_size:
        return f"the image has {step.raw_size:,} bytes, the device {int(size):,}"
    return "it is in use" if "user" in told and not step.in_use else None


async def _write(work: Work, step: WriteDisk, *, gzip: bool) -> StepEnd:
    image = _Image(
        work.sources.path(step.source),
        step,
        gzip=gzip,
        progress=lambda done: work.progress(step, done, step.raw_size),
    )
    place = work.paths.state
    result = await work.session.stream(
        iter(image),
        # The most that it may become: what deflate adds to bytes that do not shrink.
        step.raw_size + step.raw_size // 1000 + 1024 if gzip else step.raw_size,
        WRITE,
        args=(step.device, str(int(gzip)), f"{place}/disk-{key(step.device)}", str(int(step.in_use))),
        become=step.become,
        progress=work.counted(step),
    )
    if image.problem:
        why = f"the image cannot be read here: {image.problem}"
        return StepEnd("failed", half_written(work.host, step, why, ()))
    if result.ok:
        return StepEnd("changed")
    if result.ending == "lost":
        return work.ended(step, result)
    told = half_written(work.host, step, ending_words(result), quotes(result))
    return StepEnd("failed", told)


async def _read_back(work: Work, step: WriteDisk) -> StepEnd:
    result = await work.session.run(
        READ_BACK,
        args=(step.device, str(step.raw_size), str(int(step.in_use))),
        become=step.become,
        timeout=step.timeout,
    )
    seen = result.text.strip()
    if result.ok and seen == step.raw_sha256:
        return StepEnd("changed")
    if not result.ok:
        return work.ended(step, result, "what was written cannot be read back")
    differs = Diagnostic(
        "SB525",
        f"{step.title}: what {step.device} gives back is not what was written",
        host=work.host,
        artifact=step.source,
        evidence=(("written", f"sha256 {step.raw_sha256}"), ("read back", f"sha256 {seen[:64]}")),
        notes=("what was on the device before is lost",),
        hints=("look for failing storage or memory, then run the same command again",),
    )
    return StepEnd("failed", differs)


def half_written(host: str, step: WriteDisk, why: str, evidence: tuple[tuple[str, str], ...]) -> Diagnostic:
    """SB524: neither what was on the device nor the image is there."""
    return Diagnostic(
        "SB524",
        f"{step.title}: {step.device} is half written: {why}",
        host=host,
        artifact=step.source,
        evidence=evidence,
        notes=(f"lost already: {step.destroys}",),
        hints=("run the same command again: it writes the whole image anew; do not reboot the host before",),
    )


@dataclass(slots=True)
class _Image:
    """The bytes to send. A problem with the file ends them early and is kept."""

    path: Path
    step: WriteDisk
    gzip: bool
    progress: Callable[[int], None]
    problem: str = ""

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._deflated() if self.gzip else self._plain()
        except OSError as error:
            self.problem = error.strerror or str(error)
        except ImageError as error:
            self.problem = str(error)

    def _plain(self) -> Iterator[bytes]:
        done = 0
        for piece in pieces(self.path, self.step.raw_size):
            yield piece
            done += len(piece)
            self.progress(done)

    def _deflated(self) -> Iterator[bytes]:
        # The least effort: zeros vanish all the same, and what is compressed already does not shrink.
        engine = zlib.compressobj(1, zlib.DEFLATED, 31)
        done = flushed = 0
        for piece in pieces(self.path, self.step.raw_size):
            made = engine.compress(piece)
            done += len(piece)
            if done - flushed >= _FLUSH:
                made, flushed = made + engine.flush(zlib.Z_SYNC_FLUSH), done
            if made:
                yield made
                self.progress(done)
        yield engine.flush()
        self.progress(done)


def _told(result: Result) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for line in result.text.splitlines()[:100]:
        name, equals, value = line.partition("=")
        if equals:
            found[name] = (*found.get(name, ()), value[:300])
    return found
