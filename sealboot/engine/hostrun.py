"""One host's way through a run: what it did, what it owes, how it ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Literal

from sealboot.engine.checking import effective_check
from sealboot.engine.context import StepEnd, Work
from sealboot.engine.handover import as_job
from sealboot.engine.jobs import job_key, outlast
from sealboot.engine.journal import Entry, History, Mark, read, resumed, write
from sealboot.engine.observe import observe
from sealboot.engine.options import Shared
from sealboot.engine.recover import REDO, cut_short, rebooted, reconnected, resume, unknown, with_reboot
from sealboot.engine.steps import act, act_and_prove, holds
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.events import Found, HostFinished, StepFinished, StepStarted
from sealboot.model.outcome import HostOutcome
from sealboot.model.plan import Action, Observation, PlannedStep, PlannedWave
from sealboot.model.report import AppliedHost
from sealboot.model.steps import Handover, ReadSecret, Run, Step, WaitFor, WriteFile
from sealboot.model.words import plural
from sealboot.transport.base import Hold

_NOTHING: Mapping[str, Observation] = {}


class HostRun:
    """Runs the steps of one host, wave after wave."""

    def __init__(
        self, shared: Shared, work: Work, role: str, steps: tuple[Step, ...], desk: Work | None = None
    ) -> None:
        """`desk` is where the steps on the controller are done; for a host without a session it is `work` too."""
        self.work = work
        self.places = (work,) if desk is None or desk is work else (work, desk)
        self.holds: list[Hold] = []
        self.outcome: HostOutcome | None = None
        self._shared = shared
        self._role = role
        self._steps = steps
        self._desk = desk
        self._histories: tuple[History, ...] = ()
        self._left_behind = False  # the host runs another system: nothing there is ours any more
        self._acted: set[str] = set()
        self._left = len(steps)
        self._changed = 0
        self._begun = shared.bus.now
        self._running: Step | None = None
        self._unproven = False  # the connection was lost while a step changed the host
        self._fresh = _NOTHING

    @property
    def adopted(self) -> tuple[str, ...]:
        """The keys of the detached jobs that belong to this host's plan."""
        return tuple(job_key(job) for job in self._jobs())

    @property
    def _sent(self) -> int:
        """Artifact bytes that left for this host, whatever became of them."""
        return sum(place.sent for place in self.places)

    def _jobs(self) -> Iterator[Run]:
        for step in self._steps:
            if isinstance(step, Run) and step.detached:
                yield step
            elif isinstance(step, Handover):
                yield as_job(step)

    async def begin(self) -> None:
        """Read the journals, tell of a run that was cut off, and outlast what it left running."""
        for place in self.places:
            history = await read(place.session, place.paths)
            if isinstance(history, Diagnostic):
                self.end(HostOutcome.UNREACHABLE if self.work.session.lost else HostOutcome.FAILED, history)
                return
            self._histories = (*self._histories, history)
            if history.cut_off is not None:
                self.tell(resumed(self.work.host, history.cut_off))
        if self._cut_off:
            for job in self._jobs():
                # Judged when its turn comes; a problem with the connection shows there as well.
                await outlast(self.work, job)

    @property
    def _cut_off(self) -> bool:
        return any(history.cut_off is not None for history in self._histories)

    async def wave(self, wave: PlannedWave) -> None:
        """The steps of one wave, in order, until one fails or the run is halted."""
        mine = wave.of(self.work.host)
        there = [p.step for p in mine if p.step.on == "host"]
        answers = await observe(self.work.session, there, self.work.paths)
        self._fresh = _NOTHING if isinstance(answers, Diagnostic) else answers
        for planned in mine:
            if self._shared.halted or self.outcome is not None:
                return
            await self._step(planned, wave.id)
            self._left -= 1

    def end(self, outcome: HostOutcome, diagnostic: Diagnostic | None = None) -> None:
        """The host is out, with its final outcome. Only the first one counts (P13)."""
        if self.outcome is not None:
            return
        self.outcome = outcome
        if outcome in {HostOutcome.FAILED, HostOutcome.UNKNOWN, HostOutcome.UNREACHABLE}:
            self._shared.failures += 1
        if diagnostic is not None:
            self.tell(diagnostic)

    def cut(self) -> None:
        """The task was cancelled: a step that ran then has an unknown end."""
        step, self._running = self._running, None
        if step is not None and not isinstance(step, (WaitFor, ReadSecret)):
            self.end(HostOutcome.UNKNOWN, cut_short(self.work.host, step))

    async def close_journal(self) -> None:
        """Close the journals of a host that came to its end."""
        found = any(history.entries for history in self._histories)
        if found and not self._shared.options.settles:
            return
        if self.outcome is not None or self._left or not (self._changed or found):
            return
        for place in self.places:
            if self._left_behind and place is not self._desk:
                continue
            failed = await self._mark(place, "", "finished")
            if failed is not None:
                self.tell(failed)

    async def leave_desk(self) -> None:
        """Close the shell on the controller, which nobody else does."""
        if self._desk is not None:
            await self._desk.session.close()

    def settle(self) -> None:
        """The outcome of a host that has none yet."""
        if self.outcome is None and self._left == 0:
            self.end(HostOutcome.CHANGED if self._changed else HostOutcome.OK)
        elif self.outcome is None and self._changed:
            left = Diagnostic(
                "SB510",
                f"stopped part-way: {plural(self._changed, 'step')} changed it, {self._left} left",
                host=self.work.host,
                hints=("run the same command again to go on",),
            )
            self.end(HostOutcome.CHANGED, left)
        self.end(HostOutcome.SKIPPED)

    def report(self) -> AppliedHost:
        """This host's row, told to the sinks as well."""
        outcome = self.outcome or HostOutcome.SKIPPED
        bus = self._shared.bus
        bus.emit(HostFinished(at=bus.now, host=self.work.host, outcome=outcome))
        return AppliedHost(
            self.work.host, self._role, outcome, self._changed, self._sent, bus.now - self._begun
        )

    def tell(self, diagnostic: Diagnostic) -> None:
        """A finding of this host."""
        self._shared.found.append(diagnostic)
        self._shared.bus.emit(Found(at=self._shared.bus.now, diagnostic=diagnostic))

    # -- one step ---------------------------------------------------------------------------------

    async def _step(self, planned: PlannedStep, wave: str) -> None:
        step = planned.step
        due = self._due(planned)
        if due is None:
            if isinstance(step, ReadSecret):
                self._shared.readers[step.into] = (self.work.host, step)
            return
        begun, sent = self._shared.bus.now, self._sent
        self._running = step
        self._shared.busy[self.work.host] = step.title
        self._shared.bus.emit(
            StepStarted(at=begun, host=self.work.host, step=step.id, title=step.title, wave=wave)
        )
        end = await self._do(step, forced=due)
        self._running = None
        self._shared.busy.pop(self.work.host, None)
        self._settle(step, wave, end, begun, sent)

    def _due(self, planned: PlannedStep) -> bool | None:
        """True: do it whatever its check says; False: do it unless its check holds; `None`: not at all."""
        step = planned.step
        if self._acted & set(step.only_after) or any(h.owes(step) for h in self._histories):
            return True
        if effective_check(step) is not None:
            return False
        if isinstance(step, WaitFor) and self._cut_off:
            return True
        if planned.action is Action.NONE or step.only_after:
            return None
        return True

    async def _do(self, step: Step, *, forced: bool) -> StepEnd:
        """Check, act, prove; through lost connections as far as that is safe."""
        end, acting = await self._once(step, forced=forced)
        for _ in range(REDO):
            if end.result != "lost" or self._shared.stopping.is_set() or step.on == "controller":
                break
            held = await reconnected(self._shared, self.work, self.adopted)
            if isinstance(held, Diagnostic):
                self._unproven = acting
                return StepEnd("lost", unknown(self.work.host, step, held) if acting else held)
            self.holds.append(held)
            self._fresh = _NOTHING
            reboot = await rebooted(self.work)
            if acting:
                end = await resume(self.work, step)
                end = with_reboot(end) if reboot else end
            else:
                end, acting = await self._once(step, forced=forced)
        if end.result == "lost":
            self._unproven = acting
            told = unknown(self.work.host, step, end.diagnostic) if acting else end.diagnostic
            return StepEnd("lost", told)
        self._unproven = end.result == "unknown"
        if end.result == "changed" and isinstance(step, Handover):
            self._left_behind = True
            return end
        if end.result in {"changed", "failed"} and not _reads(step):
            failed = await self._mark(
                self._at(step), step.id, "done" if end.result == "changed" else "failed"
            )
            if failed is not None and end.result == "changed":
                return StepEnd("lost" if self.work.session.lost else "failed", failed)
        return end

    async def _once(self, step: Step, *, forced: bool) -> tuple[StepEnd, bool]:
        """One try; the second value says whether the step had begun to change the host."""
        if not _reads(step):
            missing = await self._needed_secrets(step)
            if missing is not None:
                return missing, False
        work = self._at(step)
        if not forced or _rendered(step):
            seen = self._fresh.get(step.id) or await holds(work, step)
            if isinstance(seen, StepEnd):
                return seen, False
            if seen is not None and seen.state == "same":
                return StepEnd("same"), False
        if _reads(step):
            return await act(work, step), False
        failed = await self._mark(work, step.id, "started")
        if failed is not None:
            return StepEnd("lost" if work.session.lost else "failed", failed), False
        self._fresh = _NOTHING
        return await act_and_prove(work, step), True

    def _at(self, step: Step) -> Work:
        """Where the step is done."""
        return self._desk if step.on == "controller" and self._desk is not None else self.work

    async def _needed_secrets(self, step: Step) -> StepEnd | None:
        """Read secrets of this host that the plan thought nobody needs; `None` when nothing stands against it."""
        names = step.env_secrets.values() if isinstance(step, Run) else getattr(step, "secrets", ())
        for name in (*names, *step.file_secrets):
            host, reader = self._shared.readers.get(name, ("", None))
            if reader is None or host != self.work.host or self.work.secrets.get(name) is not None:
                continue
            end = await act(self._at(reader), reader)
            if end.result != "same":
                return end
        return None

    async def _mark(self, place: Work, step: str, mark: Mark) -> Diagnostic | None:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        return await write(place.session, place.paths, Entry(place.run, step, mark, at))

    def _settle(self, step: Step, wave: str, end: StepEnd, begun: float, sent: int) -> None:
        told = None if end.diagnostic is None else end.diagnostic.located(step.at)
        result: Literal["changed", "same", "failed", "unknown"]
        result = "unknown" if end.result == "lost" else end.result
        if result == "changed":
            self._acted.add(step.id)
            self._changed += 1
            if told is not None:
                self.tell(told)
        bus = self._shared.bus
        bus.emit(
            StepFinished(
                at=bus.now,
                host=self.work.host,
                step=step.id,
                title=step.title,
                wave=wave,
                result=result,
                seconds=bus.now - begun,
                sent=self._sent - sent,
            )
        )
        if result == "failed":
            self.end(HostOutcome.FAILED, told)
        elif result == "unknown":
            untouched = not (self._unproven or self._changed)
            self.end(HostOutcome.UNREACHABLE if untouched else HostOutcome.UNKNOWN, told)


def _rendered(step: Step) -> bool:
    """A file whose check exists only once its secrets are known: asked even where the plan had no answer."""
    return isinstance(step, WriteFile) and effective_check(step) is None


def _reads(step: Step) -> bool:
    return isinstance(step, (WaitFor, ReadSecret))
