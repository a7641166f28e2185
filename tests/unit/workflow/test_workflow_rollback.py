"""What of a driver's desired state a rollback is: the kept programs, and the steps that depend on them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sealboot.drivers.base import Context
from sealboot.model.arch import Arch
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.facts import Facts
from sealboot.model.plan import Wave
from sealboot.model.steps import FileIs, Run, Service, ServiceIs, WaitFor
from sealboot.transport.base import Result
from sealboot.transport.fake import Call, FakeSession, failed, ok
from sealboot.workflow.prepare import Prepared, prepare
from sealboot.workflow.rollback import Former, KeptById, is_kept, programs
from sealboot.workflow.survey import Survey

NEW, OLD, OTHER = "e" * 64, "0d" * 32, "aa" * 32
K3S = {"ctl1": {"address": "10.0.0.1", "role": "server"}, "ctl2": {"address": "10.0.0.2", "role": "server"}}


def facts(name: str) -> Facts:
    arch = Arch.AMD64
    return Facts(name, "x86_64", arch, arch, 64, "little", frozenset({arch}), page_size=4096)


def prepared(folder: Path, **tree: object) -> Prepared:
    path = folder / "inventory.yaml"
    base = {"version": 1, "cluster": {"name": "lab", "driver": "k3s"}, "hosts": K3S}
    path.write_text(json.dumps({**base, **tree}))
    made = prepare([str(path)])
    assert isinstance(made, Prepared), made
    return made


def host(name: str, kept: Mapping[str, str], told: Mapping[str, str]) -> FakeSession:
    """A host that answers by the path of the program: hashes, and what it says of its version."""

    def rolled(call: Call) -> Result:
        answer = kept.get(call.args[0], "")
        return ok(answer.encode()) if answer else failed(10, b"no previous file is kept\n")

    def version(call: Call) -> Result:
        return ok(next((text for part, text in told.items() if part in call.args[1]), "").encode())

    session = FakeSession(name)
    session.expect("sb_taken=", rolled, times=None)
    session.expect("head -c 4096", version, times=None)
    return session.expect("sb_known", lambda call: ok(f"{OTHER}\n".encode()), times=None)


def former(made: Prepared, sessions: Mapping[str, FakeSession], *named: str) -> Former:
    slots = programs(made, named)
    assert isinstance(slots, tuple), slots
    seen = {name: facts(name) for name in sessions}
    survey = Survey(seen, sessions, ())
    return Former(made, survey, Context(made.inventory, made.options, made.selected, seen, {}), slots)


def ids(waves: tuple[Wave, ...]) -> list[str]:
    return [step.id for wave in waves for step in wave.steps]


def names(waves: tuple[Wave, ...]) -> list[str]:
    return [name.rpartition("/")[2] for name in ids(waves)]


async def looked(one: Former) -> KeptById:
    kept, wrong = await one.look()
    assert wrong == ()
    return kept


async def test_k3s_restarts_its_servers_one_after_the_other(tmp_path: Path) -> None:
    path, old = "/usr/local/bin/k3s", f"previous/x/{OLD}"
    told = {
        path: "k3s version v1.37.0+k3s1 (x)\ngo version go1.25.1\n",
        old[-64:]: "k3s version v1.36.3+k3s1\n",
    }
    sessions = {n: host(n, {path: f"{NEW} {OLD} 755 \n"}, told) for n in ("ctl1", "ctl2")}
    made = former(prepared(tmp_path), sessions)
    kept = await looked(made)
    assert [(k.live, k.target, k.mode, k.done) for k in kept.values()] == [(NEW, OLD, "755", False)] * 2
    waves = made.waves(kept)
    assert [(w.id, w.title, w.parallel) for w in waves] == [
        ("ship", "Put back k3s", None),
        ("first-server", "Start the first server", None),
        ("servers", "Join the other servers", 1),
    ]
    back = waves[0].steps[0]
    assert isinstance(back, Run)
    assert back.title == f"put back k3s v1.36.3+k3s1, {OLD[:12]}"
    assert OLD in back.script
    services = [s for w in waves[1:] for s in w.steps if isinstance(s, Service)]
    assert [s.host for s in services] == ["ctl1", "ctl2"]
    assert all(isinstance(s, (Service, WaitFor)) for w in waves[1:] for s in w.steps)
    assert waves[1].steps[0] == services[0], "what is before the service is no part of this"
    # The stamp is the one that the service had while the former program ran: who never restarted stays.
    before = {s.id: s for w in made._waves({("ctl1", "k3s"): OLD, ("ctl2", "k3s"): OLD}) for s in w.steps}
    for service in services:
        asked = before[service.id].check
        assert isinstance(asked, ServiceIs)
        assert service.check == asked


@pytest.mark.parametrize("answer", [f"{OLD} {NEW} 755 taken\n", f"{OLD} {OLD} 755 \n"])
async def test_what_was_put_back_before_is_not_swapped_again(tmp_path: Path, answer: str) -> None:
    path = "/usr/local/bin/k3s"
    fresh = host("ctl1", {path: f"{NEW} {OLD} 755 \n"}, {})
    made = former(prepared(tmp_path), {"ctl1": fresh, "ctl2": host("ctl2", {path: answer}, {})})
    kept = await looked(made)
    assert {k.step.host: (k.target, k.done) for k in kept.values()} == {
        "ctl1": (OLD, False),
        "ctl2": (OLD, True),
    }
    # Its service is asked all the same: the run before may have been killed in front of the restart.
    assert "start/ctl2/service" in ids(made.waves(kept))


async def test_a_host_without_a_kept_file_is_told(tmp_path: Path) -> None:
    made = former(prepared(tmp_path), {"ctl1": host("ctl1", {}, {}), "ctl2": host("ctl2", {}, {})})
    kept, wrong = await made.look()
    assert kept == {}
    assert [(d.code, d.host, d.evidence) for d in wrong] == [("SB513", "ctl1", ()), ("SB513", "ctl2", ())]


PHASES: list[dict[str, Any]] = [
    {
        "name": "keys",
        "steps": [
            {"name": "key", "capture": {"run": "cat /etc/key", "into": "key"}},
            {"name": "unused", "capture": {"run": "cat /etc/other", "into": "unused"}},
        ],
    },
    {
        "name": "ship",
        "steps": [
            {"name": "a", "upload": {"artifact": "a", "dest": "/opt/a", "smoke": '"$1" version'}},
            {"name": "b", "upload": {"artifact": "b", "dest": "/opt/b", "smoke": '"$1"'}},
            {"name": "note", "write": {"dest": "/opt/a.conf", "content": "x\n"}},
            {"name": "reload", "run": {"script": "true", "env": {"KEY": "{{ secret.key }}"}}, "after": ["a"]},
            {"name": "again", "run": "true", "after": ["reload"]},
            {"name": "other", "run": "true", "after": ["b", "note"]},
            {"name": "svc-a", "service": {"name": "a", "restart_on": ["/opt/a", "/opt/b"]}},
            {"name": "svc-b", "service": {"name": "b", "restart_on": ["/opt/b"]}},
            {"name": "up", "wait": {"tcp": "127.0.0.1:80"}},
        ],
    },
]


def phases(folder: Path) -> Prepared:
    return prepared(
        folder,
        cluster={"name": "lab", "driver": "phases"},
        artifacts={"a": ["a*"], "b": ["b*"]},
        hosts={"n1": {"address": "10.0.0.1", "role": "node"}},
        phases=PHASES,
    )


async def test_phases_take_what_comes_after_the_upload(tmp_path: Path) -> None:
    session = host("n1", {"/opt/a": f"{NEW} {OLD} 755 \n", "/opt/b": f"{NEW} {OLD} 755 \n"}, {})
    made = former(phases(tmp_path), {"n1": session}, "a")
    kept = await looked(made)
    assert [k.step.slot for k in kept.values()] == ["a"]
    reads, wave = made.waves(kept)
    assert names((reads, wave)) == ["key", "a", "reload", "again", "svc-a", "up"]
    service = wave.steps[3]
    # What stays counts as it is on the host, so that the next apply finds nothing to restart.
    expected = made._waves({("n1", "a"): OLD, ("n1", "b"): OTHER})
    assert service == next(s for w in expected for s in w.steps if s.id == service.id)
    assert not any("/opt/b" in call.args for call in session.calls if "sb_taken" in call.script)


async def test_both_programs_and_their_followers(tmp_path: Path) -> None:
    answers = {"/opt/a": f"{NEW} {OLD} 755 \n", "/opt/b": f"{NEW} {OTHER} - \n"}
    made = former(phases(tmp_path), {"n1": host("n1", answers, {})})
    kept = await looked(made)
    reads, wave = made.waves(kept)
    assert names((reads, wave)) == ["key", "a", "b", "reload", "again", "other", "svc-a", "svc-b", "up"]
    other = wave.steps[4]
    assert [i.rpartition("/")[2] for i in other.only_after] == ["b"], "what is left out is not waited for"
    assert wave.title == "Put back a, b"
    assert [k.mode for k in kept.values()] == ["755", ""]


def test_which_programs(tmp_path: Path) -> None:
    made = phases(tmp_path)
    slots = programs(made, ["b"])
    assert isinstance(slots, tuple)
    assert [slot.name for slot in slots] == ["b"]
    unknown = programs(made, ["aa"])
    assert isinstance(unknown, Diagnostic)
    assert (unknown.code, unknown.hints) == ("SB639", ("did you mean `a`?",))
    none = programs(replace(made, slots=tuple(replace(s, tree=True) for s in made.slots)), ())
    assert isinstance(none, Diagnostic)
    assert none.code == "SB513"
    assert is_kept(replace(made.slots[0], executable=False))
    assert not is_kept(replace(made.slots[0], executable=False, kept=False))


def with_data(folder: Path, **part: object) -> Prepared:
    data = {"artifact": "c", "dest": "/etc/c", "executable": "false", "mode": "0644", **part}
    steps = [
        {"name": "a", "upload": {"artifact": "a", "dest": "/opt/a", "smoke": '"$1"'}},
        {"name": "c", "upload": data},
        {"name": "svc", "service": "a"},
    ]
    return prepared(
        folder,
        cluster={"name": "lab", "driver": "phases"},
        artifacts={"a": ["a*"], "c": ["c*"]},
        hosts={"n1": {"address": "10.0.0.1", "role": "node"}, "n2": {"address": "10.0.0.2", "role": "node"}},
        phases=[{"name": "ship", "steps": steps}],
    )


async def test_data_that_a_run_replaced_is_put_back(tmp_path: Path) -> None:
    answers = {"/opt/a": f"{NEW} {OLD} 755 \n", "/etc/c": f"{NEW} {OTHER} 640 \n"}
    made = former(with_data(tmp_path), {"n1": host("n1", answers, {})})
    kept = await looked(made)
    assert [(k.step.slot, k.target, k.mode) for k in kept.values()] == [
        ("a", OLD, "755"),
        ("c", OTHER, "640"),
    ]
    (wave,) = made.waves(kept)
    assert names((wave,)) == ["a", "c", "svc"]
    back = wave.steps[1]
    assert isinstance(back, Run)
    assert back.check == FileIs("/etc/c", OTHER, 0o640)


async def test_data_alone_is_put_back_where_it_is_named(tmp_path: Path) -> None:
    made = former(with_data(tmp_path), {"n1": host("n1", {"/etc/c": f"{NEW} {OTHER} 640 \n"}, {})}, "c")
    assert names(made.waves(await looked(made))) == ["c", "svc"]
    assert isinstance(programs(with_data(tmp_path, keep_previous="false"), ["c"]), Diagnostic)


async def test_data_that_no_run_replaced_stays_beside_a_program_that_goes_back(tmp_path: Path) -> None:
    made = former(with_data(tmp_path), {"n1": host("n1", {"/opt/a": f"{NEW} {OLD} 755 \n"}, {})})
    kept = await looked(made)
    (wave,) = made.waves(kept)
    assert names((wave,)) == ["a", "svc"]
    expected = made._waves({("n1", "a"): OLD, ("n1", "c"): OTHER})
    assert wave.steps[1] == next(s for w in expected for s in w.steps if s.id == wave.steps[1].id)


async def test_a_host_with_nothing_to_put_back_has_ways_around_it(tmp_path: Path) -> None:
    sessions = {"n1": host("n1", {}, {}), "n2": host("n2", {"/opt/a": f"{NEW} {OLD} 755 \n"}, {})}
    kept, wrong = await former(with_data(tmp_path), sessions).look()
    assert [k.step.host for k in kept.values()] == ["n2"]
    assert [(d.code, d.host) for d in wrong] == [("SB513", "n1")] * 2
    assert wrong[0].hints == (
        "leave the host out: `--limit '!n1'`, or `--ready-only`",
        "apply the former file: that is an upgrade in the other direction",
    )
    both = {"n1": host("n1", {"/etc/c": f"{NEW} {OTHER} 640 \n"}, {})}
    _, program = await former(with_data(tmp_path), both).look()
    assert program[0].hints == (
        "put back only what was replaced: `--slot c`",
        "apply the former file: that is an upgrade in the other direction",
    )
    _, alone = await former(with_data(tmp_path), {"n1": host("n1", {}, {})}, "a").look()
    assert alone[0].hints == ("apply the former file: that is an upgrade in the other direction",)
