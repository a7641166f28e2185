"""Scripts that put a root filesystem on a node, and the questions whether it lies there unharmed.

`tar` and `sha256sum` are busybox' or any other's. The tree is unpacked beside
its place, compared with the list of digests that came with it, and renamed:
what was there before is there until then. A stamp, written last, tells of
which archive and variables the tree was made.
"""

from __future__ import annotations

import shlex

#: Beside the tree, so that rendering and scripts cannot touch it.
STAMP = ".stamp"
_MANIFEST = ".sealboot-manifest"

# $1 the staged archive. Its control program is unpacked alone, beside it, and asked who it is.
TRY_SEALCTL = """set -u
there=$(mktemp -d "${1%/*}/.try-XXXXXX") || exit 1
trap 'rm -rf "$there"' EXIT
tar -xf "$1" -C "$there" opt/sealctl || { echo 'there is no opt/sealctl in the root filesystem' >&2; exit 1; }
[ -f "$there/opt/sealctl" ] && [ ! -L "$there/opt/sealctl" ] || exit 1
chmod 755 "$there/opt/sealctl"
"$there/opt/sealctl" version
"""

# The images of a registry outlive the tree. They are never in what is removed, wherever a run is cut off:
# what the last one left aside is put back first. With KEEP the tree of the release before stays, one at a
# time; what is there under that name is older than anything a run that was cut off has made.
UNPACK = f"""set -eu
umask 022
settle() {{
  [ -e "$ROOT.old" ] || return 0
  for images in .sealboot-registry registry; do
    if [ -e "$ROOT.old/$images" ] && [ ! -e "$ROOT/$images" ]; then mv "$ROOT.old/$images" "$ROOT/$images"; fi
  done
  if [ -n "${{KEEP:-}}" ] && [ ! -e "$KEEP" ]; then
    for other in "$ROOT".v*; do [ ! -d "$other" ] || rm -rf "$other"; done
    mv "$ROOT.old" "$KEEP"
  fi
  rm -rf "$ROOT.old"
}}
[ -e "$ROOT" ] || [ ! -e "$ROOT.old" ] || mv "$ROOT.old" "$ROOT"
settle
rm -rf "$ROOT.new"
mkdir -p "$ROOT.new"
tar -xf "$ARCHIVE" -C "$ROOT.new"
chmod 755 "$ROOT.new" "$ROOT.new/opt/sealctl"
chown -R 0:0 "$ROOT.new" 2>/dev/null || :
(cd "$ROOT.new" && sha256sum -c {_MANIFEST} >/dev/null) || {{ echo 'what was unpacked is not what was packed' >&2; exit 1; }}
sync
rm -f "$ROOT{STAMP}"
[ ! -e "$ROOT" ] || mv "$ROOT" "$ROOT.old"
mv "$ROOT.new" "$ROOT"
settle
printf '%s\\n' "$STAMP" >"$ROOT{STAMP}.new"
mv -f "$ROOT{STAMP}.new" "$ROOT{STAMP}"
rm -f "$ARCHIVE"
"""


def mounted(root: str, stamp: str) -> str:
    """Succeeds when the tree of this stamp lies there and every file that must not change has not."""
    place = shlex.quote(root)
    return (
        f'[ "$(cat {shlex.quote(root + STAMP)} 2>/dev/null)" = {stamp} ] || exit 1\n'
        f"cd {place} 2>/dev/null || exit 1\n"
        f"sha256sum -c {_MANIFEST} >/dev/null 2>&1\n"
    )


def mounted_or_sent(root: str, stamp: str, archive: str, sha256: str) -> str:
    """Succeeds when the archive has done its work already, or is there to do it."""
    return (
        f"( {mounted(root, stamp)}) && exit 0\n"
        f'[ -f {shlex.quote(archive)} ] || exit 1\nsaid=$(sha256sum <{shlex.quote(archive)})\n[ "${{said%% *}}" = {sha256} ]\n'
    )
