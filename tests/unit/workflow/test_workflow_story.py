"""Survey, preflight and planning over scripted and local sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from fit_kit import facts_of

from sealboot.lab.tinyelf import make as tiny
from sealboot.model.arch import Arch
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.events import Event, FactsGathered, Found, StageStarted
from sealboot.model.facts import Facts, Space
from sealboot.model.plan import Action, Plan
from sealboot.transport.base import Result, Session
from sealboot.transport.fake import FakeConnector, FakeSession, failed
from sealboot.transport.local import LocalSession
from sealboot.workflow.planning import in_place, make
from sealboot.workflow.preflight import Preflight, candidates, preflight
from sealboot.workflow.prepare import Prepared, prepare
from sealboot.workflow.survey import Survey, survey

INVENTORY = """\
version: 1
cluster: {{name: lab, driver: phases}}
artifacts: {{tool: ["binaries/*"]}}
defaults: {{ssh: {{user: ops}}, become: {{method: none}}, paths: {{state: {state}}}}}
hosts:
  a: {{address: 127.0.0.1, role: x}}
  b: {{address: 127.0.0.2, role: x}}
  c: {{address: 127.0.0.3, role: x}}
phases:
  - name: ship
    steps:
      - upload: {{artifact: tool, dest: {dest}, smoke: '"$1"'}}
"""


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    (tmp_path / "binaries").mkdir()
    (tmp_path / "binaries" / "tool").write_bytes(tiny(Arch.AMD64, "x"))
    text = INVENTORY.format(state=tmp_path / "state", dest=tmp_path / "live" / "tool")
    (tmp_path / "inventory.yaml").write_text(text)
    made = prepare([str(tmp_path / "inventory.yaml")])
    assert isinstance(made, Prepared), made
    return made


def roomy(name: str, folder: Path, arch: Arch = Arch.AMD64, free: int = 1 << 30) -> Facts:
    space = Space(
        str(folder), str(folder), True, "ext4", "/", frozenset({"rw"}), free, 1 << 40, writable=True
    )
    return replace(
        facts_of(arch, name), spaces=(space,), uid=1000, user="ops", machine_id=name, hostname=name
    )


def surveyed(
    *facts: Facts, found: tuple[Diagnostic, ...] = (), sessions: Mapping[str, Session] | None = None
) -> Survey:
    return Survey({f.host: f for f in facts}, sessions or {}, found)


class OneHangs(FakeConnector):
    """`a` answers only after every other host was probed; `b` is refused."""

    def __init__(self, sessions: dict[str, Session | Diagnostic]) -> None:
        super().__init__(sessions)
        self.others_done = asyncio.Event()

    async def connect(self, name: str) -> Session | Diagnostic:
        if name == "a":
            await self.others_done.wait()
        return await super().connect(name)


async def test_a_hanging_host_delays_nobody(prepared: Prepared) -> None:
    hosts = {h.name: h for h in prepared.selected}
    c = LocalSession(hosts["c"])
    silent = FakeSession("a").expect(lambda _: True, Result("timeout", None, b"", b""), times=None)
    connector = OneHangs({"a": silent, "b": Diagnostic("SB204", "login refused", host="b"), "c": c})
    events: list[Event] = []

    def sink(event: Event) -> None:
        events.append(event)
        if isinstance(event, FactsGathered):
            connector.others_done.set()

    seen = await asyncio.wait_for(survey(prepared, connector, jobs=8, timeout=20, sink=sink), 30)
    await connector.close()
    assert set(seen.facts) == set(seen.sessions) == {"c"}
    assert [(d.code, d.host) for d in seen.diagnostics] == [("SB310", "a"), ("SB204", "b")]  # inventory order
    assert all(d.at is not None and d.at.file.endswith("inventory.yaml") for d in seen.diagnostics)
    assert silent.closed
    told = [e.diagnostic.host for e in events if isinstance(e, Found)]
    assert told == ["b", "a"]  # as they happened
    assert {e.host for e in events if isinstance(e, StageStarted) and e.stage == "connect"} == {"a", "b", "c"}


async def test_jobs_bound_the_connections(prepared: Prepared) -> None:
    refused = {n: Diagnostic("SB201", "no", host=n) for n in ("a", "b", "c")}
    most = now = 0

    class Counting(FakeConnector):
        async def connect(self, name: str) -> Session | Diagnostic:
            nonlocal most, now
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1
            return await super().connect(name)

    seen = await survey(prepared, Counting(refused), jobs=1, timeout=5, sink=lambda _: None)
    assert most == 1
    assert [d.host for d in seen.diagnostics] == ["a", "b", "c"]


def looked(prepared: Prepared, seen: Survey, present: frozenset[str] = frozenset()) -> Preflight:
    return preflight(prepared, seen, candidates(prepared), present=present)


def test_statuses_and_who_is_ready(prepared: Prepared, tmp_path: Path) -> None:
    seen = surveyed(
        roomy("a", tmp_path),
        roomy("b", tmp_path, Arch.ARM64),
        found=(Diagnostic("SB201", "no route", host="c"),),
    )
    found = looked(prepared, seen)
    assert [(r.host, r.status) for r in found.report.hosts] == [
        ("a", "ok"),
        ("b", "failed"),
        ("c", "not-reached"),
    ]
    assert [h.name for h in found.ready] == ["a"]
    assert [h.name for h in found.context.selected] == ["a"]
    assert [h.name for h in found.context_all.selected] == ["a", "b", "c"]
    assert {(d.code, d.host) for d in found.report.diagnostics} >= {("SB201", "c")}
    assert [d.code for d in found.report.diagnostics if d.host == "b"] != []
    assert found.report.hosts[1].arch == "arm64"


async def test_space_is_not_wanted_for_what_is_there_already(prepared: Prepared, tmp_path: Path) -> None:
    small = surveyed(*(roomy(n, tmp_path, free=10) for n in "abc"))
    found = looked(prepared, small)
    assert {d.host for d in found.report.diagnostics if d.code == "SB301"} == {"a", "b", "c"}
    live = tmp_path / "live" / "tool"
    live.parent.mkdir()
    live.write_bytes((tmp_path / "binaries" / "tool").read_bytes())
    live.chmod(0o755)
    sessions: dict[str, Session] = {h.name: LocalSession(h) for h in prepared.selected}
    small = replace(small, sessions=sessions)
    present = await in_place(prepared, small, found)
    for session in sessions.values():
        await session.close()
    assert len(present) == 3
    again = looked(prepared, small, present)
    assert [d for d in again.report.diagnostics if d.code == "SB301"] == []
    assert [h.name for h in again.ready] == ["a", "b", "c"]


async def test_where_space_is_enough_nobody_is_asked(prepared: Prepared, tmp_path: Path) -> None:
    seen = surveyed(*(roomy(n, tmp_path) for n in "abc"))  # no sessions: a question would be a KeyError
    assert await in_place(prepared, seen, looked(prepared, seen)) == frozenset()


async def test_a_plan_is_what_the_hosts_do_not_have(prepared: Prepared, tmp_path: Path) -> None:
    sessions: dict[str, Session] = {h.name: LocalSession(h) for h in prepared.selected}
    seen = surveyed(*(roomy(n, tmp_path) for n in "abc"), sessions=sessions)
    events: list[Event] = []
    plan = await make(prepared, seen, looked(prepared, seen), sink=events.append)
    assert isinstance(plan, Plan)
    assert {p.action for w in plan.waves for p in w.steps} == {Action.CREATE}
    assert {e.host for e in events if isinstance(e, StageStarted)} == {"a", "b", "c"}
    assert not (tmp_path / "live").exists()
    assert not (tmp_path / "state").exists()
    (tmp_path / "live").mkdir()
    (tmp_path / "live" / "tool").write_bytes((tmp_path / "binaries" / "tool").read_bytes())
    (tmp_path / "live" / "tool").chmod(0o755)
    plan = await make(prepared, seen, looked(prepared, seen), sink=events.append)
    assert isinstance(plan, Plan)
    assert plan.changes == 0
    for session in sessions.values():
        await session.close()


async def test_a_host_that_stops_answering_leaves_no_plan(prepared: Prepared, tmp_path: Path) -> None:
    hosts = {h.name: h for h in prepared.selected}
    broken = FakeSession("b").expect(lambda _: True, failed(1), times=None)
    sessions: dict[str, Session] = {"a": LocalSession(hosts["a"]), "b": broken, "c": LocalSession(hosts["c"])}
    seen = surveyed(*(roomy(n, tmp_path) for n in "abc"), sessions=sessions)
    events: list[Event] = []
    lost = await make(prepared, seen, looked(prepared, seen), sink=events.append)
    assert isinstance(lost, tuple)
    assert [d.host for d in lost] == ["b"]
    assert [e.diagnostic for e in events if isinstance(e, Found)] == list(lost)
    for session in sessions.values():
        await session.close()
