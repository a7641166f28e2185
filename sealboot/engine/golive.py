"""Stage a file beside its target and make it live by a rename: whole old or whole new, never between."""

from __future__ import annotations

from sealboot.engine.context import StepEnd, Work
from sealboot.engine.failures import quotes
from sealboot.engine.shell import PRELUDE, STAGED
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.steps import Step, Upload, WriteFile
from sealboot.transport.base import Result

#: Seconds for the small scripts around a transfer; flushing a large file to a slow card takes long.
PREPARE_TIMEOUT = 60.0
FLUSH_TIMEOUT = 600.0

#: sb_place DIR: what is to be said about the file system under it.
_PLACE = r"""
sb_place() {
  sb_df=$(df -Pk "$1" 2>/dev/null | tail -n 1)
  set -- "$1" $sb_df
  printf 'free=%s\nmount=%s\n' "$5" "$7"
  while read -r sb_dev sb_mnt sb_typ sb_opt sb_rest; do
    [ "$sb_mnt" = "$7" ] && printf 'options=%s\n' "$sb_opt"
  done </proc/mounts
}
"""

# $1 staged file, $2 its pattern without the random end, $3 target. Removes what dead runs left behind:
# the host's lock is held, so no living run has a staged file here.
_PREPARE = (
    PRELUDE
    + _PLACE
    + r"""
sb_dir=${1%/*}; [ -n "$sb_dir" ] || sb_dir=/
( umask 022; mkdir -p "$sb_dir" ) || { echo 'why=its directory cannot be made'; exit 1; }
[ -d "$3" ] && { echo 'why=a directory stands in its place'; exit 1; }
for sb_f in "$2"*; do [ -f "$sb_f" ] && rm -f "$sb_f"; done
sb_place "$sb_dir"
( : >"$1" ) 2>/dev/null || { echo 'why=its directory is not writable'; exit 1; }
rm -f "$1"
"""
)
# $1 staged file. What went wrong with the transfer, and no trace of it left.
_DISCARD = (
    PRELUDE
    + _PLACE
    + r"""
rm -f "$1"; sb_dir=${1%/*}; sb_place "${sb_dir:-/}"
"""
)
# $1 staged, $2 target, $3 mode, $4 sha256, $5 stamp file, $6 folder of the kept previous file or empty,
# $7 whether its time of modification has whole seconds (what `touch -t` says has no others).
_LIVE = (
    PRELUDE
    + r"""
# Hashed once more: what ran meanwhile, the smoke test of the file itself, may have changed it.
sb_now=$(sb_hash "$1"); sb_s=$?
[ "$sb_s" = 127 ] || [ "$sb_now" = "$4" ] || { echo 'it is not the file that was proved: it changed meanwhile' >&2; exit 1; }
chmod "$3" "$1" || exit 1
if [ "$7" = 1 ]; then touch -t "$(date +%Y%m%d%H%M.%S)" "$1" || exit 1; fi
sb_sync "$1"
if [ -n "$6" ] && [ -f "$2" ] && [ ! -L "$2" ]; then
  sb_old=$(sb_known "$2" "$5") || { echo 'the previous file cannot be hashed' >&2; exit 1; }
  if [ "$sb_old" != "$4" ]; then
    mkdir -p "$6" || exit 1
    rm -f "$6/new"
    ln "$2" "$6/new" 2>/dev/null || cp -p "$2" "$6/new" || { rm -f "$6/new"; exit 1; }
    sb_sync "$6/new"
    # A run that was killed here left the same file under both names, and GNU mv refuses that.
    mv -f "$6/new" "$6/$sb_old" || [ "$(sb_hash "$6/$sb_old")" = "$sb_old" ] || exit 1
    printf '%s %s\n' "$sb_old" "$(sb_mode "$2")" | sb_record "$6/kept" || exit 1
    for sb_f in "$6"/*; do case $sb_f in "$6/$sb_old"|"$6/kept") ;; *) rm -f "$sb_f";; esac; done
  fi
fi
[ -d "$2" ] && { echo 'a directory stands in its place' >&2; exit 1; }
mv -f "$1" "$2" || exit 1
sb_dir=${2%/*}; sb_sync "${sb_dir:-/}"
[ -d /sys/fs/selinux ] && sb_has restorecon && restorecon "$2" 2>/dev/null
sb_stamp "$2" "$4" "$5"
exit 0
"""
)


async def prepare(work: Work, step: Upload | WriteFile, staged: str, size: int) -> StepEnd | None:
    """Clear leftovers, make the directory, and refuse what cannot fit (SB301) or be written (SB302)."""
    folder, _, name = step.dest.rpartition("/")
    pattern = f"{folder}/.{name}.{STAGED}"
    result = await work.session.run(
        _PREPARE, args=(staged, pattern, step.dest), become=step.become, timeout=PREPARE_TIMEOUT
    )
    told = _pairs(result.text)
    if result.ok:
        free = _free(told)
        if free is not None and free < size:
            return StepEnd("failed", no_space(work.host, step, size, free))
        return None
    if result.ending == "exited" and "why" in told:
        return StepEnd("failed", _not_writable(work.host, step, told, result))
    return work.ended(step, result)


async def discard(work: Work, step: Step, staged: str) -> dict[str, str]:
    """Remove a staged file; returns what the host says about the place (free, mount, options)."""
    result = await work.session.run(_DISCARD, args=(staged,), become=step.become, timeout=PREPARE_TIMEOUT)
    return _pairs(result.text)


async def go_live(
    work: Work, step: Upload | WriteFile, staged: str, sha256: str, mode: int, *, keep: bool
) -> StepEnd | None:
    """Flush, keep the previous file, rename, remember the stamp. `None` when it is live."""
    previous = work.paths.previous(step.dest) if keep else ""
    whole = str(int(isinstance(step, Upload) and step.whole_mtime))
    result = await work.session.run(
        _LIVE,
        args=(staged, step.dest, f"{mode:o}", sha256, work.paths.stamp(step.dest), previous, whole),
        become=step.become,
        timeout=FLUSH_TIMEOUT,
    )
    if result.ok:
        return None
    end = work.ended(step, result, "cannot be made live")
    if end.result != "lost":
        await discard(work, step, staged)
    return end


def transfer_failed(
    work: Work, step: Upload | WriteFile, result: Result, told: dict[str, str], size: int
) -> StepEnd:
    """Why a transfer broke off, from what the host says about its file system afterwards."""
    free = _free(told)
    if "No space left" in result.error_text or (free is not None and free < size):
        return StepEnd("failed", no_space(work.host, step, size, free))
    options = told.get("options", "").split(",")
    if "Read-only file system" in result.error_text or "ro" in options:
        return StepEnd("failed", _not_writable(work.host, step, told, result))
    return work.ended(step, result, "the transfer failed")


def no_space(host: str, step: Upload | WriteFile, need: int, free: int | None) -> Diagnostic:
    """SB301: the file system of the target is too small now."""
    has = "less" if free is None else f"{free:,} bytes"
    return Diagnostic(
        "SB301",
        f"{step.title}: no space for {step.dest}: need {need:,} bytes, free {has}",
        host=host,
        evidence=(("need", f"{need:,} bytes"), ("free", has)),
        notes=("what was there before is still live; nothing was left behind",),
        hints=("make room on that file system, then run the same command again",),
    )


def _not_writable(host: str, step: Upload | WriteFile, told: dict[str, str], result: Result) -> Diagnostic:
    mount, options = told.get("mount", ""), told.get("options", "")
    place = (("mount", f"{mount} ({options})"),) if mount else ()
    why = told.get("why", "the file system is read-only")
    return Diagnostic(
        "SB302", f"{step.title}: {step.dest}: {why}", host=host, evidence=(*place, *quotes(result)[:1])
    )


def _free(told: dict[str, str]) -> int | None:
    text = told.get("free", "")
    return int(text) * 1024 if text.isascii() and text.isdigit() and len(text) < 16 else None


def _pairs(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines()[:20])
    return {name: value[:300] for name, equals, value in pairs if equals}
