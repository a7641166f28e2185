"""How it is remembered on a node what was done: files beside the tree, which say for which tree and variables."""

from __future__ import annotations

import shlex

#: EX_DATAERR of sysexits.h: something is there that the step will not touch.
REFUSED = 65

#: Where it is remembered what was done, beside the tree.
DONE = ".sealboot"

#: What the tree's scripts install is for everybody, whatever mask a script of ours begins with.
MARK = """umask 022
mark() {
  mkdir -p "$DATA/.sealboot"
  printf '%s\\n' "${2:-$STAMP}" >"$DATA/.sealboot/$1.new"
  mv -f "$DATA/.sealboot/$1.new" "$DATA/.sealboot/$1"
}
"""


def marked(data: str, name: str, stamp: str) -> str:
    """Succeeds when the step of this name was done for this stamp."""
    return (
        f'[ "$(cat {shlex.quote(f"{data}/{DONE}/{name}")} 2>/dev/null)" = {shlex.quote(stamp)} ] || exit 1\n'
    )
