"""Why something failed stays to be read: the whole log of a job, and what an attempt said that was waited for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_kit import Node, planned

from sealboot.engine.joblog import KEPT
from sealboot.engine.steps import act
from sealboot.model.outcome import HostOutcome
from sealboot.model.secret import Secret
from sealboot.model.steps import Run, WaitFor
from sealboot.render.findings import folded

#: As long as what kubeadm writes before its reason (20,630 characters in a real run).
LONG = 'n=0; while [ $n -lt 400 ]; do echo "[init] line $n of what went well before"; n=$((n + 1)); done; '
REASON = "[ERROR ImagePull]: failed to pull image registry.k8s.io/kube-apiserver:v1.36.3"


def run(script: str, **more: Any) -> Run:
    return Run(
        **{"id": "control-plane/n1/init", "host": "n1", "title": "kubeadm init", "script": script, **more}
    )


def logs(node: Node) -> list[Path]:
    folder = Path(node.paths.logs)
    return sorted(folder.iterdir()) if folder.exists() else []


async def test_the_whole_log_of_a_failed_job_stays_on_its_host(work: Any, node: Node) -> None:
    end = await act(work, run(f"{LONG}echo '{REASON}' >&2; exit 1", detached=True))
    assert end.diagnostic is not None
    rows = dict(end.diagnostic.evidence)
    assert rows["log"].endswith(REASON)
    (kept,) = logs(node)
    assert rows["whole log"] == str(kept)
    text = kept.read_text()
    assert text.startswith("[init] line 0 ")
    assert text.endswith(f"{REASON}\n")
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert kept.name == "control-plane.init.log"
    # Whose it is stands at the head of the finding, as of every other.
    where = (("whole log", f"/var/lib/sealboot/lab/logs/{kept.name}"),)
    first = replace(end.diagnostic, evidence=where)
    second = replace(first, host="n2")
    assert [d.summary for d in folded([first])] == ["n1: kubeadm init: exit status 1"]
    assert [d.summary for d in folded([first, second])] == ["n[1-2]: kubeadm init: exit status 1"]
    assert not list(Path(node.paths.jobs).iterdir())


async def test_so_does_that_of_a_job_out_of_time(work: Any, node: Node) -> None:
    end = await act(work, run(f"{LONG}echo '{REASON}'; exec sleep 300", detached=True, timeout=2.0))
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB507"
    rows = dict(end.diagnostic.evidence)
    assert rows["log"].splitlines()[-1] == REASON
    assert rows["whole log"] == str(logs(node)[0])


async def test_so_does_that_of_a_job_that_ended_well_and_did_not_say_what_it_must(
    work: Any, node: Node
) -> None:
    end = await act(work, run("echo other", detached=True, expects=("ready",)))
    assert end.diagnostic is not None
    assert "lacks 'ready'" in end.diagnostic.summary
    assert end.diagnostic.evidence == (("output", "other"), ("whole log", str(logs(node)[0])))


async def test_a_silent_failure_leaves_no_log(work: Any, node: Node) -> None:
    end = await act(work, run("exit 3", detached=True))
    assert end.diagnostic is not None
    assert end.diagnostic.evidence == ()
    assert logs(node) == []


@pytest.mark.parametrize("token", ["abcdef.0123456789abcdef", r"a/b\c.[x]*^$&'\"", "first line\nsecond/line"])
async def test_what_a_job_was_told_in_secret_is_not_in_its_log(token: str, work: Any, node: Node) -> None:
    work.secrets.put("token", Secret(token))
    step = run('printf "token %s\\n" "$T"; echo after; exit 1', env_secrets={"T": "token"}, detached=True)
    end = await act(work, step)
    assert end.diagnostic is not None
    (kept,) = logs(node)
    text = kept.read_text()
    assert "token ***" in text
    assert text.endswith("after\n")
    assert not any(line in text for line in token.splitlines())


async def test_a_log_that_cannot_be_masked_is_not_kept(work: Any, node: Node, tmp_path: Path) -> None:
    (tmp_path / "sed").write_text("#!/bin/sh\ncat /proc/self/fd/0; exit 1\n")
    (tmp_path / "sed").chmod(0o755)
    node.session.path = f"{tmp_path}:{node.session.path}"
    work.secrets.put("token", Secret("abcdef.0123456789abcdef"))
    end = await act(work, run('echo "$T"; exit 1', env_secrets={"T": "token"}, detached=True))
    assert end.diagnostic is not None
    assert logs(node) == []
    assert "whole log" not in dict(end.diagnostic.evidence)


async def test_half_a_line_at_the_head_of_what_is_read_back_is_not_shown(work: Any) -> None:
    """It may be the end of a secret, which nobody would know to mask."""
    secret = "s3cret" * 20_000
    step = run(f"echo {secret[:70_000]}; echo why; exit 1", detached=True)
    end = await act(work, step)
    assert end.diagnostic is not None
    assert dict(end.diagnostic.evidence)["log"] == "why"


async def test_so_many_logs_and_no_more(work: Any, node: Node) -> None:
    for n in range(KEPT + 3):
        await act(work, run(f"echo {n}; exit 1", id=f"s/{n}", detached=True))
    assert len(logs(node)) == KEPT


async def test_a_run_that_comes_to_its_end_removes_them(node: Node, rig: Any) -> None:
    """The same step done after all, or everything taken down: the journal's end is theirs."""
    out = node.path("out")
    fails, goes = run("echo no; exit 1", detached=True), run(f"touch {out}", detached=True)
    assert (await rig.apply(planned([fails]), node)).hosts[0].outcome is HostOutcome.FAILED
    assert len(logs(node)) == 1
    node.fresh()
    assert (await rig.apply(planned([goes]), node)).hosts[0].outcome is HostOutcome.CHANGED
    assert logs(node) == []


# -- what is waited for ----------------------------------------------------------------------------


def wait(script: str, **more: Any) -> WaitFor:
    words = {"id": "health/n1/cluster", "host": "n1", "title": "wait until it is healthy", "interval": 0.05}
    return WaitFor(**{**words, "kind": "script", "target": script, "timeout": 2.0, **more})


async def evidence(work: Any, step: WaitFor) -> dict[str, str]:
    end = await act(work, step)
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB514"
    return dict(end.diagnostic.evidence)


async def test_what_the_last_attempt_said_is_shown_and_not_our_script(work: Any) -> None:
    rows = await evidence(
        work, wait("echo out; echo 'service \"kubelet\" not in expected state' >&2; exit 7")
    )
    assert rows == {"last answer": "exit status 7", "error": 'service "kubelet" not in expected state'}


async def test_an_attempt_that_the_deadline_cut_off_tells_less_than_the_one_before(
    work: Any, node: Node
) -> None:
    tried = node.path("tried")
    script = f"if [ -e {tried} ]; then echo half >&2; exec sleep 60; fi; : >{tried}; echo whole >&2; exit 9"
    assert await evidence(work, wait(script)) == {"last answer": "exit status 9", "error": "whole"}


async def test_so_it_is_where_only_busybox_can_limit_it(work: Any, node: Node, tmp_path: Path) -> None:
    """Its `timeout` ends with 143."""
    (tmp_path / "timeout").write_text(
        '#!/bin/sh\n/usr/bin/timeout "$@"\ns=$?\n[ $s != 124 ] || exit 143\nexit $s\n'
    )
    (tmp_path / "timeout").chmod(0o755)
    node.session.path = f"{tmp_path}:{node.session.path}"
    tried = node.path("tried")
    script = f"if [ -e {tried} ]; then exec sleep 60; fi; : >{tried}; echo whole >&2; exit 9"
    assert await evidence(work, wait(script)) == {"last answer": "exit status 9", "error": "whole"}


async def test_an_attempt_that_never_ended_is_better_than_nothing(work: Any) -> None:
    rows = await evidence(work, wait("echo 'dialing 10.0.0.1' >&2; exec sleep 60", timeout=1.0))
    assert rows == {"last answer": "no end within 1 s", "error": "dialing 10.0.0.1"}


async def test_what_is_said_without_end_is_cut_and_nothing_is_left_in_tmp(
    work: Any, node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    script = "yes 0123456789012345678901234567890123456789 | head -n 60000 >&2; echo last >&2; exit 1"
    old: Any = node.session.run

    async def elsewhere(text: str, **more: Any) -> Any:
        return await old(text, **{**more, "env": {"TMPDIR": str(tmp_path / "tmp")}})

    monkeypatch.setattr(node.session, "run", elsewhere)
    rows = await evidence(work, wait(script))
    assert rows["error"].endswith("\nlast")
    assert set(rows["error"].splitlines()[:-1]) == {"0123456789" * 4}
    assert len(rows["error"]) < 10_000
    assert list((tmp_path / "tmp").iterdir()) == []


async def test_nothing_to_write_to_is_no_reason_to_fail(work: Any, node: Node, tmp_path: Path) -> None:
    (tmp_path / "mktemp").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "mktemp").chmod(0o755)
    node.session.path = f"{tmp_path}:{node.session.path}"
    assert (await asyncio.wait_for(act(work, wait("exit 0")), 10)).result == "same"
    assert await evidence(work, wait("exit 4", timeout=1.0)) == {"last answer": "exit status 4"}
