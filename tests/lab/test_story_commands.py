"""The other commands on real machines: saved plans, trust, locks, facts, and controllers that die or meet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from labkit.keys import generate
from labkit.lab import Lab
from labkit.machines import Node
from labkit.project import Project, until_event

from sealboot.lab import tinyelf
from sealboot.model.arch import Arch

pytestmark = pytest.mark.timeout(300)

KINDS = ("amd64", "arm64", "riscv64", "s390x")
AGENT = "/usr/local/bin/agent"


def agent(arch: Arch, version: str = "1") -> bytes:
    return tinyelf.make(arch, f"agent {version} for {arch.value}\n")


def phases(*more: dict[str, Any]) -> dict[str, Any]:
    """Ship the program, write a file that depends on the machine, run the program once."""
    install = {
        "name": "install",
        "steps": [
            {
                "upload": {
                    "artifact": "agent",
                    "dest": AGENT,
                    "smoke": '"$1"',
                    "expects": "for {{ host.arch }}",
                }
            },
            {"directory": "/etc/agent"},
            {"write": {"dest": "/etc/agent/node.conf", "content": "{{ host.name }} {{ host.arch }}\n"}},
            {"run": f"{AGENT} > /etc/agent/joined", "creates": "/etc/agent/joined"},
        ],
    }
    return {"phases": [install, *more]}


@pytest.fixture
def project(lab: Lab, tmp_path: Path) -> Iterator[Project]:
    """Machines of four architectures, two byte orders, and a program for each of seven."""
    with lab.fresh(*KINDS) as nodes:
        made = Project(lab, tmp_path / "project", nodes)
        _settle(made)
        for arch in tinyelf.supported():
            made.put(f"agent-{arch.value.replace('/', '')}", agent(arch))
        yield made


def _settle(project: Project, *more: dict[str, Any]) -> None:
    project.inventory(driver="phases", artifacts={"agent": ["binaries/agent-*"]}, extra=phases(*more))


def _done(project: Project, node: Node) -> bool:
    wanted = f"{node.name} {node.arch.value}\nagent 1 for {node.arch.value}\n"
    return project.on(node, f"cat /etc/agent/node.conf /etc/agent/joined; {AGENT} >/dev/null") == wanted


#: The first machine waits here until the test lets it go on, so that a run is caught in the middle.
GATE: dict[str, Any] = {
    "name": "gate",
    "steps": [
        {"directory": "/etc/gate"},
        {
            "run": "mkdir -p /run/gate; until [ -e /run/gate/open ]; do sleep 1; done; echo yes > /etc/gate/passed",
            "creates": "/etc/gate/passed",
            "timeout": "90s",
        },
    ],
}


def _open_gate(project: Project) -> None:
    for node in project.nodes:
        project.on(node, "mkdir -p /run/gate; touch /run/gate/open")


def test_phases_on_every_architecture_and_a_plan_that_was_saved(project: Project) -> None:
    untouched = project.listings()
    planned = project.run("plan", "-o", "saved.plan")
    assert planned.code == 0, planned.told
    assert planned.document["summary"]["changes"] == 4 * len(KINDS)
    assert project.run("plan", "--detailed-exitcode").code == 10
    assert project.differences(untouched) == ""

    applied = project.run("apply", "saved.plan")
    assert applied.code == 0, applied.told
    assert all(_done(project, node) for node in project.nodes)
    settled = project.listings()

    # The plan was made for what the machines were before.
    stale = project.run("apply", "saved.plan")
    assert (stale.code, stale.codes) == (1, {"SB504"}), stale.told
    again = project.run("apply", "--yes")
    assert (again.code, again.document["summary"]["bytes_sent"]) == (0, 0), again.told
    assert project.run("plan", "--detailed-exitcode").code == 0
    assert project.differences(settled) == ""


def test_what_machines_say_about_themselves(project: Project) -> None:
    untouched = project.listings()
    facts = project.run("facts")
    assert facts.code == 0, facts.told
    found = {row["host"]: row["kernel_arch"] for row in facts.document["hosts"]}
    assert found == {node.name: node.arch.value for node in project.nodes}
    details = project.run("facts", "--details", format="plain")
    assert details.code == 0
    for node in project.nodes:
        assert node.name in details.out

    shown = project.run("inventory", "show")
    assert shown.code == 0, shown.told
    rows = {(row["host"], row["setting"]): row["value"] for row in shown.document["rows"]}
    for node in project.nodes:
        assert rows[node.name, "address"] == node.address

    locks = project.run("lock", "status")
    assert [row["lock"] for row in locks.document["rows"]] == ["free"] * len(KINDS)
    assert project.differences(untouched) == ""


def test_an_unknown_key_is_refused_until_it_is_recorded_and_a_swapped_one_for_good(project: Project) -> None:
    known = project.folder / "known_hosts"
    true_keys = known.read_text()
    known.unlink()
    untouched = project.listings()

    for command in (("check",), ("apply", "--yes"), ("facts",)):
        refused = project.run(*command)
        assert (refused.code, refused.codes) == (8, {"SB203"}), refused.told
    # Nobody is there to compare fingerprints, and nobody said yes.
    assert project.run("trust").code == 5
    assert not known.exists()

    trusted = project.run("trust", "--yes", format="plain")
    assert trusted.code == 0, trusted.told
    recorded = [line.split()[1:3] for line in known.read_text().splitlines() if not line.startswith("#")]
    assert sorted(recorded) == sorted(line.split()[1:3] for line in true_keys.splitlines())
    assert project.run("check").code == 0

    victim, impostor = project.nodes[0], generate().public
    known.write_text(known.read_text().replace(victim.host_key, impostor))
    for options in ((), ("--yes",), ("--yes", "--accept-new", "--ready-only")):
        refused = project.run("apply" if options else "check", *options, "--limit", victim.name)
        assert (refused.code, refused.codes) == (8, {"SB202"}), refused.told
    # A changed key is never recorded unasked.
    assert project.run("trust", victim.name, "--yes").code == 8
    assert impostor in known.read_text()
    assert project.differences(untouched) == ""


def test_a_killed_controller_leaves_no_lock_and_the_same_command_finishes(project: Project) -> None:
    _settle(project, GATE)
    with project.running("apply", "--yes") as first:
        until_event(first, "WaveStarted", title="gate")
        held = project.run("lock", "status")
        assert "free" not in {row["lock"] for row in held.document["rows"]}, held.told

        # A second one meanwhile is refused, and tells whose turn it is.
        second = project.run("apply", "--yes")
        assert second.code == 5, second.told
        assert "SB505" in second.codes
        first.kill()
        first.wait()
    _open_gate(project)
    finished = project.run("apply", "--yes", "--lock-timeout", "30")
    assert finished.code == 0, finished.told
    assert finished.document["summary"]["bytes_sent"] == 0
    assert all(_done(project, node) for node in project.nodes)
    assert all(project.on(node, "cat /etc/gate/passed") == "yes\n" for node in project.nodes)
    locks = project.run("lock", "status")
    assert {row["lock"] for row in locks.document["rows"]} == {"free"}
    again = project.run("apply", "--yes")
    assert (again.code, again.document["summary"]["changed"]) == (0, 0), again.told
