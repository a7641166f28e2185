from __future__ import annotations

from dataclasses import replace

import pytest

from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Elf, Kind
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.facts import Facts, Libc
from sealboot.plan.diagnose import diagnose

HOST = Facts("pi", "aarch64", Arch.ARM64, Arch.ARM64, 64, "little", frozenset({Arch.ARM64}), page_size=4096)
ARM = Artifact("b/x", Kind.ELF, 9, "aa", (), (Elf(64, "little", 0xB7, 2, 0, 0, Arch.ARM64),))
X86 = replace(ARM, layers=(Elf(64, "little", 0x3E, 2, 0, 0, Arch.AMD64),))
DYNAMIC = replace(
    ARM, layers=(Elf(64, "little", 0xB7, 3, 0, 0, Arch.ARM64, interpreter="/lib/ld-musl-aarch64.so.1"),)
)
BASH = "bash: line 1: /x: cannot execute binary file: Exec format error"


@pytest.mark.parametrize(
    ("status", "stderr", "facts", "artifact", "code", "text"),
    [
        (126, BASH, HOST, X86, "SB602", "another processor"),
        (127, "ELF: not found", HOST, X86, "SB602", "another processor"),
        (2, "syntax error", HOST, X86, "SB602", "another processor"),
        (126, BASH, HOST, replace(ARM, diagnostics=(Diagnostic("SB401", "truncated"),)), "SB602", "damaged"),
        (126, BASH, HOST, replace(ARM, size=0, layers=()), "SB602", "damaged"),
        (126, "sh: /x: Permission denied", HOST, ARM, "SB602", "does not let programs run"),
        (126, BASH, HOST, ARM, "SB602", "refused"),
        (126, "", None, None, "SB602", "refused"),
        (127, "sh: /x: not found", HOST, DYNAMIC, "SB613", "loader /lib/ld-musl-aarch64.so.1"),
        (127, "sh: foo: not found", HOST, ARM, "SB613", "does not exist"),
        (139, "", HOST, ARM, "SB614", "although the file suits"),
        (139, "", replace(HOST, page_size=65536), ARM, "SB614", "64 KiB"),
        (132, "", HOST, ARM, "SB614", "instruction"),
        (137, "", HOST, ARM, "SB614", "SIGKILL"),
        (200, "", None, None, "SB614", "signal 72"),
    ],
)
def test_statuses_are_told_apart_by_facts(
    *, status: int, stderr: str, facts: Facts | None, artifact: Artifact | None, code: str, text: str
) -> None:
    found = diagnose(status, "", stderr, facts, artifact)
    assert found is not None
    assert found.code == code
    assert text in found.summary
    assert found.evidence[0] == ("exit", str(status))
    assert found.hints


def test_silence_is_no_success_where_an_answer_was_asked() -> None:
    found = diagnose(0, " \n", "", HOST, replace(ARM, size=0, layers=()), answer_expected=True)
    assert found is not None
    assert (found.code, found.hints) == ("SB615", ("replace the file",))
    silent = diagnose(0, "", "", HOST, ARM, answer_expected=True)
    assert silent is not None
    assert silent.code == "SB615"
    assert diagnose(0, "", "pi01", HOST, ARM, answer_expected=True) is None


def test_a_programs_own_status_is_its_own_affair() -> None:
    assert diagnose(0, "", "", HOST, ARM) is None
    assert diagnose(1, "", "no", HOST, ARM) is None
    assert diagnose(2, "", "usage", HOST, ARM) is None
    loaded = replace(HOST, libc=Libc("musl", None, frozenset({"/lib/ld-musl-aarch64.so.1"})))
    found = diagnose(127, "", "sh: x: not found", loaded, DYNAMIC)
    assert found is not None
    assert diagnose(127, "", "", loaded, DYNAMIC) == replace(found, evidence=found.evidence[:-1])
    assert diagnose(127, "", "sh: ifplugd: applet not found", loaded, DYNAMIC) is None
    assert diagnose(127, "", "no such release", loaded, DYNAMIC) is None
    assert "does not exist" in found.summary
    emulated = replace(HOST, native=frozenset({Arch.ARM64, Arch.AMD64}))
    assert diagnose(2, "", "usage", emulated, X86) is None


def test_what_the_host_said_is_quoted_in_part() -> None:
    found = diagnose(126, "", "x" * 10_000, HOST, ARM)
    assert found is not None
    assert len(dict(found.evidence)["said"]) == 200
