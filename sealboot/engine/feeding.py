"""Feed a local file to a script on a host, such that the script never takes a broken connection for the file's end.

What is read as it comes cannot be hashed before it is used. So the reader's
end of input is kept from it until the host has computed the digest of all that
arrived: if that is right the input ends, and if not the reader is killed while
it still waits. Nothing is written to the host's disk on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sealboot.artifacts.diskimage import ImageError, pieces
from sealboot.engine.context import StepEnd, Work
from sealboot.engine.failures import quotes, step_failed
from sealboot.engine.jobs import exports, missing_output
from sealboot.engine.shell import PRELUDE
from sealboot.engine.upload import source_moved
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.feed import Feed
from sealboot.model.steps import Run
from sealboot.transport.base import Result

#: Seconds in which no byte may move: a reader that stores what it reads waits for slow cards.
STALL = 180.0
#: Bytes of one piece of a file that is sent as it is.
_PIECE = 1 << 18
#: Exit statuses of the script below.
WRONG, NO_HASH = 76, 77

# $1 the script that reads, $2 the digest of what it is to read.
# Opening the pipe for writing waits for the reader, so its name is not needed afterwards. Whether the
# reader still reads or not, `tee` goes on for the digest: nobody need read what follows the end of a tar.
# It has the reader's pipe as an open file, for opening one whose reader is gone would wait for ever.
FED = (
    PRELUDE
    + r"""
sb_hash /dev/null >/dev/null || exit 77
sb_dir=$(mktemp -d) && mkfifo "$sb_dir/in" || exit 73
/bin/sh -c "$1" <"$sb_dir/in" &
sb_reader=$!
exec 9>"$sb_dir/in"
rm -rf "$sb_dir"
sb_have=$( { trap '' PIPE; tee /proc/self/fd/8 2>/dev/null >&9; } 8>&1 | sb_hash /proc/self/fd/0 )
if [ "$sb_have" = "$2" ]; then
  exec 9>&-
  wait "$sb_reader"
  exit
fi
kill -KILL "$sb_reader" 2>/dev/null
wait "$sb_reader"
sb_ended=$?
exec 9>&-
case $sb_ended in 0|137) ;; *) exit "$sb_ended" ;; esac
printf 'arrived: %s\n' "$sb_have"
exit 76
"""
)


async def run_fed(work: Work, step: Run, feed: Feed) -> StepEnd:
    """Run the step's script on what is in the file.

    Failures: SB504 (the file changed since the plan, or does not decompress
    any more), SB502 (what arrived is not what was sent), SB501 (the script).
    """
    moved = await source_moved(work, feed)
    if moved is not None:
        return StepEnd("failed", moved)
    inside = await _inside(work, feed)
    if isinstance(inside, Diagnostic):
        return StepEnd("failed", inside)
    async with work.uploads:
        try:
            result = await work.session.stream(
                _pieces(work.sources.path(feed.source), feed),
                feed.size,
                FED,
                args=(exports(dict(step.env)) + step.script, inside),
                become=step.become,
                stall=min(STALL, step.timeout),
                progress=work.counted(step, feed.size),
            )
        except (OSError, ImageError) as error:
            return StepEnd("failed", _changed(work, feed, str(error)))
    return await _judged(work, step, feed, result, inside)


async def _inside(work: Work, feed: Feed) -> str | Diagnostic:
    """The digest of what will be sent."""
    if not feed.unpack:
        return feed.sha256
    found = await work.sources.inside.digest(work.sources.path(feed.source))
    if isinstance(found, str):
        return _changed(work, feed, found)
    digest, size = found
    return digest if size == feed.size else _changed(work, feed, f"{size} bytes are in it, not {feed.size}")


def _pieces(path: Path, feed: Feed) -> Iterator[bytes]:
    """What is sent; the digest of that was taken before, so a file that changes meanwhile is found out."""
    if feed.unpack:
        yield from pieces(path)
        return
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


async def _judged(work: Work, step: Run, feed: Feed, result: Result, inside: str) -> StepEnd:
    if result.ending == "exited" and result.exit_status in step.ok_codes:
        lacking = missing_output(work.host, step, result.text + result.error_text)
        return StepEnd("failed" if lacking else "changed", lacking)
    if result.ending == "exited" and result.exit_status == WRONG:
        moved = await source_moved(work, feed)
        return StepEnd("failed", moved or _damaged(work, step, feed, result, inside))
    if result.ending == "exited" and result.exit_status == NO_HASH:
        why = "no tool of the host computes SHA-256, and what it reads is not believed without"
        return StepEnd("failed", step_failed(work.host, step.title, why, evidence=quotes(result)))
    return work.ended(step, result)


def _damaged(work: Work, step: Run, feed: Feed, result: Result, inside: str) -> Diagnostic:
    return Diagnostic(
        "SB502",
        f"{step.title}: what arrived is not what was sent",
        host=work.host,
        artifact=feed.source,
        evidence=(("sent", f"sha256 {inside}"), *quotes(result)),
        notes=("what read it was killed before it could act on its end",),
        hints=("run the same command again; if it goes on, look for failing memory on the host",),
    )


def _changed(work: Work, feed: Feed, now: str) -> Diagnostic:
    return Diagnostic(
        "SB504",
        f"{feed.source} changed since the plan was made",
        host=work.host,
        artifact=feed.source,
        evidence=(("now", now),),
        hints=("plan again",),
    )
