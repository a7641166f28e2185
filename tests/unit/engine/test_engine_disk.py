"""Disks are loop devices here: real block devices, of which nothing is lost."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import lzma
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from requires import requires

from sealboot.artifacts.zstd import zstd
from sealboot.engine import diskscript
from sealboot.engine.steps import act
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import BecomeSettings, Host
from sealboot.model.outcome import HostOutcome
from sealboot.model.steps import WriteDisk
from sealboot.transport.base import Result
from sealboot.transport.fake import FakeSession
from sealboot.transport.local import LocalSession

MIB = 1 << 20


@dataclass
class Disk:
    """A loop device over a file."""

    device: str
    file: Path

    def content(self, size: int) -> bytes:
        with Path(self.device).open("rb", buffering=0) as file:
            return file.read(size)


def _losetup(*arguments: str) -> str:
    done = subprocess.run(["losetup", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    requires("loop devices")
    file = tmp_path / "disk"
    file.write_bytes(b"\xaa" * (8 * MIB))
    device = _losetup("--find", "--show", str(file))
    try:
        yield Disk(device, file)
    finally:
        # The next who gets this device would find it as it was left.
        subprocess.run(["blockdev", "--setrw", device], check=True)
        _losetup("--detach", device)


def image(size: int = 3 * MIB + 512) -> bytes:
    """Mostly zeros, and something that does not shrink."""
    return b"boot" * 128 + os.urandom(65536) + bytes(size - 512 - 65536)


def step(tmp_path: Path, disk: Disk, raw: bytes, packed: bytes | None = None, **more: Any) -> WriteDisk:
    source = tmp_path / "image"
    source.write_bytes(raw if packed is None else packed)
    lying = source.read_bytes()
    return WriteDisk(
        **{
            "id": "d",
            "host": "n1",
            "title": "write the disk",
            "source": str(source),
            "sha256": hashlib.sha256(lying).hexdigest(),
            "size": len(lying),
            "raw_sha256": hashlib.sha256(raw).hexdigest(),
            "raw_size": len(raw),
            "device": disk.device,
            "destroys": "everything on it",
            **more,
        }
    )


@pytest.fixture
async def local(work: Any) -> Any:
    """The node behind the real shell protocol: streams need it."""
    session = LocalSession(Host("n1", "127.0.0.1", "node", become=BecomeSettings(method="none")))
    work.session = session
    yield work
    await session.close()


def told(diagnostic: Diagnostic | None) -> Diagnostic:
    assert diagnostic is not None
    return diagnostic


PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "plain": lambda raw: raw,
    "zstd": zstd.compress,
    "xz": lzma.compress,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
}


@pytest.mark.parametrize("packing", PACKERS)
async def test_an_image_is_on_the_disk_whatever_it_was_packed_with(
    packing: str, tmp_path: Path, disk: Disk, local: Any
) -> None:
    raw = image()
    seen: list[int] = []
    local.progress = lambda _step, done, total: seen.append(done * 100 // total)
    end = await act(local, step(tmp_path, disk, raw, PACKERS[packing](raw)))
    assert (end.result, end.diagnostic) == ("changed", None)
    assert disk.content(len(raw)) == raw
    assert disk.content(8 * MIB)[len(raw) :] == b"\xaa" * (8 * MIB - len(raw)), "and not a byte more"
    assert seen[-1] == 100
    assert local.sent < 2 * 65536 + 4096, "zeros are hardly sent"


async def test_without_gzip_the_image_is_sent_as_it_is(
    tmp_path: Path, disk: Disk, local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealboot.engine.disk.LOOK", diskscript.LOOK.replace("echo gzip=1", "echo gzip=0"))
    raw = image()
    end = await act(local, step(tmp_path, disk, raw))
    assert (end.result, local.sent) == ("changed", len(raw))
    assert disk.content(len(raw)) == raw


# -- refused before a byte --------------------------------------------------------------------------


async def refused(local: Any, wanted: WriteDisk) -> str:
    end = await act(local, wanted)
    assert end.result == "failed"
    assert told(end.diagnostic).code == "SB523"
    assert "not a byte of it was changed" in told(end.diagnostic).notes
    return told(end.diagnostic).summary


async def test_what_is_no_disk_is_refused(tmp_path: Path, disk: Disk, local: Any) -> None:
    raw = image()
    assert "no such device" in await refused(local, step(tmp_path, disk, raw, device="/dev/nothing-here"))
    plain = tmp_path / "plain"
    plain.write_bytes(b"mine")
    assert "no block device" in await refused(local, step(tmp_path, disk, raw, device=str(plain)))
    assert plain.read_bytes() == b"mine"


async def test_a_disk_that_is_too_small_is_refused(tmp_path: Path, disk: Disk, local: Any) -> None:
    raw = bytes(8 * MIB + 512)
    assert "8,389,120 bytes, the device 8,388,608" in await refused(local, step(tmp_path, disk, raw))
    assert disk.content(4) == b"\xaa" * 4


async def test_a_read_only_disk_is_refused(tmp_path: Path, disk: Disk, local: Any) -> None:
    subprocess.run(["blockdev", "--setro", disk.device], check=True)
    assert "read-only" in await refused(local, step(tmp_path, disk, image()))


@contextlib.contextmanager
def mounted(disk: Disk, at: Path) -> Iterator[None]:
    requires("mke2fs")
    subprocess.run(["mke2fs", "-q", "-F", disk.device], check=True, capture_output=True)
    at.mkdir()
    subprocess.run(["mount", disk.device, str(at)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(at)], check=True)


async def test_a_mounted_disk_is_refused_by_every_name(tmp_path: Path, disk: Disk, local: Any) -> None:
    link = tmp_path / "by-id"
    link.symlink_to(disk.device)
    with mounted(disk, tmp_path / "mnt"):
        for name in (disk.device, str(link)):
            wanted = step(tmp_path, disk, image(), device=name)
            end = await act(local, wanted)
            assert told(end.diagnostic).code == "SB523"
            rows = told(end.diagnostic).evidence
            assert ("in use", f"{disk.device[5:]} is mounted on {tmp_path / 'mnt'}") in rows


async def test_a_changed_source_is_refused(tmp_path: Path, disk: Disk, local: Any) -> None:
    wanted = step(tmp_path, disk, image())
    Path(wanted.source).write_bytes(b"another file")
    end = await act(local, wanted)
    assert told(end.diagnostic).code == "SB504"
    assert disk.content(4) == b"\xaa" * 4


# -- begun and not finished -------------------------------------------------------------------------


async def test_a_damaged_image_leaves_a_half_written_disk_and_says_so(
    tmp_path: Path, disk: Disk, local: Any
) -> None:
    raw = image()
    packed = zstd.compress(raw)[:-900]
    end = await act(local, step(tmp_path, disk, raw, packed))
    assert end.result == "failed"
    assert told(end.diagnostic).code == "SB524"
    assert "half written" in told(end.diagnostic).summary
    assert "lost already: everything on it" in told(end.diagnostic).notes


async def test_a_disk_that_lies_is_found_out(tmp_path: Path, disk: Disk, local: Any) -> None:
    """What is read back counts: here something else writes to the disk meanwhile."""
    raw = image()
    wanted = step(tmp_path, disk, raw)
    real = local.session.run

    async def run(script: str, **more: Any) -> Result:
        if script == diskscript.READ_BACK:
            with Path(disk.device).open("r+b", buffering=0) as file:
                file.write(b"\xff" * 512)
        result: Result = await real(script, **more)
        return result

    local.session.run = run
    end = await act(local, wanted)
    assert end.result == "failed"
    assert told(end.diagnostic).code == "SB525"
    assert ("written", f"sha256 {wanted.raw_sha256}") in told(end.diagnostic).evidence


class Breaks:
    """Breaks the connection in the middle of the first stream."""

    def __init__(self, session: Any, node: Any) -> None:
        self._real = session.stream
        self._node = node
        self.streams = 0

    async def stream(
        self, pieces: Iterator[bytes], size: int, script: str, *, args: Sequence[str], become: bool, **_: Any
    ) -> Result:
        self.streams += 1
        if self.streams == 1:
            made = next(pieces)
            done: Result = await self._real(iter([made]), size, script, args=args, become=become)
            assert not done.ok, "half a stream is no image"
            self._node.session.drop("broken pipe")
            return Result("lost", None, diagnostic=self._node.session.lost)
        result: Result = await self._real(pieces, size, script, args=args, become=become)
        return result


async def test_a_broken_connection_is_told_and_the_same_command_rewrites(
    tmp_path: Path, disk: Disk, node: Any, rig: Any, plan_of: Any
) -> None:
    raw = image()
    here = LocalSession(Host("n1", "127.0.0.1", "node", become=BecomeSettings(method="none")))
    breaks = Breaks(here, node)
    node.session.stream = breaks.stream
    gone = Diagnostic("SB201", "no route", host="n1")
    plan = plan_of((step(tmp_path, disk, raw),))
    report = await rig.apply(plan, node, reconnect=lambda _: gone)
    assert [h.outcome for h in report.hosts] == [HostOutcome.UNKNOWN]
    (lost,) = report.diagnostics
    assert (lost.code, "half written" in lost.summary) == ("SB524", True)
    assert disk.content(len(raw)) != raw
    node.fresh().stream = breaks.stream
    report = await rig.apply(plan, node)
    await here.close()
    assert [(h.outcome, h.changed) for h in report.hosts] == [(HostOutcome.CHANGED, 1)]
    assert disk.content(len(raw)) == raw


async def test_a_connection_that_comes_back_is_used_at_once(
    tmp_path: Path, disk: Disk, node: Any, rig: Any, plan_of: Any
) -> None:
    raw = image()
    here = LocalSession(Host("n1", "127.0.0.1", "node", become=BecomeSettings(method="none")))
    breaks = Breaks(here, node)
    node.session.stream = breaks.stream

    def again(_name: str) -> Any:
        node.fresh().stream = breaks.stream
        return node.session

    report = await rig.apply(plan_of((step(tmp_path, disk, raw),)), node, reconnect=again)
    await here.close()
    assert [h.outcome for h in report.hosts] == [HostOutcome.CHANGED]
    assert (breaks.streams, disk.content(len(raw))) == (2, raw)


# -- under the running system: told to a fake, because it would be this machine's own disk -----------


def fake_host(*read_back: str) -> FakeSession:
    host = FakeSession("n1")
    looked = b"device=/dev/vda\nsize=99999999\nuser=vda1 is mounted on /\ngzip=0\n"
    host.expect(lambda call: call.script == diskscript.LOOK, looked)
    host.expect(lambda call: call.script == diskscript.WRITE, kind="stream", times=None)
    for digest in read_back:
        host.expect(lambda call: call.script == diskscript.READ_BACK, f"{digest}\n".encode())
    return host


@pytest.mark.parametrize("late", [0, 1, 2, 3])
async def test_what_ran_there_may_write_late_but_not_for_ever(late: int, tmp_path: Path, work: Any) -> None:
    raw = image(70_000)
    wanted = step(tmp_path, Disk("/dev/vda", tmp_path), raw, in_use=True)
    host = fake_host(*["f" * 64] * late, *[wanted.raw_sha256] * (late < 3))
    work.session = host
    end = await act(work, wanted)
    host.verify()
    assert end.result == ("changed" if late < 3 else "failed")
    assert work.sent == len(raw) * min(late + 1, 3)
    streams = [call for call in host.calls if call.kind == "stream"]
    assert {call.args[3] for call in streams} == {"1"}
    # What must be remembered from now on is kept in memory: the disk is somebody else's.
    assert work.paths.state.startswith("/run/sealboot/")
    assert all(call.args[2].startswith("/run/sealboot/") for call in streams)


async def test_a_disk_in_use_is_refused_unless_the_step_says_so(tmp_path: Path, work: Any) -> None:
    work.session = fake_host()
    before = work.paths
    assert "it is in use" in await refused(work, step(tmp_path, Disk("/dev/vda", tmp_path), image(70_000)))
    assert work.paths == before
