"""Put the kept previous file back: byte-identical, or refused with a reason (promise P12).

What was live becomes the kept file, marked as one that was taken away. So
whoever asks again can tell a rollback that was done from one that is to be
done, and never swaps the two files back by asking twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sealboot.engine.failures import ending_words, quotes
from sealboot.engine.shell import PRELUDE, NodePaths, nonce, quoted, staged_name
from sealboot.model.diagnostic import Diagnostic
from sealboot.transport.base import Session

#: Seconds for hashing, copying and flushing a file of a few hundred megabytes on a slow card.
ROLLBACK_TIMEOUT = 600.0

_NOTHING = "no previous file is kept"
_REASONS: dict[int, str] = {
    10: _NOTHING,
    11: "the kept file is gone",
    12: "the kept file is damaged: its hash is not the one it was kept under",
    13: "the live file is gone or is no regular file",
    14: "it cannot be put back",
    15: "another file is kept by now",
}

#: What is written behind hash and mode of a kept file that a rollback took away.
_TAKEN = "taken"

# $1 target, $2 folder of the kept file, $3 stamp file, $4 staged name, $5 apply (1) or only look (0),
# $6 the hash that must be the kept one, or nothing.
# Prints: hash now, hash kept, mode kept, mark. The file that is live now becomes the kept one.
_ROLLBACK = (
    PRELUDE
    + "sb_no() {\n  case $1 in\n"
    + "".join(f"    {status}) echo {quoted(why)} >&2;;\n" for status, why in _REASONS.items())
    + "  esac\n  exit $1\n}\n"
    + f"sb_taken={_TAKEN}\n"
    + r"""
read -r sb_sha sb_mode sb_mark 2>/dev/null <"$2/kept" || sb_no 10
case $sb_sha in *[!0-9a-f]*|'') sb_no 10;; esac
case $sb_mode in *[!0-7]*) sb_no 10;; esac
[ -z "$6" ] || [ "$6" = "$sb_sha" ] || sb_no 15
[ -f "$2/$sb_sha" ] || sb_no 11
[ "$(sb_hash "$2/$sb_sha")" = "$sb_sha" ] || sb_no 12
[ -f "$1" ] && [ ! -L "$1" ] || sb_no 13
sb_now=$(sb_known "$1" "$3") || sb_no 13
printf '%s %s %s %s\n' "$sb_now" "$sb_sha" "${sb_mode:--}" "$sb_mark"
[ "$5" = 1 ] || exit 0
[ "$sb_now" = "$sb_sha" ] && exit 0
sb_live=$(sb_mode "$1")
cp -p "$2/$sb_sha" "$4" || { rm -f "$4"; sb_no 14; }
[ "$(sb_hash "$4")" = "$sb_sha" ] || { rm -f "$4"; sb_no 12; }
chmod "${sb_mode:-755}" "$4"; sb_sync "$4"
rm -f "$2/new"
ln "$1" "$2/new" 2>/dev/null || cp -p "$1" "$2/new" || { rm -f "$4"; sb_no 14; }
# A run that was killed here left the same file under both names, and GNU mv refuses that.
mv -f "$2/new" "$2/$sb_now" || [ "$(sb_hash "$2/$sb_now")" = "$sb_now" ] || { rm -f "$4"; sb_no 14; }
rm -f "$2/new"
mv -f "$4" "$1" || { rm -f "$4"; sb_no 14; }
sb_sync "${1%/*}"
if [ "$sb_mark" = "$sb_taken" ]; then sb_taken=; fi
printf '%s %s %s\n' "$sb_now" "${sb_live:-755}" "$sb_taken" | sb_record "$2/kept"
rm -f "$2/$sb_sha"
sb_stamp "$1" "$sb_sha" "$3"
exit 0
"""
)


@dataclass(frozen=True, slots=True)
class Rollback:
    """What a rollback did, or would do: SHA-256 of the file that was live and of the one put back.

    `again`: the kept file is itself one that a rollback took away, so putting it back undoes that.
    """

    host: str
    path: str
    before: str
    after: str
    mode: str
    again: bool = False

    @property
    def state(self) -> Literal["same", "changed"]:
        """Whether the two files differ."""
        return "same" if self.before == self.after else "changed"


def never_replaced(finding: Diagnostic) -> bool:
    """Whether this finding of `rollback` says that no run replaced the file yet."""
    return finding.code == "SB513" and finding.summary.endswith(_NOTHING)


def put_back(path: str, paths: NodePaths, sha256: str) -> str:
    """A script that puts the kept file with this hash back, for a step whose check is that it is live."""
    return f"set -- {quoted(*_arguments(path, paths, sha256, dry=False))}\n{_ROLLBACK}"


def _arguments(path: str, paths: NodePaths, sha256: str, *, dry: bool) -> tuple[str, ...]:
    staged = staged_name(path, nonce())
    return (path, paths.previous(path), paths.stamp(path), staged, str(int(not dry)), sha256)


async def rollback(
    session: Session, path: str, paths: NodePaths, *, dry: bool = False, become: bool = True
) -> Rollback | Diagnostic:
    """Put back the file that `path` held before its last upload; the caller holds the host's lock.

    The hash is compared before and after copying. Services that run the file
    go on with the one they started from: restarting is the caller's. SB513
    when there is nothing to put back, or it is not what was kept.
    """
    result = await session.run(
        _ROLLBACK,
        args=_arguments(path, paths, "", dry=dry),
        become=become,
        timeout=ROLLBACK_TIMEOUT,
    )
    words = result.text.split()
    if result.ok and len(words) >= 2:
        mode = words[2] if len(words) > 2 and words[2] != "-" else ""
        return Rollback(session.host, path, words[0], words[1], mode, _TAKEN in words[3:])
    if result.diagnostic is not None:
        return result.diagnostic
    known = _REASONS.get(result.exit_status or 0) if result.ending == "exited" else None
    return Diagnostic(
        "SB513",
        f"{path} on {session.host} was not rolled back: {known or ending_words(result)}",
        host=session.host,
        evidence=() if known else quotes(result),
        notes=("the live file was not touched",),
    )
