"""Long scripts that outlive the connection: started under setsid, polled, adopted by the next run.

A script on an SSH channel dies half-way when its controller does. A job
writes its output and exit status into a folder on the host, holds a lock of
its own while it runs, and is found again by the key of its step.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from dataclasses import replace

from sealboot.engine.context import StepEnd, Work
from sealboot.engine.failures import status_words, step_failed, tail
from sealboot.engine.joblog import kept_log
from sealboot.engine.jobscript import JOB_STATE
from sealboot.engine.shell import PRELUDE, key, quoted
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.steps import Run, Step
from sealboot.transport.base import Result

#: Seconds that one poll may wait on the host for the job's end.
POLL_SECONDS = 8
_STATE = re.compile("running|dead|none|ended [0-9]{1,3}")
#: Bytes of a job's log that are read back.
LOG_TAIL = 1 << 16

# $1 folder, $2 title, $3 holder text, $4 end mark; stdin: the script and the end mark. The pipe keeps
# it out of argv and off the disk. A controller that dies before it sent everything leaves the mark
# out: half a script, or none, must neither run nor be taken for a job that ended well.
_START = (
    PRELUDE
    + JOB_STATE
    + r"""
sb_payload=$(cat)
case $sb_payload in *"$4") ;; *) exit 74 ;; esac
[ "$(sb_job "$1")" = running ] && exit 0
rm -rf "$1" && mkdir -p "$1" || exit 73
printf '%s\n' "$2" >"$1/title"; printf '%s\n' "$3" >"$1/holder"
exec 8>"$1/lock" || exit 73
if sb_can_flock; then sb_flock -n 8 || exit 73; fi
if sb_has setsid; then sb_session=setsid; elif sb_applet setsid; then sb_session='busybox setsid'
else sb_session=; trap '' HUP; fi
printf '%s' "${sb_payload%"$4"}" | $sb_session /bin/sh -c '
  sb_text=$(cat; echo .)
  exec </dev/null >"$1/log" 2>&1
  ( eval "${sb_text%.}" )
  echo "$?" >"$1/rc.new"
  sync "$1/rc.new" 2>/dev/null || sync
  mv "$1/rc.new" "$1/rc"
' job "$1" >/dev/null 2>&1 &
printf '%s %s %s\n' "$!" "$(sb_born "$!")" "$(sb_boot)" >"$1/owner.new" && mv "$1/owner.new" "$1/owner"
"""
)

# $1 folder, $2 how many seconds to wait for its end. Prints the state, then the end of the log.
_POLL = (
    PRELUDE
    + JOB_STATE
    + r"""
# Uptime, because the clock of a machine that just came up may be set while we wait.
sb_tick() { if read -r sb_up _ </proc/uptime; then echo "${sb_up%%.*}"; else date +%s; fi; }
sb_until=$(( $(sb_tick) + $2 ))
while sb_now=$(sb_job "$1"); [ "$sb_now" = running ] && [ "$(sb_tick)" -lt "$sb_until" ]; do
  sleep 0.1 2>/dev/null || sleep 1
done
printf '%s\n' "$sb_now"
[ "$sb_now" = running ] || tail -c 65536 "$1/log" 2>/dev/null
exit 0
"""
)

# $1 folder. Ends a job that is out of time, with everything in its session.
_KILL = (
    PRELUDE
    + r"""
read -r sb_1 sb_2 sb_3 <"$1/owner" || exit 0
sb_alive "$sb_1" "$sb_2" "$sb_3" || exit 0
kill -TERM "-$sb_1" 2>/dev/null || kill -TERM "$sb_1"
"""
)


def job_key(step: Step) -> str:
    """The name of a step's job: another script or another environment is another job."""
    if not isinstance(step, Run):
        return key(step.id)
    return key(json.dumps([step.id, step.script, sorted(step.env.items()), sorted(step.env_secrets.items())]))


async def run_detached(work: Work, step: Run, exports: str) -> StepEnd:
    """Start the step's job, or adopt the one that runs or ended unproven, and wait for its end.

    `exports` are lines of shell that set the environment. A job whose end
    nobody knows (the host was rebooted) is started again: the caller decides
    whether that is safe before it calls.
    """
    folder = _folder(work, step)
    found = await _poll(work, step, folder, 0)
    if isinstance(found, StepEnd):
        return found
    state, _ = found
    # With a check we are only here because it does not hold: an old good end proves nothing then.
    adopted = state == "running" or (step.check is None and _ended_well(state, step))
    if not adopted:
        started = await start(work, step, exports)
        if not started.ok:
            return work.ended(step, started, "the detached step cannot be started")
    return await _until_ended(work, step, folder)


async def start(work: Work, step: Run, exports: str = "") -> Result:
    """Start the step's job, unless it runs; the host answers once it has begun."""
    mark = f"#{secrets.token_hex(16)}"
    return await work.session.run(
        _START,
        args=(_folder(work, step), step.title, work.claim, mark),
        stdin=(exports + step.script + mark).encode("utf-8", "surrogateescape"),
        become=step.become,
        timeout=60.0,
    )


async def glance(work: Work, step: Run, patience: float) -> tuple[str, str] | Result:
    """How the step's job is (`running`, `ended N`, `dead`, `none`) and the end of its log, without waiting for it.

    The host gets `patience` seconds to answer; its silence is the result.
    """
    result = await work.session.run(
        _POLL, args=(_folder(work, step), "0"), become=step.become, timeout=patience
    )
    return _answer(result.text) if result.ok else result


async def job_state(work: Work, step: Run) -> str | None:
    """`running`, `ended N`, `dead` or `none`; the host's silence is `None`."""
    found = await _poll(work, step, _folder(work, step), 0)
    return None if isinstance(found, StepEnd) else found[0]


async def outlast(work: Work, step: Run) -> StepEnd | None:
    """Wait for a job that a past run left running, without judging it; `None` once none runs."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + step.timeout
    while loop.time() < deadline:
        found = await _poll(work, step, _folder(work, step), POLL_SECONDS)
        if isinstance(found, StepEnd):
            return found
        if found[0] != "running":
            return None
    return await _out_of_time(work, step, _folder(work, step))


def _folder(work: Work, step: Run) -> str:
    return f"{work.paths.jobs}/{job_key(step)}"


async def _until_ended(work: Work, step: Run, folder: str) -> StepEnd:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + step.timeout
    while True:
        left = deadline - loop.time()
        if left <= 0:
            return await _out_of_time(work, step, folder)
        found = await _poll(work, step, folder, max(1, min(POLL_SECONDS, int(left))))
        if isinstance(found, StepEnd):
            return found
        state, log = found
        if state != "running":
            return await _judge(work, step, folder, state, log)


async def _out_of_time(work: Work, step: Run, folder: str) -> StepEnd:
    killed = await work.session.run(_KILL, args=(folder,), become=step.become, timeout=30.0)
    if killed.ending == "lost":
        return work.ended(step, killed)
    seen = await _poll(work, step, folder, 3)
    kept = await kept_log(work, step, folder, forget=False)
    if isinstance(seen, StepEnd) or isinstance(kept, StepEnd):
        return work.ended(step, Result("timeout", None, seconds=step.timeout))
    late = work.ended(step, Result("timeout", None, seconds=step.timeout)).diagnostic
    return StepEnd("failed", replace(late, evidence=(*_said(seen[1]), *kept)) if late else None)


async def _judge(work: Work, step: Run, folder: str, state: str, log: str) -> StepEnd:
    """What a job's recorded end means; a proven end is forgotten, so that the next run starts anew."""
    status = int(state.removeprefix("ended ")) if state.startswith("ended ") else None
    lacking = missing_output(work.host, step, log) if status in step.ok_codes else None
    if status in step.ok_codes and lacking is None:
        forgotten = await work.session.run('rm -rf "$1"', args=(folder,), become=step.become, timeout=30.0)
        return work.ended(step, forgotten) if forgotten.ending == "lost" else StepEnd("changed")
    kept = await kept_log(work, step, folder)
    if isinstance(kept, StepEnd):
        return kept
    if lacking is not None:
        return StepEnd("failed", replace(lacking, evidence=(*lacking.evidence, *kept)))
    why = "it ended without an exit status: the host was rebooted, or it was killed"
    if status is not None:
        why = status_words(status)
    return StepEnd("failed", step_failed(work.host, step.title, why, evidence=(*_said(log), *kept)))


def _said(log: str) -> tuple[tuple[str, str], ...]:
    """The end of a job's log, as evidence."""
    # A line of which only the end was read back may be the end of a secret, which nobody would know to mask.
    whole = log.partition("\n")[2] if len(log.encode("utf-8", "surrogateescape")) >= LOG_TAIL else log
    return (("log", tail(whole)),) if whole.strip() else ()


def missing_output(host: str, step: Run, said: str) -> Diagnostic | None:
    """SB501 when the output lacks a text that it must contain."""
    missing = [text for text in step.expects if text not in said]
    if not missing:
        return None
    why = "its output lacks " + ", ".join(repr(text) for text in missing)
    return step_failed(host, step.title, why, evidence=(("output", tail(said)),))


def _ended_well(state: str, step: Run) -> bool:
    return state.startswith("ended ") and int(state.removeprefix("ended ")) in step.ok_codes


async def _poll(work: Work, step: Run, folder: str, wait: int) -> tuple[str, str] | StepEnd:
    result = await work.session.run(_POLL, args=(folder, str(wait)), become=step.become, timeout=wait + 30.0)
    if not result.ok:
        return work.ended(step, result, "the detached step cannot be asked how it is")
    return _answer(result.text)


def _answer(text: str) -> tuple[str, str]:
    state, _, log = text.partition("\n")
    # No longer than a status is: the host may have written anything there.
    return (state, log) if _STATE.fullmatch(state) else ("dead", log)


def exports(values: dict[str, str]) -> str:
    """Shell lines that set and export variables."""
    return "".join(f"export {name}={quoted(value)}\n" for name, value in values.items())
