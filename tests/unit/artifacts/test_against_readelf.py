"""Two readers, one truth: every ELF file of the machine's own programs, read by `readelf` as well."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from fit_kit import elf_of

from sealboot.artifacts import inspect
from sealboot.model.artifact import Artifact, Kind

FOLDER = Path("/usr/bin")
MACHINES = {0x3E: "X86-64", 0x03: "80386", 0xB7: "AArch64", 0x28: "ARM", 0xF3: "RISC-V", 0x16: "S/390"}
TYPES = {2: "EXEC", 3: "DYN"}
BATCH = 200


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


@pytest.mark.skipif(shutil.which("readelf") is None, reason="no readelf on this machine")
def test_agrees_with_readelf_on_every_program() -> None:
    files = [inspect(path) for path in sorted(FOLDER.iterdir()) if path.is_file()]
    elves = [f for f in files if f.kind is Kind.ELF]
    assert len(elves) > 20
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


@pytest.mark.skipif(shutil.which("readelf") is None, reason="no readelf on this machine")
def test_symbol_versions_agree_with_readelf() -> None:
    for path in (FOLDER / "bash", FOLDER / "ssh", FOLDER / "env"):
        if not path.exists():
            continue
        text = subprocess.run(
            ["readelf", "--wide", "-V", str(path)], capture_output=True, text=True, timeout=30, check=True
        ).stdout
        needs = text.partition("Version needs section")[2]
        said = set(re.findall(r"Name: (\S+)\s+Flags: (?!WEAK)", needs))
        assert set(elf_of(inspect(path)).symbol_versions) == said, path
