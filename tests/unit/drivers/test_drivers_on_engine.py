"""Both drivers' steps through the real engine, on this very machine's shell: first apply, second apply, repair."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from driver_kit import Cluster, program
from test_sealos_driver import SEALCTL

from sealboot.drivers.base import Context
from sealboot.engine.observe import observe
from sealboot.engine.options import ApplyOptions
from sealboot.engine.run import Engine
from sealboot.engine.shell import node_paths
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.events import Event
from sealboot.model.host import BecomeSettings, Host, Inventory
from sealboot.model.outcome import HostOutcome
from sealboot.model.plan import Observation, Plan
from sealboot.model.report import ApplyReport
from sealboot.model.secret import Redactor
from sealboot.model.steps import Step
from sealboot.plan.build import make_plan
from sealboot.plan.planfile import dumps
from sealboot.transport.local import LocalSession

NO_BECOME = BecomeSettings(method="none")


def local(name: str, role: str, folder: Path) -> Host:
    return Host(name, "127.0.0.1", role, become=NO_BECOME, paths={"state": str(folder / f"state {name}")})


def shipped(path: Path, text: str) -> Artifact:
    path.write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return replace(program("x", Arch.AMD64), path=str(path), size=len(text.encode()), sha256=digest)


def context(made: Cluster, file: Artifact, *limit: str) -> Context:
    ctx = made.context(limit)
    return replace(ctx, chosen=dict.fromkeys(ctx.chosen, file))


async def plan_of(made: Cluster, ctx: Context, *ids: str) -> Plan:
    """The plan of all waves, or of the named ones alone."""
    assert not [d for d in made.driver.checks(ctx) if d.severity == "error"]
    waves = [wave for wave in made.driver.waves(ctx) if not ids or wave.id in ids]
    seen: dict[str, Observation] = {}
    for host in ctx.selected:
        steps: list[Step] = [step for wave in waves for step in wave.of(host.name)]
        session = LocalSession(host)
        answer = await observe(session, steps, node_paths(made.inventory.name, host))
        await session.close()
        assert not isinstance(answer, Diagnostic), answer
        seen |= answer
    plan = make_plan(made.inventory, waves, seen, ctx.facts, hosts=[h.name for h in ctx.selected])
    assert isinstance(plan, Plan), plan
    return plan


async def applied(made: Cluster, ctx: Context, *ids: str) -> tuple[Plan, ApplyReport]:
    plan = await plan_of(made, ctx, *ids)
    sessions = {host.name: LocalSession(host) for host in ctx.selected}
    events: list[Event] = []
    try:
        report = await Engine().apply(
            plan,
            sessions,
            hosts={host.name: host for host in ctx.selected},
            facts=ctx.facts,
            sink=events.append,
            options=ApplyOptions(),
            redactor=Redactor(),
        )
    finally:
        for session in sessions.values():
            await session.close()
    return plan, report


def outcomes(report: ApplyReport) -> Mapping[str, HostOutcome]:
    return {row.host: row.outcome for row in report.hosts}


def phases(folder: Path) -> list[dict[str, Any]]:
    here = f"{folder}/{{{{ host.name }}}}"
    token = f"printf 'tok-%s' 0123456789abcdef >'{folder}/s1/token'"
    return [
        {
            "name": "ship",
            "steps": [
                {"run": f"mkdir -p '{here}'", "creates": here, "become": "false"},
                {
                    "upload": {
                        "artifact": "tool", "dest": f"{here}/tool", "smoke": '"$1" version', "expects": "tool 1"
                    },
                    "become": "false",
                },
            ],
        },
        {
            "name": "server",
            "roles": "server",
            "once": "true",
            "steps": [
                {"run": token, "creates": f"{here}/token", "become": "false"},
                {"wait": {"file": f"{here}/token"}, "become": "false", "timeout": "5s"},
                {"capture": {"run": f"cat '{here}/token'", "into": "join", "pattern": "tok-[0-9a-f]+"}, "become": "false"},
            ],
        },
        {
            "name": "agents",
            "roles": "agent",
            "steps": [
                {"write": {"dest": f"{here}/token", "content": "t: {{ secret.join }}\n"}, "become": "false"},
                {
                    "run": {"script": f'"{here}/tool" join "$T" >"{here}/joined"', "env": {"T": "{{ secret.join }}"}},
                    "creates": f"{here}/joined",
                    "become": "false",
                },
                {"remove": f"{here}/old", "become": "false"},
            ],
        },
    ]  # fmt: skip


async def test_phases_from_nothing_to_nothing_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    hosts = (local("s1", "server", tmp_path), local("a1", "agent", tmp_path), local("a2", "agent", tmp_path))
    made = Cluster(
        Inventory(
            "i", ".", "lab", "phases", None, hosts, {"tool": ("x",)}, {"phases": phases(folder)}
        ),
        dict.fromkeys(("s1", "a1", "a2"), Arch.AMD64),
    )  # fmt: skip
    tool = '#!/bin/sh\ncase $1 in version) echo tool 1;; join) echo "joined with $2";; esac\n'
    ctx = context(made, shipped(tmp_path / "tool", tool))

    plan, report = await applied(made, ctx)
    assert report.diagnostics == ()
    assert set(outcomes(report).values()) == {HostOutcome.CHANGED}
    assert report.sent == 3 * len(tool)
    assert (folder / "a2/joined").read_text() == "joined with tok-0123456789abcdef\n"
    assert (folder / "a1/token").read_text() == "t: tok-0123456789abcdef\n"
    assert (folder / "a1/token").stat().st_mode & 0o777 == 0o600
    assert b"tok-0123" not in dumps(plan)

    second, report = await applied(made, ctx)
    assert (second.changes, report.changed, report.sent) == (0, 0, 0)
    assert set(outcomes(report).values()) == {HostOutcome.OK}

    (folder / "a1/token").chmod(0o644)
    (folder / "a2/old").write_text("x")
    third, report = await applied(made, ctx)
    assert [p.step.id for w in third.waves for p in w.steps if p.action in {"~", "+", "-"}] == [
        "agents/a1/1-write",
        "agents/a2/3-remove",
    ]
    assert outcomes(report) == {"s1": HostOutcome.OK, "a1": HostOutcome.CHANGED, "a2": HostOutcome.CHANGED}
    assert (folder / "a1/token").stat().st_mode & 0o777 == 0o600


async def test_sealos_from_nothing_to_nothing_to_do(tmp_path: Path) -> None:
    hosts_file = tmp_path / "hosts"
    hosts_file.write_text("127.0.0.1 localhost\n::1 localhost # ours\n10.9.9.9 sealos.hub")
    folder = tmp_path / "plain"
    node = Host(
        "n",
        "10.0.0.2",
        "node",
        become=NO_BECOME,
        paths={"data": str(folder), "state": str(folder / "own"), "binary": str(folder / "my bin")},
    )
    inventory = Inventory(
        "i", ".", "lab", "sealos", None, (Host("m", "10.0.0.1", "master"), node), options={"hosts_file": str(hosts_file)}
    )  # fmt: skip
    made = Cluster(inventory, {"m": Arch.AMD64, "n": Arch.AMD64})
    version = SEALCTL.replace("hostname)", 'version) echo \'{"platform":"linux/amd64"}\' ;;\nhostname)')
    ctx = context(made, shipped(tmp_path / "sealctl", version), "n")

    _, report = await applied(made, ctx)
    assert report.diagnostics == ()
    assert outcomes(report) == {"n": HostOutcome.CHANGED}
    entries = {tuple(line.split()[:2]) for line in hosts_file.read_text().splitlines()}
    assert entries >= {
        ("127.0.0.1", "localhost"),
        ("::1", "localhost"),
        ("10.0.0.1", "sealos.hub"),
        ("10.103.97.2", "apiserver.cluster.local"),
        ("10.0.0.2", "lvscare.node.ip"),
    }
    assert ("10.9.9.9", "sealos.hub") not in entries

    second, report = await applied(made, ctx)
    assert (second.changes, report.changed, report.sent) == (0, 0, 0)
    assert outcomes(report) == {"n": HostOutcome.OK}

    foreign = version.replace("linux/amd64", "linux/arm64")
    before = (folder / "my bin/sealctl").read_bytes()
    _, report = await applied(made, context(made, shipped(tmp_path / "sealctl", foreign), "n"))
    assert outcomes(report) == {"n": HostOutcome.FAILED}
    assert (folder / "my bin/sealctl").read_bytes() == before


#: What k3s v1.36.2 prints: the name of its own file, whatever that is, then its release and its compiler's.
K3S = """#!/bin/sh
[ "$*" = --version ] || exit 1
echo "${0##*/} version @ (af977adf)"
echo "go version go1.26.4"
"""


async def test_k3s_passes_its_smoke_test_under_the_name_that_it_is_staged_with(tmp_path: Path) -> None:
    binary = tmp_path / "bin"
    binary.mkdir()
    host = replace(
        local("s1", "server", tmp_path), paths={"binary": str(binary), "state": str(tmp_path / "s")}
    )
    inventory = Inventory("i", ".", "lab", "k3s", "v1.36.2+k3s1", (host,))
    made = Cluster(inventory, {"s1": Arch.AMD64})
    ctx = context(made, shipped(tmp_path / "k3s", K3S.replace("@", "v1.36.2+k3s1")))
    _, report = await applied(made, ctx, "ship")
    assert report.diagnostics == ()
    assert outcomes(report) == {"s1": HostOutcome.CHANGED}
    assert (binary / "k3s").exists()
    for other in ("v1.36.2+k3s10", "v1.36.3+k3s1"):
        ctx = context(made, shipped(tmp_path / "k3s", K3S.replace("@", other)))
        _, report = await applied(made, ctx, "ship")
        assert "SB503" in {d.code for d in report.diagnostics}, other
        assert outcomes(report) == {"s1": HostOutcome.FAILED}
