"""The whole log of a detached job that failed: kept on its host, where the finding says, and nowhere else.

What a finding quotes is the end of a log, and its beginning may be what an operator needs. The log stays in a
folder that only root reads, a bounded number of them, until a run of the cluster comes to its end on that host.
"""

from __future__ import annotations

import re

from sealboot.engine.context import StepEnd, Work
from sealboot.engine.shell import PRELUDE
from sealboot.model.steps import Run

#: Logs that a host keeps; the oldest goes.
KEPT = 20

# $1 the job's folder, $2 the folder of logs, $3 the log's name, $4 how many are kept, $5 whether to forget the
# job; stdin: what `sed` masks. Prints `kept` where there is something to read. A log whose secrets cannot be
# masked is not kept.
_KEEP = (
    PRELUDE
    + r"""
sb_masks=$(cat)
if [ -s "$1/log" ] && mkdir -p "$2" && chmod 700 "$2"; then
  if [ -z "$sb_masks" ]; then cat "$1/log" >"$2/$3.new"
  else printf '%s\n' "$sb_masks" | sed -f /proc/self/fd/0 "$1/log" >"$2/$3.new"
  fi && mv -f "$2/$3.new" "$2/$3" && echo kept
  rm -f "$2/$3.new"
  ls -t "$2" | tail -n "+$(($4 + 1))" | while read -r sb_old; do rm -f "$2/$sb_old"; done
fi
[ "$5" = 0 ] || rm -rf "$1"
"""
)
_SPECIAL = re.compile(r"[\\/.*\[\]^$&]")


async def kept_log(
    work: Work, step: Run, folder: str, *, forget: bool = True
) -> tuple[tuple[str, str], ...] | StepEnd:
    """Move the log of the job in `folder` to where failed ones are kept: the row of evidence that names it.

    Empty where there is none. The step's end where the connection was lost meanwhile.
    """
    # Called the same on every host: what failed on ten of them in the same way is told once.
    what = ".".join(part for part in step.id.split("/") if part != step.host)
    name = f"{re.sub(r'[^A-Za-z0-9._-]+', '.', what)[:120].lstrip('.-') or 'step'}.log"
    result = await work.session.run(
        _KEEP,
        args=(folder, work.paths.logs, name, str(KEPT), str(int(forget))),
        stdin=_masks(work, step).encode("utf-8", "surrogateescape"),
        become=step.become,
        timeout=60.0,
    )
    if result.ending == "lost":
        return work.ended(step, result)
    return (("whole log", f"{work.paths.logs}/{name}"),) if result.text == "kept\n" else ()


def _masks(work: Work, step: Run) -> str:
    """A script for `sed` that masks each line of each secret that the job was told; only the host that has them gets it."""
    known = (work.secrets.get(name) for name in step.env_secrets.values())
    lines = {line for secret in known if secret is not None for line in secret.reveal().splitlines() if line}
    longest = sorted(lines, key=len, reverse=True)
    return "".join(f"s/{_SPECIAL.sub(_escaped, line)}/***/g\n" for line in longest)


def _escaped(match: re.Match[str]) -> str:
    return f"\\{match[0]}"
