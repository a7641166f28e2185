"""The operator's own machine: what runs here, for steps that are done here."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sealboot.drivers.base import Slot, Wants
from sealboot.model.artifact import Artifact
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.facts import Facts
from sealboot.model.host import BecomeSettings, Host
from sealboot.plan.select import Selection
from sealboot.plan.select import select as select_artifacts
from sealboot.probe import gather
from sealboot.transport.local import LocalSession

#: Under this name the controller is spoken of; it is no host of any inventory.
CONTROLLER = Host("the controller", "localhost", "", become=BecomeSettings(method="none"))


async def controller_facts(slots: Sequence[Slot], *, timeout: float) -> Facts | None:  # noqa: ASYNC109 (the probe's own)
    """What this machine is, asked as any host is; `None` where no slot is for it, or it gives no answer."""
    tools = tuple(slot.name for slot in slots if slot.on == "controller" and slot.executable)
    if not any(slot.on == "controller" for slot in slots):
        return None
    session = LocalSession(CONTROLLER)
    try:
        async with asyncio.timeout(timeout):
            found = await gather(session, Wants(tools=tools), timeout=timeout, become="none")
    except TimeoutError:
        return None
    finally:
        await session.close()
    return None if isinstance(found, Diagnostic) else found


def select_here(
    slots: Sequence[Slot], facts: Facts | None, candidates: Mapping[str, Sequence[Artifact]]
) -> Selection:
    """The files for the slots that are on the controller, under the empty host name."""
    here = [replace(slot, on="host") for slot in slots if slot.on == "controller"]
    if facts is None or not here:
        return Selection()
    made = select_artifacts(here, (CONTROLLER,), {CONTROLLER.name: facts}, candidates)
    return Selection(
        {("", slot): artifact for (_, slot), artifact in made.chosen.items()},
        diagnostics=tuple(replace(d, host=None) for d in made.diagnostics),
    )
