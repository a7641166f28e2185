"""Where a kubeconfig is fetched from, and the file it goes to: 0600, whole, and never over another cluster's."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml
from access_kit import admin

from sealboot.drivers.base import KubeconfigWay
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.secret import Redactor
from sealboot.transport.base import Result, Session
from sealboot.transport.fake import FakeConnector, FakeSession, failed
from sealboot.workflow.kubeconfig import Fetched, fetch
from sealboot.workflow.kubeconfig_file import Saved, Wish, save
from sealboot.workflow.kubeconfig_text import Access, read, text

WAYS = tuple(KubeconfigWay(n, f"cat {n}\n", f"https://10.0.0.{i}:6443") for i, n in ((1, "s1"), (2, "s2")))
DOWN = Diagnostic("SB201", "s1 does not answer", host="s1")


def access(cluster: str = "lab") -> Access:
    made = read(admin(cluster).text().encode())
    assert isinstance(made, Access)
    return made


def fetched(cluster: str = "lab") -> Fetched:
    return Fetched(access(cluster), "s1", "https://10.0.0.1:6443")


def wish(target: Path, *, merge: bool = False, force: bool = False) -> Wish:
    return Wish(target, "lab", "https://10.0.0.1:6443", merge=merge, force=force)


def giving(name: str, answer: bytes | Result) -> FakeSession:
    return FakeSession(name).expect("cat", answer)


async def test_the_first_one_is_asked_as_root_and_no_other() -> None:
    session, redactor = giving("s1", admin().text().encode()), Redactor()
    got = await fetch(FakeConnector([session]), WAYS, redactor)
    assert isinstance(got, Fetched)
    assert (got.host, got.server, got.diagnostics) == ("s1", WAYS[0].server, ())
    assert session.calls[0].become
    assert redactor(f"key {admin().key}") == "key ***"
    assert "PRIVATE" not in redactor(got.access.pem_key().splitlines()[1])


@pytest.mark.parametrize("first", [DOWN, giving("s1", failed(66, b"x does not exist\n")), failed(1)])
async def test_a_second_one_is_asked_when_the_first_is_down(first: Diagnostic | FakeSession | Result) -> None:
    one: Session | Diagnostic = giving("s1", first) if isinstance(first, Result) else first
    servers: dict[str, Session | Diagnostic] = {"s1": one, "s2": giving("s2", admin().text().encode())}
    connector = FakeConnector(servers)
    got = await fetch(connector, WAYS, Redactor())
    assert isinstance(got, Fetched)
    assert (got.host, got.server) == ("s2", WAYS[1].server)
    assert [d.severity for d in got.diagnostics] == [Severity.WARNING]


@pytest.mark.parametrize(
    "first", [Diagnostic("SB202", "its key changed", host="s1"), giving("s1", b"users: [{exec: x}]")]
)
async def test_a_host_that_is_not_who_it_was_ends_the_search(first: Diagnostic | FakeSession) -> None:
    sessions: dict[str, Session | Diagnostic] = {"s1": first, "s2": FakeSession("s2")}
    connector = FakeConnector(sessions)
    got = await fetch(connector, WAYS, Redactor())
    assert isinstance(got, tuple)
    assert [d.code for d in got] == ["SB202" if isinstance(first, Diagnostic) else "SB681"]
    assert connector.connected == ["s1"]


async def test_nobody_has_one() -> None:
    silent: dict[str, Session | Diagnostic] = {
        "s1": DOWN,
        "s2": giving("s2", Result("timeout", None, b"half of a key")),
    }
    connector = FakeConnector(silent)
    got = await fetch(connector, WAYS, Redactor())
    assert isinstance(got, tuple)
    assert [d.code for d in got] == ["SB201", "SB680"]
    assert "half" not in repr(got)


def test_a_new_file_is_private_and_a_second_time_the_same(tmp_path: Path) -> None:
    target = tmp_path / "kubeconfig"
    assert save(wish(target), fetched()) == Saved(str(target), "created")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert target.read_text() == text(access(), "lab", "https://10.0.0.1:6443")
    assert save(wish(target), fetched()) == Saved(str(target), "same")
    target.chmod(0o644)
    assert save(wish(target), fetched()) == Saved(str(target), "changed")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["kubeconfig"]


@pytest.mark.parametrize("theirs", ["other cluster", "two clusters", "no kubeconfig"])
def test_what_is_not_ours_is_replaced_only_by_force_and_kept(tmp_path: Path, theirs: str) -> None:
    target = tmp_path / "kubeconfig"
    two = {**admin().document(), "clusters": [{"name": "a", "cluster": {}}, {"name": "b", "cluster": {}}]}
    content = {
        "other cluster": admin("other").text("lab"),
        "two clusters": yaml.safe_dump(two),
        "no kubeconfig": "my notes\n",
    }[theirs]
    target.write_text(content)
    found = save(wish(target), fetched())
    assert isinstance(found, Diagnostic)
    assert found.code == "SB682"
    assert "--force" in found.hints[0]
    assert target.read_text() == content
    forced = save(wish(target, force=True), fetched())
    assert isinstance(forced, Saved)
    assert Path(forced.backup).read_text() == content
    assert stat.S_IMODE(Path(forced.backup).stat().st_mode) == 0o600
    assert isinstance(read(target.read_bytes()), Access)


def test_merging_keeps_a_copy_and_follows_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles", tmp_path / "config"
    real.write_text(admin("other").text("work"))
    link.symlink_to(real)
    done = save(wish(link, merge=True), fetched())
    assert isinstance(done, Saved)
    assert link.is_symlink()
    assert Path(done.backup).read_text() == admin("other").text("work")
    tree = yaml.safe_load(real.read_text())
    assert [c["name"] for c in tree["clusters"]] == ["work", "lab"]
    assert tree["current-context"] == "work"
    again = save(wish(link, merge=True), fetched())
    assert isinstance(again, Saved)
    assert (again.state, again.backup) == ("same", "")


def test_merging_into_nothing_makes_the_folder(tmp_path: Path) -> None:
    target = tmp_path / ".kube/config"
    assert save(wish(target, merge=True), fetched()) == Saved(str(target), "created")
    assert stat.S_IMODE(target.parent.stat().st_mode) == 0o700
    assert [p.name for p in target.parent.iterdir()] == ["config"]


def test_kubectls_lock_is_respected(tmp_path: Path) -> None:
    target = tmp_path / "config"
    lock = tmp_path / "config.lock"
    lock.touch()
    found = save(wish(target, merge=True), fetched())
    assert isinstance(found, Diagnostic)
    assert str(lock) in found.summary
    assert lock.exists()
    assert not target.exists()


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    (tmp_path / "latin").write_bytes(b"\xe4: 1\n")
    (tmp_path / "file").touch()
    places = [tmp_path, tmp_path / "no/such/x", loop, Path("a\0b"), tmp_path / "latin", tmp_path / "file/x"]
    for place in places:
        for merge in (False, True):
            found = save(wish(place, merge=merge), fetched())
            assert isinstance(found, Diagnostic), place
            assert found.code == "SB682"
    assert (tmp_path / "latin").read_bytes() == b"\xe4: 1\n"
