"""Sealos clusters with root filesystems, made of values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from driver_kit import MACHINES, Cluster, compare, facts_of

from sealboot.drivers.base import Context
from sealboot.drivers.options import validate
from sealboot.model.arch import Arch
from sealboot.model.archive import Image, Programs, Rootfs
from sealboot.model.artifact import Artifact, Elf, Kind, Segment
from sealboot.model.host import Host, Inventory
from sealboot.model.plan import Plan
from sealboot.model.tree import Packed, Program, Tree

__all__ = [
    "CTL",
    "CTL2",
    "NODE",
    "PI",
    "PI2",
    "STORE",
    "Whole",
    "compare",
    "outline",
    "tree_artifact",
    "whole",
]

CTL = Host("ctl1", "10.0.0.11", "master")
CTL2 = Host("pictl2", "10.0.0.12", "master")
NODE = Host("box01", "10.0.0.20", "node", vars={"env_DATADISK": "/data"})
PI = Host("pi01", "10.0.0.21", "node")
PI2 = Host("pi02", "10.0.0.22", "node")
STORE = Host("store", "10.0.0.31", "registry")


def program(path: str, arch: Arch, *, align: int = 1 << 16, defect: str = "") -> Program:
    """One program of a tree, sound unless `defect` says otherwise."""
    load = Segment(1, 5, 0, 0x400000, 100, 100, align)
    elf = Elf(
        *(64, "little", MACHINES[arch][1], 2, 0, 0, arch, 0x400040), segments=(load,), end=100, defect=defect
    )
    return Program(path, elf)


def tree_artifact(
    arch: Arch,
    *,
    release: str = "1",
    served: str = "1",
    images: Sequence[Image] = (),
    programs: Sequence[Program] = (),
) -> Artifact:
    """A packed root filesystem; another `release` has other programs, `served` says what its registry has."""
    digest = (release + arch.value.encode().hex()).ljust(64, "0")
    listed = Packed("/cache/registry.tar", served.rjust(64, "a"), 4000) if images else None
    # What every registry has, and what this one has alone.
    blobs = [Packed(f"/cache/{n}.blob", n.ljust(64, "b"), 70) for n in ("0", served)] if images else []
    own = tuple(programs) or (program("bin/kubelet", arch), program("opt/sealctl", arch))
    tree = Tree(
        "tree", {}, Packed(f"/cache/{arch}.tar", digest, 3000), listed, own, tuple(images), tuple(blobs)
    )
    platform = f"linux/{arch}"
    found = Rootfs(sealos=True, files=2, programs=(Programs(platform, 2, ("opt/sealctl",)),))
    return Artifact(f"rootfs/{arch}", Kind.DIRECTORY, 3000, digest, (platform,), (found, tree))


@dataclass(frozen=True)
class _Given:
    """What every host gets, unless it is named."""

    artifacts: Mapping[str, Artifact]
    observed: Mapping[str, Mapping[str, str]]


class Whole(Cluster):
    """A cluster whose hosts get packed trees; hosts called `pi...` are arm64."""

    given = _Given({}, {})

    def context(self, limit: Sequence[str] = ()) -> Context:
        """As the driver would get it: every host has the tools, and no runtime of its own."""
        options = validate(self.driver, self.inventory)
        assert not isinstance(options, tuple), options
        selected = tuple(h for h in self.inventory.hosts if not limit or h.name in limit)
        both = (Image("pause:3.9", ("linux/amd64", "linux/arm64")),)
        chosen = {
            (h.name, "rootfs"): self.given.artifacts.get(
                h.name, tree_artifact(self.arches[h.name], images=both)
            )
            for h in self.inventory.hosts
        }
        there = {
            "sealos.tools": "tar\nbash\nsha256sum\nfind\nmktemp",
            "sealos.runtime": "",
            "sealos.node": "",
        }
        facts = {
            h.name: replace(
                facts_of(h.name, self.arches[h.name]),
                hostname=h.name,
                observed={**there, **self.given.observed.get(h.name, {})},
            )
            for h in selected
        }
        return Context(self.inventory, options, selected, facts, chosen)


def whole(
    *hosts: Host,
    options: Mapping[str, Any] | None = None,
    release: str | None = "v1.29.9",
    artifacts: Mapping[str, Artifact] | None = None,
    observed: Mapping[str, Mapping[str, str]] | None = None,
) -> Whole:
    """A cluster of these hosts with root filesystems."""
    own = {"lvscare_image": "sealos.hub:5000/lvscare:v5"} if options is None else options
    inventory = Inventory(
        "inventory.yaml",
        ".",
        "lab",
        "sealos",
        release,
        hosts,
        artifacts={"rootfs": ("rootfs/*",)},
        options=own,
    )
    arches = {h.name: Arch.ARM64 if h.name.startswith("pi") else Arch.AMD64 for h in hosts}
    made = Whole(inventory, arches)
    made.given = _Given(artifacts or {}, observed or {})
    return made


def outline(plan: Plan) -> list[str]:
    """A plan's waves and steps, a line each, without those that have nothing to do."""
    lines = []
    for wave in plan.waves:
        steps = [f"  {p.action} {p.step.id}: {p.step.title}" for p in wave.steps if p.action != "="]
        how = "at once" if wave.parallel is None else "in turn"
        lines += [f"{wave.id} ({how})", *steps] if steps else []
    return lines
