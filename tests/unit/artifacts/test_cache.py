"""The cache is believed only where the bytes cannot be others, and nothing that is in it can do harm."""

from __future__ import annotations

import json
import mmap
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from elf_corpus import samples
from hypothesis import given, settings
from hypothesis import strategies as st
from payload_kit import k0s_chain, k3s_archive, k3s_program, upx_like
from requires import inapplicable

from sealboot.artifacts import cache as room
from sealboot.artifacts import mounts
from sealboot.artifacts.cache import Cache, open_cache
from sealboot.artifacts.cache_codec import decode, encode
from sealboot.artifacts.inspect import inspect
from sealboot.artifacts.mounts import filesystem_of, writeback_seconds
from sealboot.artifacts.reader import Reader
from sealboot.lab.tinyelf import make
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Kind

SOON = 10.0
#: CLOCK_REALTIME_COARSE (clock_gettime(2)), for which Python has no name.
COARSE = 5


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tool"
    path.write_bytes(make(Arch.AMD64, "hello\n"))
    return path


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cache]:
    """A cache some seconds from now: what was just written has settled. Any file system will do."""
    monkeypatch.setattr(room, "filesystem_of", lambda _: "ext4")
    with_clock = open_cache({"XDG_CACHE_HOME": str(tmp_path / "xdg")}, clock=lambda: time.time() + SOON)
    assert with_clock
    yield with_clock
    with_clock.close()


def entries(folder: Path) -> list[Path]:
    return sorted((folder / "xdg/sealboot/inspect").glob("*"))


def test_the_second_look_reads_no_byte(file: Path, made: Cache, tmp_path: Path) -> None:
    first = inspect(file, "tool", cache=made)
    assert (made.found, made.kept) == (0, 1)
    assert inspect(file, "tool", cache=made) == first == inspect(file, "tool")
    assert (made.found, made.kept) == (1, 1)
    (entry,) = entries(tmp_path)
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    for folder in (entry.parent, entry.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_labels_and_depths_are_told_apart(file: Path, made: Cache) -> None:
    """Texts quote the label, and a name may lie: nothing is told of another one."""
    shown = [inspect(file, name, cache=made) for name in ("tool", "tool-arm64", "tool")]
    assert [a.path for a in shown] == ["tool", "tool-arm64", "tool"]
    assert [[d.code for d in a.diagnostics] for a in shown] == [[], ["SB111"], []]
    inspect(file, "tool", deep=True, cache=made)
    assert (made.found, made.kept) == (1, 3)


def changed_in_place(path: Path) -> None:
    """Other bytes, the same size, and `mtime` set back to the nanosecond."""
    before = path.stat()
    with path.open("r+b") as handle:
        handle.seek(18)
        handle.write(b"\xb7")  # e_machine: aarch64
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (
        before.st_size,
        before.st_mtime_ns,
        before.st_ino,
    )


def replaced(path: Path) -> None:
    """Another file under its name, with its size and `mtime`."""
    before = path.stat()
    other = path.with_name("other")
    data = bytearray(path.read_bytes())
    data[18] = 0xB7
    other.write_bytes(data)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(path)


def mapped(path: Path) -> None:
    """A store into a shared mapping."""
    with path.open("r+b") as handle, mmap.mmap(handle.fileno(), 0) as memory:
        memory[18] = 0xB7


@pytest.mark.parametrize("change", [changed_in_place, replaced, mapped])
def test_a_file_that_hides_its_change(change: Any, file: Path, made: Cache) -> None:
    assert inspect(file, "tool", cache=made).platforms == ("linux/amd64",)
    change(file)
    seen = inspect(file, "tool", cache=made)
    assert made.found == 0
    assert seen == inspect(file, "tool")
    assert seen.platforms == ("linux/arm64",)


def test_a_mapping_that_was_dirty_when_the_file_was_read(file: Path, made: Cache) -> None:
    """Stores into a dirty page move no time: so it is written back first, and each later store shows.

    Without the `fsync` in `Cache.prepare` this test fails on ext4.
    """
    with file.open("rb") as opened:
        if filesystem_of(opened.fileno()) not in room.TRUSTED:
            inapplicable("the kernel keeps this promise on local file systems only")
    with file.open("r+b") as handle, mmap.mmap(handle.fileno(), 0) as memory:
        memory[18] = 0x3E
        assert inspect(file, "tool", cache=made).platforms == ("linux/amd64",)
        assert made.kept == 1
        tick()
        memory[18] = 0xB7
        assert inspect(file, "tool", cache=made).platforms == ("linux/arm64",)


def tick() -> None:
    """Wait until the kernel's coarse clock, which file times are taken from, has moved."""
    now = time.clock_gettime_ns(COARSE)
    while time.clock_gettime_ns(COARSE) == now:
        time.sleep(0.001)


def test_a_file_that_just_changed_is_not_kept(file: Path, tmp_path: Path) -> None:
    eager = open_cache({"XDG_CACHE_HOME": str(tmp_path / "xdg")})
    assert eager
    inspect(file, "tool", cache=eager)
    past = time.time() - 90_000
    os.utime(file, (past, past))  # an old time of writing is no proof of age
    inspect(file, "tool", cache=eager)
    assert eager.kept == 0
    assert not (tmp_path / "xdg").exists()
    future = time.time() + 90_000
    os.utime(file, (future, future))
    late = Cache(tmp_path / "xdg", clock=lambda: time.time() + SOON)
    inspect(file, "tool", cache=late)
    assert late.kept == 0


def test_a_file_that_changes_while_it_is_read(
    file: Path, made: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_prepare = Cache.prepare

    def prepare(self: Cache, reader: Any) -> bool:
        said = true_prepare(self, reader)
        changed_in_place(file)
        return said

    monkeypatch.setattr(Cache, "prepare", prepare)
    assert [d.code for d in inspect(file, "tool", cache=made).diagnostics] == ["SB408"]
    assert made.kept == 0


@pytest.mark.parametrize("kind", ["", "tmpfs", "nfs4", "vfat", "fuse.sshfs", "overlay"])
def test_other_file_systems_are_not_believed(
    kind: str, file: Path, made: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspect(file, "tool", cache=made)
    monkeypatch.setattr(room, "filesystem_of", lambda _: kind)
    inspect(file, "tool", cache=made)
    inspect(file, "elsewhere", cache=made)
    assert (made.found, made.kept) == (0, 1)


def test_the_file_system_is_that_of_the_open_file() -> None:
    with Path("/proc/self/status").open() as handle:
        assert filesystem_of(handle.fileno()) == "proc"
    assert filesystem_of(-1) == ""
    assert writeback_seconds() > 0


def test_a_kernel_that_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "_BOTH", ("no_such_setting",))
    writeback_seconds.cache_clear()
    assert writeback_seconds() > 1e6
    writeback_seconds.cache_clear()


def test_other_parsers_know_nothing(file: Path, made: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    inspect(file, "tool", cache=made)
    monkeypatch.setattr(room, "parsers", lambda: "another version")
    inspect(file, "tool", cache=made)
    assert (made.found, made.kept) == (0, 2)
    monkeypatch.setattr(room, "parsers", lambda: "")
    assert open_cache({"XDG_CACHE_HOME": "/tmp"}) is None


def damaged_entries(good: bytes) -> dict[str, bytes]:
    body = json.loads(good.partition(b"\n")[2])

    def signed(**more: Any) -> bytes:
        return sealed(json.dumps({**body, **more}).encode())

    liar = {**body["artifact"], "platforms": ["linux/riscv64"]}
    return {
        "empty": b"",
        "cut": good[:-1],
        "flipped": good[:-9] + bytes((good[-9] ^ 1,)) + good[-8:],
        "no json": sealed(b"\x80\x04cos\nsystem\n(S'touch /tmp/owned'\ntR."),
        "deep": sealed(b"[" * 100_000),
        "digits": sealed(b"[" + b"9" * 10_000 + b"]"),
        "list": sealed(b"[]"),
        "other file": signed(stamp=[1, 2, 3]),
        "other key": signed(key=["x"]),
        "more": signed(more=1),
        "no artifact": signed(artifact=None),
        "other path": signed(artifact={**liar, "path": "/etc/passwd"}),
        "other size": signed(artifact={**liar, "size": 7}),
        "other type": signed(artifact={**liar, "size": str(liar["size"])}),
        "no such kind": signed(artifact={**liar, "kind": "zoo"}),
        "field missing": signed(artifact={k: v for k, v in liar.items() if k != "layers"}),
        "field too many": signed(artifact={**liar, "extra": 1}),
        "tag": signed(artifact={**liar, "_": "Path"}),
        "inner tag": signed(artifact={**liar, "layers": [{"_": "Cache", "folder": "/"}]}),
        "large": sealed(b" " * (room.MAX_ENTRY + 1)),
    }


def sealed(body: bytes) -> bytes:
    import hashlib  # noqa: PLC0415 (beside its one use)

    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def test_a_damaged_entry_is_made_anew(file: Path, made: Cache, tmp_path: Path) -> None:
    true = inspect(file, "tool", cache=made)
    (entry,) = entries(tmp_path)
    good = entry.read_bytes()
    for number, (what, data) in enumerate(damaged_entries(good).items()):
        entry.write_bytes(data)
        assert inspect(file, "tool", cache=made) == true, what
        assert (made.found, made.kept) == (0, number + 2), what
        assert entry.read_bytes() == good, what


def test_entries_of_other_kinds_and_owners(
    file: Path, made: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = inspect(file, "tool", cache=made)
    (entry,) = entries(tmp_path)
    copy = tmp_path / "copy"
    shutil.copy(entry, copy)

    def again() -> None:
        assert inspect(file, "tool", cache=made) == true
        assert made.found == 0

    entry.chmod(0o644)
    again()
    entry.unlink()
    entry.symlink_to(copy)
    again()
    assert not entry.is_symlink()
    entry.unlink()
    os.mkfifo(entry)
    again()
    assert entry.is_file()
    entry.unlink()
    entry.mkdir()
    again()
    assert entries(tmp_path) == [entry]
    entry.rmdir()
    again()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    again()


@pytest.mark.parametrize("what", ["open", "link", "file", "foreign"])
def test_a_folder_that_is_not_ours_alone_is_left_alone(
    what: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "filesystem_of", lambda _: "ext4")
    folder = tmp_path / "xdg/sealboot/inspect"
    folder.mkdir(parents=True, mode=0o700)
    if what == "open":
        folder.chmod(0o770)
    elif what == "foreign":
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    else:
        folder.rmdir()
        folder.symlink_to(tmp_path) if what == "link" else folder.write_text("mine")
    cache = open_cache({"XDG_CACHE_HOME": str(tmp_path / "xdg")}, clock=lambda: time.time() + SOON)
    assert cache
    assert inspect(file, "tool", cache=cache) == inspect(file, "tool")
    cache.close()
    assert cache.kept == 0
    assert [p.name for p in tmp_path.iterdir() if len(p.name) > 32] == []


def test_where_it_is(tmp_path: Path) -> None:
    for env, where in (
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/sealboot/inspect"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/sealboot/inspect"),
        ({"HOME": "/h"}, "/h/.cache/sealboot/inspect"),
    ):
        cache = open_cache(env)
        assert cache
        assert str(cache._path) == where
        cache.close()
    assert open_cache({}) is None
    assert open_cache({"HOME": "h"}) is None
    nowhere = Cache(Path("/proc/none/x"), clock=lambda: time.time() + SOON)
    (tmp_path / "tool").write_bytes(b"x")
    inspect(tmp_path / "tool", "tool", cache=nowhere)
    nowhere.close()


def test_what_is_not_kept(tmp_path: Path, made: Cache) -> None:
    """Folders, missing files and pipes have no state of their own; what went wrong may go well next time."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "absent", "."):
        inspect(tmp_path / name, name, cache=made)
    assert made.kept == 0


def test_the_oldest_go_first(tmp_path: Path, made: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_ENTRIES", 8)
    for number in range(9):
        path = tmp_path / f"tool{number}"
        path.write_bytes(make(Arch.AMD64, str(number)))
        inspect(path, path.name, cache=made)
        newest = max(entries(tmp_path), key=lambda p: p.stat().st_ctime_ns)
        os.utime(newest, (number, number))
    half_written = tmp_path / "xdg/sealboot/inspect/.0123456789abcdef"
    half_written.write_bytes(b"{")
    under_way = half_written.with_name(".fedcba9876543210")
    under_way.write_bytes(b"{")
    os.utime(half_written, (1, 1))
    made.close()
    left = entries(tmp_path)
    assert half_written not in left
    assert under_way in left
    assert min(p.stat().st_mtime for p in left if p != under_way) >= 3
    assert 5 <= len(left) <= 7


def test_the_bytes_are_bounded_too(
    file: Path, made: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    inspect(file, "one", cache=made)
    inspect(file, "two", cache=made)
    monkeypatch.setattr(room, "MAX_BYTES", 100)
    made.close()
    assert entries(tmp_path) == []


CODE = """
import sys, time
from pathlib import Path
from sealboot.artifacts import cache as room
from sealboot.artifacts.cache import open_cache
from sealboot.artifacts.inspect import inspect
room.filesystem_of = lambda _: "ext4"
for _ in range(40):
    cache = open_cache({"XDG_CACHE_HOME": sys.argv[1]}, clock=lambda: time.time() + 10)
    for path in sys.argv[2:]:
        assert inspect(Path(path), "tool", cache=cache).platforms == (path.rpartition("-")[2],), path
    cache.close()
"""


def test_processes_side_by_side(tmp_path: Path) -> None:
    """The same label in several folders, all processes at once, none ever told of another's file."""
    paths = []
    for arch in (Arch.AMD64, Arch.ARM64, Arch.RISCV64):
        folder = tmp_path / "x-linux" / arch.value
        folder.mkdir(parents=True)
        paths.append(folder / "tool")
        paths[-1].write_bytes(make(arch, "x"))
    code = CODE.replace('path.rpartition("-")[2]', '"/".join(path.rpartition("x-")[2].split("/")[:2])')
    command = [sys.executable, "-c", code, str(tmp_path / "xdg"), *map(str, paths)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for process in running:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert len(entries(tmp_path)) == 3


def zoo(folder: Path) -> Iterator[Artifact]:
    path = folder / "file"
    for sample in samples():
        path.write_bytes(sample.bytes)
        yield inspect(path, sample.name)
    carried = (
        b"".join(k0s_chain(Arch.ARM64)), b"".join(k0s_chain(Arch.AMD64))[:-9], b"#!/bin/sh\n", b"",
        k3s_program(Arch.AMD64, k3s_archive(Arch.AMD64)), upx_like(Arch.AMD64), b"\x7fELF",
    )  # fmt: skip
    for data in carried:
        path.write_bytes(data)
        yield inspect(path, "file-armv7", deep=True)


def test_everything_comes_back_as_it_was(tmp_path: Path) -> None:
    seen = list(zoo(tmp_path))
    assert len(seen) > 40
    for artifact in seen:
        assert decode(json.loads(json.dumps(encode(artifact)))) == artifact
        assert type(decode(encode(artifact)).layers) is tuple


def test_what_the_codec_does_not_know_is_not_kept(file: Path, made: Cache) -> None:
    found = inspect(file, "tool")
    with pytest.raises(ValueError, match="no way to write"):
        encode(replace(found, layers=(object(),)))  # type: ignore[arg-type]
    with file.open("rb") as handle:
        reader = Reader(os.dup(handle.fileno()), os.fstat(handle.fileno()))
        with reader:
            made.keep(replace(found, layers=(object(),)), reader, deep=False)  # type: ignore[arg-type]
    assert made.kept == 0


@settings(max_examples=300, deadline=None)
@given(
    data=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=8)
        | st.sampled_from(["Elf", "Other", "elf"]),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["_", "path", "layers", "kind", "name", "facts"]), inner, max_size=6
            )
        ),
        max_leaves=20,
    )
)
def test_any_json_is_an_artifact_or_a_refusal(data: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(data)


@settings(max_examples=300, deadline=None)
@given(where=st.integers(0, 400), what=st.sampled_from([None, True, -1, "", "x", [], {}, [[]], {"_": "Elf"}]))
def test_one_wrong_value_anywhere(where: int, what: Any) -> None:
    """Either it is refused, or it is an artifact of which every field has its declared type."""
    tree = json.loads(json.dumps(encode(SAMPLE)))
    places = list(walk(tree))
    holder, key = places[where % len(places)]
    holder[key] = what
    try:
        made = decode(tree)
    except ValueError:
        return
    assert encode(made) == tree


def walk(tree: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
        yield tree, key
        if isinstance(value, dict | list):
            yield from walk(value)


SAMPLE = Artifact("x", Kind.SCRIPT, 9, "ab" * 32, ("linux/amd64",))
