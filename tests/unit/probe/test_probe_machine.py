"""Sources that contradict each other, and what is believed."""

from __future__ import annotations

import pytest

from sealboot.model.arch import ARCHITECTURES, Arch, ArchInfo
from sealboot.probe.binfmt import Rule, caught, judged, rules
from sealboot.probe.elfhead import Head, from_hex, head, page_size
from sealboot.probe.machine import Evidence, weigh


def shell(arch: Arch) -> Head:
    info = arch.info
    return Head(arch, info.machine, info.bits, info.endian, None)


def evidence(
    uname: str,
    *,
    sysctl: str = "",
    runs: Arch | None = None,
    abi: str = "",
    linux32: str = "",
    config: str = "",
    with_rules: tuple[Rule, ...] = (),
) -> Evidence:
    return Evidence(
        uname,
        sysctl,
        shell(runs) if runs else None,
        frozenset(abi.split()),
        linux32,
        frozenset(config.split()),
        with_rules,
    )


QEMU = Rule("qemu-aarch64", "/usr/bin/qemu-aarch64-static", "PF", Arch.ARM64, "absent")


@pytest.mark.parametrize("row", ARCHITECTURES, ids=lambda row: row.arch.value)
def test_every_architecture_by_its_uname_and_shell(row: ArchInfo) -> None:
    for name in row.uname:
        found = weigh(evidence(name, runs=row.arch))
        expected = Arch.ARM64 if name == "armv8l" else row.arch
        assert found.kernel_arch is expected, name
        assert row.arch in found.native


@pytest.mark.parametrize("name", ["", "x86", "AMD64", "sparc64", "aarch64_be", "x86_64\n", "Linux"])
def test_an_unknown_name_is_never_given_a_default(name: str) -> None:
    found = weigh(evidence(name))
    assert found.kernel_arch is None
    assert found.native == frozenset()


@pytest.mark.parametrize(("wide", "half"), [(Arch.MIPS64, Arch.MIPS), (Arch.MIPS64LE, Arch.MIPSLE)])
def test_a_shell_of_the_kernels_other_half_is_proof(wide: Arch, half: Arch) -> None:
    """EdgeRouter 4: a mips64 kernel with an o32 userland, and no binfmt rule."""
    found = weigh(evidence("mips64", runs=half, linux32="mips"))
    assert (found.kernel_arch, found.native, found.handlers) == (wide, frozenset({wide, half}), ())
    assert found.conflicts == ()
    assert weigh(evidence("mips64", runs=wide)).native == frozenset({wide})


def test_the_byte_order_of_mips_comes_from_the_shell_or_stays_unknown() -> None:
    assert weigh(evidence("mips64")).kernel_arch is None
    assert weigh(evidence("mips64", runs=Arch.MIPS64)).kernel_arch is Arch.MIPS64
    assert weigh(evidence("mips", runs=Arch.MIPSLE)).kernel_arch is Arch.MIPSLE


@pytest.mark.parametrize(
    "seen",
    [
        evidence("i686", sysctl="x86_64", runs=Arch.AMD64),
        evidence("i686", runs=Arch.AMD64),
        evidence("i686", runs=Arch.I386, abi="vsyscall32"),
    ],
    ids=["sysctl", "64-bit shell", "vsyscall32"],
)
def test_a_personality_does_not_hide_the_kernel(seen: Evidence) -> None:
    found = weigh(seen)
    assert found.kernel_arch is Arch.AMD64
    assert found.personality_32
    assert any("personality" in text for text in found.conflicts)


def test_only_an_arm64_kernel_calls_itself_armv8l() -> None:
    found = weigh(evidence("armv8l", runs=Arch.ARM))
    assert found.kernel_arch is Arch.ARM64
    assert found.personality_32
    assert found.native == {Arch.ARM64, Arch.ARM}


@pytest.mark.parametrize(
    ("abi", "config", "native"),
    [
        ("vsyscall32", "", {"amd64", "386"}),
        ("", "", {"amd64"}),
        ("", "CONFIG_IA32_EMULATION=y", {"amd64", "386"}),
        ("vsyscall32 ia32_emulation=0", "", {"amd64"}),
        ("vsyscall32", "CONFIG_IA32_EMULATION_DEFAULT_DISABLED=y", {"amd64"}),
        ("vsyscall32 ia32_emulation=1", "CONFIG_IA32_EMULATION_DEFAULT_DISABLED=y", {"amd64", "386"}),
    ],
)
def test_ia32_emulation_needs_evidence(abi: str, config: str, native: set[str]) -> None:
    assert (
        weigh(evidence("x86_64", sysctl="x86_64", runs=Arch.AMD64, abi=abi, config=config)).native == native
    )


@pytest.mark.parametrize(
    ("abi", "linux32", "config", "native"),
    [
        ("mmap_rnd_compat_bits", "armv8l", "", {"arm64", "arm"}),
        ("mmap_rnd_compat_bits", "", "", {"arm64"}),
        ("", "armv8l", "", {"arm64"}),
        ("", "armv8l", "CONFIG_COMPAT=y", {"arm64", "arm"}),
        ("cp15_barrier", "", "", {"arm64", "arm"}),
    ],
)
def test_aarch32_needs_kernel_and_processor(abi: str, linux32: str, config: str, native: set[str]) -> None:
    found = weigh(
        evidence("aarch64", sysctl="aarch64", runs=Arch.ARM64, abi=abi, linux32=linux32, config=config)
    )
    assert found.native == native


def test_a_running_32_bit_shell_is_proof_unless_an_emulator_may_run_it() -> None:
    assert Arch.ARM in weigh(evidence("aarch64", sysctl="aarch64", runs=Arch.ARM)).native
    by_qemu = Rule("qemu-arm", "/usr/bin/qemu-arm", "", Arch.ARM, "program")
    assert (
        Arch.ARM
        not in weigh(evidence("aarch64", sysctl="aarch64", runs=Arch.ARM, with_rules=(by_qemu,))).native
    )


def test_emulation_that_no_visible_rule_explains_is_still_told() -> None:
    found = weigh(evidence("aarch64", sysctl="x86_64", runs=Arch.ARM64))
    assert found.kernel_arch is Arch.AMD64
    assert [h.arch for h in found.handlers] == [Arch.ARM64]
    assert found.beneath is Arch.AMD64


def test_a_rule_beside_a_native_userland_changes_nothing_about_the_kernel() -> None:
    found = weigh(evidence("x86_64", sysctl="x86_64", runs=Arch.AMD64, with_rules=(QEMU,)))
    assert found.native == {Arch.AMD64}
    assert [h.refuses for h in found.handlers] == [False]
    assert found.conflicts == ()


@pytest.mark.parametrize(
    ("seen", "flags", "own", "refuses"),
    [
        ("program", "", False, False),
        ("program", "", True, False),
        ("other", "F", False, True),
        ("absent", "", False, True),
        ("absent", "F", False, False),
        ("absent", "F", True, True),
    ],
)
def test_when_a_rule_refuses(seen: str, flags: str, own: bool, refuses: bool) -> None:
    rule = Rule("r", "/x", flags, Arch.AMD64, seen)  # type: ignore[arg-type]
    assert judged(rule, frozenset({Arch.AMD64} if own else ())).refuses is refuses


ARM64_MAGIC = "7f454c460201010000000000000000000200b700"
ARM64_MASK = "ffffffffffffff00fffffffffffffffffeffffff"


def test_the_magic_tells_what_a_rule_catches() -> None:
    assert caught(ARM64_MAGIC, ARM64_MASK) is Arch.ARM64
    assert caught(ARM64_MAGIC, "") is Arch.ARM64
    assert caught(ARM64_MAGIC, ARM64_MASK[:8] + "0000" + ARM64_MASK[12:]) is Arch.ARM64
    assert caught(ARM64_MAGIC, ARM64_MASK[:-4] + "00ff") is None
    assert caught(ARM64_MAGIC, ARM64_MASK, "2") is None
    assert caught("4d5a", "ffff") is None
    assert caught("7f454c4602020100000000000000000000020016", "") is Arch.S390X
    assert caught("zz", "") is None


def test_rules_are_read_only_where_enabled() -> None:
    lines = (
        "enabled",
        "interpreter /usr/bin/q",
        "flags: F",
        "offset 0",
        f"magic {ARM64_MAGIC}",
        f"mask {ARM64_MASK}",
    )
    folder = "/proc/sys/fs/binfmt_misc/"
    files = {folder + "status": ("enabled",), folder + "q": lines, folder + "off": ("disabled", *lines[1:])}
    assert [(r.name, r.arch, r.seen) for r in rules(files, "x q\n- off\n")] == [("q", Arch.ARM64, "program")]
    assert rules({**files, folder + "status": ("disabled",)}, "x q\n") == ()


def test_elf_heads() -> None:
    assert head(b"") is None
    assert head(b"\x7fELF\x03\x01" + bytes(58)) is None
    raw = bytearray(64)
    raw[:6] = b"\x7fELF\x01\x01"
    raw[18] = 0x28
    raw[37] = 0x04
    found = head(bytes(raw))
    assert found is not None
    assert (found.arch, found.hard_float) == (Arch.ARM, True)
    assert from_hex("7f 45\n4c 46 zz 00") == b"\x7fELF"


def test_page_size_of_an_auxiliary_vector() -> None:
    vector = (6).to_bytes(4, "big") + (65536).to_bytes(4, "big")
    assert page_size(vector, 32, "big") == 65536
    assert page_size(vector[:7], 32, "big") is None
    assert page_size((6).to_bytes(8, "little") + (12345).to_bytes(8, "little"), 64, "little") is None
