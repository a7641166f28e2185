"""Leave the running system for another one, and tell from outside whether that came about.

A machine that kexecs or reboots away says nothing any more, and the loss of
its connection proves nothing. Two signs together do: something answers on a
port where nobody did before (or under another key), and the old system, known
by its boot id, does not answer SSH. As long as the old system answers, its
script's own end is known as well; where nobody answers at all, nobody knows.
"""

from __future__ import annotations

import asyncio

from sealboot.engine.context import StepEnd, Work
from sealboot.engine.failures import status_words, tail
from sealboot.engine.jobs import glance, start
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.steps import Handover, Run
from sealboot.transport.base import Greeting, Result, Session

#: Seconds between two looks.
PAUSE = 0.5
#: Seconds in which a system that still runs answers a question of two words.
ANSWER_TIMEOUT = 6.0
#: Seconds between two attempts to log in again while nobody answers.
LOOK_PAUSE = 3.0

_BOOT = "cat /proc/sys/kernel/random/boot_id"
#: Neither a changed host key nor a refused login gets better by asking again (P4, P16).
_FINAL = frozenset({"SB202", "SB203", "SB204", "SB206", "SB207"})


def as_job(step: Handover) -> Run:
    """The step's script as the detached job that it runs as."""
    return Run(
        id=step.id,
        host=step.host,
        title=step.title,
        script=step.script,
        become=step.become,
        timeout=step.timeout,
        detached=True,
    )


async def hand_over(work: Work, step: Handover) -> StepEnd:
    """Run the script and wait for the other system: SB522 when it came, SB520 or SB521 when it did not.

    SB520: the old system still answers, or another boot of it: failed. SB521: nobody answers, so the end
    is unknown. `lost` only before anything was begun. The session is closed when the host has left it.
    """
    return await _Farewell(work, step).run()


class _Farewell:
    """One handover under way."""

    def __init__(self, work: Work, step: Handover) -> None:
        self._work = work
        self._step = step
        self._job = as_job(step)
        self._boot = ""
        self._silence = ""  # why nobody answered the last knock
        self._state, self._log = "", ""
        self._refusal: Diagnostic | None = None  # why SSH did not let us in again
        self._elsewhere = False  # another boot of a system with SSH was seen
        self._looking: asyncio.Task[Session | Diagnostic] | None = None
        self._next_look = 0.0

    async def run(self) -> StepEnd:
        work, step = self._work, self._step
        loop = asyncio.get_running_loop()
        before = await self._knock()
        asked = await work.session.run(_BOOT, timeout=30.0)
        if not asked.ok:
            return work.ended(step, asked, "the host does not say which boot of it this is")
        self._boot = asked.text.strip()
        deadline = loop.time() + step.timeout
        started = await start(work, self._job)
        # An answer that never came is no bad sign here: the machine may have been quicker.
        if not started.ok and started.ending not in {"lost", "timeout"}:
            return work.ended(step, started, "its script cannot be started")
        try:
            while True:
                end = await self._look(before)
                if end is not None:
                    return end
                if loop.time() >= deadline:
                    return await self._verdict()
                await asyncio.sleep(PAUSE)
        finally:
            if self._looking is not None:
                self._looking.cancel()

    async def _look(self, before: Greeting | str) -> StepEnd | None:
        """One round: at the port, and at the old system as far as it can still be asked."""
        now = await self._knock()
        if isinstance(now, Greeting) and _is_new(before, now):
            # The port alone may be the old system's own.
            return None if await self._old_answers() else await self._arrived(now)
        if self._work.session.lost is None:
            return await self._ask_job()
        await self._look_again()
        return None

    async def _knock(self) -> Greeting | str:
        step = self._step
        if self._work.knock is None:
            return "nobody looked"
        alpn = step.alpn if step.expects == "tls" else None
        seen = await self._work.knock(step.host, step.port, alpn)
        self._silence = seen if isinstance(seen, str) else ""
        return seen

    async def _arrived(self, seen: Greeting) -> StepEnd:
        work = self._work
        await work.session.close()
        key = (("key", f"SHA256:{seen.key}"),) if seen.key else ()
        told = Diagnostic(
            "SB522",
            f"{work.host} left the system it ran: it answers on port {self._step.port} now, and no longer on SSH",
            severity=Severity.NOTE,
            host=work.host,
            evidence=key,
            notes=(
                "nobody vouches for what answers there: that it came when the old system went is all that is known",
            ),
        )
        return StepEnd("changed", told)

    # -- the old system ---------------------------------------------------------------------------

    async def _ask_job(self) -> StepEnd | None:
        """What became of the script, while there is somebody to ask; a failure ends the step."""
        seen = await glance(self._work, self._job, ANSWER_TIMEOUT)
        if isinstance(seen, Result):
            await self._work.session.close()
            return None
        self._state, self._log = seen
        if self._state.startswith("ended ") and self._state != "ended 0":
            status = int(self._state.removeprefix("ended "))
            return self._failed(
                f"its script ended with {status_words(status)}, and the old system still runs"
            )
        return None

    async def _look_again(self) -> None:
        """Try to log in beside the knocking, now and then: the old system may be there after all."""
        loop = asyncio.get_running_loop()
        if self._looking is not None and self._looking.done():
            await self._take(await self._log_in())
            self._next_look = loop.time() + LOOK_PAUSE
        final = self._refusal is not None and self._refusal.code in _FINAL
        if self._looking is None and not final and loop.time() >= self._next_look:
            self._begin_to_look()

    def _begin_to_look(self) -> None:
        if self._work.reconnect is not None:
            self._looking = asyncio.ensure_future(self._work.reconnect(self._work.host))

    async def _log_in(self) -> Session | Diagnostic | None:
        """The end of the attempt that is under way, or of a new one."""
        if self._looking is None:
            self._begin_to_look()
        if self._looking is None:
            return None
        made = await self._looking
        self._looking = None
        return made

    async def _take(self, made: Session | Diagnostic | None) -> bool:
        """Whether what was reached is the old system; it is kept then, and left otherwise."""
        if made is None or isinstance(made, Diagnostic):
            self._refusal = made
            return False
        asked = await made.run(_BOOT, timeout=ANSWER_TIMEOUT)
        if asked.ok and asked.text.strip() == self._boot:
            self._work.session = made
            return True
        self._elsewhere = self._elsewhere or asked.ok
        await made.close()
        return False

    async def _old_answers(self) -> bool:
        """Whether the old system answers SSH: on the connection that there is, or on a new one."""
        session = self._work.session
        if session.lost is None:
            asked = await session.run(_BOOT, timeout=ANSWER_TIMEOUT)
            if asked.ok and asked.text.strip() == self._boot:
                return True
            await session.close()
        return await self._take(await self._log_in())

    # -- the deadline -----------------------------------------------------------------------------

    async def _verdict(self) -> StepEnd:
        """Time is up: failed where the old system is there, unknown where nobody is."""
        late = f"nothing answers on port {self._step.port} after {self._step.timeout:g} s"
        if await self._old_answers():
            seen = await glance(self._work, self._job, ANSWER_TIMEOUT)
            if not isinstance(seen, Result):
                self._state, self._log = seen
            return self._failed(f"{late}, and the old system still runs")
        if self._elsewhere:
            return self._failed(f"{late}: the host was started anew, but into a system with SSH")
        return StepEnd("unknown", self._told("SB521", f"{late}, and nobody answers SSH"))

    def _failed(self, why: str) -> StepEnd:
        return StepEnd("failed", self._told("SB520", why))

    def _told(self, code: str, why: str) -> Diagnostic:
        rows = [(f"port {self._step.port}", self._silence or "it is the one that answered before")]
        if self._refusal is not None:
            rows.append(("ssh", self._refusal.summary))
        if self._state:
            rows.append(("script", self._state))
        if self._log.strip():
            rows.append(("log", tail(self._log)))
        hints = {
            "SB520": "nothing was lost: see what the script said, then run the same command again",
            "SB521": "look at the machine's console; if it comes up after all, run the same command again",
        }
        return Diagnostic(
            code,
            f"{self._step.title}: {why}",
            host=self._work.host,
            evidence=tuple(rows),
            hints=(hints[code],),
        )


def _is_new(before: Greeting | str, now: Greeting) -> bool:
    return isinstance(before, str) or bool(now.key and now.key != before.key)
