from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from driver_kit import Cluster, fresh
from requires import shells

from sealboot.drivers.phases import PhasesDriver
from sealboot.drivers.shape import shape_check
from sealboot.model.arch import Arch
from sealboot.model.artifact import Kind
from sealboot.model.diagnostic import Diagnostic, Location, Severity
from sealboot.model.host import Host, Inventory
from sealboot.model.plan import Plan
from sealboot.model.steps import ABSENT, PathExists, Run, Service, Step, Succeeds, WaitFor, WriteFile
from sealboot.plan.build import make_plan

HOSTS = (
    Host("s1", "10.0.0.1", "server"),
    Host("s2", "fd00::2", "server"),
    Host("a1", "10.0.0.3", "agent", vars={"zone": "attic"}),
    Host("a2", "10.0.0.4", "agent"),
)
ARCHES = {"s1": Arch.AMD64, "s2": Arch.ARM64, "a1": Arch.ARM64, "a2": Arch.AMD64}


def cluster(*phases: dict[str, Any], origins: dict[str, Location] | None = None) -> Cluster:
    listed = [{"name": f"p{n}", **phase} for n, phase in enumerate(phases)]
    return Cluster(
        Inventory(
            "i.yaml", ".", "lab", "phases", "v2", HOSTS, {"tool": ("binaries/*",)}, {"phases": listed}, origins or {}
        ),
        ARCHES,
    )  # fmt: skip


def steps(made: Cluster, *limit: str) -> dict[str, Step]:
    waves = made.driver.waves(made.context(limit))
    return {step.id: step for wave in waves for step in wave.steps}


def complaints(made: Cluster, *limit: str) -> list[Diagnostic]:
    return list(made.driver.checks(made.context(limit)))


UPLOAD = {"upload": {"artifact": "tool", "dest": "/opt/tool", "smoke": '"$1" version'}}


def test_who_a_phase_is_for() -> None:
    made = cluster(
        {"steps": [{"remove": "/x"}]},
        {"roles": ["agent"], "steps": [{"remove": "/x"}]},
        {"hosts": ["?1", "!a*"], "steps": [{"remove": "/x"}]},
        {"hosts": "!s1", "roles": "server", "steps": [{"remove": "/x"}]},
        {"roles": ["agent"], "once": "true", "steps": [{"remove": "/x"}]},
    )
    who = {wave.id: wave.hosts for wave in made.driver.waves(made.context())}
    assert who == {
        "p0": ("s1", "s2", "a1", "a2"),
        "p1": ("a1", "a2"),
        "p2": ("s1",),
        "p3": ("s2",),
        "p4": ("a1",),
    }


def test_once_means_the_same_host_whatever_is_selected() -> None:
    made = cluster(
        {"roles": "server", "once": "true", "steps": [{"remove": "/x"}]}, {"steps": [{"remove": "/y"}]}
    )
    assert {s.host for s in steps(made, "s2", "a1").values()} == {"s2", "a1"}
    assert [w.id for w in made.driver.waves(made.context(["s2"]))] == ["p1"]


def test_serial_and_parallel() -> None:
    made = cluster(
        {"serial": "true", "steps": [{"remove": "/x"}]},
        {"parallel": "3", "steps": [{"remove": "/x"}]},
        {"steps": [{"remove": "/x"}]},
    )
    assert [wave.parallel for wave in made.driver.waves(made.context())] == [1, 3, None]


def test_slots_are_wanted_by_exactly_the_hosts_of_the_phases() -> None:
    data = {"upload": {"artifact": "tool", "dest": "/x", "executable": "false"}}
    made = cluster({"hosts": "a1", "steps": [UPLOAD]}, {"roles": "server", "steps": [UPLOAD]})
    (slot,) = made.driver.slots(made.inventory, made.context().options)
    assert (slot.name, slot.executable, slot.kinds) == ("tool", True, (Kind.ELF, Kind.SCRIPT))
    assert [h.name for h in HOSTS if slot.wanted_by(h)] == ["s1", "s2", "a1"]
    only_data = cluster({"steps": [data]})
    (slot,) = made.driver.slots(only_data.inventory, only_data.context().options)
    assert (slot.executable, set(slot.kinds)) == (False, set(Kind))


def test_each_host_gets_what_is_true_for_it() -> None:
    content = "{{ host.name }} {{ host.arch }} {{ host.url_host }} {{ first.server.address }} {{ count.agent }} {{ cluster.release }}"
    made = cluster({"steps": [{"write": {"dest": "/{{ host.name }}", "content": content}}]})
    written = {s.host: s for s in steps(made).values() if isinstance(s, WriteFile)}
    assert written["s2"].content == "s2 arm64 [fd00::2] 10.0.0.1 2 v2"
    assert written["a2"].content == "a2 amd64 10.0.0.4 10.0.0.1 2 v2"
    assert written["a2"].dest == "/a2"


def test_idempotence_of_scripts() -> None:
    made = cluster(
        {
            "hosts": "s1",
            "steps": [
                {"name": "both", "run": "x", "unless": "test -e /u", "creates": "/c d"},
                {"name": "creates", "run": "x", "creates": "/c"},
                {"name": "after", "run": {"script": "x\n", "expects": "ok"}, "after": ["both", "creates"]},
            ],
        }
    )
    found = steps(made)
    both, creates, after = found["p0/s1/both"], found["p0/s1/creates"], found["p0/s1/after"]
    assert both.check == Succeeds("[ -e '/c d' ] && exit 0\ntest -e /u")
    assert creates.check == PathExists("/c")
    assert (after.check, after.only_after) == (None, ("p0/s1/both", "p0/s1/creates"))
    assert isinstance(after, Run)
    assert (after.script, after.expects) == ("set -eu\nx\n", ("ok",))


def stamp(made: Cluster) -> str:
    (found,) = [s for s in steps(made, "s1").values() if isinstance(s, Service)]
    return found.stamp


def test_a_service_is_stamped_with_what_it_was_started_from() -> None:
    def with_unit(text: str, **service: Any) -> Cluster:
        unit = {"write": {"dest": "/u", "content": text}}
        return cluster({"steps": [UPLOAD]}, {"steps": [unit, {"service": {"name": "x", **service}}]})

    base = stamp(with_unit("one"))
    assert base == stamp(with_unit("one"))
    assert base == stamp(with_unit("one", restart_on="/u"))
    assert base != stamp(with_unit("two"))
    assert base != stamp(with_unit("one", restart_on=["/u", "/opt/tool"]))
    assert stamp(with_unit("one", restart_on=[])) == ""
    assert stamp(with_unit("one", state="stopped")) == ""
    (missing,) = complaints(with_unit("one", restart_on="/nowhere"), "s1")
    assert (missing.code, missing.evidence[0][1]) == ("SB605", "phases[1].steps[1].service.restart_on[0]")


def test_a_stopped_service_is_disabled_unless_said_otherwise() -> None:
    (step,) = steps(cluster({"steps": [{"service": {"name": "x", "state": "stopped"}}]}), "s1").values()
    assert isinstance(step, Service)
    assert (step.enabled, step.state) == (False, "stopped")


def test_waits() -> None:
    made = cluster(
        {
            "hosts": "s2",
            "steps": [
                {"wait": {"tcp": "{{ host.url_host }}:80"}, "timeout": "9s"},
                {"wait": {"run": "true", "interval": "100ms"}, "become": "false"},
                {"wait": {"http": "http://x/", "status": "204", "timeout": "7s"}},
                {"wait": {"file": "/run/x"}},
                {"wait": {"service": "x"}},
            ],
        }
    )
    found = [s for s in steps(made).values() if isinstance(s, WaitFor)]
    assert [(w.kind, w.target) for w in found] == [
        ("tcp", "[fd00::2]:80"),
        ("script", "true"),
        ("http", "http://x/"),
        ("file", "/run/x"),
        ("service", "x"),
    ]
    assert (found[2].timeout, found[3].timeout) == (7.0, 300.0)
    assert (found[0].timeout, found[1].interval, found[1].become, found[2].status) == (9.0, 0.1, False, 204)


CAPTURE = {"hosts": "s1", "steps": [{"capture": {"run": "cat /t", "into": "join"}}]}


def test_secrets_travel_by_name() -> None:
    use = {"run": {"script": 'x "$T"', "env": {"T": "{{ secret.join }}", "Z": "z"}}, "creates": "/x"}
    write = {"write": {"dest": "/t", "content": "t: {{ secret.join }}\n"}}
    found = steps(cluster(CAPTURE, {"roles": "agent", "steps": [use, write]}), "s1", "a1")
    run, file = found["p1/a1/1-run"], found["p1/a1/2-write"]
    assert isinstance(run, Run)
    assert isinstance(file, WriteFile)
    assert (dict(run.env), dict(run.env_secrets)) == ({"Z": "z"}, {"T": "join"})
    assert (file.content, file.secrets, file.mode) == ("t: {{ secret.join }}\n", ("join",), 0o600)


def test_a_secret_of_a_host_that_is_not_selected_is_missed_before_the_apply() -> None:
    made = cluster(
        CAPTURE, {"roles": "agent", "steps": [{"write": {"dest": "/t", "content": "{{ secret.join }}"}}]}
    )
    ctx = made.context(["a1"])
    waves = made.driver.waves(ctx)
    seen = {s.id: fresh(s) for w in waves for s in w.steps}
    result = make_plan(made.inventory, waves, seen, ctx.facts)
    assert isinstance(result, tuple)
    assert [d.code for d in result] == ["SB612"]
    assert isinstance(made.plan(fresh, ["s1", "a1"]), Plan)


@pytest.mark.parametrize(
    ("phase", "path", "text"),
    [
        ({"steps": [{"run": "{{ host.nmae }}", "creates": "/x"}]}, "run.script", "has no value"),
        ({"steps": [{"run": "x", "unless": "{{ vars.zone }}"}]}, "unless", "vars.zone"),
        ({"steps": [{"run": "x", "creates": "relative"}]}, "creates", "absolute"),
        ({"steps": [{"remove": "/var/lib/"}]}, "remove.path", "belongs to the system"),
        ({"steps": [{"remove": "/a/../etc"}]}, "remove.path", "absolute"),
        ({"steps": [{"write": {"dest": "/x", "content": "{{ secret.join }}", "mode": "0644"}}]}, "write.mode", "0600"),
        ({"steps": [{"write": {"dest": "/x", "content": "{{ secret.other }}"}}]}, "write.content", "no earlier phase"),
        ({"steps": [{"run": "x {{ secret.join }}", "creates": "/x"}]}, "run.script", "`run.env` only"),
        ({"steps": [{"run": {"script": "x", "env": {"A": "x{{ secret.join }}"}}, "creates": "/x"}]}, "run.env.A", "whole"),
        ({"steps": [{"upload": {"artifact": "tol", "dest": "/x", "smoke": "x"}}]}, "upload.artifact", "'tol'"),
        ({"steps": [{"capture": {"run": "x", "into": "two"}}]}, "capture.into", "once: true"),
        ({"hosts": "s1", "steps": [{"capture": {"run": "x", "into": "join"}}]}, "capture.into", "twice"),
        ({"steps": [{"wait": {"run": "a\0b"}}]}, "wait.run", "NUL"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_step_is_found_before_anything_is_changed(
    phase: dict[str, Any], path: str, text: str
) -> None:
    here = Location("i.yaml", 40, 3)
    found = complaints(cluster(CAPTURE, phase, origins={f"options.phases[1].steps[0].{path}": here}))
    assert [d.code for d in found] == ["SB605"]
    assert found[0].evidence == (("option", f"phases[1].steps[0].{path}"),)
    assert found[0].at == here
    assert text in found[0].summary


def test_one_mistake_is_one_finding_for_all_of_its_hosts() -> None:
    (found,) = complaints(cluster({"steps": [{"wait": {"run": "{{ host.nmae }}"}}]}))
    assert (found.host, found.also) == ("s1", ("s2", "a1", "a2"))


def test_warnings_do_not_stop() -> None:
    found = complaints(cluster({"roles": ["server", "agnet"], "steps": [{"run": "x"}]}))
    assert [(d.code, d.severity) for d in found] == [("SB606", Severity.WARNING), ("SB608", Severity.WARNING)]
    assert found[0].hints == ("did you mean `agent`?",)


def test_what_is_probed() -> None:
    made = cluster(
        {"roles": "agent", "steps": [UPLOAD, {"write": {"dest": "/{{ host.name }}/x", "content": ""}}]}
    )
    driver, options = PhasesDriver(), made.context().options
    assert driver.wants(HOSTS[2], options).directories == ("/opt",)
    assert driver.wants(HOSTS[0], options).directories == ()


def test_a_file_that_does_not_fit_is_left_to_the_selection() -> None:
    made = cluster({"steps": [UPLOAD]})
    ctx = made.context()
    bare = type(ctx)(ctx.inventory, ctx.options, ctx.selected, ctx.facts, {})
    assert (made.driver.waves(bare), made.driver.checks(bare)) == ((), ())


SHELLS = shells("sh", "bash", "busybox")
CONTENT = "user: x*y\ntoken: {{ secret.t }}\nagain='{{ secret.t }}'\n\n"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("text", "mode", "same"),
    [
        ("user: x*y\ntoken: abc'$(id)\nagain='abc'\n\n", 0o600, True),
        ("user: xzy\ntoken: abc\nagain='abc'\n\n", 0o600, False),
        ("user: x*y\ntoken: abc\nagain='abc'\n", 0o600, False),
        ("user: x*y\ntoken: \nagain=''\n\n", 0o600, False),
        ("user: x*y\ntoken: abc\nagain='abc'\n\n", 0o644, False),
        ("", 0o600, False),
        (None, 0o600, None),
    ],
)
def test_a_file_with_secrets_is_compared_by_its_shape(
    shell: list[str], text: str | None, mode: int, same: bool | None, tmp_path: Path
) -> None:
    path = tmp_path / "my file"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    script = shape_check(str(path), CONTENT, 0o600, ("t",))
    result = subprocess.run([*shell, "-c", script], capture_output=True, timeout=20, check=False)
    assert result.returncode == {True: 0, False: 1, None: ABSENT}[same]
    assert result.stderr == b""


def test_hosts_that_were_not_reached_are_left_to_the_probe() -> None:
    made = cluster({"steps": [{"write": {"dest": "/x", "content": "{{ host.arch }}"}}]})
    ctx = made.context()
    partly = replace(ctx, facts={name: facts for name, facts in ctx.facts.items() if name != "s2"})
    assert made.driver.checks(partly) == ()
    assert [wave.hosts for wave in made.driver.waves(partly)] == [("s1", "a1", "a2")]


def test_a_thousand_hosts_are_quick() -> None:
    hosts = tuple(Host(f"h{n}", f"10.1.{n // 250}.{n % 250}", "agent") for n in range(1000))
    step = {"write": {"dest": "/x", "content": "{{ host.name }} {{ first.agent.address }}"}}
    made = Cluster(
        Inventory(
            "i", ".", "lab", "phases", None, hosts, options={"phases": [{"name": "p", "steps": [step]}]}
        ),
        dict.fromkeys((h.name for h in hosts), Arch.ARM64),
    )
    began = time.process_time()
    assert made.plan(fresh).changes == 1000
    assert time.process_time() - began < 3.0


def without_init(made: Cluster, *names: str) -> list[Diagnostic]:
    ctx = made.context()
    facts = {n: replace(f, init="other" if n in names else "systemd") for n, f in ctx.facts.items()}
    return list(made.driver.checks(replace(ctx, facts=facts)))


@pytest.mark.parametrize(
    ("step", "key"),
    [
        ({"service": "etcd"}, "service"),
        ({"service": {"name": "etcd", "state": "stopped"}}, "service"),
        ({"wait": {"service": "etcd"}}, "wait"),
    ],
)
def test_a_service_is_missed_before_anything_is_sent(step: dict[str, Any], key: str) -> None:
    here = Location("i.yaml", 40, 3)
    made = cluster(
        {"hosts": "a1", "steps": [step]},
        {"roles": "server", "steps": [{"remove": "/x"}, step]},
        origins={f"options.phases[1].steps[1].{key}": here},
    )
    found = without_init(made, "s1", "s2", "a2")
    assert [(d.code, d.host, d.at, d.severity) for d in found] == [
        ("SB511", "s1", here, Severity.ERROR),
        ("SB511", "s2", here, Severity.ERROR),
    ]
    assert found[0].summary == "the service etcd needs systemd or OpenRC, and s1 runs neither"
    assert without_init(made) == []


def test_what_only_follows_from_a_missing_file_is_not_told_beside_it() -> None:
    made = cluster(
        {"steps": [UPLOAD, {"service": {"name": "x", "restart_on": ["/opt/tool"]}}]},
    )
    ctx = made.context()
    bare = replace(ctx, chosen={})
    assert made.driver.checks(bare) == ()
    (found,) = complaints(cluster({"steps": [{"service": {"name": "x", "restart_on": ["/opt/tool"]}}]}))
    assert "no earlier step puts a file there" in found.summary
    nameless = {"write": {"dest": "/{{ host.nmae }}", "content": ""}}
    wrong = complaints(cluster({"steps": [nameless, {"service": {"name": "x", "restart_on": ["/y"]}}]}))
    assert [d.evidence[0][1] for d in wrong] == ["phases[0].steps[0].write.dest"]


@pytest.mark.parametrize(
    ("step", "title"),
    [
        (UPLOAD, "upload tool to /opt/tool"),
        ({"name": "ship-it", **UPLOAD}, "ship-it: upload tool to /opt/tool"),
        ({"name": "conf", "write": {"dest": "/etc/x", "content": ""}}, "conf: write /etc/x"),
        ({"run": "etcdctl endpoint health", "creates": "/x"}, "run `etcdctl endpoint health`"),
        ({"run": "\n# why\nset -eu\numask 077\n  mkdir  -p /x\ntouch /x/y\n", "creates": "/x"}, "run `mkdir -p /x` ..."),
        ({"run": "echo " + "x" * 90, "creates": "/x"}, "run `echo " + "x" * 43 + "...`"),
        ({"run": "# nothing\n", "creates": "/x"}, "run a script"),
        ({"run": "umask 077; touch /x", "creates": "/x"}, "run `umask 077; touch /x`"),
        ({"name": "up", "wait": {"run": "etcdctl get x"}}, "up: wait until `etcdctl get x` succeeds"),
        ({"name": "d", "directory": "/etc/d"}, "d: make the directory /etc/d"),
    ],
)  # fmt: skip
def test_a_title_says_what_the_step_does(step: dict[str, Any], title: str) -> None:
    (found,) = steps(cluster({"steps": [step]}), "s1").values()
    assert found.title == title


def test_a_step_knows_its_line() -> None:
    here = Location("i.yaml", 12, 7)
    made = cluster({"steps": [{"remove": "/x"}]}, origins={"options.phases[0].steps[0].remove": here})
    (found,) = steps(made, "s1").values()
    assert found.at == here
    assert found == replace(found, at=None), "a step that moved to another line is the same step"


@pytest.mark.parametrize("shell", SHELLS, ids=lambda s: s[0])
def test_a_directory_that_is_not_there_is_an_addition(shell: list[str], tmp_path: Path) -> None:
    made = cluster({"steps": [{"directory": {"path": str(tmp_path / "new")}}]})
    (found,) = steps(made, "s1").values()
    assert isinstance(found.check, Succeeds)

    def asked() -> int:
        assert isinstance(found.check, Succeeds)
        return subprocess.run([*shell, "-c", found.check.script], timeout=20, check=False).returncode

    assert asked() == ABSENT
    (tmp_path / "new").write_text("a file in its place")
    assert asked() == 1


def test_a_script_is_a_program_for_every_architecture() -> None:
    made = cluster(
        {"steps": [UPLOAD]},
        {"steps": [{"upload": {"artifact": "conf", "dest": "/c", "executable": "false"}}]},
    )
    tool, conf = made.driver.slots(made.inventory, made.context().options)
    assert (tool.kinds, tool.kept) == ((Kind.ELF, Kind.SCRIPT), True)
    assert (conf.executable, conf.kept) == (False, True)
    unkept = {"upload": {"artifact": "c", "dest": "/c", "executable": "false", "keep_previous": "false"}}
    (slot,) = made.driver.slots(made.inventory, cluster({"steps": [unkept]}).context().options)
    assert not slot.kept


@pytest.mark.parametrize(
    ("before", "wait", "tools", "told"),
    [
        ({"remove": "/x"}, {"http": "http://localhost/"}, {"sh"}, True),
        ({"remove": "/x"}, {"http": "http://localhost/"}, {"sh", "wget"}, False),
        ({"remove": "/x"}, {"http": "http://localhost/"}, set(), False),
        ({"run": "apt-get install -y curl", "unless": "x"}, {"http": "http://localhost/"}, {"sh"}, False),
        (UPLOAD, {"http": "http://localhost/"}, {"sh"}, False),
        ({"remove": "/x"}, {"tcp": "10.0.0.9:80"}, {"sh", "wget"}, True),
        ({"remove": "/x"}, {"tcp": "127.0.0.1:80"}, {"sh"}, False),
        ({"remove": "/x"}, {"tcp": "10.0.0.9:80"}, {"bash"}, False),
        ({"remove": "/x"}, {"file": "/x"}, {"sh"}, False),
    ],
)
def test_a_tool_that_waiting_needs_is_missed_before_anything_is_sent(
    before: dict[str, Any], wait: dict[str, Any], tools: set[str], told: bool
) -> None:
    here = Location("i.yaml", 9, 9)
    made = cluster(
        {"hosts": "s1", "steps": [before, {"wait": wait}]}, origins={"options.phases[0].steps[1].wait": here}
    )
    ctx = made.context()
    facts = {name: replace(known, tools=frozenset(tools)) for name, known in ctx.facts.items()}
    found = made.driver.checks(replace(ctx, facts=facts))
    assert [(d.code, d.host, d.at) for d in found] == ([("SB519", "s1", here)] if told else [])
