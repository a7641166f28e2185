from __future__ import annotations

import asyncio
import http.server
import os
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from requires import program_path, requires

from sealboot.engine.context import SecretStore
from sealboot.engine.jobs import job_key, job_state
from sealboot.engine.steps import act, act_and_prove, holds
from sealboot.model.plan import Observation
from sealboot.model.secret import Redactor, Secret
from sealboot.model.steps import PathExists, ReadSecret, Remove, Run, Service, Succeeds, WaitFor, WriteFile

TOKEN = "K10-very-secret-token"


def run(script: str, **more: Any) -> Run:
    return Run(**{"id": "r", "host": "n1", "title": "run it", "script": script, **more})


async def test_a_file_with_secrets_is_private_and_written_once(node: Any, work_of: Any) -> None:
    redactor = Redactor()
    work = work_of(node, redactor)
    work.secrets.put("token", Secret(TOKEN))
    content = "token: {{ secret.token }}\nkeep: {{ secret.other }}\n"
    dest = node.path("conf/secret")
    step = WriteFile(id="w", host="n1", title="w", dest=dest, content=content, secrets=("token",))
    assert (await act(work, step)).result == "changed"
    assert Path(dest).read_text() == f"token: {TOKEN}\nkeep: {{{{ secret.other }}}}\n"
    assert Path(dest).stat().st_mode & 0o777 == 0o600
    assert await holds(work, step) == Observation("same")
    work.secrets.put("token", Secret("another-token"))
    seen = await holds(work, step)
    assert isinstance(seen, Observation)
    assert seen.state == "differs"
    assert TOKEN not in "".join(node.session.scripts)
    assert redactor(f"x {TOKEN}") == "x ***"


async def test_a_secret_that_nobody_read(work: Any, node: Any) -> None:
    step = WriteFile(id="w", host="n1", title="w", dest=node.path("x"), content="", secrets=("token",))
    end = await act(work, step)
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB509"
    end = await act(work, run("true", env_secrets={"T": "token"}))
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB509"


async def test_a_script_with_environment_and_expectations(work: Any, node: Any) -> None:
    work.secrets.put("token", Secret(TOKEN))
    out = node.path("out")
    step = run(f'echo "$A/$T" >{out}; echo ready', env={"A": "a b"}, env_secrets={"T": "token"})
    assert (await act(work, step)).result == "changed"
    assert Path(out).read_text() == f"a b/{TOKEN}\n"
    end = await act(work, run("echo no", expects=("ready",)))
    assert end.diagnostic is not None
    assert end.diagnostic.summary == "run it: its output lacks 'ready'"
    assert (await act(work, run("exit 3", ok_codes=(0, 3)))).result == "changed"
    end = await act(work, run("exit 127"))
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB501"
    assert "exit status 127: not found" in end.diagnostic.summary
    end = await act(work, run("echo 'sh: ifplugd: applet not found' >&2; exit 127"))
    assert end.diagnostic is not None
    assert end.diagnostic.summary == "run it: exit status 127, often a command that was not found"
    assert end.diagnostic.evidence == (("error", "sh: ifplugd: applet not found"),)


async def test_a_script_out_of_time(work: Any) -> None:
    end = await act(work, run("sleep 60", timeout=0.2))
    assert end.diagnostic is not None
    assert (end.result, end.diagnostic.code) == ("failed", "SB507")


async def test_a_step_without_effect_has_failed(work: Any, node: Any) -> None:
    check = PathExists(node.path("made"))
    end = await act_and_prove(work, run("true", check=check))
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB501"
    assert "its check still does not hold" in end.diagnostic.summary
    assert end.diagnostic.evidence == (("check", "absent"),)
    assert (await act_and_prove(work, run(f"touch {check.path}", check=check))).result == "changed"


async def test_a_secret_is_read_trimmed_and_checked(work: Any) -> None:
    step = ReadSecret(id="s", host="n1", title="read", script=f"echo ' {TOKEN} '", into="t", pattern="K10.*")
    assert (await act(work, step)).result == "same"
    assert work.secrets.get("t") == Secret(TOKEN)
    for script, why in (("echo nope-nope", "has not the form"), ("true", "is empty")):
        bad = ReadSecret(id="s", host="n1", title="read", script=script, into="t", pattern="K10.*")
        end = await act(work, bad)
        assert end.diagnostic is not None
        assert end.diagnostic.code == "SB508"
        assert why in end.diagnostic.summary
        assert "nope" not in repr(end.diagnostic)


async def test_a_secret_of_the_operators_that_a_host_has_otherwise_is_told_and_kept(work: Any) -> None:
    given = SecretStore(Redactor(), {"t": Secret(f"{TOKEN}\n")})
    here = replace(work, secrets=given)
    same = ReadSecret(id="s", host="n1", title="read", script=f"echo {TOKEN}", into="t")
    assert (await act(here, same)).result == "same"
    end = await act(here, replace(same, script="echo another-secret"))
    assert end.diagnostic is not None
    assert (end.result, end.diagnostic.code) == ("failed", "SB508")
    assert "is another on the host" in end.diagnostic.summary
    assert "another-secret" not in repr(end.diagnostic)
    assert given.get("t") == Secret(f"{TOKEN}\n")


async def test_removals(work: Any, node: Any) -> None:
    tree = Path(node.path("tree"))
    (tree / "a b").mkdir(parents=True)

    def removal(path: str, *, recursive: bool = False) -> Remove:
        return Remove(id="rm", host="n1", title="remove", path=path, recursive=recursive)

    assert (await act_and_prove(work, removal(str(tree)))).result == "failed"
    assert (await act_and_prove(work, removal(str(tree), recursive=True))).result == "changed"
    assert not tree.exists()
    file = Path(node.path("-f"))
    file.touch()
    assert (await act_and_prove(work, removal(str(file)))).result == "changed"
    for path in ("/", "//etc/", "relative", "/var/lib", "/srv/../etc", ""):
        end = await act(work, removal(path, recursive=True))
        assert end.diagnostic is not None
        assert end.diagnostic.code == "SB518"


# -- detached ------------------------------------------------------------------------------------------


async def test_a_detached_script_gets_its_environment_and_leaves_no_secret(work: Any, node: Any) -> None:
    work.secrets.put("token", Secret(TOKEN))
    out = node.path("out")
    script = f"printf '%s' \"$T\" >{out}; tr '\\0' '\\n' </proc/$$/cmdline; echo; grep -c . /dev/null; exit 4"
    step = run(script, env_secrets={"T": "token"}, detached=True, ok_codes=(4,), expects=("job",))
    assert (await act(work, step)).result == "changed"
    assert Path(out).read_text() == TOKEN
    assert all(TOKEN not in f.read_text() for f in Path(node.paths.state).rglob("*") if f.is_file())


async def test_a_detached_script_that_fails_shows_its_log(work: Any) -> None:
    end = await act(work, run("echo it broke; exit 9", detached=True))
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB501"
    assert end.diagnostic.evidence[0] == ("log", "it broke")


async def test_a_detached_script_survives_and_is_adopted(work: Any, work_of: Any, node: Any) -> None:
    gate, out = Path(node.path("gate")), Path(node.path("out"))
    os.mkfifo(gate)
    step = run(f"echo begun >>{out}; read -r x <{gate}; echo ended >>{out}", detached=True)
    first = asyncio.create_task(act(work, step))
    while not out.exists():  # noqa: ASYNC110 (another process makes it)
        await asyncio.sleep(0.02)
    node.session.drop()
    assert (await asyncio.wait_for(first, 15)).result == "lost"
    node.fresh()
    second = asyncio.create_task(act(work_of(node), step))
    await asyncio.to_thread(gate.write_text, "go\n")
    assert (await asyncio.wait_for(second, 15)).result == "changed"
    assert out.read_text() == "begun\nended\n"


async def test_a_detached_script_that_ended_unwatched_is_adopted(work: Any, node: Any) -> None:
    out = Path(node.path("out"))
    step = run(f"echo x >>{out}", detached=True)
    folder = Path(node.paths.jobs) / job_key(step)
    assert (await act(work, step)).result == "changed"
    folder.mkdir()
    (folder / "lock").touch()
    (folder / "rc").write_text("0\n")
    assert (await act(work, step)).result == "changed"
    assert out.read_text() == "x\n"
    (folder / "lock").parent.mkdir()
    (folder / "rc").write_text("1\n")
    assert (await act(work, step)).result == "changed"
    assert out.read_text() == "x\nx\n"


async def test_a_detached_script_that_was_killed_is_dead(work: Any, node: Any) -> None:
    step = run("kill -9 $$", detached=True)
    end = await act(work, step)
    assert end.diagnostic is not None
    assert "without an exit status" in end.diagnostic.summary
    assert await job_state(work, step) == "none"


@pytest.mark.parametrize("sent", [0, 6, -1])
async def test_a_detached_script_that_did_not_arrive_whole_does_not_run(
    work: Any, node: Any, monkeypatch: pytest.MonkeyPatch, sent: int
) -> None:
    """Its controller was killed while it sent the script: the host sees an end of input like any other."""
    out = Path(node.path("out"))
    step = run(f"echo x >>{out}; echo y >>{out}", detached=True)
    whole = node.session.run

    async def cut(script: str, **more: Any) -> Any:
        if more.get("stdin"):
            more["stdin"] = more["stdin"][:sent] or b"\n"
        return await whole(script, **more)

    with monkeypatch.context() as patched:
        patched.setattr(node.session, "run", cut)
        end = await act(work, step)
    assert (end.result, out.exists()) == ("failed", False)
    assert await job_state(work, step) == "none"
    assert (await act(work, step)).result == "changed"
    assert out.read_text() == "x\ny\n"


async def test_a_detached_script_that_ends_while_it_is_looked_at_ended_well(work: Any, node: Any) -> None:
    """Its status appears after the first look for one, and its lock is free before the look at that."""
    folder, tools = Path(node.paths.jobs) / job_key(run("true")), Path(node.path("bin"))
    folder.mkdir(parents=True)
    (folder / "lock").touch()
    tools.mkdir()
    (tools / "flock").write_text(f"#!/bin/sh\necho 0 >{folder}/rc\n")
    (tools / "flock").chmod(0o755)
    node.session.path = f"{tools}:{os.environ['PATH']}"
    assert not (folder / "rc").exists()
    assert await job_state(work, run("true")) == "ended 0"


async def test_a_detached_script_out_of_time_is_ended(work: Any, node: Any) -> None:
    pid = Path(node.path("pid"))
    step = run(f"echo $$ >{pid}; sleep 300", detached=True, timeout=1.0)
    end = await act(work, step)
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB507"
    for _ in range(200):
        if not Path(f"/proc/{pid.read_text().strip()}").exists():
            break
        await asyncio.sleep(0.02)
    else:
        pytest.fail("the job still runs")


# -- services ------------------------------------------------------------------------------------------


def service(**more: Any) -> Service:
    return Service(**{"id": "svc", "host": "n1", "title": "start k3s", "name": "k3s", **more})


async def test_a_service_is_started_enabled_and_stamped(work: Any, systemd: Any) -> None:
    systemd.unit("k3s")
    step = service(stamp="v1")
    end = await act_and_prove(work, step)
    assert end.result == "changed", end
    assert systemd.state("k3s") == ("active", "enabled")
    assert "daemon-reload" in systemd.log
    assert " restart -- k3s" in systemd.log
    again = service(stamp="v2", daemon_reload=False)
    end = await act_and_prove(work, again)
    assert end.result == "changed", end
    assert systemd.log.count("daemon-reload") == 1
    assert (await act_and_prove(work, service(state="stopped", enabled=False))).result == "changed"
    assert systemd.state("k3s") == ("inactive", "disabled")


async def test_a_start_that_is_not_waited_for_is_polled(work: Any, systemd: Any) -> None:
    systemd.unit("k3s")
    systemd.queues("k3s", "active")
    end = await act_and_prove(work, service(stamp="v1", no_block=True))
    assert end.result == "changed", end
    assert "--no-block restart -- k3s" in systemd.log
    assert systemd.log.count("-p Job") == 3


@pytest.mark.parametrize(
    ("shows", "told"),
    [({"ExecMainStatus": 203}, "203/EXEC"), ({"NRestarts": 5}, "started again, five times")],
)
async def test_waiting_does_not_help_what_dies_again_and_again(
    work: Any, systemd: Any, shows: dict[str, int], told: str
) -> None:
    systemd.unit("k3s")
    systemd.queues("k3s", "activating", **shows)
    end = await act_and_prove(work, service(no_block=True, timeout=60.0))
    assert end.result == "failed"
    assert end.diagnostic is not None
    said = str(end.diagnostic.evidence)
    assert told in said
    assert "panic: no such flag" in said


async def test_a_service_that_fails_brings_its_last_journal_lines(work: Any, systemd: Any, node: Any) -> None:
    systemd.unit("k3s")
    systemd.breaks("k3s")
    end = await act_and_prove(work, service(stamp="v1"))
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB501"
    assert dict(end.diagnostic.evidence)["output"] == "panic: no such flag"
    assert "Job for k3s failed" in dict(end.diagnostic.evidence)["error"]
    assert not Path(node.paths.service("k3s")).exists()


async def test_a_service_where_no_init_system_runs(work: Any) -> None:
    requires("no init system")
    end = await act(work, service())
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB511"


async def test_openrc(work: Any, node: Any) -> None:
    folder = Path(node.path("rc"))
    folder.mkdir()
    (folder / "rc-service").write_text(
        f'#!/bin/sh\necho "$* $(umask)" >>{folder}/log\ncase $2 in status) [ -e {folder}/up ];; stop) rm {folder}/up;; '
        f"*) touch {folder}/up;; esac\n"
    )
    (folder / "rc-update").write_text(f'#!/bin/sh\necho "update $*" >>{folder}/log\n')
    for tool in ("rc-service", "rc-update"):
        (folder / tool).chmod(0o755)
    node.session.path = f"{folder}:{node.session.path}"
    requires("no systemd")
    assert (await act(work, service(stamp="v1"))).result == "changed"
    assert "k3s restart 0022" in (folder / "log").read_text()
    assert "update -q add k3s default" in (folder / "log").read_text()
    assert (await act(work, service(state="stopped"))).result == "changed"
    assert not (folder / "up").exists()


# -- waits ---------------------------------------------------------------------------------------------


def wait(kind: Any, target: str, **more: Any) -> WaitFor:
    return WaitFor(
        **{
            "id": "wf",
            "host": "n1",
            "title": "wait",
            "kind": kind,
            "target": target,
            "interval": 0.05,
            **more,
        }
    )


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def unused() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


BASE = ("cat", "grep", "sed", "tail", "sleep", "timeout", "true", "date", "tr", "printf", "sh")


@pytest.mark.parametrize("tool", ["bash", "python3", "nc", "busybox", "curl", "none"])
async def test_a_port_is_asked_with_whatever_is_there(
    node: Any, work: Any, listener: int, unused: int, tool: str
) -> None:
    folder = Path(node.path("tools"))
    folder.mkdir()
    wanted = {"none": (), "nc": ("nc",)}.get(tool, (tool,))
    for name in (*BASE, *wanted):
        (folder / name).symlink_to(
            os.path.realpath(sys.executable) if name == "python3" else program_path(name)
        )
    node.session.path = str(folder)
    end = await act(work, wait("tcp", f"127.0.0.1:{listener}", timeout=5))
    assert end.result == "same", end
    end = await act(work, wait("tcp", f"127.0.0.1:{unused}", timeout=1))
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB514"


async def test_without_a_tool_a_distant_port_cannot_be_asked(node: Any, work: Any) -> None:
    folder = Path(node.path("tools"))
    folder.mkdir()
    for name in BASE:
        (folder / name).symlink_to(program_path(name))
    node.session.path = str(folder)
    end = await act(work, wait("tcp", "192.0.2.1:6443", timeout=1))
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB519"


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def web() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("tool", ["curl", "wget", "busybox", "python3"])
async def test_http(node: Any, work: Any, web: int, tool: str) -> None:
    folder = Path(node.path("tools"))
    folder.mkdir()
    for name in (*BASE, tool):
        (folder / name).symlink_to(
            os.path.realpath(sys.executable) if name == "python3" else program_path(name)
        )
    node.session.path = str(folder)
    url = f"http://127.0.0.1:{web}"
    assert (await act(work, wait("http", f"{url}/204", timeout=5))).result == "same"
    if tool != "busybox":  # its small wget may not show the status
        assert (await act(work, wait("http", f"{url}/401", status=401, timeout=5))).result == "same"
    end = await act(work, wait("http", f"{url}/503", timeout=1))
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB514"
    assert tool == "busybox" or ("last answer", "HTTP status 503") in end.diagnostic.evidence


async def test_files_scripts_and_services(node: Any, work: Any, systemd: Any) -> None:
    there = node.path("there")
    waiting = asyncio.create_task(act(work, wait("file", there, timeout=10)))
    await asyncio.sleep(0.1)
    Path(there).touch()
    assert (await waiting).result == "same"
    assert (await act(work, wait("script", f"test -e {there}", timeout=5))).result == "same"
    end = await act(work, wait("script", "exit 7", timeout=1))
    assert end.diagnostic is not None
    assert ("last answer", "exit status 7") in end.diagnostic.evidence
    systemd.unit("k3s", active="active")
    assert (await act(work, wait("service", "k3s", timeout=5))).result == "same"


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("tcp", "6443"),
        ("tcp", "host:port"),
        ("tcp", "-x:1"),
        ("tcp", "a b:1"),
        ("http", "file:///etc/passwd"),
    ],
)
async def test_targets_that_are_none(work: Any, node: Any, kind: Any, target: str) -> None:
    end = await act(work, wait(kind, target))
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB519"
    assert node.session.calls == 0


async def test_a_script_check_may_not_be_fooled_by_input(work: Any) -> None:
    assert (await act_and_prove(work, run("true", check=Succeeds("read -r x && exit 1; exit 0")))).result == (
        "changed"
    )
