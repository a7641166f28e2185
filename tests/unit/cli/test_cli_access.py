"""kubeconfig, reset and rollback as far as they go without a host: what is refused before anything is reached."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_kit import Ran, quick

from sealboot.cli.exits import of_code

STEPS = [{"name": "a", "steps": [{"name": "x", "run": "true", "unless": "true"}]}]


def cluster(folder: Path, driver: str = "k3s", **tree: object) -> None:
    roles = {"ctl1": "server", "ctl2": "server", "pi01": "agent"} if driver == "k3s" else {"n1": "node"}
    hosts = {
        name: {"address": "127.0.0.1", "role": role, "ssh": {"port": number, "user": "nobody"}}
        for number, (name, role) in enumerate(roles.items(), 1)
    }
    base = {"version": 1, "cluster": {"name": "lab", "driver": driver}, "hosts": hosts}
    more = {"phases": STEPS} if driver == "phases" else {}
    (folder / "inventory.yaml").write_text(json.dumps({**base, **more, **tree}))


def refused(folder: Path, *arguments: str) -> tuple[int, set[str]]:
    ran = quick(folder, *arguments, "--format", "json")
    return ran.code, ran.codes


@pytest.mark.parametrize("command", ["kubeconfig", "reset"])
def test_phases_have_neither(tmp_path: Path, command: str) -> None:
    cluster(tmp_path, "phases")
    assert refused(tmp_path, command) == (2, {"SB683"})


def test_a_cluster_without_programs_has_no_rollback(tmp_path: Path) -> None:
    cluster(tmp_path, "phases")
    assert refused(tmp_path, "rollback") == (1, {"SB513"})
    cluster(tmp_path)
    assert refused(tmp_path, "rollback", "--slot", "k8s") == (1, {"SB639"})


def test_an_agent_has_no_kubeconfig(tmp_path: Path) -> None:
    cluster(tmp_path)
    assert refused(tmp_path, "kubeconfig", "-l", "pi01") == (1, {"SB680"})


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--server", "http://x"], "https://"),
        (["--server", ""], "https://"),
        (["--context", "a\nb"], "visible"),
        (["-o", ""], "empty"),
        (["-o", "-", "--merge"], "adds to a file"),
    ],
)
def test_what_is_asked_for_must_make_sense(tmp_path: Path, arguments: list[str], word: str) -> None:
    cluster(tmp_path)
    ran = quick(tmp_path, "kubeconfig", *arguments)
    assert ran.code == 2
    assert word in ran.err


def test_when_no_server_answers(tmp_path: Path) -> None:
    cluster(tmp_path)
    assert refused(tmp_path, "kubeconfig") == (4, {"SB201"})
    assert not (tmp_path / "kubeconfig").exists()
    assert refused(tmp_path, "reset", "--confirm", "lab") == (4, {"SB201"})
    assert refused(tmp_path, "rollback", "--yes") == (4, {"SB201"})


def test_the_name_must_be_the_clusters(tmp_path: Path) -> None:
    cluster(tmp_path)
    ran: Ran = quick(tmp_path, "reset", "--confirm", "prod", "-q")
    assert (ran.code, ran.out) == (5, "")
    assert "called lab" in ran.err


def test_nobody_is_left_without_a_server(tmp_path: Path) -> None:
    cluster(tmp_path)
    for limit in ("ctl1", "ctl2", "@servers"):
        assert refused(tmp_path, "reset", "-l", limit, "--confirm", "lab") == (5, {"SB684"})
    assert refused(tmp_path, "reset", "-l", "ctl1", "--confirm", "lab", "--force") == (4, {"SB201"})


def test_the_exit_codes_of_their_findings() -> None:
    codes = {"SB513": 1, "SB680": 1, "SB681": 1, "SB682": 5, "SB683": 2, "SB684": 5}
    assert {code: int(of_code(code)) for code in codes} == codes


@pytest.mark.parametrize("command", ["kubeconfig", "reset", "rollback"])
def test_help_has_examples(tmp_path: Path, command: str) -> None:
    ran = quick(tmp_path, command, "--help")
    assert ran.code == 0
    assert f"Examples:\n    sealboot {command}" in ran.out
