from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from elf_corpus import GLIBC_LOADERS, abi_note, dynamic, samples, static, x86_isa_note
from fit_kit import artifact_of, elf_of, facts_of, handler_for, with_elf
from image_kit import image

from sealboot.fit import judge
from sealboot.lab import tinyelf
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Kind, Segment
from sealboot.model.diagnostic import Diagnostic, Location, Severity
from sealboot.model.facts import Cpu, Facts, Libc
from sealboot.model.verdict import Outcome

BY_NAME = {sample.name: sample.bytes for sample in samples()}
AMD64, ARM64, ARM, I386 = Arch.AMD64, Arch.ARM64, Arch.ARM, Arch.I386


def sample(folder: Path, name: str) -> Artifact:
    return artifact_of(folder, name, BY_NAME[name])


def glibc(arch: Arch, *versions: str, note: bytes = b"") -> bytes:
    return dynamic(
        arch, "x", interpreter=GLIBC_LOADERS[arch], needed=("libc.so.6",), versions=versions, note=note
    )


def reason(artifact: Artifact, facts: Facts) -> str | None:
    """The reason, after checking what every refusal must have."""
    verdict = judge(artifact, facts)
    assert verdict.host == facts.host
    assert verdict.artifact == artifact.path
    if verdict.outcome is Outcome.RUNS:
        assert verdict.reason is None
        return None
    found = verdict.diagnostics[0]
    assert (found.code, found.severity, found.host) == (verdict.reason, Severity.ERROR, facts.host)
    assert [label for label, _ in found.evidence] == ["file", "host"]
    assert all(text for _, text in found.evidence)
    assert not verdict.usable
    return verdict.reason


@pytest.mark.parametrize("machine", tinyelf.supported())
@pytest.mark.parametrize("built_for", tinyelf.supported())
def test_every_machine_against_every_host(machine: Arch, built_for: Arch, tmp_path: Path) -> None:
    facts = facts_of(machine)
    found = reason(sample(tmp_path, f"static-{built_for}"), facts)
    assert found == (None if built_for in facts.native else "SB101")


def test_the_words_of_a_mismatch(tmp_path: Path) -> None:
    at = Location("inventory.yaml", 27, 12)
    artifact = artifact_of(tmp_path, "old/k3s-arm64", static(AMD64, "x"))
    verdict = judge(artifact, facts_of(ARM64, "pi02"), at=at)
    (found,) = verdict.diagnostics
    assert (found.summary, found.at, found.artifact) == ("binary cannot run on pi02", at, "old/k3s-arm64")
    assert found.evidence == (
        ("file", "ELF64 x86-64, despite its name"),
        ("host", "aarch64 kernel, arm64 userland"),
    )
    assert found.hints == ("use the file built for arm64 (aarch64)",)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x32", "ELF32 x86-64 in the x32 ABI"),
        ("machine-zero-amd64", "ELF64 machine 0, despite its name"),
        ("machine-unknown-arm64", "ELF64 machine 31354, despite its name"),
        ("data-flipped-s390x", "ELF64 laid out as s390x, despite its name"),
        ("static-s390x", "ELF64 s390x"),
    ],
)
def test_odd_machines_are_described(name: str, words: str, tmp_path: Path) -> None:
    assert dict(judge(sample(tmp_path, name), facts_of(ARM64)).diagnostics[0].evidence)["file"] == words


def test_a_32_bit_file_needs_a_kernel_that_takes_it(tmp_path: Path) -> None:
    facts = facts_of(AMD64)
    assert reason(sample(tmp_path, "static-386"), facts) is None
    bare = replace(facts, native=frozenset({AMD64}))
    assert reason(sample(tmp_path, "static-386"), bare) == "SB101"
    assert (
        "no support for 32-bit i386 programs"
        in judge(sample(tmp_path, "static-386"), bare).diagnostics[0].summary
    )


def test_an_unknown_kernel_is_never_defaulted(tmp_path: Path) -> None:
    facts = replace(
        facts_of(AMD64), kernel_arch=None, native=frozenset(), kernel_machine="e2k", userland_arch=None
    )
    assert reason(sample(tmp_path, "static-amd64"), facts) == "SB101"
    found = judge(sample(tmp_path, "static-amd64"), facts).diagnostics[0]
    assert dict(found.evidence)["host"] == "unknown (e2k) kernel, unknown userland"


def test_without_native_facts_the_kernels_own_architecture_counts(tmp_path: Path) -> None:
    facts = replace(facts_of(ARM64), native=frozenset())
    assert reason(sample(tmp_path, "static-arm64"), facts) is None
    assert reason(sample(tmp_path, "static-arm"), facts) == "SB101"


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("script", b"#!/bin/sh\n", "a script for /bin/sh"),
        ("odd-script", b"#!\n", "a script for no interpreter"),
        ("empty", b"", "an empty file"),
        ("archive.tar.gz", b"\x1f\x8b\x08", "gzip data"),
        ("image", b"MZ\0", "a PE image"),
        ("k3s", image("linux/arm64").tar(), "an archive of container images for linux/arm64"),
        ("text", b"hello", "a text file, 'hello'"),
        ("bytes", b"\x01\x02\x03", "no known format"),
        ("type-rel-amd64", BY_NAME["type-rel-amd64"], "ELF64 x86-64 object file"),
        ("type-core-arm64", BY_NAME["type-core-arm64"], "ELF64 aarch64 core dump"),
        ("entry-zero-amd64", BY_NAME["entry-zero-amd64"], "ELF64 x86-64 without an entry point"),
    ],
)
def test_what_is_no_program(name: str, data: bytes, words: str, tmp_path: Path) -> None:
    artifact = artifact_of(tmp_path, name, data)
    assert reason(artifact, facts_of(AMD64)) == "SB112"
    assert dict(judge(artifact, facts_of(AMD64)).diagnostics[0].evidence)["file"] == words


@pytest.mark.parametrize("kind", [k for k in Kind if k is not Kind.ELF])
def test_every_other_kind_is_no_program(kind: Kind) -> None:
    assert reason(Artifact("x", kind), facts_of(AMD64)) == "SB112"


@pytest.mark.parametrize(
    ("first", "outcome", "host"),
    [
        (b"#!/bin/sh -e", Outcome.RUNS, "has /bin/sh"),
        (b"#!/bin/zsh", Outcome.CANNOT, "the interpreter was not found"),
        (b"#!/bin/sh\r", Outcome.CANNOT, "the interpreter was not found"),
        (b"#!", Outcome.CANNOT, "the interpreter was not found"),
    ],
)
def test_a_script_starts_where_its_interpreter_is_but_is_no_program(
    first: bytes, outcome: Outcome, host: str, tmp_path: Path
) -> None:
    facts = replace(facts_of(AMD64), interpreters=frozenset({"/bin/sh"}))
    verdict = judge(artifact_of(tmp_path, "x", first + b"\necho\n"), facts)
    assert (verdict.outcome, verdict.usable) == (outcome, False)
    assert [d.code for d in verdict.diagnostics] == ["SB112"]
    assert dict(verdict.diagnostics[0].evidence)["host"].endswith(host)
    assert ("dos2unix" in verdict.diagnostics[0].hints[0]) == first.endswith(b"\r")


def test_a_script_where_no_interpreter_is_known(tmp_path: Path) -> None:
    verdict = judge(artifact_of(tmp_path, "x", b"#!/bin/sh\n"), facts_of(AMD64))
    assert (verdict.outcome, verdict.reason) == (Outcome.CANNOT, "SB112")


def test_what_could_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    from sealboot.artifacts import inspect  # noqa: PLC0415 (the one test that needs it)

    assert reason(inspect(tmp_path / "loop"), facts_of(AMD64)) == "SB408"


@pytest.mark.parametrize(
    "name",
    ["cut-code-amd64", "cut-header-amd64", "phnum-zero-amd64", "entry-outside-arm64", "interp-no-nul-amd64"],
)
def test_damage_comes_before_the_machine(name: str, tmp_path: Path) -> None:
    for arch in (AMD64, ARM64):
        assert reason(sample(tmp_path, name), facts_of(arch)) == "SB401"


def test_cut_off_behind_its_last_segment(tmp_path: Path) -> None:
    """A kernel runs it, an operator does not want it: half a download."""
    data = bytearray(static(AMD64, "x"))
    data[40:48] = (1 << 20).to_bytes(8, "little")
    data[58:62] = b"\x40\0\x05\0"
    verdict = judge(artifact_of(tmp_path, "k3s", bytes(data)), facts_of(AMD64))
    assert (verdict.outcome, verdict.usable, verdict.reason) == (Outcome.RUNS, False, None)
    assert [(d.code, d.host, d.severity) for d in verdict.diagnostics] == [("SB401", "node", Severity.ERROR)]


def test_cut_off_and_emulated(tmp_path: Path) -> None:
    data = bytearray(static(ARM64, "x"))
    data[40:48] = (1 << 20).to_bytes(8, "little")
    data[58:62] = b"\x40\0\x05\0"
    facts = replace(facts_of(AMD64), binfmt=(handler_for(ARM64),))
    verdict = judge(artifact_of(tmp_path, "k3s", bytes(data)), facts, emulation_allowed=True)
    assert (verdict.outcome, verdict.usable, verdict.reason) == (Outcome.EMULATED, False, "SB103")
    assert [d.code for d in verdict.diagnostics] == ["SB103", "SB401"]


# -- emulation ----------------------------------------------------------------------------------------


def test_an_emulator_must_be_allowed(tmp_path: Path) -> None:
    facts = replace(facts_of(AMD64), binfmt=(handler_for(ARM64),))
    artifact = sample(tmp_path, "static-arm64")
    refused = judge(artifact, facts)
    assert (refused.outcome, refused.usable, refused.reason) == (Outcome.EMULATED, False, "SB103")
    assert refused.diagnostics[0].severity is Severity.ERROR
    assert "emulation: allow" in refused.diagnostics[0].hints[1]
    assert "qemu-arm64" in dict(refused.diagnostics[0].evidence)["host"]
    allowed = judge(artifact, facts, emulation_allowed=True)
    assert (allowed.outcome, allowed.usable, allowed.reason) == (Outcome.EMULATED, True, "SB103")
    assert allowed.diagnostics[0].severity is Severity.WARNING


def test_an_emulator_needs_the_loader_too(tmp_path: Path) -> None:
    facts = replace(facts_of(AMD64), binfmt=(handler_for(ARM64),))
    assert judge(sample(tmp_path, "dynamic-arm64"), facts, emulation_allowed=True).reason == "SB107"


def test_a_rule_that_refuses_emulates_nothing(tmp_path: Path) -> None:
    refuses = replace(handler_for(ARM64), refuses=True)
    facts = replace(facts_of(AMD64), binfmt=(refuses,))
    assert reason(sample(tmp_path, "static-arm64"), facts) == "SB101"


# -- identification bytes that lie --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "host", "expected"),
    [
        ("class-flipped-amd64", AMD64, None),
        ("data-flipped-amd64", AMD64, None),
        ("class-flipped-386", AMD64, None),
        ("class-flipped-arm64", ARM64, None),
        ("class-flipped-amd64", ARM64, "SB101"),
        ("class-flipped-s390x", Arch.S390X, "SB101"),  # arch/s390 asks for the class
        ("data-flipped-s390x", Arch.S390X, None),
    ],
)
def test_some_kernels_do_not_look(name: str, host: Arch, expected: str | None, tmp_path: Path) -> None:
    assert reason(sample(tmp_path, name), facts_of(host)) == expected


def test_emulators_do_look(tmp_path: Path) -> None:
    machine = replace(facts_of(ARM64), native=frozenset({ARM64}), beneath=AMD64, binfmt=(handler_for(ARM64),))
    assert reason(sample(tmp_path, "class-flipped-arm64"), machine) == "SB101"
    assert reason(sample(tmp_path, "class-flipped-amd64"), machine) == "SB101"
    container = replace(facts_of(AMD64, userland=ARM64), beneath=AMD64, binfmt=(handler_for(ARM64),))
    assert reason(sample(tmp_path, "class-flipped-amd64"), container) is None
    assert reason(sample(tmp_path, "class-flipped-arm64"), container) == "SB101"


# -- loading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "expected"), [(4096, None), (16384, "SB105"), (65536, "SB105"), (None, None)]
)
def test_pages_larger_than_the_alignment(page: int | None, expected: str | None, tmp_path: Path) -> None:
    facts = replace(facts_of(ARM64), page_size=page)
    assert reason(sample(tmp_path, "small-pages-arm64"), facts) == expected
    assert reason(sample(tmp_path, "static-arm64"), facts) is None


def test_segments_of_different_rights_in_one_page(tmp_path: Path) -> None:
    base = sample(tmp_path, "static-arm64")
    text = Segment(1, 5, 0, 0x400000, 0x1800, 0x1800, 0x1000)
    data = Segment(1, 6, 0x2000, 0x402000, 0x100, 0x2000, 0x1000)
    shared = with_elf(base, segments=(text, data))
    large = replace(facts_of(ARM64), page_size=65536)
    assert reason(shared, large) == "SB105"
    assert reason(shared, facts_of(ARM64)) is None
    same_rights = with_elf(base, segments=(text, replace(data, flags=5)))
    assert reason(same_rights, large) is None
    apart = with_elf(base, segments=(text, replace(data, offset=0x10000, vaddr=0x410000)))
    assert reason(apart, large) is None


def test_a_shared_page_harms_only_what_it_takes_from_the_earlier_segment(tmp_path: Path) -> None:
    # Headers (R), then code (R X): what `-z separate-code` makes, and what a kernel with 16 KiB pages runs.
    base = sample(tmp_path, "static-arm64")
    headers = Segment(1, 4, 0, 0x400000, 0x2F0, 0x2F0, 0x1000)
    code = Segment(1, 5, 0x1000, 0x401000, 0x100, 0x100, 0x1000)
    large = replace(facts_of(ARM64), page_size=16384)
    assert reason(with_elf(base, segments=(headers, code)), large) is None
    # Its zeroed memory would show the file's bytes instead.
    zeroed = replace(headers, flags=6, memsz=0x800)
    assert reason(with_elf(base, segments=(zeroed, replace(code, flags=7))), large) == "SB105"


@pytest.mark.parametrize(("code_end", "expected"), [(None, "SB105"), (0x404000, None), (0x404001, "SB105")])
def test_a_shared_page_without_code_in_it(code_end: int | None, expected: str | None, tmp_path: Path) -> None:
    # Code, then constants, in one segment; the data behind it takes the last page's right to be executed.
    text = Segment(1, 5, 0, 0x400000, 0x5000, 0x5000, 0x1000)
    data = Segment(1, 6, 0x5000, 0x406000, 0x100, 0x100, 0x1000)
    base = with_elf(
        sample(tmp_path, "static-arm64"), segments=(text, replace(data, offset=0x6000)), code_end=code_end
    )
    assert reason(base, replace(facts_of(ARM64), page_size=16384)) == expected


@pytest.mark.parametrize(
    ("arch", "page", "expected"), [(ARM, 16384, "SB105"), (ARM, 4096, None), (ARM64, 16384, None)]
)
def test_a_packer_made_for_small_pages(arch: Arch, page: int, expected: str | None, tmp_path: Path) -> None:
    artifact = sample(tmp_path, f"static-{arch}")
    packed = replace(artifact, diagnostics=(Diagnostic("SB402", "packed", severity=Severity.NOTE),))
    facts = replace(facts_of(ARM64), page_size=page)
    assert reason(packed, facts) == expected
    assert reason(artifact, facts) is None


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("4.18.0", "SB109"),
        ("4.19.3-v8+", None),
        ("4.19", "SB109"),
        ("6.1.0", None),
        ("", None),
        ("weird", None),
    ],
)
def test_the_oldest_kernel(release: str, expected: str | None, tmp_path: Path) -> None:
    facts = replace(facts_of(AMD64), kernel_release=release)
    old = with_elf(sample(tmp_path, "static-amd64"), min_kernel=(4, 19, 3), checks_kernel=True)
    assert reason(old, facts) == expected
    # Without a start code that reads it, the note asks nothing: newer glibc, and every dynamic program.
    assert reason(with_elf(old, checks_kernel=False), facts) is None
    dynamic_one = artifact_of(tmp_path, "x", glibc(AMD64, note=abi_note(AMD64, 4, 19, 3)))
    assert elf_of(dynamic_one).min_kernel == (4, 19, 3)
    assert reason(dynamic_one, facts) is None


# -- processor ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "expected"), [(1, "SB106"), (2, "SB106"), (3, None), (4, None), (None, None)]
)
def test_x86_levels(level: int | None, expected: str | None, tmp_path: Path) -> None:
    artifact = artifact_of(tmp_path, "x", glibc(AMD64, note=x86_isa_note(0b100)))
    facts = replace(facts_of(AMD64), cpu=Cpu(model="Atom", x86_level=level))
    assert reason(artifact, facts) == expected


@pytest.mark.parametrize(
    ("flags", "expected"), [({"fp", "asimd"}, "SB106"), ({"fp", "asimd", "atomics"}, None), (set(), None)]
)
def test_instructions_after_armv8(flags: set[str], expected: str | None, tmp_path: Path) -> None:
    artifact = with_elf(sample(tmp_path, "static-arm64"), cpu_features=("atomics",))
    facts = replace(facts_of(ARM64), cpu=Cpu(model="Cortex-A57", flags=frozenset(flags)))
    assert reason(artifact, facts) == expected
    assert reason(artifact, replace(facts, kernel_arch=AMD64, native=frozenset({AMD64}))) == "SB101"


@pytest.mark.parametrize(("release", "outcome"), [("6.8.0", Outcome.CANNOT), ("6.1.0", Outcome.RUNS)])
def test_extensions_that_an_older_kernel_does_not_name(
    release: str, outcome: Outcome, tmp_path: Path
) -> None:
    artifact = with_elf(sample(tmp_path, "static-riscv64"), cpu_features=("zba", "zicond"))
    facts = replace(
        facts_of(Arch.RISCV64), cpu=Cpu(flags=frozenset({"i", "m", "zba"})), kernel_release=release
    )
    verdict = judge(artifact, facts)
    assert verdict.outcome is outcome
    (found,) = verdict.diagnostics
    assert found.code == "SB106"
    assert (found.severity is Severity.ERROR) == (outcome is Outcome.CANNOT)
    assert dict(found.evidence)["file"].endswith("uses zicond")


@pytest.mark.parametrize(("level", "found"), [(6, [("SB110", Severity.WARNING)]), (7, []), (None, [])])
def test_a_packed_file_hides_its_arm_level(
    level: int | None, found: list[tuple[str, Severity]], tmp_path: Path
) -> None:
    packed = replace(
        sample(tmp_path, "static-arm"), diagnostics=(Diagnostic("SB402", "packed", severity=Severity.NOTE),)
    )
    verdict = judge(packed, replace(facts_of(ARM), cpu=Cpu(arm_level=level)))
    assert verdict.outcome is Outcome.RUNS
    assert [(d.code, d.severity) for d in verdict.diagnostics] == found


def test_arm_levels(tmp_path: Path) -> None:
    artifact = with_elf(sample(tmp_path, "static-arm"), arm_level=7)
    assert reason(artifact, replace(facts_of(ARM), cpu=Cpu(arm_level=6))) == "SB110"
    assert reason(artifact, replace(facts_of(ARM), cpu=Cpu(arm_level=7))) is None
    assert reason(artifact, facts_of(ARM)) is None


def test_an_abi_before_eabi_is_refused_by_64_bit_kernels(tmp_path: Path) -> None:
    assert reason(sample(tmp_path, "arm-old-abi"), facts_of(ARM64)) == "SB110"
    assert reason(sample(tmp_path, "arm-old-abi"), facts_of(ARM)) is None


def test_the_float_abi_matters_to_dynamic_files_only(tmp_path: Path) -> None:
    soft = replace(facts_of(ARM), hard_float=False)
    assert reason(sample(tmp_path, "dynamic-arm"), soft) == "SB110"
    assert reason(sample(tmp_path, "static-arm"), soft) is None
    assert reason(sample(tmp_path, "arm-soft-float"), facts_of(ARM)) is None
    assert reason(sample(tmp_path, "dynamic-arm"), facts_of(ARM)) is None


# -- userland -----------------------------------------------------------------------------------------


def test_a_missing_loader(tmp_path: Path) -> None:
    musl_host = replace(facts_of(AMD64), libc=Libc("musl", (1, 2), frozenset({"/lib/ld-musl-x86_64.so.1"})))
    assert reason(sample(tmp_path, "dynamic-amd64"), musl_host) == "SB107"
    assert (
        "static or a musl build"
        in judge(sample(tmp_path, "dynamic-amd64"), musl_host).diagnostics[0].hints[0]
    )
    assert reason(sample(tmp_path, "musl-amd64"), musl_host) is None
    assert reason(sample(tmp_path, "musl-amd64"), facts_of(AMD64)) == "SB107"
    assert reason(sample(tmp_path, "dynamic-386"), facts_of(AMD64)) == "SB107"
    nothing = replace(facts_of(AMD64), libc=Libc("none"))
    assert reason(sample(tmp_path, "dynamic-amd64"), nothing) == "SB107"
    assert reason(sample(tmp_path, "static-amd64"), nothing) is None


@pytest.mark.parametrize(
    ("interpreter", "libc"),
    [
        (GLIBC_LOADERS[AMD64], Libc()),
        ("/nix/store/x/ld-linux-x86-64.so.2", Libc("glibc", (2, 36), frozenset({GLIBC_LOADERS[AMD64]}))),
        ("ld.so", Libc("glibc", (2, 36), frozenset({GLIBC_LOADERS[AMD64]}))),
    ],
)
def test_what_nobody_looked_for_is_a_warning(interpreter: str, libc: Libc, tmp_path: Path) -> None:
    artifact = artifact_of(tmp_path, "x", dynamic(AMD64, "x", interpreter=interpreter))
    verdict = judge(artifact, replace(facts_of(AMD64), libc=libc))
    assert (verdict.outcome, verdict.usable) == (Outcome.RUNS, True)
    assert [(d.code, d.severity) for d in verdict.diagnostics] == [("SB107", Severity.WARNING)]


def test_a_64_bit_kernel_with_a_32_bit_userland(tmp_path: Path) -> None:
    pi = facts_of(ARM64, userland=ARM)
    assert reason(sample(tmp_path, "static-arm64"), pi) is None
    assert reason(sample(tmp_path, "dynamic-arm"), pi) is None
    assert reason(sample(tmp_path, "dynamic-arm64"), pi) == "SB102"
    found = judge(sample(tmp_path, "dynamic-arm64"), pi).diagnostics[0]
    assert "its userland is 32-bit" in found.summary
    assert dict(found.evidence)["host"] == "aarch64 kernel, arm userland"
    multiarch = replace(pi, libc=replace(pi.libc, loaders=pi.libc.loaders | {GLIBC_LOADERS[ARM64]}))
    assert reason(sample(tmp_path, "dynamic-arm64"), multiarch) is None


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        (("GLIBC_2.2.5", "GLIBC_2.36"), None),
        (("GLIBC_2.36", "GLIBC_2.4"), None),
        (("GLIBC_2.37",), "SB108"),
        (("GLIBC_2.36.1",), "SB108"),
        (("GLIBC_10.0",), "SB108"),
        (("GLIBC_PRIVATE", "GLIBCXX_3.4.99", "GLIBC_2.x"), None),
        ((), None),
    ],
)
def test_symbol_versions(versions: tuple[str, ...], expected: str | None, tmp_path: Path) -> None:
    artifact = artifact_of(tmp_path, "x", glibc(AMD64, *versions))
    assert elf_of(artifact).symbol_versions == versions
    assert reason(artifact, facts_of(AMD64)) == expected


def test_symbol_versions_are_asked_of_the_library_they_belong_to(tmp_path: Path) -> None:
    artifact = artifact_of(tmp_path, "x", glibc(I386, "GLIBC_2.99"))
    both = replace(
        facts_of(AMD64), libc=Libc("glibc", (2, 36), frozenset({GLIBC_LOADERS[AMD64], GLIBC_LOADERS[I386]}))
    )
    assert reason(artifact, both) is None  # the version of the 32-bit library is not known
    unknown = replace(facts_of(I386), libc=Libc("glibc", None, frozenset({GLIBC_LOADERS[I386]})))
    assert reason(artifact, unknown) is None
    assert reason(artifact, facts_of(I386)) == "SB108"
