"""One truth: every ELF file of the machine's own programs, read by `readelf` and `file` as well."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from fit_kit import elf_of
from requires import requires, unavailable
from tool_kit import run

from sealboot.artifacts import inspect
from sealboot.artifacts.brief import brief
from sealboot.model.artifact import Artifact, Kind

FOLDER = Path("/usr/bin")
MACHINES = {0x3E: "X86-64", 0x03: "80386", 0xB7: "AArch64", 0x28: "ARM", 0xF3: "RISC-V", 0x16: "S/390"}
TYPES = {2: "EXEC", 3: "DYN"}
#: What `file` calls machines (as patterns: its releases differ) and byte orders.
SAID = {
    0x3E: "x86-64",
    0x03: "Intel (?:80386|i386)",
    0xB7: "ARM aarch64",
    0x28: "ARM",
    0xF3: "UCB RISC-V",
    0x16: "IBM S/390",
}
ORDERS = {"little": "LSB", "big": "MSB"}
BATCH = 200
ENOUGH = 500


@pytest.fixture(scope="module")
def programs() -> list[Artifact]:
    """Every regular file under /usr/bin, as `inspect` reads it."""
    requires("readelf", "file")
    files = [path for path in sorted(FOLDER.rglob("*")) if path.is_file() and not path.is_symlink()]
    found = [inspect(path) for path in files]
    count = sum(f.kind is Kind.ELF for f in found)
    if count <= ENOUGH:
        unavailable(f"{count} ELF files under {FOLDER}, and more than {ENOUGH} are wanted: install netpbm")
    return found


def fields(text: str) -> dict[str, str]:
    return dict(re.findall(r"^\s+([A-Z][\w/ -]*):\s+(.*)$", text, re.MULTILINE))


def shown(files: list[Artifact]) -> dict[str, str]:
    """What `readelf` prints for each file, by its path."""
    texts: dict[str, str] = {}
    for at in range(0, len(files), BATCH):
        paths = [f.path for f in files[at : at + BATCH]]
        command = ["readelf", "--wide", "-h", "-l", "-d", *paths]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=100,
            check=False,
            env={"LC_ALL": "C"},
        )
        parts = re.split(r"^File: (.*)$", done.stdout, flags=re.MULTILINE)[1:]
        texts |= dict(zip(parts[::2], parts[1::2], strict=True))
    return texts


def test_agrees_with_readelf_on_every_program(programs: list[Artifact]) -> None:
    elves = [f for f in programs if f.kind is Kind.ELF]
    texts = shown(elves)
    for artifact in elves:
        elf, text = elf_of(artifact), texts[artifact.path]
        said = fields(text)
        assert said["Class"] == f"ELF{elf.bits}", artifact.path
        assert f"{elf.endian} endian" in said["Data"], artifact.path
        assert MACHINES[elf.machine] in said["Machine"], artifact.path
        assert said["Type"].startswith(TYPES[elf.type]), artifact.path
        assert int(said["Entry point address"], 16) == elf.entry, artifact.path
        assert int(said["Number of program headers"]) == len(elf.segments), artifact.path
        asked = re.search(r"program interpreter: (.*)\]", text)
        assert (asked[1] if asked else None) == elf.interpreter, artifact.path
        needed = re.findall(r"\(NEEDED\)\s+Shared library: \[(.*)\]", text)
        assert tuple(needed) == elf.needed, artifact.path
        assert not elf.defect, artifact.path


def test_agrees_with_file_on_every_program(programs: list[Artifact], tmp_path: Path) -> None:
    """On what is ELF at all, class, byte order and machine; `inspect` and `inspect --brief` alike."""
    names = tmp_path / "names"
    names.write_text("".join(f"{f.path}\n" for f in programs))
    said = run("file", "--brief", "--files-from", names).decode(errors="replace").splitlines()
    assert len(said) == len(programs)
    for artifact, text in zip(programs, said, strict=True):
        assert (artifact.kind is Kind.ELF) is (" ELF " in f" {text}"), (artifact.path, text)
        short = brief(Path(artifact.path))
        assert short.kind is Kind.ELF or artifact.kind is not Kind.ELF, artifact.path
        if artifact.kind is Kind.ELF:
            elf = elf_of(artifact)
            words = f"ELF {elf.bits}-bit {ORDERS[elf.endian]} "
            assert words in text, (artifact.path, text)
            assert re.search(f", {SAID[elf.machine]}, ", text), (artifact.path, text)
            told = (short.bits, short.endian, short.machine, short.arch, short.trouble)
            assert told == (elf.bits, elf.endian, elf.machine, elf.arch, ""), artifact.path


def test_symbol_versions_agree_with_readelf() -> None:
    requires("readelf")
    for path in (FOLDER / "bash", FOLDER / "ssh", FOLDER / "env"):
        if not path.exists():
            continue
        text = subprocess.run(
            ["readelf", "--wide", "-V", str(path)], capture_output=True, text=True, timeout=30, check=True
        ).stdout
        needs = text.partition("Version needs section")[2]
        said = set(re.findall(r"Name: (\S+)\s+Flags: (?!WEAK)", needs))
        assert set(elf_of(inspect(path)).symbol_versions) == said, path
