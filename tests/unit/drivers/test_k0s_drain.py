from __future__ import annotations

from pathlib import Path

import pytest
from k0s_host import Folder

from sealboot.drivers import k0s_drain
from sealboot.drivers.k0s_drain import Turn
from sealboot.drivers.k0s_options import DrainOptions

SHA = "ab" * 32
ID = SHA[:12]


@pytest.fixture
def host(tmp_path: Path) -> Folder:
    """A controller that can ask the API about the one node there is."""
    made = Folder(tmp_path / "host")
    (made.bin / "k0s").write_bytes(made.k0s("v1.30.2+k0s.0"))
    (made.bin / "k0s").chmod(0o755)
    made.node("w1")
    return made


def script(host: Folder, options: DrainOptions | None = None) -> str:
    turns = (Turn("w1", SHA),)
    return k0s_drain.drain(
        str(host.bin / "k0s"), str(host.root / "var/lib/k0s"), options or DrainOptions(), turns
    )


def states(host: Folder) -> list[str]:
    path = host.root / "api/states"
    return path.read_text().split() if path.exists() else []


def test_intent_is_told_before_the_deed(host: Folder) -> None:
    ran = host.run(script(host))
    assert (ran.returncode, ran.stdout) == (0, "w1 is drained\n")
    assert states(host) == [f"draining.{ID}", f"drained.{ID}"]
    assert host.said("cordoned") == "true"
    assert host.run(script(host)).returncode == 0
    assert states(host) == [f"draining.{ID}", f"drained.{ID}"], "what is drained is not drained again"


def test_a_failed_drain_is_told_and_undone(host: Folder) -> None:
    (host.root / "api/budget").touch()
    ran = host.run(script(host))
    assert ran.returncode == 0, "the worker goes by what is told on its node"
    assert "disruption budget" in ran.stderr
    assert states(host)[-1] == f"failed.{ID}"
    assert "disruption budget" in host.said("why")
    assert host.said("cordoned") == ""
    (host.root / "api/budget").unlink()
    assert host.run(script(host)).returncode == 0
    assert states(host)[-1] == f"drained.{ID}"


@pytest.mark.parametrize("state", ["", "runs.000000000000", "failed.000000000000", f"drained.{ID}.kept"])
def test_what_somebody_else_cordoned_is_remembered(host: Folder, state: str) -> None:
    host.node("w1", cordoned="true", state=state)
    host.run(script(host))
    assert host.said("state") == f"drained.{ID}.kept"
    (host.root / "api/budget").touch()
    host.node("w1", state=f"draining.{ID}.kept")
    host.run(script(host))
    assert (host.said("state"), host.said("cordoned")) == (f"failed.{ID}.kept", "true")


def test_what_we_cordoned_in_a_run_that_died_is_still_ours(host: Folder) -> None:
    host.node("w1", cordoned="true", state="draining.000000000000")
    host.run(script(host))
    assert host.said("state") == f"drained.{ID}"


def test_a_node_whose_program_somebody_swapped_back_is_emptied_once_more(host: Folder) -> None:
    host.node("w1", state=f"runs.{ID}")
    host.run(script(host))
    assert (host.said("cordoned"), host.said("state")) == ("true", f"drained.{ID}")


@pytest.mark.parametrize(
    ("state", "end"),
    [
        ("drained.1", "failed.1"),
        ("draining.1", "failed.1"),
        ("done.1", "runs.1"),
        ("undone.1", "failed.1"),
        ("done.1.kept", "runs.1"),
        ("broken.1", "broken.1"),
        ("runs.1", "runs.1"),
        ("", ""),
    ],
)
def test_nobody_stays_cordoned_by_an_upgrade_that_is_over(host: Folder, state: str, end: str) -> None:
    host.node("w1", cordoned="true", state=state)
    where = (str(host.bin / "k0s"), str(host.root / "var/lib/k0s"), ["w1"])
    left = state.startswith(("d", "u"))
    assert host.run(k0s_drain.none_left(*where)).returncode == int(left)
    if left:
        assert host.run(k0s_drain.release(*where)).returncode == 0
    assert host.run(k0s_drain.none_left(*where)).returncode == 0
    assert host.said("state") == end
    assert host.said("cordoned") == ("" if left and not state.endswith(".kept") else "true")


def test_flags_are_the_operators() -> None:
    assert k0s_drain.flags(DrainOptions()) == (
        "--force --grace-period=120 --timeout=300s --delete-emptydir-data --ignore-daemonsets"
    )
    other = DrainOptions(
        force="false",
        grace_period=-1,
        timeout=60,
        delete_emptydir_data="false",
        pod_selector="app!=db",
        skip_wait_for_delete_timeout=5,
    )
    assert k0s_drain.flags(other) == (
        "--grace-period=-1 --timeout=60s --ignore-daemonsets '--pod-selector=app!=db' "
        "--skip-wait-for-delete-timeout=5"
    )
