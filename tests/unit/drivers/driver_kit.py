"""Clusters made of values, and golden plans (`UPDATE_GOLDEN=1` writes them anew)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sealboot.drivers.base import Context, Driver, UsesSecrets
from sealboot.drivers.options import validate
from sealboot.drivers.registry import load_driver
from sealboot.inventory.load import load_inventory
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Elf, Kind
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.facts import Facts
from sealboot.model.host import Host, Inventory
from sealboot.model.plan import Observation, Plan
from sealboot.model.steps import Run, Step, Upload, WriteFile
from sealboot.plan.build import make_plan
from sealboot.workflow.drivers import known_drivers

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden" / "plans"

Observe = Callable[[Step], Observation]
KNOWN = known_drivers()
MACHINES = {Arch.AMD64: ("x86_64", 0x3E), Arch.ARM64: ("aarch64", 0xB7), Arch.ARM: ("armv7l", 0x28)}


def facts_of(name: str, arch: Arch) -> Facts:
    machine = MACHINES[arch][0]
    return Facts(
        name, machine, arch, arch, 64, "little", frozenset({arch}), page_size=4096, machine_id=f"id-{name}"
    )


def program(slot: str, arch: Arch) -> Artifact:
    elf = Elf(64, "little", MACHINES[arch][1], 2, 0, 0, arch)
    sha256 = (f"{len(slot):x}" + arch.value.encode().hex()).ljust(64, "0")
    return Artifact(f"binaries/{slot}-{arch}", Kind.ELF, 1000 + len(slot), sha256, (f"linux/{arch}",), (elf,))


def unpacked(data: Path) -> None:
    """A data directory in which k3s has unpacked itself."""
    (data / "data/current/bin").mkdir(parents=True, exist_ok=True)
    (data / "data/current/bin/k3s").touch()


class Cluster:
    """An inventory with facts and fitting files for all of its hosts."""

    def __init__(self, inventory: Inventory, arches: Mapping[str, Arch]) -> None:
        loaded = load_driver(inventory.driver)
        assert not isinstance(loaded, Diagnostic), loaded
        self.driver: Driver = loaded
        self.inventory = inventory
        self.arches = arches

    def context(self, limit: Sequence[str] = ()) -> Context:
        options = validate(self.driver, self.inventory)
        assert not isinstance(options, tuple), options
        chosen = {
            (host.name, slot.name): program(slot.name, self.arches[host.name])
            for slot in self.driver.slots(self.inventory, options)
            for host in self.inventory.hosts
            if slot.wanted_by(host)
        }
        selected = tuple(h for h in self.inventory.hosts if not limit or h.name in limit)
        facts = {h.name: facts_of(h.name, self.arches[h.name]) for h in selected}
        return Context(self.inventory, options, selected, facts, chosen)

    def plan(self, observe: Observe, limit: Sequence[str] = ()) -> Plan:
        ctx = self.context(limit)
        errors = [d for d in self.driver.checks(ctx) if d.severity == "error"]
        assert not errors
        waves = self.driver.waves(ctx)
        seen = {step.id: observe(step) for wave in waves for step in wave.steps if step.check is not None}
        secrets = self.driver.secrets(ctx.options) if isinstance(self.driver, UsesSecrets) else ()
        plan = make_plan(self.inventory, waves, seen, ctx.facts, provided=secrets)
        assert isinstance(plan, Plan), plan
        return plan


def example(name: str, arches: Mapping[str, Arch], hosts: Sequence[Host] = ()) -> Cluster:
    """A cluster of docs/examples, read as an operator's; `hosts` replaces those of the file."""
    inventory, found = load_inventory([str(ROOT / "docs/examples" / name)], stdin=None, drivers=KNOWN)
    assert inventory is not None, found
    assert found == ()
    return Cluster(replace(inventory, hosts=tuple(hosts) or inventory.hosts), arches)


def fresh(step: Step) -> Observation:
    """What an empty machine answers."""
    return Observation("differs", "") if isinstance(step, Run) else Observation("absent")


def done(_: Step) -> Observation:
    """What a finished machine answers."""
    return Observation("same")


#: Fields that most steps leave alone, so that a page tells only of those that do not.
_USUAL: tuple[tuple[str, object], ...] = (
    ("no_block", False),
    ("on", "host"),
    ("files", {}),
    ("file_secrets", ()),
)


def text_of(plan: Plan) -> str:
    """A plan as a page that people can review."""
    lines = [f"cluster {plan.cluster}, driver {plan.driver}, hosts {' '.join(plan.hosts)}"]
    for wave in plan.waves:
        width = "all hosts at once" if wave.parallel is None else f"{wave.parallel} at once"
        lines += ["", f"== {wave.id}: {wave.title} ({width})"]
        for planned in wave.steps:
            step = planned.step
            lines.append(
                f"{planned.action} {step.id}: {step.title}"
                + (f"  [{planned.detail}]" if planned.detail else "")
            )
            lines.append(
                f"    {type(step).__name__} timeout={step.timeout:g} become={step.become} after={list(step.only_after)}"
            )
            body: list[str] = [f"check: {step.check}"]
            if isinstance(step, Upload):
                body += [
                    f"from: {step.source} {step.size} bytes {step.sha256}",
                    f"to: {step.dest} {step.mode:o}",
                ]
                body += [f"smoke: {step.smoke.strip()} -> {list(step.smoke_expects)}"]
            elif isinstance(step, WriteFile):
                body += [
                    f"to: {step.dest} {step.mode:o} secrets={list(step.secrets)}",
                    *step.content.splitlines(),
                ]
            elif isinstance(step, Run):
                body += [f"fed: {step.feed}"] if step.feed else []
                body += [f"env: {dict(step.env)} {dict(step.env_secrets)}", *step.script.splitlines()]
            else:
                shared = {"id", "host", "title", "timeout", "become", "check", "only_after", "at", "type"}
                body += [
                    f"{field}: {getattr(step, field)!r}"
                    for field in step.__dataclass_fields__
                    if field not in shared and (field, getattr(step, field)) not in _USUAL
                ]
            lines += [f"    | {line}".rstrip() for line in body]
    return "\n".join(lines) + "\n"


def compare(name: str, plan: Plan) -> None:
    """Assert that a plan is the reviewed one."""
    path, text = GOLDEN / f"{name}.txt", text_of(plan)
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_text(text)
    assert path.read_text() == text, "if the change is wanted: UPDATE_GOLDEN=1"
