"""A rollback as the operator reads it: the job on the engine, its finding rendered, against a reviewed page."""

from __future__ import annotations

import os
from pathlib import Path

from driver_kit import GOLDEN
from k0s_host import Folder

from sealboot.engine.options import ApplyOptions
from sealboot.engine.run import Engine
from sealboot.model.host import BecomeSettings, Host
from sealboot.model.outcome import HostOutcome
from sealboot.model.plan import Action, Plan, PlannedStep, PlannedWave
from sealboot.model.report import ApplyReport
from sealboot.model.secret import Redactor
from sealboot.model.steps import Run, Succeeds
from sealboot.render.findings import lines
from sealboot.transport.local import LocalSession

OLD, NEW = "v1.29.9+k0s.0", "v1.30.2+k0s.0"
CONFIG = "spec: {}\n"


async def applied(folder: Folder, check: str, script: str) -> ApplyReport:
    host = Host(
        "c1",
        "127.0.0.1",
        "controller",
        become=BecomeSettings(method="none"),
        paths={"state": str(folder.root / "state")},
    )
    step = Run(
        id="run/c1/k0s",
        host="c1",
        title=f"run k0s {NEW} as k0scontroller, and keep the previous one until it is well",
        timeout=60.0,
        become=False,
        check=Succeeds(check, become=False),
        script=script,
        detached=True,
    )
    plan = Plan("lab", "k0s", (PlannedWave("first", "Run", (PlannedStep(step, Action.CHANGE),)),), ("c1",))
    session = LocalSession(host)
    try:
        return await Engine().apply(
            plan,
            {"c1": session},
            hosts={"c1": host},
            facts={},
            sink=lambda _: None,
            options=ApplyOptions(),
            redactor=Redactor(),
        )
    finally:
        await session.close()


async def test_a_rollback_is_shown_with_its_reason_and_what_runs_again(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "host")
    old, new = folder.k0s(OLD), folder.k0s(NEW, "sick")
    folder.stage(old, CONFIG)
    before = folder.target(old, OLD, config=CONFIG)
    assert folder.run(before.script).returncode == 0
    folder.stage(new, CONFIG)
    target = folder.target(new, NEW, config=CONFIG)
    report = await applied(folder, folder.here(target.done), folder.here(target.script))
    assert [row.outcome for row in report.hosts] == [HostOutcome.FAILED]
    (finding,) = report.diagnostics
    text = "".join(f"{line.plain.rstrip()}\n" for line in lines(finding, 300))
    text = text.replace(str(folder.root), "").replace(before.sha256, "<sha256 of the old k0s>")
    page = GOLDEN / "k0s-rollback.txt"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        page.write_text(text)
    assert page.read_text() == text, "if the change is wanted: UPDATE_GOLDEN=1"
    assert folder.live == old
