"""Put back, on every host, the file that a run replaced, and restart what runs from it.

What has to happen is the driver's to say, so it is asked for the state it
desires with the kept program in the place of the chosen one. Its upload
becomes putting back; of its other steps those are kept that depend on which
program it is: services, what comes after them, and what comes after the upload.
Nothing else of the desired state is touched: a rollback is no apply.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from sealboot.drivers.base import Context, Slot
from sealboot.engine.rollback import ROLLBACK_TIMEOUT, Rollback, never_replaced, put_back, rollback
from sealboot.engine.shell import PRELUDE, NodePaths, node_paths
from sealboot.model.artifact import Artifact, Kind
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.events import Sink
from sealboot.model.names import closest
from sealboot.model.plan import Observation, Plan, Wave
from sealboot.model.steps import FileIs, ReadSecret, Run, Service, Step, Upload, WaitFor
from sealboot.plan.build import make_plan, secrets_used
from sealboot.transport.base import Session
from sealboot.workflow.planning import observed
from sealboot.workflow.prepare import Prepared
from sealboot.workflow.survey import Survey

#: Digits of a hash that people compare.
_SHORT = 12
#: Seconds in which a program must have told its version; it is asked for nothing else.
_VERSION_TIMEOUT = 20
_VERSION = PRELUDE + f'sb_within {_VERSION_TIMEOUT} /bin/sh -c "$1" sh "$2" </dev/null 2>&1 | head -c 4096\n'
_DIGEST = PRELUDE + '[ -f "$1" ] && sb_known "$1" "$2"\n'
_RELEASES = (
    re.compile(r"\bv\d+\.\d+\.\d+[\w.+-]{0,40}", re.ASCII),
    re.compile(r"\b\d+\.\d+[\w.+-]{0,40}", re.ASCII),
)
#: No file has this hash: a step that differs for it depends on which program it is.
_NO_FILE = "0" * 64


@dataclass(frozen=True, slots=True)
class Kept:
    """A program of a host: the one that is live, and the one that is to be (`target`), with their releases.

    `done` when it was put back before. Releases are empty where the program did not tell one.
    """

    step: Upload
    live: str
    target: str
    mode: str
    done: bool
    live_release: str = ""
    target_release: str = ""


KeptById: TypeAlias = Mapping[str, Kept]


def is_kept(slot: Slot) -> bool:
    """Whether what fills the slot is one file of which the former one is kept: a program, or data that is."""
    return (slot.executable or slot.kept) and not slot.tree


def programs(prepared: Prepared, named: Sequence[str]) -> tuple[Slot, ...] | Diagnostic:
    """The slots whose replaced files are kept; only those that are `named`, if any are."""
    slots = tuple(slot for slot in prepared.slots if is_kept(slot))
    known = [slot.name for slot in slots]
    for name in named:
        if name not in known:
            close = closest(name, known)
            hint = f"did you mean `{close}`?" if close else f"there are: {', '.join(known) or 'none'}"
            return Diagnostic(
                "SB639", f"no file that is kept for a rollback is called {name!r}", hints=(hint,)
            )
    if not slots:
        return Diagnostic(
            "SB513",
            f"this cluster of the driver `{prepared.inventory.driver}` has no file that is kept",
            hints=("root filesystems, images and disks are replaced by an apply with the former files",),
        )
    return tuple(slot for slot in slots if not named or slot.name in named)


class Former:
    """The rollback of one cluster, as far as it was looked at."""

    def __init__(self, prepared: Prepared, survey: Survey, context: Context, slots: Sequence[Slot]) -> None:
        self._prepared = prepared
        self._survey = survey
        self._context = context
        self._slots = {slot.name: slot for slot in slots}
        self._programs = tuple(slot for slot in prepared.slots if is_kept(slot))
        #: What is live of the programs that stay, by host and slot.
        self._live: dict[tuple[str, str], str] = {}

    async def look(self) -> tuple[KeptById, tuple[Diagnostic, ...]]:
        """What can be put back, by the id of its upload; and SB513 for what cannot. Reads only."""
        shipped = [s for wave in self._waves({}) for s in wave.steps if isinstance(s, Upload)]
        names = {slot.name for slot in self._programs} - set(self._slots)
        staying = [step for step in shipped if step.slot in names]
        digests = await asyncio.gather(*(self._digest(step) for step in staying))
        self._live = {(s.host, s.slot): digest for s, digest in zip(staying, digests, strict=True)}
        uploads = [step for step in shipped if step.slot in self._slots and step.keep_previous]
        answers = await asyncio.gather(*(self._kept(step) for step in uploads))
        kept = {step.id: a for step, a in zip(uploads, answers, strict=True) if isinstance(a, Kept)}
        unchanged = await self._data_that_stays(zip(uploads, answers, strict=True), kept)
        wrong = [
            _hinted(answer, kept)
            for step, answer in zip(uploads, answers, strict=True)
            if isinstance(answer, Diagnostic) and step.id not in unchanged
        ]
        seen = {step.host for step in uploads}
        wrong += [
            Diagnostic(
                "SB513",
                f"nothing that is shipped to {host.name} is kept for a rollback",
                host=host.name,
                hints=("apply the former files: that is an upgrade in the other direction",),
            )
            for host in self._context.reached
            if host.name not in seen and any(slot.wanted_by(host) for slot in self._slots.values())
        ]
        return kept, tuple(wrong)

    async def _data_that_stays(
        self, looked: Iterable[tuple[Upload, Kept | Diagnostic]], kept: KeptById
    ) -> frozenset[str]:
        """Data that no run replaced, on hosts where something else is put back: it is what it was then."""
        returning = {one.step.host for one in kept.values()}
        staying = [
            step
            for step, answer in looked
            if step.host in returning
            and isinstance(answer, Diagnostic)
            and never_replaced(answer)
            and not self._slots[step.slot].executable
        ]
        digests = await asyncio.gather(*(self._digest(step) for step in staying))
        self._live |= {(s.host, s.slot): digest for s, digest in zip(staying, digests, strict=True)}
        return frozenset(step.id for step in staying)

    async def plan(self, kept: KeptById, *, sink: Sink) -> Plan | tuple[Diagnostic, ...]:
        """The plan that puts these back."""
        waves = self.waves(kept)
        seen = await observed(self._prepared, self._survey, waves, sink=sink)
        if isinstance(seen, tuple):
            return seen
        for name, one in kept.items():
            if name in seen and seen[name].state != "same":
                seen[name] = Observation("differs", f"now {_shown(one.live_release, one.live)}")
        hosts = tuple(dict.fromkeys(one.step.host for one in kept.values()))
        return make_plan(
            self._prepared.inventory,
            waves,
            seen,
            self._survey.facts,
            hosts=hosts,
            provided=self._prepared.secrets,
        )

    def waves(self, kept: KeptById) -> tuple[Wave, ...]:
        """Of the desired state with the kept programs: putting them back, and what depends on them."""
        digests = {(one.step.host, one.step.slot): one.target for one in kept.values()}
        without = {step.id: step for wave in self._waves({}) for step in wave.steps}
        waves: list[Wave] = []
        taken: set[str] = set()
        every = self._waves(digests)
        for wave in every:
            served: set[str] = set()
            steps: list[Step] = []
            for step in wave.steps:
                if step.id in kept:
                    steps.append(self._back(kept[step.id]))
                elif _depends(step, without.get(step.id), taken) or (
                    isinstance(step, WaitFor) and step.host in served
                ):
                    steps.append(step)
                    served |= {step.host} if isinstance(step, Service) else set()
                else:
                    continue
                taken.add(step.id)
            slots = dict.fromkeys(kept[step.id].step.slot for step in steps if step.id in kept)
            title = f"Put back {', '.join(slots)}" if slots else wave.title
            waves.append(replace(wave, title=title, steps=tuple(steps)))
        return _tidy(every, waves, taken)

    # -- what the driver says ---------------------------------------------------------------------

    def _waves(self, digests: Mapping[tuple[str, str], str]) -> tuple[Wave, ...]:
        """The desired state with these programs, by host and slot; others are files that nobody has.

        Programs that are not put back are the ones that are live: what runs from both stays right.
        """
        chosen = dict(self._context.chosen)
        for host in self._context.reached:
            for slot in self._programs:
                if slot.wanted_by(host):
                    key = (host.name, slot.name)
                    digest = digests.get(key) or self._live.get(key) or _NO_FILE
                    chosen[key] = Artifact(f"the former {slot.name}", Kind.ELF, sha256=digest)
        return self._prepared.driver.waves(replace(self._context, chosen=chosen))

    def _back(self, one: Kept) -> Run:
        step = one.step
        paths = self._paths(step.host)
        return Run(
            id=step.id,
            host=step.host,
            title=f"put back {step.slot} {_shown(one.target_release, one.target)}",
            timeout=ROLLBACK_TIMEOUT,
            become=step.become,
            check=FileIs(step.dest, one.target, int(one.mode, 8) if one.mode else None),
            script=put_back(step.dest, paths, one.target),
        )

    # -- what the hosts say -----------------------------------------------------------------------

    def _paths(self, host: str) -> NodePaths:
        inventory = self._prepared.inventory
        return node_paths(inventory.name, inventory.host(host))

    async def _digest(self, step: Upload) -> str:
        """The hash of what is live; empty where nothing is, or it cannot be said."""
        stamp = self._paths(step.host).stamp(step.dest)
        session = self._survey.sessions[step.host]
        result = await session.run(
            _DIGEST, args=(step.dest, stamp), become=step.become, timeout=ROLLBACK_TIMEOUT
        )
        return result.text.strip() if result.ok else ""

    async def _kept(self, step: Upload) -> Kept | Diagnostic:
        session, paths = self._survey.sessions[step.host], self._paths(step.host)
        seen = await rollback(session, step.dest, paths, dry=True, become=step.become)
        if isinstance(seen, Diagnostic):
            return seen
        former = f"{paths.previous(step.dest)}/{seen.after}"
        places = (step.dest,) if _is_back(seen) else (step.dest, former)
        told = await asyncio.gather(*(_release(session, step, place) for place in places))
        if _is_back(seen):
            return Kept(step, seen.before, seen.before, "", True, told[0], told[0])
        return Kept(step, seen.before, seen.after, seen.mode, False, told[0], told[1])


def _hinted(finding: Diagnostic, kept: KeptById) -> Diagnostic:
    """The same finding with the ways around a host, or a file, that has nothing to put back."""
    if not never_replaced(finding):
        return finding
    slots = dict.fromkeys(one.step.slot for one in kept.values())
    own = {one.step.slot for one in kept.values() if one.step.host == finding.host}
    hints = (
        [f"put back only what was replaced: `{' '.join(f'--slot {slot}' for slot in slots)}`"] if own else []
    )
    if any(one.step.host != finding.host for one in kept.values()):
        hints.append(f"leave the host out: `--limit '!{finding.host}'`, or `--ready-only`")
    hints.append("apply the former file: that is an upgrade in the other direction")
    return replace(finding, hints=tuple(hints))


def _is_back(seen: Rollback) -> bool:
    """Whether it was put back already, by a run that came to its end or by one that was killed there."""
    return seen.again or seen.state == "same"


def _depends(step: Step, without: Step | None, taken: set[str]) -> bool:
    if taken & set(step.only_after):
        return True
    return isinstance(step, Service) and step != without


def _tidy(every: Iterable[Wave], waves: Iterable[Wave], taken: set[str]) -> tuple[Wave, ...]:
    """Add the reads of secrets that are used, drop what is left without steps, and references to it."""
    used = {name for wave in waves for step in wave.steps for name in secrets_used(step)}
    readers = {
        step.id: step
        for wave in every
        for step in wave.steps
        if isinstance(step, ReadSecret) and step.into in used and step.id not in taken
    }
    made: list[Wave] = []
    for before, wave in zip(every, waves, strict=True):
        kept = {step.id: step for step in wave.steps}
        steps = [kept.get(s.id) or readers[s.id] for s in before.steps if s.id in kept or s.id in readers]
        known = taken | set(readers)
        tidied = (replace(s, only_after=tuple(i for i in s.only_after if i in known)) for s in steps)
        made.append(replace(wave, steps=tuple(tidied)))
    return tuple(wave for wave in made if wave.steps)


async def _release(session: Session, step: Upload, path: str) -> str:
    """The release that a program tells when it is smoke-tested; empty where it tells none."""
    if not step.smoke:
        return ""
    limit = _VERSION_TIMEOUT + 10.0
    result = await session.run(_VERSION, args=(step.smoke, path), become=step.become, timeout=limit)
    for form in _RELEASES:
        found = form.search(result.text)
        if found:
            return found[0].rstrip(".")
    return ""


def _shown(release: str, digest: str) -> str:
    return f"{release}, {digest[:_SHORT]}" if release else digest[:_SHORT]
