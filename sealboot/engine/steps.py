"""Do one step: ask its check, act, ask again."""

from __future__ import annotations

from collections.abc import Mapping

from sealboot.engine.actions import read_secret, remove, run_script, write_file
from sealboot.engine.checking import effective_check, rendered_check
from sealboot.engine.context import StepEnd, Work
from sealboot.engine.desk import seated
from sealboot.engine.disk import write_disk
from sealboot.engine.failures import step_failed
from sealboot.engine.handover import hand_over
from sealboot.engine.observe import ask, observe
from sealboot.engine.services import service
from sealboot.engine.upload import upload
from sealboot.engine.waiting import wait_for
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.plan import Observation
from sealboot.model.steps import (
    Handover,
    ReadSecret,
    Remove,
    Run,
    Service,
    Step,
    Upload,
    WaitFor,
    WriteDisk,
    WriteFile,
)


async def holds(work: Work, step: Step) -> Observation | StepEnd | None:
    """What the step's place answers to its check; `None` for a step without one.

    A file with secrets is compared once they are known: before that nobody
    can say whether it is as it should be.
    """
    async with seated(work.secrets, step) as here:
        return StepEnd("failed", here) if isinstance(here, Diagnostic) else await _holds(work, here)


async def _holds(work: Work, step: Step) -> Observation | StepEnd | None:
    seen: Mapping[str, Observation] | tuple[Observation, ...] | Diagnostic
    check = effective_check(step)
    if check is None and isinstance(step, WriteFile):
        content = work.secrets.fill(step.content, step.secrets)
        if isinstance(content, str):
            seen = await ask(work.session, (rendered_check(step, content),), work.paths, become=step.become)
            return _answer(work, seen if isinstance(seen, Diagnostic) else seen[0])
    if check is None:
        return None
    seen = await observe(work.session, (step,), work.paths)
    return _answer(work, seen if isinstance(seen, Diagnostic) else seen[step.id])


def _answer(work: Work, seen: Observation | Diagnostic) -> Observation | StepEnd:
    if isinstance(seen, Diagnostic):
        return StepEnd("lost" if work.session.lost is not None else "failed", seen)
    return seen


async def act(work: Work, step: Step) -> StepEnd:
    """Do the step without asking before or after. `work` is the host's or, where the step says so, the controller's."""
    async with seated(work.secrets, step) as here:
        return StepEnd("failed", here) if isinstance(here, Diagnostic) else await _act(work, here)


async def _act(work: Work, step: Step) -> StepEnd:
    match step:
        case Upload():
            return await upload(work, step)
        case WriteFile():
            return await write_file(work, step)
        case Run():
            return await run_script(work, step)
        case Service():
            return await service(work, step)
        case WaitFor():
            return await wait_for(work, step)
        case ReadSecret():
            return await read_secret(work, step)
        case Remove():
            return await remove(work, step)
        case WriteDisk():
            return await write_disk(work, step)
        case Handover():
            return await hand_over(work, step)


async def act_and_prove(work: Work, step: Step) -> StepEnd:
    """Do the step, then ask its check: a step that succeeded without effect has failed (SB501)."""
    end = await act(work, step)
    if end.result != "changed":
        return end
    seen = await holds(work, step)
    if seen is None:
        return end
    if isinstance(seen, StepEnd):
        return StepEnd(seen.result, seen.diagnostic)
    if seen.state == "same":
        return end
    why = "it ended well, but its check still does not hold"
    evidence = (("check", f"{seen.state} {seen.detail}".strip()),)
    return StepEnd("failed", step_failed(work.host, step.title, why, evidence=evidence))


def may_repeat(step: Step) -> bool:
    """Whether a step whose end nobody knows may be done again: it has a check, only reads, or begins anew."""
    if isinstance(step, (ReadSecret, WaitFor, WriteFile, WriteDisk)):
        return True
    return effective_check(step) is not None or isinstance(step, Service)
