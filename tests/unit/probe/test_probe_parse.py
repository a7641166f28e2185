"""Hostile, noisy and broken transcripts."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealboot.model.arch import Arch
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.facts import MACHINES, Facts
from sealboot.probe import cpu, parse, storage, system
from sealboot.probe.transcript import Transcript, read

FOLDER = Path(__file__).parents[2] / "transcripts"
WHOLE = (FOLDER / "debian-12-amd64.txt").read_bytes()
RECORDS = dict((read(WHOLE, "BOARD") or Transcript({}, complete=False)).records)


def parsed(raw: bytes, nonce: str = "BOARD") -> Facts | Diagnostic:
    return parse(raw, host="h", nonce=nonce, sent=1000.0, received=1000.2)


def framed(records: Mapping[str, bytes]) -> bytes:
    return b"".join(b"BOARD %s %d\n%s\n" % (k.encode(), len(v), v) for k, v in records.items())


def with_record(**changes: bytes) -> Facts:
    facts = parsed(framed({**RECORDS, **changes}))
    assert isinstance(facts, Facts)
    return facts


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_raise(raw: bytes) -> None:
    assert isinstance(parsed(raw), Diagnostic)
    framed_junk = b"BOARD begin 1\n1\n" + raw + b"\nBOARD end 1\n1\n"
    assert isinstance(parsed(framed_junk), (Facts, Diagnostic))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(RECORDS)), st.binary(max_size=300))
def test_no_value_raises(key: str, value: bytes) -> None:
    records = {**RECORDS, key: value}
    assert isinstance(parsed(framed(records)), Facts)


@pytest.mark.parametrize("seed", range(40))
def test_flipped_and_cut_transcripts_never_raise(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 (repeatable mutations, no secrets)
    for path in sorted(FOLDER.glob("*.txt")):
        raw = bytearray(path.read_bytes())
        for _ in range(dice.randrange(1, 40)):
            raw[dice.randrange(len(raw))] = dice.randrange(256)
        cut = len(raw) if dice.random() < 0.5 else dice.randrange(len(raw))
        assert isinstance(parsed(bytes(raw[:cut])), (Facts, Diagnostic))


def test_sb310_for_a_transcript_that_ends_early() -> None:
    found = parsed(WHOLE[: len(WHOLE) // 2])
    assert isinstance(found, Diagnostic)
    assert found.code == "SB310"
    assert found.host == "h"


def test_sb310_quotes_what_came_instead() -> None:
    found = parsed(b"This account is currently not available.\n")
    assert isinstance(found, Diagnostic)
    assert ("it begins", "This account is currently not available.\n") in found.evidence


def test_noise_before_between_and_after_is_not_taken_for_records() -> None:
    noisy = b"Welcome!\r\nuname 5\nLinux\nOTHER begin 1\n1\n" + WHOLE + b"\nbye\n"
    assert parsed(noisy) == parsed(WHOLE)


def test_a_value_cannot_pretend_to_be_the_next_record() -> None:
    lie = b"hello\nBOARD uname 27\nLinux\n1.0\naarch64\n"
    records = {"begin": b"1", "ask.q": lie, **{k: v for k, v in RECORDS.items() if k != "begin"}}
    facts = parsed(framed(records))
    assert isinstance(facts, Facts)
    assert facts.kernel_machine == "x86_64"
    assert facts.observed["q"] == lie.decode()


def test_the_first_of_two_equal_records_counts() -> None:
    extra = b"BOARD uname 15\nLinux\n1\nriscv64\n"
    at = WHOLE.index(b"BOARD end")
    facts = parsed(WHOLE[:at] + extra + WHOLE[at:])
    assert isinstance(facts, Facts)
    assert facts.kernel_machine == "x86_64"


def test_lengths_that_count_characters_are_read_all_the_same() -> None:
    value = "grüße ☃".encode()
    raw = framed(RECORDS)
    at = raw.index(b"BOARD end")
    wrong = raw[:at] + b"BOARD ask.u %d\n%s\n" % (len(value.decode()), value) + raw[at:]
    facts = parsed(wrong)
    assert isinstance(facts, Facts)
    assert facts.observed["u"] == value.decode()


def test_values_are_clipped() -> None:
    facts = with_record(home=b"/" + b"x" * 9000, **{"ask.long": b"y" * 9000})
    assert len(facts.home) <= 1024
    assert len(facts.observed["long"]) == 4096


def test_a_transcript_over_the_limit_is_cut_and_refused() -> None:
    at = WHOLE.index(b"BOARD end")
    huge = WHOLE[:at] + b"BOARD ask.big 300000\n" + b"z" * 300000 + b"\n" + WHOLE[at:]
    found = parsed(huge)
    assert isinstance(found, Diagnostic)
    assert found.code == "SB310"


@pytest.mark.parametrize(
    ("told", "state"),
    [
        (b"root", "root"),
        (b"missing", "missing"),
        (b"sealboot-root", "nopasswd"),
        (b"Last login: today\nsealboot-root", "nopasswd"),
        (b"sudo: a password is required", "password"),
        (b"sudo: a terminal is required to read the password; either use the -S option", "password"),
        (b"Sorry, user bob is not allowed to execute '/bin/sh -c :' as root on vm.", "denied"),
        (b"bob is not in the sudoers file.", "denied"),
        (b"sudo: sorry, you must have a tty to run sudo", "denied"),
        (b"", "unknown"),
        (b"sudo: unable to resolve host", "unknown"),
    ],
)
def test_become_by_what_sudo_says(told: bytes, state: str) -> None:
    assert with_record(sudo=told).become == state


@pytest.mark.parametrize(
    ("told", "state", "quoted"),
    [
        (
            b"sudo: unable to resolve host m3: Temporary failure in name resolution\nsudo: a password is required",
            "password",
            "sudo: a password is required",
        ),
        (b"sudo: unable to resolve host m3\nbob may not run sudo on m3.", "denied", "bob may not run sudo on m3."),
        (b"sudo: unable to resolve host m3\nsealboot-root", "nopasswd", ""),
        (b"sudo: a password is required", "password", "sudo: a password is required"),
    ],
)  # fmt: skip
def test_of_what_sudo_says_the_line_that_decides_is_quoted(told: bytes, state: str, quoted: str) -> None:
    facts = with_record(sudo=told)
    assert (facts.become, facts.become_detail) == (state, quoted)
    assert facts.own_name_unknown == (b"unable to resolve" in told)


@pytest.mark.parametrize(
    ("told", "state"),
    [
        (b"doas: Authentication required", "password"),
        (b"doas: Operation not permitted", "denied"),
        (b"doas: doas is not enabled, /etc/doas.conf: No such file or directory", "denied"),
    ],
)
def test_become_by_what_doas_says(told: bytes, state: str) -> None:
    raw = framed({**RECORDS, "doas": told, "sudo": b"missing"})
    facts = parse(raw, host="h", nonce="BOARD", sent=0, received=1, become="doas")
    assert isinstance(facts, Facts)
    assert facts.become == state
    assert facts.become_detail == told.decode()


def test_clock_offset_leaves_out_the_scripts_own_time() -> None:
    told = {"clock": b"1000000000.500000000", "up0": b"50.00", "up1": b"50.60"}
    raw = framed({**RECORDS, **told})
    facts = parse(raw, host="h", nonce="BOARD", sent=999999990.0, received=999999991.0)
    assert isinstance(facts, Facts)
    assert facts.clock_offset == pytest.approx(10.3)
    assert facts.clock_error == pytest.approx(0.21)


@pytest.mark.parametrize("clock", [b"1000000000.%N", b"1000000000.N", b"1000000000", b"1000000000."])
def test_a_clock_without_fractions_is_known_to_half_a_second(clock: bytes) -> None:
    facts = parse(framed({**RECORDS, "clock": clock}), host="h", nonce="BOARD", sent=1e9, received=1e9)
    assert isinstance(facts, Facts)
    assert facts.clock_offset == pytest.approx(0.5)
    assert facts.clock_error == pytest.approx(0.5)


def test_a_clock_that_says_nothing_stays_unknown() -> None:
    assert with_record(clock=b"soon").clock_offset is None


@given(st.lists(st.integers(1, 4), max_size=4))
def test_x86_levels_are_cumulative(levels: list[int]) -> None:
    flags = frozenset[str]().union(*(cpu.X86_LEVELS[level - 1] for level in levels))
    highest = 0
    while highest + 1 in levels:
        highest += 1
    assert cpu.x86_level(flags) == (highest or None)


@pytest.mark.parametrize(
    ("text", "count"), [("0", 1), ("0-3", 4), ("0-3,8,10-11", 7), ("", None), ("a-b", None), ("3-1", None)]
)
def test_online_processors(text: str, count: int | None) -> None:
    assert cpu.online_count(text) == count


def test_mount_options_follow_the_nearest_and_latest_mount() -> None:
    table = storage.mounts(
        "/dev/a / ext4 rw 0 0\ntmpfs /opt tmpfs rw,noexec 0 0\n/dev/b /opt xfs ro 0 0\nt /my\\040dir tmpfs rw 0 0\n"
    )
    nearest = storage.holding(table, "/opt/bin")
    assert nearest is not None
    assert (nearest.fstype, nearest.options) == ("xfs", frozenset({"ro"}))
    assert storage.holding(table, "/optional") == table[0]
    assert storage.holding(table, "/my dir/x") == table[3]
    assert storage.holding((), "/") is None


def test_df_rows_by_place_where_one_is_missing() -> None:
    told = Transcript(
        {
            "dir.0": b"0 1 d\n/a/b\n/a\n/a",
            "dir.1": b"1 1 d\n/c\n/c\n/c",
            "mounts": b"d /a ext4 rw 0 0\ne /c xfs rw 0 0",
            "df": b"Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/e 100 40 60 40% /c",
            "lsattr": b"----i---------e------- /c",
        },
        complete=True,
    )
    first, second = storage.spaces(told)
    assert (first.free, first.existing, first.exists) == (None, "/a", False)
    assert (second.free, second.total, second.immutable) == (60 * 1024, 100 * 1024, True)


@pytest.mark.parametrize(
    "filler", [b" ", b"1 ", b"/", b"a:", b"\n", b"0 1 d\n", b"BOARD x 9\n", b"\\040", b"- "]
)
def test_no_filler_takes_long(filler: bytes) -> None:
    begun = time.process_time()
    for key in RECORDS:
        raw = framed({**RECORDS, key: (filler * 60000)[:60000]})
        assert isinstance(parsed(raw), (Facts, Diagnostic))
    assert time.process_time() - begun < 10


def test_libc_of_a_static_userland() -> None:
    def kind(loaders: bytes) -> str:
        return system.libc(Transcript({"loaders": loaders}, complete=True)).kind

    assert kind(b"") == "none"
    assert kind(b"/lib/ld-musl-x86_64.so.1\n") == "musl"
    assert kind(b"/lib64/ld-linux-x86-64.so.2\n/lib/ld-musl-x86_64.so.1\n") == "unknown"
    assert kind(b"/lib64/ld64.so.2\n") == "glibc"


def test_ids_that_are_no_ids_are_left_out() -> None:
    files = RECORDS["files"].replace(b"0123456789abcdef0123456789abcdef", b"../../etc/passwd\x1b[2J")
    assert with_record(files=files).machine_id == ""


@pytest.mark.parametrize(
    ("arch", "text", "flags"),
    [
        (Arch.PPC64LE, "cpu\t\t: POWER9 (architected), altivec supported\n", {"power8", "power9"}),
        (Arch.PPC64LE, "cpu\t\t: POWER7 (raw)\n", set()),
        (Arch.PPC64, "cpu\t\t: e5500\n", set()),
        (Arch.PPC64LE, "model name : AMD EPYC\nflags : sse2\n", set()),
        (Arch.RISCV64, "isa\t\t: rv64imac_zicsr_zba\n", {"i", "m", "a", "c", "zicsr", "zba"}),
        (Arch.RISCV64, "isa\t\t: rv64;reboot\n", set()),
        (Arch.RISCV64, "flags : sse2\n", set()),
    ],
)
def test_generations_and_extensions(arch: Arch, text: str, flags: set[str]) -> None:
    assert cpu.parse(text, arch, "", "").flags == flags


def test_a_virtual_machine_is_never_taken_for_a_container() -> None:
    products = (
        "QEMU",
        "KVM",
        "VMware",
        "VirtualBox",
        "innotek GmbH",
        "Xen",
        "Microsoft Corporation",
        "Amazon EC2",
    )
    more = (
        "Google Compute Engine",
        "Parallels",
        "BHYVE",
        "Apple Virtualization Generic Platform",
        "Dell Inc.",
    )
    for product in (*products, *more):
        told = system.virtualization({"/sys/class/dmi/id/sys_vendor": (product,)}, frozenset(), frozenset())
        assert told in MACHINES, product
    assert (
        system.virtualization({"/run/systemd/container": ("wsl",)}, frozenset(), frozenset()) not in MACHINES
    )
    assert system.virtualization({}, frozenset({"docker"}), frozenset({"hypervisor"})) not in MACHINES
