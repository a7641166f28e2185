"""The cache as an operator meets it: nothing to see but the time, and a switch to do without."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pytest
from cli_kit import Lab
from cli_kit import quick as run
from requires import inapplicable

from sealboot.artifacts import cache as room
from sealboot.artifacts.cache import Cache
from sealboot.artifacts.inspect import inspect
from sealboot.lab.tinyelf import make
from sealboot.model.arch import Arch


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tool").write_bytes(make(Arch.ARM64, "hello\n"))
    monkeypatch.setattr(room, "filesystem_of", lambda _: "ext4")
    monkeypatch.setattr(room, "SETTLED", -1.0)
    return tmp_path


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("home/.cache/sealboot/inspect/*"))


def test_inspect_remembers(folder: Path) -> None:
    first = run(folder, "inspect", "tool", "--format", "json")
    (entry,) = kept(folder)
    assert run(folder, "inspect", "tool", "--format", "json") == first
    entry.unlink()
    for switch in ({"SEALBOOT_NO_CACHE": "1"}, {}):
        line = ("inspect", "tool", *(() if switch else ("--no-cache",)), "--format", "json")
        assert run(folder, *line, env=switch) == first
        assert kept(folder) == []


def test_a_result_of_another_file_is_never_shown(folder: Path) -> None:
    """Same name, same size, same time of writing: the bytes decide."""
    run(folder, "inspect", "tool")
    before = (folder / "tool").stat()
    (folder / "tool").write_bytes(
        make(Arch.RISCV64, "hello\n").ljust(before.st_size, b"\0")[: before.st_size]
    )
    os.utime(folder / "tool", ns=(before.st_atime_ns, before.st_mtime_ns))
    (seen,) = run(folder, "inspect", "tool", "--format", "json").document["artifacts"]
    assert seen["platforms"] == ["linux/riscv64"]


def test_what_is_vouched_for_is_read_now(folder: Path) -> None:
    """A sum is compared with the bytes, not with what was remembered of them."""
    run(folder, "inspect", "tool")
    (entry,) = kept(folder)
    tampered(entry, "ab" * 32)
    assert "ab" * 32 in run(folder, "inspect", "tool").out  # so the entry is one that would be believed
    (folder / "sums").write_text(f"{'ab' * 32}  tool\n")
    ran = run(folder, "inspect", "tool", "--checksums", "sums")
    assert ran.code == 9
    assert "error[SB406]" in ran.out + ran.err


def tampered(entry: Path, digest: str) -> None:
    """The entry with another digest of the file in it, sealed again: what only its owner can do."""
    body = json.loads(entry.read_bytes().partition(b"\n")[2])
    body["artifact"]["sha256"] = digest
    data = json.dumps(body, separators=(",", ":")).encode()
    entry.write_bytes(hashlib.sha256(data).hexdigest().encode() + b"\n" + data)


def test_check_remembers_too(folder: Path) -> None:
    (folder / "inventory.yaml").write_text(
        "version: 1\ncluster: {name: lab, driver: sealos}\nartifacts: {sealctl: [tool]}\n"
        "hosts:\n  a: {address: 127.0.0.1, role: master, ssh: {port: 1, user: nobody}}\n"
    )
    run(folder, "check", "--no-input", "--no-cache")
    assert kept(folder) == []
    run(folder, "check", "--no-input")
    assert len(kept(folder)) == 1


def test_a_fresh_file_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "SETTLED", 5.0)
    assert time.time() - (folder / "tool").stat().st_ctime < 5
    run(folder, "inspect", "tool")
    assert not (folder / "home").exists()


def test_a_stale_result_ships_nothing(own_lab: Lab) -> None:
    """Whatever the cache says, a host goes live with the bytes of the plan's digest or not at all."""
    shown = [f"binaries/{p.name}" for p in (own_lab.folder / "binaries").iterdir()]
    cache = Cache(own_lab.folder / "home/.cache/sealboot/inspect", clock=lambda: time.time() + 10)
    for path in shown:
        inspect(own_lab.folder / path, path, cache=cache)
    cache.close()
    if not cache.kept:
        inapplicable("this file system is not one that the cache believes")
    for entry in kept(own_lab.folder):
        tampered(entry, "ab" * 32)
    ran = own_lab.run("apply", "--yes", "--limit", "ctl1", "--format", "json")
    assert ran.code in {3, 9}
    assert ran.codes <= {"SB502", "SB504", "SB510"}
    assert ran.codes & {"SB502", "SB504"}
    machines = own_lab.folder / "machines"
    assert [p for p in machines.rglob("sealctl*") if p.is_file()] == []
    (quoted,) = [d for d in ran.document["diagnostics"] if d["code"] in {"SB502", "SB504"}]
    assert "ab" * 32 in json.dumps(quoted)  # so it was believed, up to there
