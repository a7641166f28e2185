"""Repacked programs run and find what they carry; whatever is not proven to is not kept."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
from labkit.debs import extract
from payload_kit import k0s_chain, k0s_zip, k3s_archive, k3s_program, upx_like
from repack_kit import ALL_WELL, compiled, counting, noise, ran, searching, upx, with_sections

from sealboot.artifacts import inspect
from sealboot.artifacts.reader import Source
from sealboot.artifacts.repack_zip import Rewritten, rewrite
from sealboot.artifacts.zipend import Archive
from sealboot.lab import tinyelf
from sealboot.model.arch import Arch
from sealboot.model.diagnostic import Severity
from sealboot.model.repack import RepackReport
from sealboot.workflow import repack_make
from sealboot.workflow.newfile import NewFile
from sealboot.workflow.repack import repack
from sealboot.workflow.repack_job import Wish
from sealboot.workflow.upxtool import Tool, find

Layout = Callable[[Path], tuple[bytes, bytes]]
LAYOUTS: list[Layout] = [counting, searching]


def look(path: Path, output: str = "", *, tool: Tool | None = None, **more: bool) -> RepackReport:
    before = path.read_bytes()
    wish = Wish(str(path.parent / output) if output else "", **more)
    report = repack(path, "k0s", wish, tool)
    assert path.read_bytes() == before
    assert not list(path.parent.glob(".sealboot-*"))
    assert bool(report.output) == (report.result is not None)
    return report


def codes(report: RepackReport) -> list[str]:
    return [d.code for d in report.diagnostics]


def saved(tmp_path: Path, data: bytes, name: str = "k0s") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    path.chmod(0o755)
    return path


def large(arch: Arch) -> bytes:
    """A program with debug information, of which half can go."""
    program = tinyelf.make(arch, "hello\n")
    rows = [
        (".comment", 1, 1, b"GCC\0"), (".debug_info", 1, 1, noise(40_000)), (".symtab", 2, 8, noise(2400)),
        (".strtab", 3, 1, b"\0main\0"), (".note.stays", 7, 4, noise(256)),
    ]  # fmt: skip
    return with_sections(program, arch, rows)


@pytest.fixture
def real_upx() -> Tool:
    return Tool(str(upx()), "4")


@pytest.mark.parametrize("padding", [0, 2016])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_smaller_file_finds_its_payload(layout: Layout, padding: int, tmp_path: Path) -> None:
    """The whole point: executed before and after, the program checks every byte that it carries."""
    program, payload = layout(tmp_path)
    program += bytes(padding)
    path = saved(tmp_path, program + payload)
    assert ran(path) == ALL_WELL
    report = look(path, "small")
    assert codes(report) == []
    made = tmp_path / "small"
    assert ran(made) == ALL_WELL
    assert made.stat().st_size == report.after == path.stat().st_size - report.saved
    assert report.saved > 5000
    assert [p.name for p in report.parts] == ["program", *(["padding"] if padding else []), "payload"]
    assert inspect(made, "k0s", deep=True).diagnostics == ()
    kept, gone = report.parts[-1], report.parts[0]
    assert gone.after < gone.before
    if layout is counting:
        assert (kept.before, kept.after) == (len(payload), len(payload))
        assert made.read_bytes().endswith(payload)
    else:
        assert kept.note == "3 of 3 files in it deflated better than before"
        assert kept.after < kept.before == len(payload)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_checks_of_the_look_alikes_are_real(layout: Layout, tmp_path: Path) -> None:
    program, payload = layout(tmp_path)
    assert ran(saved(tmp_path, program))[0] != 0
    damaged = bytearray(program + payload)
    damaged[len(program) + 5000] ^= 1
    assert ran(saved(tmp_path, bytes(damaged)))[0] != 0
    if layout is counting:
        assert ran(saved(tmp_path, program + payload + b"\n")) == (1, "gzip: invalid header\n")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_program_packed_and_its_payload_behind_it(layout: Layout, real_upx: Tool, tmp_path: Path) -> None:
    """What `upx k0s` breaks, `repack --pack` does not."""
    program, payload = layout(tmp_path)
    path = saved(tmp_path, program + payload)
    report = look(path, "packed", tool=real_upx, pack=True)
    assert codes(report) == []
    assert "UPX unpacks the program to the same bytes" in report.proofs
    made = tmp_path / "packed"
    assert ran(made) == ALL_WELL
    assert report.parts[0].after < report.parts[0].before * 0.7
    again = look(made, "again", tool=real_upx)
    assert codes(again) == []
    assert ran(tmp_path / "again") == ALL_WELL
    assert [p.name for p in again.parts] == ["program", "payload"]
    refused = look(made, "twice", tool=real_upx, pack=True)
    assert codes(refused)[-1] == "SB415"


def test_a_packer_that_is_known_to_break_programs(real_upx: Tool, tmp_path: Path) -> None:
    """UPX 4.2.2 and static programs for ARM: what unpacks to the same bytes need not run."""
    data = (extract("busybox-static", "armhf") / "bin/busybox").read_bytes()
    report = look(saved(tmp_path, data), "packed", tool=real_upx, pack=True)
    assert codes(report)[-1] == "SB417"
    assert "SB402" in report.diagnostics[-1].summary
    assert not (tmp_path / "packed").exists()


def test_a_file_that_upx_broke_is_restored(real_upx: Tool, tmp_path: Path) -> None:
    program, payload = counting(tmp_path)
    path = saved(tmp_path, program + payload)
    subprocess.run([real_upx.path, "-q", "-1", path], check=True, capture_output=True, timeout=60)
    assert ran(path) == (1, "gzip: invalid header\n")
    said = look(path, tool=real_upx)
    assert codes(said) == ["SB403", "SB402"]
    assert said.saved < 0
    report = look(path, "restored", tool=real_upx)
    assert codes(report) == []
    assert (tmp_path / "restored").read_bytes() == program + payload
    assert ran(tmp_path / "restored") == ALL_WELL
    assert "it is as long as UPX recorded when it packed it" in report.proofs


def test_what_upx_would_do_is_measured_where_it_is(real_upx: Tool, tmp_path: Path) -> None:
    program, payload = counting(tmp_path)
    path = saved(tmp_path, program + payload)
    measured, estimated = look(path, tool=real_upx).upx, look(path).upx
    assert measured
    assert estimated
    assert measured.how == "measured with UPX 4, on a copy"
    assert estimated.how.startswith("estimated")
    assert "gzip: invalid header" in measured.effect
    assert measured.size
    assert estimated.size
    assert abs(measured.size - estimated.size) < 0.1 * measured.size


def test_a_real_program_without_payload(tmp_path: Path) -> None:
    program = compiled(tmp_path, '#include <stdio.h>\nint main(void) { puts("runs"); return 0; }')
    path = saved(tmp_path, program)
    report = look(path, "small")
    assert codes(report) == []
    assert ran(tmp_path / "small") == (0, "runs\n")
    assert ".symtab" in report.parts[0].note or ".debug" in report.parts[0].note
    assert codes(look(tmp_path / "small")) == ["SB419"]


def test_a_library_is_left_alone(tmp_path: Path) -> None:
    """Linkers read the tables that would go; a program that is its own loader (static PIE) is one all the same."""
    library = compiled(tmp_path, "int answer(void) { return 42; }", "-shared", "-nostdlib", "-fPIC")
    report = look(saved(tmp_path, library), "small")
    assert codes(report) == ["SB415"]
    assert "it is a library" in report.diagnostics[0].summary
    alone = compiled(tmp_path, "int main(void) { return 7; }", "-static-pie")
    assert codes(look(saved(tmp_path, alone), "small")) == []
    assert ran(tmp_path / "small") == (7, "")


@pytest.mark.parametrize("arch", tinyelf.supported())
def test_every_architecture(arch: Arch, tmp_path: Path) -> None:
    data = large(arch)
    path = saved(tmp_path, data)
    report = look(path, "small")
    assert codes(report) == []
    made = (tmp_path / "small").read_bytes()
    assert len(made) == report.after < len(data) - 40_000
    loaded = len(tinyelf.make(arch, "hello\n"))
    fields = range(32, 64) if arch.info.bits == 32 else range(40, 64)
    assert [i for i in range(loaded) if made[i] != data[i] and i not in fields] == []
    assert report.parts[0].note == "without .debug_info, .symtab, .strtab"
    assert noise(256) in made
    assert b".note.stays\0" in made


def test_nothing_of_k3s_can_change_without_linking(tmp_path: Path) -> None:
    path = saved(tmp_path, k3s_program(Arch.AMD64, k3s_archive(Arch.AMD64)))
    report = look(path)
    assert codes(report) == ["SB419"]
    assert report.diagnostics[0].severity is Severity.NOTE
    assert "cannot change without linking it anew" in report.parts[0].note
    assert report.upx
    assert "does not break it" in report.upx.effect
    wanted = look(path, "small")
    assert [(d.code, d.severity) for d in wanted.diagnostics] == [("SB419", Severity.ERROR)]
    assert not (tmp_path / "small").exists()


UNSAFE: dict[str, tuple[bytes, str]] = {
    "stranger": (large(Arch.AMD64) + b"AppImage" * 1000, "8000 bytes follow the program"),
    "damaged": (k0s_chain(Arch.AMD64)[0] + k0s_chain(Arch.AMD64)[1][:-9], "it is not sound (SB403"),
    "truncated": (large(Arch.AMD64)[:-100], "it is not sound (SB401"),
    "foreign": (b"".join(k0s_zip(Arch.AMD64, [Arch.ARM64] * 3)), "it is not sound (SB410"),
    "comment": (b"".join(k0s_zip(Arch.AMD64)) + b"sig", "3 bytes follow its ZIP archive"),
    "script": (b"#!/bin/sh\nexit 0\n", "it is no program (kind script)"),
    "empty": (b"", "it is no program (kind empty)"),
    "object": (large(Arch.AMD64)[:16] + b"\1" + large(Arch.AMD64)[17:], "an object file"),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_what_is_not_understood_is_left_alone(name: str, tmp_path: Path) -> None:
    data, why = UNSAFE[name]
    report = look(saved(tmp_path, data), "small")
    assert codes(report)[-1] == "SB415"
    assert why in report.diagnostics[-1].summary
    assert not (tmp_path / "small").exists()
    assert report.parts == ()


def test_an_archive_that_is_not_rewritten_is_taken_over(tmp_path: Path) -> None:
    """A file in it that is stored in a way of its own: every byte stays, and the program shrinks all the same."""
    program, payload = searching(tmp_path)
    data = bytearray(payload)
    data[data.rindex(b"PK\x01\x02") + 10] = 12  # bzip2
    path = saved(tmp_path, program + data)
    report = look(path, "small")
    assert codes(report) == []
    assert "stored in a way that is not rewritten" in report.parts[-1].note
    assert (tmp_path / "small").read_bytes().endswith(data)


def test_other_programs_with_a_zip_or_a_chain(tmp_path: Path) -> None:
    """The same bytes behind a program that does not say how it looks for them."""
    for data in (k0s_chain(Arch.AMD64)[1], k0s_zip(Arch.AMD64)[1]):
        report = look(saved(tmp_path, large(Arch.AMD64) + data), "small")
        assert codes(report) == ["SB415"]
        assert "is not known" in report.diagnostics[0].summary


def test_no_file_at_all(tmp_path: Path) -> None:
    wish = Wish(str(tmp_path / "out"))
    assert codes(repack(tmp_path / "absent", "absent", wish, None)) == ["SB408"]
    assert codes(repack(tmp_path, "folder", wish, None)) == ["SB415"]
    os.mkfifo(tmp_path / "pipe")
    assert codes(repack(tmp_path / "pipe", "pipe", wish, None)) == ["SB415"]
    assert not (tmp_path / "out").exists()


def test_a_packed_file_without_upx(tmp_path: Path) -> None:
    path = saved(tmp_path, upx_like(Arch.AMD64, k0s_chain(Arch.AMD64)[1]))
    asked, wanted = look(path), look(path, "out")
    assert codes(asked) == codes(wanted) == ["SB403", "SB402", "SB416"]
    assert asked.diagnostics[-1].severity is Severity.NOTE
    assert wanted.diagnostics[-1].severity is Severity.ERROR
    assert "apt install upx-ucl" in wanted.diagnostics[-1].hints[0]
    plain = saved(tmp_path, large(Arch.AMD64))
    assert codes(look(plain, "out", pack=True)) == ["SB416"]


def test_a_tool_is_believed_only_when_it_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find() is None
    tool(tmp_path, "exit 1")
    assert find() is None
    tool(tmp_path, "echo upx 4.2.4")
    assert find() == Tool(str(tmp_path / "upx"), "4.2.4")


def tool(folder: Path, script: str) -> Tool:
    """A program called `upx` that does what the script says: `$in` and `$out` are its files."""
    path = folder / "upx"
    path.write_text(
        '#!/bin/sh\nunpack=no\n[ "$1" = -d ] && { unpack=yes; shift; }\nout=$3 in=$4\n' + script + "\n"
    )
    path.chmod(0o755)
    return Tool(str(path), "0")


def test_upx_that_fails(tmp_path: Path) -> None:
    path = saved(tmp_path, large(Arch.AMD64))
    broken = tool(tmp_path, "echo upx: $in: NotCompressibleException; exit 2")
    report = look(path, "out", tool=broken, pack=True)
    assert codes(report) == ["SB416"]
    assert "NotCompressibleException" in report.diagnostics[0].summary
    assert str(tmp_path) not in report.diagnostics[0].summary
    report = look(path, tool=broken)
    assert report.upx
    assert report.upx.size is None
    assert "refuses it: NotCompressibleException" in report.upx.how


def test_upx_that_writes_without_end(tmp_path: Path) -> None:
    path = saved(tmp_path, large(Arch.AMD64))
    # The limit is set on a process that runs: what it starts before has none yet, and UPX starts nothing.
    greedy = tool(tmp_path, 'while [ "$(ulimit -f)" = unlimited ]; do :; done; truncate -s 5G "$out"')
    report = look(path, "out", tool=greedy, pack=True)
    assert codes(report) == ["SB416"], report.diagnostics


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ('[ $unpack = yes ] && { cat "$in" "$in" >"$out"; exit; }; cp "$in" "$out"', "is another one"),
        ('[ $unpack = yes ] && { tr a b <"$in" >"$out"; exit; }; cp "$in" "$out"', "is another one"),
    ],
)
def test_a_tool_that_makes_another_program_is_caught(script: str, why: str, tmp_path: Path) -> None:
    path = saved(tmp_path, large(Arch.AMD64))
    report = look(path, "out", tool=tool(tmp_path, script), pack=True)
    assert codes(report) == ["SB417"]
    assert why in report.diagnostics[0].summary
    assert not (tmp_path / "out").exists()


def test_a_tool_that_restores_something_else_is_caught(tmp_path: Path) -> None:
    path = saved(tmp_path, upx_like(Arch.AMD64, k0s_chain(Arch.AMD64)[1]))
    other = tmp_path / "other"
    for data, why in (
        (tinyelf.make(Arch.ARM64, "x"), "machine, arch changed"),
        (tinyelf.make(Arch.AMD64, "x"), "before packing it had"),
        (b"#!/bin/sh\n", "no program any more"),
        (path.read_bytes(), "SB403"),
    ):
        other.write_bytes(data)
        report = look(path, "out", tool=tool(tmp_path, f'cp {other} "$out"'))
        assert codes(report)[-1] == "SB417"
        assert why in report.diagnostics[-1].summary
        assert not (tmp_path / "out").exists()


def test_one_wrong_byte_on_the_way_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever writes the file, reading it again decides."""
    program, payload = searching(tmp_path)
    path = saved(tmp_path, program + payload)

    def spoiled(place: int) -> Callable[[Source, Archive, BinaryIO], Rewritten]:
        def write(source: Source, found: Archive, out: BinaryIO) -> Rewritten:
            out.seek(place)
            byte = out.read(1)
            out.seek(place)
            out.write(bytes((byte[0] ^ 1,)))
            out.seek(0, os.SEEK_END)
            return rewrite(source, found, out)

        return write

    for place in (24, 0x200, 5000):  # the entry point, the headers or code, code
        monkeypatch.setattr(repack_make, "rewrite", spoiled(place))
        report = look(path, "out")
        assert codes(report) == ["SB417"]
        assert not (tmp_path / "out").exists()


def test_a_file_that_changes_meanwhile(tmp_path: Path) -> None:
    path = saved(tmp_path, large(Arch.AMD64))
    writing = tool(tmp_path, f'printf x >>{path}; cp "$in" "$out"')
    wish = Wish(str(tmp_path / "out"), pack=True)
    report = repack(path, "k0s", wish, writing)
    assert codes(report)[-1] in {"SB417", "SB419"}
    assert not (tmp_path / "out").exists()


def test_the_output_is_never_something_that_was_there(tmp_path: Path) -> None:
    path = saved(tmp_path, large(Arch.AMD64))
    (tmp_path / "there").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "self").symlink_to(path)
    (tmp_path / "twin").hardlink_to(path)
    for name, why in (
        ("there", "it exists"),
        ("link", "it exists"),
        ("self", "it is the file itself"),
        ("twin", "it is the file itself"),
        ("k0s", "it is the file itself"),
        (".", "not a regular file"),
        ("no/such", "its folder does not exist"),
        ("bad\0name", "not a possible file name"),
    ):
        report = look(path, name)
        assert codes(report) == ["SB418"], name
        assert why in report.diagnostics[0].summary, name
    for name in ("self", "twin", "k0s"):
        assert codes(look(path, name, force=True)) == ["SB418"]
    assert (tmp_path / "there").read_text() == "mine"
    assert codes(look(path, "there", force=True)) == []
    assert (tmp_path / "there").read_bytes().startswith(b"\x7fELF")


def test_a_folder_that_is_closed(tmp_path: Path) -> None:
    path = saved(tmp_path, large(Arch.AMD64))
    report = repack(path, "k0s", Wish("/proc/self/out"), None)
    assert codes(report) == ["SB418"]


def written(path: Path, data: bytes) -> None:
    with NewFile(path) as new:
        new.write(iter([data]))
        new.settle(0o755)


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """What did not fit is still waiting to be written when the file is closed."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            written(tmp_path / "out", bytes(200))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_without_links_a_name_is_taken_only_with_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    with NewFile(tmp_path / "out") as new:
        new.publish(force=False)
    assert (tmp_path / "out").exists()
    (tmp_path / "out").unlink()
    with NewFile(tmp_path / "out") as new:
        monkeypatch.setattr(Path, "replace", refused)
        with pytest.raises(PermissionError):
            new.publish(force=False)
    assert list(tmp_path.iterdir()) == []


def test_permissions_stay_and_set_user_id_goes(tmp_path: Path) -> None:
    path = saved(tmp_path, large(Arch.AMD64))
    path.chmod(0o4751)
    assert codes(look(path, "out")) == []
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o751


def test_a_report_without_parts_saves_nothing(tmp_path: Path) -> None:
    report = look(saved(tmp_path, large(Arch.AMD64)))
    assert report.saved > 0
    assert replace(report, parts=()).saved == 0
