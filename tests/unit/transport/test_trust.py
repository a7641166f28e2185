"""Recording keys, and what `sealboot trust` compares."""

from __future__ import annotations

import multiprocessing
import subprocess
from pathlib import Path

import pytest
from connect_kit import ECDSA, A, B, host_of, key, rig
from sshd_kit import keygen, openssh, public_line

from sealboot.model.diagnostic import Diagnostic
from sealboot.transport.knownhosts import read_known_hosts
from sealboot.transport.trust import Change, compare, pin, record


def test_record_replaces_the_host_and_keeps_everything_else(tmp_path: Path) -> None:
    project = tmp_path / "known_hosts"
    project.write_bytes(
        f"# caf\xe9\nh {A.line} comment\nx,h,y {A.line}\n@revoked h {A.line}\n*.h {A.line}\nother {A.line}".encode(
            "latin-1"
        )
    )
    done = record(project, "h", [B, ECDSA])
    assert not isinstance(done, Diagnostic)
    assert [line.at.line for line in done] == [6, 7]
    assert project.read_bytes() == (
        f"# caf\xe9\nx,y {A.line}\n@revoked h {A.line}\n*.h {A.line}\nother {A.line}\nh {B.line}\nh {ECDSA.line}\n"
    ).encode("latin-1")
    assert [f.name for f in tmp_path.iterdir()] == ["known_hosts"]


@pytest.mark.requires("ssh-keygen")
def test_record_finds_hashed_lines(tmp_path: Path) -> None:
    project = tmp_path / "known_hosts"
    project.write_text(f"h {A.line}\nother {A.line}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(project)], check=True, capture_output=True)
    assert not isinstance(record(project, "h", [B]), Diagnostic)
    known = read_known_hosts([project])
    assert [line.key for line in known.lookup("h", 22).plain] == [B]
    assert [line.key for line in known.lookup("other", 22).plain] == [A]


def test_a_link_stays_a_link_and_the_mode_is_right(tmp_path: Path) -> None:
    real = tmp_path / "real/known_hosts"
    link = tmp_path / "known_hosts"
    real.parent.mkdir()
    link.symlink_to(real)
    done = pin(link, "h", A)
    assert not isinstance(done, Diagnostic)
    assert link.is_symlink()
    assert real.read_text() == f"h {A.line}\n"
    assert real.stat().st_mode & 0o777 == 0o644
    assert done.at.line == 1


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = pin(tmp_path / "file/known_hosts", "h", A)
    assert isinstance(done, Diagnostic)
    assert done.code == "SB209"


def _pin_many(project: Path, first: int) -> None:
    for i in range(first, first + 20):
        assert not isinstance(pin(project, f"h{i}", key(i)), Diagnostic)


def test_two_runs_at_once_lose_no_line(tmp_path: Path) -> None:
    project = tmp_path / "known_hosts"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_pin_many, args=(project, first)) for first in (0, 100)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert len(project.read_text().splitlines()) == 40


@pytest.mark.parametrize("known", ["none", "same", "one", "changed", "revoked"])
async def test_compare_shows_all_keys_without_a_login(tmp_path: Path, known: str) -> None:
    old = public_line(keygen(tmp_path / "old"))
    with openssh(tmp_path / "s", keys=("ed25519", "ecdsa", "rsa")) as server:
        name = f"[127.0.0.1]:{server.port}"
        trust = {
            "none": "",
            "same": server.known_hosts(),
            "one": server.known_hosts("ecdsa"),
            "changed": f"{name} {old}\n",
            "revoked": f"@revoked * {server.host_keys['rsa']}\n",
        }[known]
        async with rig(tmp_path, [host_of(server)], trust=trust) as r:
            found = await compare(r.connector, "n1")
        assert not isinstance(found, Diagnostic)
        assert found.name == name
        assert {k.line for k in found.offered} == set(server.host_keys.values())
        expected = {"none": Change.NEW, "same": Change.SAME, "revoked": Change.REVOKED}
        assert found.change is expected.get(known, Change.CHANGED)
        assert "Accepted" not in server.log_text()
        if known == "changed":
            assert [line.key.line for line in found.known] == [old]
            assert not isinstance(record(tmp_path / "known_hosts", found.name, found.offered), Diagnostic)
            async with rig(tmp_path, [host_of(server)]) as r:
                await r.raw("n1")


async def test_compare_with_a_host_that_is_not_there(tmp_path: Path) -> None:
    with openssh(tmp_path / "s") as server:
        host = host_of(server)
    async with rig(tmp_path, [host]) as r:
        found = await compare(r.connector, "n1")
    assert isinstance(found, Diagnostic)
    assert found.code == "SB201"
