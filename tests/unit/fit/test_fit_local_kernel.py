"""The oracle: the kernel that runs this test. Every sample is executed, and the prediction must agree."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from elf_corpus import GLIBC_LOADERS, Sample, kernel_samples, samples, static
from fit_kit import artifact_of, facts_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requires import requires

from sealboot.artifacts import inspect
from sealboot.fit import judge
from sealboot.model.arch import Arch
from sealboot.model.facts import Facts, Libc
from sealboot.model.verdict import Outcome

#: The expectations about the local kernel are written for x86-64.
pytestmark = pytest.mark.requires("x86-64")
ENOEXEC = 8


def outcome(path: Path, says: bytes) -> tuple[Outcome, str]:
    """What the kernel made of it: the program ran when it said all it has to say and exited with 0."""
    try:
        done = subprocess.run([str(path)], capture_output=True, timeout=10, check=False)
    except OSError as error:
        return Outcome.CANNOT, f"errno {error.errno}"
    except subprocess.TimeoutExpired:  # started, and lost its way
        return Outcome.CANNOT, "hangs"
    ran = done.returncode == 0 and done.stdout == says
    return (Outcome.RUNS if ran else Outcome.CANNOT), f"exit {done.returncode}: {done.stderr[-200:]!r}"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """Facts of this machine, gathered without sealboot's own probe."""
    folder = tmp_path_factory.mktemp("local")
    probe = artifact_of(folder, "i386", static(Arch.I386, "i386"))
    native = {Arch.AMD64}
    if outcome(folder / probe.path, b"i386\n")[0] is Outcome.RUNS:
        native.add(Arch.I386)
    version = os.confstr("CS_GNU_LIBC_VERSION") or ""
    numbers = re.findall(r"\d+", version)
    loaders = frozenset(path for path in GLIBC_LOADERS.values() if Path(path).exists())
    return replace(
        facts_of(Arch.AMD64, "local"),
        native=frozenset(native),
        page_size=os.sysconf("SC_PAGE_SIZE"),
        kernel_release=platform.release(),
        libc=Libc(
            "glibc" if numbers else "none",
            tuple(map(int, numbers)) or None,
            loaders or frozenset({"/lib/ld"}),
        ),
    )


@pytest.mark.parametrize("sample", [*samples(), *kernel_samples()], ids=lambda s: s.name)
def test_prediction_and_kernel_agree(sample: Sample, local: Facts, tmp_path: Path) -> None:
    artifact = artifact_of(tmp_path, sample.name, sample.bytes)
    verdict = judge(artifact, local)
    happened, detail = outcome(tmp_path / sample.name, sample.says)
    assert verdict.outcome is happened, (verdict.reason, detail, sample.note)


@pytest.mark.parametrize("sample", samples(), ids=lambda s: s.name)
def test_a_foreign_machine_is_enoexec(sample: Sample, local: Facts, tmp_path: Path) -> None:
    """SB101 stands for one thing only: the kernel's errno 8."""
    verdict = judge(artifact_of(tmp_path, sample.name, sample.bytes), local)
    happened = outcome(tmp_path / sample.name, sample.says)
    assert (happened == (Outcome.CANNOT, f"errno {ENOEXEC}")) or verdict.reason != "SB101"


HEADERS = {"amd64": 64 + 56, "386": 52 + 32}


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(sorted(HEADERS)),
    changes=st.lists(st.tuples(st.integers(4, 119), st.integers(0, 255)), min_size=1, max_size=2),
)
def test_what_the_kernel_refuses_is_foretold(
    kind: str, changes: list[tuple[int, int]], local: Facts, tmp_path: Path
) -> None:
    """Any bytes of the headers changed: ENOEXEC never comes as a surprise, and SB101 is always ENOEXEC."""
    data = bytearray(static(Arch(kind), "program"))
    for at, value in changes:
        data[at % HEADERS[kind]] = value
    data[:4] = b"\x7fELF"
    artifact = artifact_of(tmp_path, "program", bytes(data))
    verdict = judge(artifact, local)
    happened, detail = outcome(tmp_path / "program", b"program\n")
    if detail == f"errno {ENOEXEC}":
        assert verdict.outcome is Outcome.CANNOT
    if verdict.reason == "SB101":
        assert (happened, detail) == (Outcome.CANNOT, f"errno {ENOEXEC}")


def test_the_machines_own_programs_run_here(local: Facts) -> None:
    for name in ("true", "ls", "env", "cat", "uname"):
        verdict = judge(inspect(Path("/usr/bin") / name), local)
        assert (verdict.outcome, verdict.usable, verdict.diagnostics) == (Outcome.RUNS, True, ()), name


def test_a_program_compiled_here_runs_here(local: Facts, tmp_path: Path) -> None:
    requires("gcc")
    (tmp_path / "x.c").write_text("int main(void) { return 0; }\n")
    for name, flags in (
        ("dynamic", []),
        ("static", ["-static"]),
        ("fixed", ["-no-pie"]),
        ("static-pie", ["-static-pie"]),
        ("shared", ["-shared", "-fPIC"]),
        ("object", ["-c"]),
    ):
        target = tmp_path / name
        subprocess.run(["gcc", *flags, "-o", target, tmp_path / "x.c"], check=True, timeout=60)
        target.chmod(0o755)
        verdict = judge(inspect(target), local)
        assert verdict.outcome is outcome(target, b"")[0], (name, verdict)
