"""A plan in numbers, for whoever shows it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sealboot.model.plan import Action, Plan


@dataclass(frozen=True, slots=True)
class Summary:
    """How many steps do what, how many hosts change, and how many artifact bytes go over the wire."""

    create: int = 0
    change: int = 0
    remove: int = 0
    depends: int = 0
    same: int = 0
    hosts_changed: int = 0
    hosts: int = 0
    upload_bytes: int = 0

    @property
    def acting(self) -> int:
        """Steps that will act for certain."""
        return self.create + self.change + self.remove


def summary(plan: Plan) -> Summary:
    """Count a plan's steps by action; a host counts as changed when a step on it acts for certain."""
    steps = [planned for wave in plan.waves for planned in wave.steps]
    count = Counter(planned.action for planned in steps)
    quiet = {Action.NONE, Action.DEPENDS}
    return Summary(
        create=count[Action.CREATE],
        change=count[Action.CHANGE],
        remove=count[Action.REMOVE],
        depends=count[Action.DEPENDS],
        same=count[Action.NONE],
        hosts_changed=len({p.step.host for p in steps if p.action not in quiet}),
        hosts=len(plan.hosts),
        upload_bytes=plan.upload_bytes,
    )
