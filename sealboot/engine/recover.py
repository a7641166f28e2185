"""After a lost connection nobody knows how the step ended: connect anew and ask (promise P8)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from sealboot.engine.context import StepEnd, Work
from sealboot.engine.disk import half_written
from sealboot.engine.jobs import job_state
from sealboot.engine.lock import Holder, busy, retake
from sealboot.engine.options import Shared
from sealboot.engine.steps import act_and_prove, holds, may_repeat
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.steps import Run, Step, WriteDisk
from sealboot.transport.base import Hold

#: How often a step that may be repeated is done again after its connection was lost.
REDO = 2

_BOOT = "cat /proc/sys/kernel/random/boot_id"


async def reconnected(shared: Shared, work: Work, adopted: tuple[str, ...]) -> Hold | Diagnostic:
    """A new session in `work.session`, with the host's lock held again; or why there is none."""
    if shared.reconnect is None:
        return work.session.lost or Diagnostic("SB201", f"lost the connection to {work.host}", host=work.host)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + shared.options.reconnect_timeout
    host = work.host
    while True:
        made = await shared.reconnect(host)
        if not isinstance(made, Diagnostic):
            held = await retake(made, work.paths, shared.claim, adopted)
            if not isinstance(held, (Holder, Diagnostic)):
                work.session = made
                return held
            made = busy(host, held) if isinstance(held, Holder) else held
            if made.code == "SB505":
                return made
        # Neither a changed host key nor a refused login gets better by asking again (P4, P16).
        final = made.code in {"SB202", "SB203", "SB204"}
        if final or shared.stopping.is_set() or loop.time() >= deadline:
            return made
        await asyncio.sleep(shared.options.reconnect_pause)


async def rebooted(work: Work) -> bool:
    """Whether the host runs another boot than the one the run began on; remembers the new one."""
    result = await work.session.run(_BOOT, timeout=30.0)
    seen = result.text.strip() if result.ok else ""
    before, work.boot_id = work.boot_id, seen or work.boot_id
    return bool(before and seen and seen != before)


async def resume(work: Work, step: Step) -> StepEnd:
    """Find out how a step ended whose connection was lost, and do it again where that is safe.

    Its check holds: done. It may be repeated: once more. A detached step that
    still runs: adopted. Else SB506, and the result is `unknown`.
    """
    seen = await holds(work, step)
    if isinstance(seen, StepEnd):
        return seen
    if seen is not None and seen.state == "same":
        return StepEnd("changed")
    if isinstance(step, Run) and step.detached:
        state = await job_state(work, step)
        # `none`: the job was never begun, so beginning it repeats nothing.
        if state is not None and state != "dead":
            return await act_and_prove(work, step)
    if may_repeat(step):
        return await act_and_prove(work, step)
    return StepEnd("unknown", unknown(work.host, step, None))


def unknown(host: str, step: Step, cause: Diagnostic | None, *, reboot: bool = False) -> Diagnostic:
    """SB506: the connection was lost while a step ran, and nobody can say how it ended."""
    rows = (("cause", cause.summary),) if cause else ()
    if reboot:
        rows = (*rows, ("host", "it was rebooted meanwhile"))
    if isinstance(step, WriteDisk):
        return half_written(host, step, "the connection was lost", rows)
    return Diagnostic(
        "SB506",
        f"{step.title}: the connection was lost while it ran, so its end is unknown",
        host=host,
        evidence=rows,
        hints=("look at the host, then run the same command again: it does what is not proven",),
    )


def cut_short(host: str, step: Step) -> Diagnostic:
    """SB506, SB524: we stopped while a step ran, and nobody waits for its end."""
    if isinstance(step, WriteDisk):
        return half_written(host, step, "it was interrupted", ())
    return Diagnostic(
        "SB506",
        f"{step.title}: interrupted while it ran, so its end is unknown",
        host=host,
        hints=("run the same command again: it does what is not proven",),
    )


def with_reboot(end: StepEnd) -> StepEnd:
    """The same end, its finding told that the host was rebooted."""
    if end.diagnostic is None:
        return end
    row = ("host", "it was rebooted while the step ran")
    return replace(end, diagnostic=replace(end.diagnostic, evidence=(*end.diagnostic.evidence, row)))
