"""Files under the names of k3s' releases, on machines for which other tools ship the wrong one without a word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fit_kit import artifact_of, facts_of

from sealboot.drivers.k3s import K3sDriver
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.lab.tinyelf import make
from sealboot.model.arch import Arch
from sealboot.model.host import Host, Inventory
from sealboot.plan.select import Selection, select

HOST = Host("node", "10.0.0.21", "server")
#: What a release calls its programs, and what they are for.
NAMES = {"k3s": Arch.AMD64, "k3s-arm64": Arch.ARM64, "k3s-armhf": Arch.ARM}


def chosen(folder: Path, arch: Arch, files: dict[str, Arch]) -> Selection:
    inventory = Inventory("i", ".", "lab", "k3s", None, (HOST,))
    slots = K3sDriver().slots(inventory, K3sOptions())
    offered = [artifact_of(folder, name, make(of, "k3s")) for name, of in files.items()]
    facts = facts_of(arch)
    facts = replace(facts, native=frozenset({arch}))
    return select(slots, [HOST], {"node": facts}, {"k3s": offered})


@pytest.mark.parametrize("name", NAMES)
def test_each_machine_gets_the_file_that_is_for_it_under_upstreams_names(name: str, tmp_path: Path) -> None:
    made = chosen(tmp_path, NAMES[name], NAMES)
    assert Path(made.chosen["node", "k3s"].path).name == name
    assert made.diagnostics == ()


@pytest.mark.parametrize("arch", [Arch.ARM64, Arch.ARM, Arch.RISCV64, Arch.S390X])
def test_a_file_that_is_missing_is_not_replaced_by_the_one_for_x86(arch: Arch, tmp_path: Path) -> None:
    """By other tools: `k3s-arm` is looked for and `k3s` taken, because upstream's name is `k3s-armhf`."""
    made = chosen(tmp_path, arch, {name: of for name, of in NAMES.items() if of is not arch})
    assert made.chosen == {}
    assert [d.code for d in made.diagnostics] == ["SB104"]


def test_an_x86_file_under_the_name_for_arm_is_refused_by_its_bytes(tmp_path: Path) -> None:
    made = chosen(tmp_path, Arch.ARM64, {"k3s-arm64": Arch.AMD64})
    assert made.chosen == {}
    assert "SB101" in {d.code for d in made.diagnostics}
