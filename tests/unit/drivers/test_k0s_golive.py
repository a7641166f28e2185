from __future__ import annotations

import signal
from pathlib import Path

import pytest
from k0s_host import Folder
from requires import shells

from sealboot.drivers import k0s_scripts as scripts
from sealboot.drivers.k0s_golive import REFUSED

OLD, NEW = "v1.29.9+k0s.0", "v1.30.2+k0s.0"
CONFIG, CONFIG2 = "spec: {a: 1}\n", "spec: {a: 2}\n"
SHELLS = shells("sh", "busybox")


@pytest.fixture
def host(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "host")


@pytest.fixture(params=SHELLS)
def each(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """The host under every shell that it may have."""
    return Folder(tmp_path / "host", request.param)


def installed(host: Folder, *, worker: bool = False) -> bytes:
    """A host that runs the old release, proven."""
    old = host.k0s(OLD)
    config = "" if worker else CONFIG
    host.stage(old, config)
    target = host.target(old, OLD, config=config, worker=worker)
    if worker:
        host.node("w1")
    ran = host.run(target.script)
    assert ran.returncode == 0, ran.stderr
    assert host.run(target.done).returncode == 0
    return old


def test_a_first_install_is_proven_and_done_once(host: Folder) -> None:
    old = installed(host)
    assert host.live == old
    assert (host.root / "etc/k0s/k0s.yaml").read_text() == CONFIG
    assert (host.root / "etc/k0s/k0s.yaml").stat().st_mode & 0o777 == 0o600
    assert not (host.store / "doing").exists()
    assert not list(host.store.glob("*.next"))
    assert (host.store / "runs").stat().st_mode & 0o777 == 0o644


def test_an_upgrade_keeps_the_old_program(each: Folder) -> None:
    host = each
    old = installed(host)
    new = host.k0s(NEW)
    host.stage(new, CONFIG2)
    target = host.target(new, NEW, config=CONFIG2, flags=("--debug",))
    assert host.run(target.done).returncode == 1
    ran = host.run(target.script)
    assert ran.returncode == 0, ran.stderr
    assert host.live == new
    assert (host.store / "previous/k0s").read_bytes() == old
    assert (host.store / "previous/config").read_text() == CONFIG
    assert "--debug" in host.running
    assert host.run(target.done).returncode == 0


@pytest.mark.parametrize("health", ["sick", "dies"])
def test_one_that_is_not_well_is_rolled_back_byte_for_byte(each: Folder, health: str) -> None:
    host = each
    old = installed(host)
    before = host.target(old, OLD, config=CONFIG)
    new = host.k0s(NEW, health)
    host.stage(new, CONFIG2, "[Service]\n")
    ran = host.run(
        host.target(new, NEW, config=CONFIG2, environment="[Service]\n", flags=("--debug",)).script
    )
    assert ran.returncode == 1
    assert host.live == old
    assert "rolled back" in ran.stderr
    assert "a line of the journal" in ran.stderr
    assert (host.root / "etc/k0s/k0s.yaml").read_text() == CONFIG
    assert not (host.root / "etc/systemd/system/k0scontroller.service.d/env.conf").exists()
    assert "--debug" not in host.running
    assert host.run(before.done).returncode == 0


@pytest.mark.parametrize("health", ["good", "sick"])
def test_openrc_starts_stops_and_rolls_back_as_well(tmp_path: Path, health: str) -> None:
    host = Folder(tmp_path / "host", openrc=True)
    old = installed(host)
    new = host.k0s(NEW, health)
    host.stage(new, CONFIG, "export A='b'\n")
    target = host.target(new, NEW, config=CONFIG, environment="export A='b'\n")
    ran = host.run(target.script)
    assert (ran.returncode, host.live) == ((0, new) if health == "good" else (1, old)), ran.stderr
    kept = host.target(old, OLD, config=CONFIG)
    assert host.run((target if health == "good" else kept).done).returncode == 0
    assert (host.root / "etc/conf.d/k0scontroller").exists() is (health == "good")


def test_a_controller_that_is_down_is_started_as_it_is(host: Folder) -> None:
    check = scripts.is_awake(str(host.bin / "k0s"), "k0scontroller")
    assert host.run(check).returncode == 0, "nothing of ours was ever proven"
    installed(host)
    assert host.run(check).returncode == 0
    assert host.run("systemctl stop k0scontroller").returncode == 0
    assert host.run(check).returncode == 1
    assert host.run(scripts.wake(str(host.bin / "k0s"), "k0scontroller")).returncode == 0
    assert host.run(check).returncode == 0
    (host.store / "doing").write_text("swap a b\n")
    host.run("systemctl stop k0scontroller")
    assert host.run(check).returncode == 0, "a cut swap has its own way back"


def test_drift_is_noticed(host: Folder) -> None:
    old = installed(host)
    target = host.target(old, OLD, config=CONFIG)
    config = host.root / "etc/k0s/k0s.yaml"
    config.write_text("spec: {b: 1}\n")
    assert host.run(target.done).returncode == 1
    config.write_text(CONFIG)
    assert host.run(target.done).returncode == 0
    config.chmod(0o644)
    assert host.run(target.done).returncode == 1
    config.chmod(0o600)
    unit = host.root / "etc/systemd/system/k0scontroller.service"
    text = unit.read_text()
    unit.write_text(f"{text.strip()} --debug\n")
    assert host.run(target.done).returncode == 1
    unit.write_text(text)
    status = host.root / "run/status"
    status.write_text(status.read_text().replace('"]', '","--debug"]'))
    assert host.run(target.done).returncode == 1


def test_flags_that_changed_are_installed_again(host: Folder) -> None:
    old = installed(host)
    target = host.target(old, OLD, config=CONFIG, flags=("--debug",))
    assert host.run(target.done).returncode == 1
    assert host.run(target.script).returncode == 0
    assert "--debug" in host.running
    assert host.run(target.done).returncode == 0


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({}, "was not drained: a controller of this run has to do it"),
        ({"state": "failed.@ID@", "why": "a budget"}, "w1 was not drained (a budget)"),
        ({"state": "drained.@ID@"}, "was not drained"),
        ({"state": "drained.0123456789ab", "cordoned": "true"}, "was not drained"),
        ({"state": "drained.@ID@", "cordoned": "true", "version": "v1.29.9+k0s"}, "the controllers go first"),
    ],
)
def test_a_worker_that_was_not_emptied_is_not_touched(host: Folder, said: dict[str, str], told: str) -> None:
    old = installed(host, worker=True)
    new = host.k0s(NEW)
    host.stage(new)
    target = host.target(new, NEW, worker=True)
    host.node("w1", **{key: value.replace("@ID@", target.sha256[:12]) for key, value in said.items()})
    running = host.running
    ran = host.run(target.script)
    assert ran.returncode == REFUSED
    assert told in ran.stderr
    assert "nothing was changed" in ran.stderr
    assert (host.live, host.running) == (old, running)


def test_a_worker_that_was_emptied_changes_and_takes_pods_again(host: Folder) -> None:
    installed(host, worker=True)
    new = host.k0s(NEW)
    host.stage(new)
    target = host.target(new, NEW, worker=True)
    host.node("w1", state=f"drained.{target.sha256[:12]}", cordoned="true")
    ran = host.run(target.script)
    assert ran.returncode == 0, ran.stderr
    assert host.live == new
    assert host.said("cordoned") == ""
    assert host.said("state") == f"runs.{target.sha256[:12]}"


def test_what_the_operator_cordoned_stays_cordoned(host: Folder) -> None:
    installed(host, worker=True)
    new = host.k0s(NEW)
    host.stage(new)
    target = host.target(new, NEW, worker=True)
    host.node("w1", state=f"drained.{target.sha256[:12]}.kept", cordoned="true")
    assert host.run(target.script).returncode == 0
    assert host.said("cordoned") == "true"
    assert host.said("state") == f"runs.{target.sha256[:12]}"


def test_a_sick_worker_is_rolled_back_and_takes_pods_again(host: Folder) -> None:
    old = installed(host, worker=True)
    new = host.k0s(NEW, "sick")
    host.stage(new)
    target = host.target(new, NEW, worker=True)
    host.node("w1", state=f"drained.{target.sha256[:12]}", cordoned="true", beat="2020-01-01T00:00:00Z")
    ran = host.run(target.script)
    assert ran.returncode == 1
    assert host.live == old
    assert host.said("cordoned") == ""
    assert host.said("state") == f"failed.{target.sha256[:12]}"


def test_flags_change_without_a_drain_and_so_does_everything_where_none_is_wanted(host: Folder) -> None:
    old = installed(host, worker=True)
    assert host.run(host.target(old, OLD, worker=True, flags=("--debug",)).script).returncode == 0
    new = host.k0s(NEW)
    host.stage(new)
    assert host.run(host.target(new, NEW, worker=True).script).returncode == REFUSED
    assert host.run(host.target(new, NEW, worker=True, drain=False).script).returncode == 0
    assert host.live == new


def test_a_worker_that_never_joined_is_emptied_by_nobody(host: Folder) -> None:
    old = host.k0s(OLD, "dies")
    host.stage(old)
    assert host.run(host.target(old, OLD, worker=True).script).returncode == 1
    assert not (host.store / "doing").exists()
    new = host.k0s(NEW)
    host.stage(new)
    host.node("w1")
    (host.root / "var/lib/k0s/kubelet.conf").unlink()
    ran = host.run(host.target(new, NEW, worker=True).script)
    assert (ran.returncode, host.live) == (0, new), ran.stderr


def test_a_staged_file_that_is_another_one_goes_nowhere(host: Folder) -> None:
    old = installed(host)
    new = host.k0s(NEW)
    host.stage(new + b"\n", CONFIG)
    ran = host.run(host.target(new, NEW, config=CONFIG).script)
    assert ran.returncode == REFUSED
    assert host.live == old


def cuts(host: Folder, tmp_path: Path, health: str, every: int) -> None:
    """Cut the power before the Nth call of anything that changes something, for many N; then run again."""
    old = installed(host)
    host.save(tmp_path / "before")
    new = host.k0s(NEW, health)
    target = host.target(new, NEW, config=CONFIG2, flags=("--debug",))
    number = 0
    while True:
        number += every
        host.restore(tmp_path / "before")
        host.stage(new, CONFIG2)
        cut = host.run(target.script, cut=number)
        if cut.returncode != -signal.SIGKILL:
            break
        assert host.live in {old, new}, number
        # The machine comes back: systemd starts whatever is there.
        if (host.root / "run/systemd/enabled").exists():
            (host.root / "run/systemd/active").unlink(missing_ok=True)
            host.run("systemctl start k0scontroller")
        host.stage(b"" if host.live == new else new, CONFIG2)
        again = host.run(target.script)
        if health == "good":
            assert (again.returncode, host.live) == (0, new), (number, again.stderr)
            assert host.run(target.done).returncode == 0, number
        else:
            assert (again.returncode, host.live) == (1, old), (number, again.stderr)
            back = host.target(old, OLD, config=CONFIG)
            assert host.run(back.done).returncode == 0, (number, again.stderr)
    assert number > every


@pytest.mark.parametrize("health", ["good", "dies"])
def test_cut_off_now_and_then(tmp_path: Path, health: str) -> None:
    cuts(Folder(tmp_path / "host"), tmp_path, health, 10)


@pytest.mark.slow
@pytest.mark.parametrize("health", ["good", "dies", "sick"])
def test_cut_off_before_every_call(tmp_path: Path, health: str) -> None:
    cuts(Folder(tmp_path / "host"), tmp_path, health, 1)
