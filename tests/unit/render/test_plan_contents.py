"""What a plan shows of the files it writes, and of what it runs."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from hashlib import sha256

import pytest
from golden_kit import assert_golden
from render_kit import Screen

from sealboot.model.diagnostic import Location
from sealboot.model.plan import Action, Before, Plan, PlannedStep, PlannedWave
from sealboot.model.report import PlanReport
from sealboot.model.secret import Redactor, Secret
from sealboot.model.steps import ReadSecret, Run, Step, Upload, WaitFor, WriteFile
from sealboot.render import contents, jsondoc
from sealboot.render.masked import mask

OLD_UNIT = "[Unit]\nDescription=agent\n\n[Service]\nExecStart=/opt/agent --zone attic\nRestart=always\n"
NEW_UNIT = OLD_UNIT.replace("--zone attic", "--zone cellar --name {}") + "RestartSec=5\n"
AT = Location("inventory.yaml", 21, 9)


def hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def file(host: str, dest: str, content: str, name: str = "", **more: object) -> WriteFile:
    title = f"{name}: write {dest}" if name else f"write {dest}"
    made = WriteFile(id=f"{host}{dest}", host=host, title=title, dest=dest, content=content, at=AT)
    return replace(made, **more)  # type: ignore[arg-type]


def steps(host: str) -> tuple[PlannedStep, ...]:
    upload = Upload(
        id=f"{host}/up", host=host, title="ship-it: upload agent to /opt/agent", source="binaries/agent",
        sha256="cd" * 32, size=11_400_000, dest="/opt/agent", smoke='"$1" --version',
    )  # fmt: skip
    script = "set -eu\nsystemctl daemon-reload\nsystemctl try-restart agent\n"
    run = Run(id=f"{host}/run", host=host, title="run `systemctl daemon-reload` ...", script=script)
    secret = file(host, "/etc/agent/token", "token: {{ secret.join }}\n", secrets=("join",), mode=0o600)
    return (
        PlannedStep(upload, Action.CHANGE, f"sha256 {'ab' * 32}"),
        PlannedStep(file(host, "/etc/agent/agent.conf", "colour = green\n", "conf"), Action.CREATE),
        PlannedStep(file(host, "/etc/systemd/system/agent.service", NEW_UNIT.format(host)), Action.CHANGE, f"sha256 {hashed(OLD_UNIT)}"),
        PlannedStep(secret, Action.CREATE),
        PlannedStep(run, Action.CHANGE, "runs every time"),
    )  # fmt: skip


def report(hosts: int = 2, **before: Before) -> PlanReport:
    names = tuple(f"n{n}" for n in range(1, hosts + 1))
    wave = PlannedWave("ship", "agents", tuple(p for name in names for p in steps(name)))
    known = {f"{name}/etc/systemd/system/agent.service": Before(OLD_UNIT) for name in names}
    return PlanReport(Plan("lab", "phases", (wave,), names), before={**known, **before})


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("full", [False, True], ids=["short", "full"])
def test_golden(width: int, full: bool) -> None:
    screen = Screen(width)
    screen.view.plan(report(), full=full)
    assert_golden(f"render/plan-contents{'-full' if full else ''}.{width}.txt", screen.text)
    assert all(len(line) <= width for line in screen.text.splitlines())


def test_many_hosts_do_not_flood_the_plan() -> None:
    screen = Screen(80)
    screen.view.plan(report(40))
    assert screen.text.count("    n[1-40]\n") == 1
    assert "... 37 more that differ: --full" in screen.text
    assert len(screen.text.splitlines()) < 70


def one(
    step: Step, action: Action, detail: str = "", before: Before | None = None, *, full: bool = False
) -> str:
    screen = Screen(100)
    plan = Plan("lab", "phases", (PlannedWave("w", "w", (PlannedStep(step, action, detail),)),), (step.host,))
    screen.view.plan(PlanReport(plan, before={step.id: before} if before else {}), full=full)
    return screen.text


def test_what_is_there_and_is_not_shown_says_why() -> None:
    step = file("n1", "/etc/x", "new\n")
    text = one(step, Action.CHANGE, "sha256 " + "0" * 64, Before(why="it is no text"))
    assert "~ write /etc/x\n" in text
    new = hashed("new\n")[:12]
    assert f"(sha256 000000000000 -> {new}; what is there is not shown: it is no text)" in text
    assert "0" * 64 not in text


def test_a_long_file_is_cut_and_a_huge_one_told_by_its_hash() -> None:
    long = one(file("n1", "/x", "".join(f"line {n}\n" for n in range(60))), Action.CREATE)
    assert "+line 39\n" in long
    assert "+line 40\n" not in long
    assert "... 20 more lines: --full" in long
    huge = "y" * 70_000
    text = one(file("n1", "/x", huge), Action.CREATE, full=True)
    assert "(the new file has 68.4 KiB and is not shown)" in text
    changed = one(file("n1", "/x", huge), Action.CHANGE, "sha256 " + "0" * 64, Before("old\n"))
    assert f"(sha256 000000000000 -> {hashed(huge)[:12]}; the new file has" in changed
    wide = one(file("n1", "/x", "z" * 300 + "\n"), Action.CREATE)
    assert wide.replace("\n", "").replace(" ", "").count("z") == 300
    assert max(map(len, wide.splitlines())) <= 100


def test_a_destination_is_always_shown() -> None:
    step = Upload(
        id="u", host="n1", title="ship k3s", source="b", sha256="ab" * 32, size=1, dest="/usr/local/bin/k3s"
    )
    assert "+ ship k3s to /usr/local/bin/k3s  1 B" in one(step, Action.CREATE)


@pytest.mark.parametrize(
    ("step", "script"),
    [
        (Run(id="s", host="n1", title="t", script="set -eu\necho a\n"), "| echo a"),
        (ReadSecret(id="s", host="n1", title="t", script="cat /token", into="t"), "| cat /token"),
        (WaitFor(id="s", host="n1", title="t", kind="script", target="ping x"), "| ping x"),
        (Upload(id="s", host="n1", title="t", source="b", sha256="a", size=1, dest="/x", smoke='"$1" -v'), '| "$1" -v'),
    ],
)  # fmt: skip
def test_scripts_are_shown_where_all_is_asked_for(step: Step, script: str) -> None:
    assert script in one(step, Action.CHANGE, full=True)
    assert script not in one(step, Action.CHANGE)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("a\n", "b\n", ["@@ -1 +1 @@", "-a", "+b"]),
        ("a", "a\n", ["@@ -1 +1 @@", "-a", "\\ no newline at the end", "+a"]),
        ("", "a\n", ["@@ -0,0 +1 @@", "+a"]),
        ("a\x0cb\u2028c\n", "a\x0cb\u2028d\n", ["@@ -1 +1 @@", "-a\x0cb\u2028c", "+a\x0cb\u2028d"]),
        ("a\n", "a\n", []),
    ],
)
def test_diffs(old: str, new: str, expected: list[str]) -> None:
    changed = contents.change(PlannedStep(file("n1", "/x", new), Action.CHANGE), Before(old))
    assert changed == expected


def test_comparing_ends_soon_whatever_a_host_has() -> None:
    step = PlannedStep(file("n1", "/x", "a\nb\n" * 1000), Action.CHANGE)
    began = time.process_time()
    contents.change(step, Before("b\na\n" * 1000))
    assert contents.change(step, Before("\n" * 30_000)) is None
    assert time.process_time() - began < 5


def test_what_a_host_has_cannot_draw_on_the_screen() -> None:
    text = one(file("n1", "/x", "new\n"), Action.CHANGE, "sha256 " + "0" * 64, Before("\x1b[2J[red]\u202e\n"))
    assert "-\\x1b[2J[red]\\u202e" in text


def test_the_document_has_all_of_it() -> None:
    (wave,) = jsondoc.plan(report(1))["plan"]["waves"]
    upload, conf, unit, secret, run = wave["steps"]
    assert (upload["dest"], upload["mode"], upload["source"]) == ("/opt/agent", "0755", "binaries/agent")
    assert (upload["sha256"], upload["before"]) == ("cd" * 32, {"sha256": "ab" * 32})
    assert (conf["content"], conf["diff"]) == ("colour = green\n", "+colour = green\n")
    assert conf["at"] == {"file": "inventory.yaml", "line": 21, "column": 9}
    assert "-ExecStart=/opt/agent --zone attic\n+ExecStart" in unit["diff"]
    assert (secret["content"], "sha256" in secret) == ("token: {{ secret.join }}\n", False)
    assert run["script"].endswith("systemctl try-restart agent\n")


def test_a_known_secret_in_what_is_there_is_masked_everywhere() -> None:
    value = "hunter2hunter2"
    redactor = Redactor()
    redactor.learn(Secret(value))
    key = "n1/etc/systemd/system/agent.service"
    masked = mask(report(1, **{key: Before(f"{OLD_UNIT}# {value}\n")}), redactor)
    screen = Screen(120)
    screen.view.plan(masked, full=True)
    assert value not in screen.text + json.dumps(jsondoc.plan(masked))
    assert "-# " in screen.text
