"""The steps that write a small file, run a script, read a secret or remove something."""

from __future__ import annotations

import hashlib
import hmac
import re

from sealboot.engine.checking import file_mode
from sealboot.engine.context import StepEnd, Work
from sealboot.engine.failures import step_failed
from sealboot.engine.feeding import run_fed
from sealboot.engine.golive import discard, go_live, prepare, transfer_failed
from sealboot.engine.jobs import exports, missing_output, run_detached
from sealboot.engine.shell import nonce, staged_name
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.paths import SYSTEM_DIRECTORIES
from sealboot.model.secret import Secret
from sealboot.model.steps import ReadSecret, Remove, Run, WriteFile

#: How often it is looked at a port for a script, and the status by which it asks for another look.
LOOKS, AGAIN = 3, 75

# $1 path, $2 recursive. A tree is not left half named: what can be is renamed first, then removed.
# What is mounted below it is somebody's data: nothing is removed then.
_REMOVE = r"""
if [ -d "$1" ] && [ ! -L "$1" ]; then
  sb_true=$(CDPATH= cd -P -- "$1" && pwd -P) || exit 1
  while read -r _ sb_at _; do
    case $sb_at in *\\0*) sb_at=$(printf '%b.' "$sb_at"); sb_at=${sb_at%.} ;; esac
    case $sb_at in "$sb_true"|"$sb_true"/*) echo "$sb_at is mounted there: nothing was removed" >&2; exit 65 ;; esac
  done </proc/mounts || exit 1
  if [ "$2" = 1 ]; then rm -rf "$1"; else rmdir "$1"; fi
else rm -f "$1"; fi || exit 1
[ ! -e "$1" ] && [ ! -L "$1" ]
"""


async def write_file(work: Work, step: WriteFile) -> StepEnd:
    """Write the file atomically, its secrets filled in at this moment and nowhere but here."""
    content = work.secrets.fill(step.content, step.secrets)
    if isinstance(content, tuple):
        return StepEnd("failed", secret_missing(work.host, step.title, content))
    data = content.encode("utf-8", "surrogateescape")
    digest = hashlib.sha256(data).hexdigest()
    staged = staged_name(step.dest, nonce())
    refused = await prepare(work, step, staged, len(data))
    if refused is not None:
        return refused
    put = await work.session.put(data, staged, mode=0o600, become=step.become)
    if put.result.ending == "lost":
        return work.ended(step, put.result)
    if not put.result.ok or put.sha256 != digest:
        told = await discard(work, step, staged)
        if put.result.ok:
            return StepEnd("failed", step_failed(work.host, step.title, "what arrived is not what was sent"))
        return transfer_failed(work, step, put.result, told, len(data))
    problem = await go_live(work, step, staged, digest, file_mode(step), keep=False)
    return problem or StepEnd("changed")


async def run_script(work: Work, step: Run) -> StepEnd:
    """Run the script on the channel, detached where the step says so, or on a file that it is fed."""
    if step.feed is not None:
        return await run_fed(work, step, step.feed)
    missing = tuple(n for n in step.env_secrets.values() if work.secrets.get(n) is None)
    if missing:
        return StepEnd("failed", secret_missing(work.host, step.title, missing))
    secret = {
        name: value for name, ref in step.env_secrets.items() if (value := work.secrets.get(ref)) is not None
    }
    if step.detached:
        revealed = {name: value.reveal() for name, value in secret.items()}
        return await run_detached(work, step, exports({**step.env, **revealed}))
    for _ in range(LOOKS):
        seen = await _seen(work, step)
        result = await work.session.run(
            step.script, env={**step.env, **secret, **seen}, become=step.become, timeout=step.timeout
        )
        if step.knocks is None or result.exit_status != AGAIN:
            break
    if result.ending != "exited" or result.exit_status not in step.ok_codes:
        return work.ended(step, result)
    lacking = missing_output(work.host, step, result.text + result.error_text)
    return StepEnd("failed", lacking) if lacking else StepEnd("changed")


async def _seen(work: Work, step: Run) -> dict[str, str | Secret]:
    """What is seen on the step's port now, as the script is told."""
    if step.knocks is None:
        return {}
    seen = await work.knock(step.host, step.knocks.port, step.knocks.alpn) if work.knock else ""
    if isinstance(seen, str):
        return {"API": "", "KEY": ""}
    return {"API": "certificate" if seen.wants_certificate else "open", "KEY": seen.key}


async def read_secret(work: Work, step: ReadSecret) -> StepEnd:
    """Keep the script's trimmed output as a secret.

    SB508 when it is not what it must look like, or where the operator has a secret of that name and it is
    another: which of the two counts is not ours to say.
    """
    result = await work.session.run(step.script, become=step.become, timeout=step.timeout)
    value = result.text.strip() if result.ok else ""
    given = work.secrets.given(step.into)
    if value and given is None:
        work.secrets.put(step.into, Secret(value))
    if not result.ok:
        return work.ended(step, result)
    why = "has not the form it must have" if value else "is empty"
    if value and (not step.pattern or re.fullmatch(step.pattern, value, re.DOTALL)):
        if given is None or hmac.compare_digest(given.reveal().strip().encode(), value.encode()):
            return StepEnd("same")
        why = "is another on the host than the one that the inventory names"
    return StepEnd(
        "failed",
        Diagnostic(
            "SB508",
            f"{step.title}: the secret {step.into} {why}",
            host=work.host,
            evidence=(("length", f"{len(value)} characters"),),
            notes=("its value is not shown",),
        ),
    )


async def remove(work: Work, step: Remove) -> StepEnd:
    """Remove a file or a tree; directories that a system is made of are refused (SB518)."""
    path = re.sub(r"/+", "/", step.path).rstrip("/")
    if not path.startswith("/") or path in {"", *SYSTEM_DIRECTORIES} or {".", ".."} & set(path.split("/")):
        why = f"{step.title}: {step.path!r} is never removed"
        return StepEnd("failed", Diagnostic("SB518", why, host=work.host))
    result = await work.session.run(
        _REMOVE, args=(path, str(int(step.recursive))), become=step.become, timeout=step.timeout
    )
    if not result.ok:
        return work.ended(step, result, "cannot be removed")
    return StepEnd("changed")


def secret_missing(host: str, title: str, names: tuple[str, ...]) -> Diagnostic:
    """SB509: a step needs a secret that no step of this run has read."""
    listed = ", ".join(names)
    return Diagnostic(
        "SB509",
        f"{title}: the secret {listed} is not known",
        host=host,
        hints=("the host that it is read from must be part of this run: widen --limit",),
    )
