"""From the bytes of k0s look-alikes to the plan: what is packed or damaged is in no step; a machine gets its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fit_kit import facts_of
from k0s_kit import C1, W1, k0s
from payload_kit import k0s_chain, k0s_zip, upx_like

from sealboot.artifacts import inspect
from sealboot.drivers.base import Context
from sealboot.drivers.k0s_node import release_of
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact
from sealboot.model.steps import Upload
from sealboot.plan.select import Selection, select

ARCHES = {"c1": Arch.AMD64, "W1": Arch.ARM64}
Make = Callable[[Arch], bytes]


def chain(arch: Arch) -> bytes:
    return b"".join(k0s_chain(arch))


def archive(arch: Arch) -> bytes:
    return b"".join(k0s_zip(arch))


def files(folder: Path, made: dict[str, bytes]) -> list[Artifact]:
    found = []
    for name, data in made.items():
        (folder / name).write_bytes(data)
        found.append(inspect(folder / name, name))
    return found


def matched(offered: list[Artifact]) -> tuple[Selection, dict[str, str]]:
    """The selection for an amd64 controller and an arm64 worker, and what their plan would send."""
    cluster = k0s(C1, W1)
    ctx = cluster.context()
    slots = tuple(s for s in cluster.driver.slots(cluster.inventory, ctx.options) if s.name == "k0s")
    facts = {name: replace(facts_of(arch), host=name) for name, arch in ARCHES.items()}
    selection = select(slots, cluster.inventory.hosts, facts, {"k0s": offered})
    context = Context(cluster.inventory, ctx.options, cluster.inventory.hosts, facts, selection.chosen)
    waves = cluster.driver.waves(context)
    return selection, {s.host: s.source for w in waves for s in w.steps if isinstance(s, Upload)}


@pytest.mark.parametrize("make", [chain, archive])
def test_each_machine_gets_its_own_whatever_it_is_called(make: Make, tmp_path: Path) -> None:
    offered = files(tmp_path, {"k0s-arm64": make(Arch.AMD64), "k0s-amd64": make(Arch.ARM64)})
    selection, sent = matched(offered)
    assert sent == {"c1": "k0s-arm64", "W1": "k0s-amd64"}
    assert {d.code for d in selection.diagnostics} == {"SB111"}, "the names lie, and that is told"
    assert release_of(offered[0]) in {"v1.35.1+k0s.0", "v1.36.1+k0s.0"}


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (lambda arch: upx_like(arch, k0s_chain(arch)[1]), "SB403"),
        (lambda arch: chain(arch) + b"\n", "SB403"),
        (lambda arch: chain(arch)[:-20], "SB403"),
        (lambda arch: archive(arch)[:-30], "SB403"),
        (lambda arch: k0s_chain(arch)[0], "SB403"),
        (lambda arch: chain(arch)[:100], "SB401"),
    ],
    ids=["packed", "stray byte", "truncated", "truncated archive", "stripped", "a header"],
)
def test_a_packed_or_damaged_one_reaches_no_host(broken: Make, code: str, tmp_path: Path) -> None:
    offered = files(tmp_path, {"k0s-amd64": chain(Arch.AMD64), "k0s-arm64": broken(Arch.ARM64)})
    selection, sent = matched(offered)
    assert sent == {"c1": "k0s-amd64"}
    assert code in {d.code for d in selection.diagnostics if d.severity == "error"}


def test_the_other_machines_k0s_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    selection, sent = matched(files(tmp_path, {"k0s-arm64": chain(Arch.AMD64)}))
    assert sent == {"c1": "k0s-arm64"}
    assert "SB101" in {d.code for d in selection.diagnostics}
