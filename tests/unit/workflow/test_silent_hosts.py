"""Hosts without SSH: asked on the driver's port, believed nothing, called assumptions everywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import BaseModel

from sealboot.drivers.base import Api, Context, Slot, Wants
from sealboot.engine.context import SecretStore
from sealboot.model.arch import Arch
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.facts import fingerprint
from sealboot.model.host import Host, Inventory
from sealboot.model.plan import Action, Plan, Wave
from sealboot.model.secret import Redactor, Secret, SecretRef
from sealboot.model.steps import Run, Succeeds
from sealboot.render import jsondoc
from sealboot.transport.base import Greeting
from sealboot.transport.fake import FakeConnector
from sealboot.workflow.planning import make
from sealboot.workflow.preflight import Candidates, preflight
from sealboot.workflow.prepare import Prepared
from sealboot.workflow.survey import Survey, survey

PORT = 50000
REFUSED = Diagnostic("SB201", "cp1 cannot be reached: connection refused", host="cp1")
MAINTENANCE = Greeting("a2V5", "h2")
CONFIGURED = Greeting("a2V5", "h2", wants_certificate=True)


class NoOptions(BaseModel):
    pass


class Api50000:
    """A driver whose hosts answer on a port, and which has one step on the controller for each."""

    name: ClassVar[str] = "api"
    roles: ClassVar[tuple[str, ...]] = ("node",)
    default_role: ClassVar[str] = "node"
    Options: ClassVar[type[BaseModel]] = NoOptions
    on: ClassVar[str] = "controller"

    def slots(self, inventory: Inventory, options: BaseModel) -> tuple[Slot, ...]:
        del inventory, options
        return ()

    def wants(self, host: Host, options: BaseModel) -> Wants:
        del host, options
        return Wants()

    def checks(self, ctx: Context) -> tuple[Diagnostic, ...]:
        del ctx
        return ()

    def waves(self, ctx: Context) -> tuple[Wave, ...]:
        steps = tuple(
            Run(
                id=f"do/{host.name}",
                host=host.name,
                title="do",
                script="true",
                on="controller" if self.on == "controller" else "host",
                check=Succeeds("grep -q BEGIN key" if self.on == "controller" else "true"),
                files={"key": "{{ secret.key }}"} if self.on == "controller" else {},
                file_secrets=("key",) if self.on == "controller" else (),
            )
            for host in ctx.reached
        )
        return (Wave("w", "w", steps),)

    def api(self, host: Host, options: BaseModel) -> Api:
        del host, options
        return Api(PORT)

    def secrets(self, options: BaseModel) -> Mapping[str, SecretRef]:
        del options
        return {"key": SecretRef("env", "KEY")}


class OnHosts(Api50000):
    on: ClassVar[str] = "host"


def prepared(driver: Api50000, arch: Arch | None = Arch.ARM64) -> Prepared:
    host = Host("cp1", "10.0.0.11", "node", arch=arch)
    inventory = Inventory("inventory.yaml", ".", "lab", "api", None, (host,))
    return Prepared(inventory, driver, NoOptions(), (), (host,))


async def look(
    made: Prepared, seen: Greeting | str | None, refused: Diagnostic = REFUSED
) -> tuple[Survey, FakeConnector]:
    connector = FakeConnector({"cp1": refused})
    if seen is not None:
        connector.greetings["cp1", PORT] = seen
    return await survey(made, connector, jobs=2, timeout=5, sink=lambda _: None), connector


@pytest.mark.parametrize(("seen", "state"), [(MAINTENANCE, "maintenance"), (CONFIGURED, "configured")])
async def test_its_architecture_is_an_assumption_and_says_so(seen: Greeting, state: str) -> None:
    found, _ = await look(prepared(Api50000()), seen)
    facts = found.facts["cp1"]
    assert (facts.kernel_arch, facts.assumed, found.sessions) == (Arch.ARM64, True, {})
    assert facts.observed == {"api": state, "api.key": "a2V5", "api.alpn": "h2"}
    (told,) = found.diagnostics
    assert (told.code, told.severity) == ("SB210", Severity.NOTE)
    assert f"({state})" in told.summary
    assert any("is an assumption" in note for note in told.notes)
    assert ("key", "SHA256:a2V5") in told.evidence


async def test_without_an_architecture_nobody_can_say_it() -> None:
    found, _ = await look(prepared(Api50000(), None), MAINTENANCE)
    assert found.facts == {}
    assert [d.code for d in found.diagnostics] == ["SB211"]


@pytest.mark.parametrize("code", ["SB202", "SB203", "SB204"])
async def test_only_silence_is_asked_about_elsewhere(code: str) -> None:
    """Another host key is no host without SSH: a fake connector fails when it is asked at all."""
    found, _ = await look(prepared(Api50000()), None, Diagnostic(code, "no", host="cp1"))
    assert [d.code for d in found.diagnostics] == [code]


async def test_a_driver_without_such_hosts_asks_nobody() -> None:
    made = prepared(Api50000())
    plain = type("Plain", (), {k: v for k, v in vars(Api50000).items() if k != "api"})
    found, _ = await look(replace(made, driver=plain()), None)
    assert [d.code for d in found.diagnostics] == ["SB201"]


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ("no answer", "no answer"),
        (Greeting("a2V5", "http/1.1"), "what answers there is not the API"),
    ],
)
async def test_what_is_not_the_api_is_told_beside_the_refusal(seen: Greeting | str, said: str) -> None:
    found, _ = await look(prepared(Api50000()), seen)
    (told,) = found.diagnostics
    assert (told.code, told.evidence) == ("SB201", ((f"port {PORT}", said),))
    assert found.facts == {}


async def test_the_report_of_check_shows_it() -> None:
    made = prepared(Api50000())
    found, _ = await look(made, MAINTENANCE)
    report = preflight(made, found, Candidates({}, {}, ())).report
    assert [(row.status, row.arch, row.assumed) for row in report.hosts] == [("ok", "arm64", True)]
    document = jsondoc.check(report)
    assert document["hosts"][0]["assumed"] is True
    assert json.dumps(document)


async def test_another_key_makes_no_plan_stale_and_another_state_does() -> None:
    """An honest machine shows another key as soon as it gets one more address."""
    one, _ = await look(prepared(Api50000()), MAINTENANCE)
    later, _ = await look(prepared(Api50000()), Greeting("b3RoZXI=", "h2"))
    configured, _ = await look(prepared(Api50000()), CONFIGURED)
    made = [fingerprint(found.facts["cp1"]) for found in (one, later, configured)]
    assert made[0] == made[1] != made[2]
    told = [found.diagnostics[0].evidence for found in (one, later)]
    assert told[0] != told[1], "whoever compares it with the console is shown the one of now"


async def planned(
    driver: Api50000, key: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> object:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = prepared(driver)
    found, _ = await look(made, CONFIGURED)
    known = {} if key is None else {"key": Secret(key)}
    return await make(
        made,
        found,
        preflight(made, found, Candidates({}, {}, ())),
        sink=lambda _: None,
        secrets=lambda: SecretStore(Redactor(), known),
    )


async def test_steps_on_the_controller_are_asked_there_and_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for key, action in (("BEGIN", Action.NONE), ("else", Action.CHANGE), (None, Action.CHANGE)):
        plan = await planned(Api50000(), key, monkeypatch, tmp_path)
        assert isinstance(plan, Plan)
        assert [p.action for w in plan.waves for p in w.steps] == [action]
    assert list(tmp_path.iterdir()) == []


async def test_a_step_on_a_host_without_ssh_is_a_bug_of_the_driver(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = await planned(OnHosts(), "BEGIN", monkeypatch, tmp_path)
    assert isinstance(found, tuple)
    assert [d.code for d in found] == ["SB910"]
