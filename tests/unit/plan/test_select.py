from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from elf_corpus import GLIBC_LOADERS, dynamic, samples, static
from fit_kit import artifact_of, facts_of, handler_for
from hypothesis import given
from hypothesis import strategies as st

from sealboot.drivers.base import Slot
from sealboot.model.arch import Arch
from sealboot.model.archive import Image, ImageArchive
from sealboot.model.artifact import Artifact, Kind
from sealboot.model.diagnostic import Diagnostic, Location, Severity
from sealboot.model.facts import Cpu, Facts, Libc
from sealboot.model.host import Host
from sealboot.model.verdict import Outcome
from sealboot.plan.select import Selection, select

AMD64, ARM64, ARM = Arch.AMD64, Arch.ARM64, Arch.ARM
BY_NAME = {sample.name: sample.bytes for sample in samples()}
K3S = Slot("k3s")
AT = Location("inventory.yaml", 27, 12)
LINE = Location("inventory.yaml", 20)


def host(name: str, **changes: object) -> Host:
    return replace(Host(name, "10.0.0.1", "agent", origins={"": LINE}), **changes)  # type: ignore[arg-type]


def facts(**archs: Arch) -> dict[str, Facts]:
    return {name: facts_of(arch, name) for name, arch in archs.items()}


def files(folder: Path, **programs: bytes) -> list[Artifact]:
    """Artifacts by name; `_` in a keyword stands for `-`."""
    return [artifact_of(folder, name.replace("_", "-"), data) for name, data in programs.items()]


def choose(
    known: Mapping[str, Facts],
    offered: Sequence[Artifact],
    *,
    slot: Slot = K3S,
    hosts: Sequence[Host] | None = None,
    overrides: Mapping[tuple[str, str], Sequence[Artifact]] | None = None,
) -> Selection:
    everyone = [host(name) for name in known] if hosts is None else hosts
    return select([slot], everyone, known, {slot.name: offered}, overrides)


def chosen(selection: Selection) -> dict[str, str]:
    return {name: artifact.path for (name, _), artifact in selection.chosen.items()}


def codes(selection: Selection) -> list[tuple[str, str | None]]:
    return [(d.code, d.host) for d in selection.diagnostics]


def test_each_host_gets_the_file_of_its_architecture_whatever_the_names(tmp_path: Path) -> None:
    offered = files(tmp_path, k3s=static(AMD64, "a"), k3s_new=static(ARM64, "b"), README=b"text")
    selection = choose(facts(ctl1=AMD64, pi01=ARM64, pi02=ARM64), offered)
    assert chosen(selection) == {"ctl1": "k3s", "pi01": "k3s-new", "pi02": "k3s-new"}
    assert selection.diagnostics == ()
    assert [(v.host, v.artifact, v.outcome) for v in selection.pairs] == [
        ("ctl1", "k3s", Outcome.RUNS),
        ("pi01", "k3s-new", Outcome.RUNS),
        ("pi02", "k3s-new", Outcome.RUNS),
    ]
    assert len(selection.matrix) == 9
    assert [v.reason for v in selection.matrix[:3]] == [None, "SB101", "SB112"]


def test_the_arm_file_replaced_by_an_x86_one_under_its_old_name(tmp_path: Path) -> None:
    amd64 = static(AMD64, "a")
    offered = files(tmp_path, sealctl_amd64=amd64, sealctl_arm64=amd64)
    selection = choose(facts(ctl1=AMD64, pi01=ARM64, pi02=ARM64), offered)
    assert chosen(selection) == {"ctl1": "sealctl-amd64"}
    assert codes(selection) == [("SB101", "pi01"), ("SB101", "pi02"), ("SB111", None)]
    mismatch = selection.diagnostics[0]
    assert dict(mismatch.evidence)["file"] == "ELF64 x86-64, despite its name"
    assert (mismatch.artifact, mismatch.severity, mismatch.at) == ("sealctl-arm64", Severity.ERROR, LINE)
    assert ("pi01", "sealctl-arm64", "SB101") in [(v.host, v.artifact, v.reason) for v in selection.pairs]


def test_another_x86_file_under_the_arm_name_does_not_confuse_the_x86_hosts(tmp_path: Path) -> None:
    offered = files(tmp_path, sealctl_amd64=static(AMD64, "a"), sealctl_arm64=static(AMD64, "older"))
    selection = choose(facts(ctl1=AMD64, pi01=ARM64), offered)
    assert chosen(selection) == {"ctl1": "sealctl-amd64"}
    assert codes(selection) == [("SB101", "pi01"), ("SB111", None)]


def test_a_chosen_file_whose_name_lies_is_told_once(tmp_path: Path) -> None:
    offered = files(tmp_path, k3s_armhf=static(ARM64, "x"))
    selection = choose(facts(a=ARM64, b=ARM64), offered)
    assert chosen(selection) == {"a": "k3s-armhf", "b": "k3s-armhf"}
    assert [(d.code, d.severity) for d in selection.diagnostics] == [("SB111", Severity.WARNING)]


def test_an_unrelated_liar_is_not_mentioned(tmp_path: Path) -> None:
    offered = files(tmp_path, k3s=static(AMD64, "x"), k3s_arm64=static(Arch.S390X, "x"))
    assert choose(facts(a=AMD64), offered).diagnostics == ()


def test_nothing_for_this_architecture_names_what_was_found(tmp_path: Path) -> None:
    offered = files(tmp_path, k3s=static(AMD64, "a"), k3s_s390x=static(Arch.S390X, "b"), notes=b"text")
    selection = choose(facts(pi01=ARM64), offered)
    (finding,) = selection.diagnostics
    assert (finding.code, finding.host, finding.at, selection.pairs) == ("SB104", "pi01", LINE, ())
    assert dict(finding.evidence) == {
        "wanted": "elf for arm64 (aarch64)",
        "found": "k3s (linux/amd64), k3s-s390x (linux/s390x), notes (a text file, 'text')",
    }


def test_nothing_at_all_and_very_much(tmp_path: Path) -> None:
    (finding,) = choose(facts(pi01=ARM64), []).diagnostics
    assert dict(finding.evidence)["found"] == "nothing"
    many = [artifact_of(tmp_path, f"k{i}", static(AMD64, "a")) for i in range(20)]
    (finding,) = choose(facts(pi01=ARM64), many).diagnostics
    assert dict(finding.evidence)["found"].endswith("and 12 more")


def test_an_unknown_machine_gets_nothing(tmp_path: Path) -> None:
    strange = replace(facts_of(AMD64, "x"), kernel_arch=None, native=frozenset(), kernel_machine="e2k")
    (finding,) = choose({"x": strange}, files(tmp_path, k3s=static(AMD64, "a"))).diagnostics
    assert (finding.code, dict(finding.evidence)["wanted"]) == ("SB104", "elf for unknown machine 'e2k'")


def test_an_optional_slot_may_stay_empty(tmp_path: Path) -> None:
    offered = files(tmp_path, k3s=static(AMD64, "a"))
    assert choose(facts(pi01=ARM64), offered, slot=Slot("k3s", required=False)).diagnostics == ()


def test_roles_and_hosts_without_facts_are_passed_over(tmp_path: Path) -> None:
    offered = files(tmp_path, k3s=static(AMD64, "a"))
    hosts = [host("a", role="server"), host("b"), host("gone")]
    selection = choose(facts(a=AMD64, b=AMD64), offered, slot=Slot("k3s", roles=("server",)), hosts=hosts)
    assert chosen(selection) == {"a": "k3s"}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("cut-code-arm64", "SB401"),
        ("no-loader-arm64", "SB107"),
        ("new-libc-arm64", "SB108"),
        ("type-rel-arm64", "SB112"),
    ],
)
def test_a_file_of_the_right_machine_tells_its_own_reason(name: str, code: str, tmp_path: Path) -> None:
    offered = [*files(tmp_path, k3s=static(AMD64, "a")), artifact_of(tmp_path, name, BY_NAME[name])]
    selection = choose(facts(pi01=ARM64), offered)
    assert codes(selection) == [(code, "pi01")]
    assert selection.chosen == {}


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", gzip.compress(b"x", mtime=0)])
def test_a_file_so_named_that_is_no_program(data: bytes, tmp_path: Path) -> None:
    selection = choose(facts(pi01=ARM64), files(tmp_path, k3s_arm64=data))
    assert codes(selection) == [("SB112", "pi01")]


def test_a_checksum_beside_the_file_is_not_taken_for_it(tmp_path: Path) -> None:
    offered = [
        artifact_of(tmp_path, "k3s-arm64.sha256", b"abc"),
        artifact_of(tmp_path, "k3s-arm64", static(AMD64, "a")),
    ]
    assert codes(choose(facts(pi01=ARM64), offered)) == [("SB101", "pi01"), ("SB111", None)]
    assert codes(choose(facts(pi01=ARM64), offered[:1])) == [("SB112", "pi01")]


# -- ranking ------------------------------------------------------------------------------------------


def test_native_comes_before_emulated(tmp_path: Path) -> None:
    known = {"a": replace(facts_of(AMD64, "a"), binfmt=(handler_for(ARM64),))}
    offered = files(tmp_path, foreign=static(ARM64, "a"), b_amd=static(AMD64, "b"))
    allowed = [host("a", emulation="allow")]
    assert chosen(choose(known, offered, hosts=allowed)) == {"a": "b-amd"}
    emulated = choose(known, offered[:1], hosts=allowed)
    assert chosen(emulated) == {"a": "foreign"}
    assert [(d.code, d.severity) for d in emulated.diagnostics] == [("SB103", Severity.WARNING)]
    refused = choose(known, offered[:1])
    assert (chosen(refused), codes(refused)) == ({}, [("SB103", "a")])
    assert refused.diagnostics[0].severity is Severity.ERROR


def test_the_kernels_own_architecture_comes_first(tmp_path: Path) -> None:
    offered = files(tmp_path, a=static(Arch.I386, "a"), b=static(AMD64, "b"))
    assert chosen(choose(facts(x=AMD64), offered)) == {"x": "b"}
    pi = {"pi": facts_of(ARM64, "pi", userland=ARM)}
    dynamic64 = dynamic(ARM64, "x", interpreter=GLIBC_LOADERS[ARM64])
    offered = files(tmp_path, c=dynamic64, d=static(ARM, "d"))
    assert chosen(choose(pi, offered)) == {"pi": "d"}


def test_same_bytes_are_one_file(tmp_path: Path) -> None:
    offered = files(tmp_path, k3s_b=static(AMD64, "a"), k3s_a=static(AMD64, "a"))
    selection = choose(facts(x=AMD64), offered)
    assert (chosen(selection), selection.diagnostics) == ({"x": "k3s-a"}, ())


def test_different_bytes_are_not_chosen_between(tmp_path: Path) -> None:
    offered = files(
        tmp_path, k3s=static(AMD64, "old"), k3s_amd64=static(AMD64, "new"), other=static(ARM64, "c")
    )
    selection = choose(facts(x=AMD64, pi=ARM64), offered)
    assert chosen(selection) == {"pi": "other"}
    (finding,) = selection.diagnostics
    assert (finding.code, finding.host, finding.severity) == ("SB113", "x", Severity.ERROR)
    assert [text.split()[0] for _, text in finding.evidence] == ["k3s", "k3s-amd64"]
    assert len(dict(finding.evidence)) == 2


@given(order=st.permutations(range(4)))
def test_the_order_of_candidates_does_not_matter(
    order: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    offered = files(
        folder,
        a_amd64=static(AMD64, "a"),
        b_arm64=static(AMD64, "liar"),
        c=static(Arch.I386, "c"),
        d=static(ARM64, "d"),
    )
    selection = choose(facts(x=AMD64, pi=ARM64), [offered[i] for i in order])
    assert chosen(selection) == {"x": "a-amd64", "pi": "d"}


# -- overrides ----------------------------------------------------------------------------------------


def overridden(tmp_path: Path, override: Sequence[Artifact], **known: Arch) -> Selection:
    offered = files(
        tmp_path, **{"binaries/k3s": static(AMD64, "a"), "binaries/k3s_arm64": static(ARM64, "b")}
    )
    hosts = [host(name, origins={"": LINE, "artifacts.k3s": AT}) for name in known]
    return choose(facts(**known), offered, hosts=hosts, overrides={("pi02", "k3s"): override})


def test_an_override_replaces_the_candidates(tmp_path: Path) -> None:
    override = files(tmp_path, special=static(ARM64, "special"))
    selection = overridden(tmp_path, override, pi01=ARM64, pi02=ARM64)
    assert chosen(selection) == {"pi01": "binaries/k3s-arm64", "pi02": "special"}
    assert {v.artifact for v in selection.matrix} == {"binaries/k3s", "binaries/k3s-arm64", "special"}


def test_an_override_is_verified_like_any_other(tmp_path: Path) -> None:
    override = [artifact_of(tmp_path, "binaries/old/k3s-arm64", static(AMD64, "x"))]
    selection = overridden(tmp_path, override, pi02=ARM64)
    assert codes(selection) == [("SB101", "pi02"), ("SB111", None)]
    found = selection.diagnostics[0]
    assert (found.at, found.artifact) == (AT, "binaries/old/k3s-arm64")
    assert found.hints == ("delete the override; binaries/k3s-arm64 is aarch64 and fits",)
    assert selection.pairs[0].diagnostics == (found,)
    assert selection.chosen == {}


def test_an_override_without_an_alternative_keeps_its_own_hint(tmp_path: Path) -> None:
    override = files(tmp_path, special=static(AMD64, "x"))
    found = overridden(tmp_path, override, pi02=Arch.RISCV64).diagnostics[0]
    assert (found.code, found.hints) == ("SB101", ("use the file built for riscv64",))


def test_an_override_that_matches_no_file(tmp_path: Path) -> None:
    (found,) = overridden(tmp_path, [], pi02=ARM64).diagnostics
    assert (found.code, found.at, dict(found.evidence)["found"]) == ("SB104", AT, "nothing")


def test_an_override_of_the_wrong_kind(tmp_path: Path) -> None:
    """A slot may take another kind than ELF; an override that would run is still not what it takes."""
    slot = Slot("k3s", kinds=(Kind.GZIP,))
    selection = choose(
        facts(x=AMD64), [], slot=slot, overrides={("x", "k3s"): files(tmp_path, tool=static(AMD64, "x"))}
    )
    assert codes(selection) == [("SB112", "x")]
    assert selection.pairs[0].outcome is Outcome.CANNOT


def test_a_program_is_no_candidate_where_the_slot_takes_another_kind(tmp_path: Path) -> None:
    slot = Slot("k3s", kinds=(Kind.GZIP,))
    assert codes(choose(facts(x=AMD64), files(tmp_path, tool=static(AMD64, "x")), slot=slot)) == [
        ("SB104", "x")
    ]


# -- slots that are not executed ----------------------------------------------------------------------

IMAGES = Slot("images", kinds=(Kind.TAR, Kind.ZSTD), executable=False, required=False)


def archive(name: str, *platforms: str, named: Arch | None = None, digest: str = "") -> Artifact:
    return Artifact(name, Kind.TAR, sha256=digest or name, platforms=platforms, named_arch=named)


def test_archives_go_by_the_platforms_inside(tmp_path: Path) -> None:
    offered = [
        archive("a", "linux/amd64"),
        archive("b", "linux/arm64/v8", named=AMD64),
        archive("c", named=ARM64),
        Artifact("d", Kind.ELF, platforms=("linux/arm64",)),
    ]
    selection = choose(facts(x=AMD64, pi=ARM64), offered, slot=IMAGES)
    assert chosen(selection) == {"x": "a", "pi": "b"}
    assert (selection.pairs, selection.matrix, selection.diagnostics) == ((), (), ())


def test_archives_that_do_not_tell(tmp_path: Path) -> None:
    named = [archive("any"), archive("x-arm64", named=ARM64), archive("x-amd64", named=AMD64)]
    assert chosen(choose(facts(x=AMD64, pi=ARM64), named, slot=IMAGES)) == {"x": "x-amd64", "pi": "x-arm64"}
    assert chosen(choose(facts(x=Arch.S390X), named, slot=IMAGES)) == {"x": "any"}
    assert codes(choose(facts(x=AMD64), [archive("a"), archive("b")], slot=IMAGES)) == [("SB113", "x")]
    assert chosen(
        choose(facts(x=AMD64), [archive("a", digest="1"), archive("b", digest="1")], slot=IMAGES)
    ) == {"x": "a"}
    assert choose(facts(x=AMD64), [archive("x-arm64", named=ARM64)], slot=IMAGES).diagnostics == ()
    wanted = replace(IMAGES, required=True)
    assert codes(choose(facts(x=AMD64), [archive("x-arm64", named=ARM64)], slot=wanted)) == [("SB104", "x")]


def test_archives_for_other_platforms_are_named(tmp_path: Path) -> None:
    """SB404, with both sides, where a slot must be filled or the file claims to be for this host."""
    wrong = archive("images.tar", "linux/amd64")
    (found,) = choose(facts(pi=ARM64), [wrong], slot=replace(IMAGES, required=True)).diagnostics
    assert (found.code, found.host) == ("SB404", "pi")
    assert dict(found.evidence) == {"wanted": "linux/arm64", "found": "images.tar (linux/amd64)"}
    assert choose(facts(pi=ARM64), [wrong], slot=IMAGES).diagnostics == ()
    liar = archive("x-arm64.tar", "linux/amd64", named=ARM64)
    assert codes(choose(facts(pi=ARM64), [liar], slot=IMAGES)) == [("SB404", "pi")]
    layer = ImageArchive("oci-layout", (Image("a.example/b:1", ("linux/amd64",), ("linux/arm64",)),))
    assert codes(choose(facts(pi=ARM64), [replace(wrong, layers=(layer,))], slot=IMAGES)) == [("SB404", "pi")]


def test_a_damaged_archive_is_never_chosen(tmp_path: Path) -> None:
    damage = Diagnostic("SB404", "images.tar: a blob is damaged", artifact="images.tar")
    broken = replace(archive("images.tar", "linux/arm64"), diagnostics=(damage,))
    selection = choose(facts(pi=ARM64), [broken], slot=replace(IMAGES, required=True))
    assert (codes(selection), selection.chosen) == ([("SB404", "pi"), ("SB404", None)], {})
    sound = archive("other.tar", "linux/arm64")
    assert chosen(choose(facts(pi=ARM64), [broken, sound], slot=IMAGES)) == {"pi": "other.tar"}
    doubt = replace(damage, severity=Severity.WARNING)
    doubtful = replace(broken, diagnostics=(doubt,))
    assert chosen(choose(facts(pi=ARM64), [doubtful], slot=IMAGES)) == {"pi": "images.tar"}


def test_variants_of_a_platform(tmp_path: Path) -> None:
    """A processor takes its own level and lesser ones, and the nearest is the best."""
    v6, v7 = archive("v6", "linux/arm/v6"), archive("v7", "linux/arm/v7")
    plain = archive("plain", "linux/arm")

    def on(level: int | None, *offered: Artifact) -> dict[str, str]:
        host = replace(facts_of(ARM, "pi"), cpu=Cpu(arm_level=level))
        return chosen(choose({"pi": host}, list(offered), slot=IMAGES))

    assert on(6, v6, v7, plain) == {"pi": "v6"}
    assert on(7, v6, v7) == {"pi": "v7"}
    assert on(None, v6, plain) == {"pi": "plain"}
    assert on(5, v6, v7, plain) == {}
    old = replace(facts_of(AMD64, "x"), cpu=Cpu(x86_level=2))
    both = [archive("v3", "linux/amd64/v3"), archive("v1", "linux/amd64")]
    assert chosen(choose({"x": old}, both, slot=IMAGES)) == {"x": "v1"}


def test_what_is_unknown_stays_a_warning(tmp_path: Path) -> None:
    known = {"x": replace(facts_of(AMD64, "x"), libc=Libc())}
    selection = choose(known, [artifact_of(tmp_path, "dyn", BY_NAME["dynamic-amd64"])])
    assert chosen(selection) == {"x": "dyn"}
    assert [(d.code, d.severity) for d in selection.diagnostics] == [("SB107", Severity.WARNING)]


@given(
    built=st.lists(st.sampled_from([*sorted(BY_NAME), ""]), max_size=4, unique=True),
    machine=st.sampled_from([AMD64, ARM64, ARM, Arch.S390X]),
    allow=st.booleans(),
)
def test_every_wanted_slot_ends_with_a_file_or_an_error(
    built: list[str], machine: Arch, allow: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    offered = [artifact_of(folder, name or "empty", BY_NAME.get(name, b"")) for name in built]
    known = {"x": replace(facts_of(machine, "x"), binfmt=(handler_for(Arch.RISCV64),))}
    everyone = [host("x", emulation="allow" if allow else "refuse")]
    selection = choose(known, offered, hosts=everyone)
    errors = [d for d in selection.diagnostics if d.severity is Severity.ERROR and d.host == "x"]
    assert bool(selection.chosen) is not bool(errors)
    for verdict in selection.pairs:
        assert verdict.usable is (("x", "k3s") in selection.chosen)


TOOL = Slot("tool", kinds=(Kind.ELF, Kind.SCRIPT))
SH = frozenset({"/bin/sh"})


def with_sh(**archs: Arch) -> dict[str, Facts]:
    return {name: replace(known, interpreters=SH) for name, known in facts(**archs).items()}


def test_a_script_is_for_every_architecture_that_has_its_interpreter(tmp_path: Path) -> None:
    offered = files(tmp_path, tool=b"#!/bin/sh\necho\n", README=b"text")
    selection = choose(with_sh(ctl1=AMD64, pi01=ARM64), offered, slot=TOOL)
    assert chosen(selection) == {"ctl1": "tool", "pi01": "tool"}
    assert selection.diagnostics == ()
    assert [v.reason for v in selection.matrix] == [None, "SB112"] * 2
    assert codes(choose(with_sh(ctl1=AMD64), offered)) == [("SB104", "ctl1")], "other places take none"


def test_a_script_without_its_interpreter_says_so(tmp_path: Path) -> None:
    offered = files(tmp_path, tool=b"#!/usr/bin/perl -w\n", other=b"#!/bin/sh\r\n")
    selection = choose(with_sh(ctl1=AMD64), offered, slot=TOOL)
    assert codes(selection) == [("SB112", "ctl1")] * 2
    perl, crlf = selection.diagnostics
    assert perl.summary == "tool needs /usr/bin/perl and cannot start"
    assert perl.hints == ("install /usr/bin/perl on the host, or name another interpreter in the script",)
    assert "dos2unix" in crlf.hints[0]


@pytest.mark.parametrize(
    "known", [facts(ctl1=AMD64), with_sh(ctl1=AMD64)], ids=["nothing known", "not asked"]
)
def test_an_interpreter_that_nobody_looked_for_is_a_doubt(known: dict[str, Facts], tmp_path: Path) -> None:
    offered = files(tmp_path, tool=b"#!/opt/ruby/bin/ruby\n")
    selection = choose(known, offered, slot=TOOL)
    assert chosen(selection) == {"ctl1": "tool"}
    assert [(d.code, d.severity) for d in selection.diagnostics] == [("SB112", Severity.WARNING)]


def test_a_script_never_fills_in_for_a_build_that_is_missing(tmp_path: Path) -> None:
    offered = files(tmp_path, tool=static(AMD64, "a"), install=b"#!/bin/sh\n")
    selection = choose(with_sh(ctl1=AMD64, pi01=ARM64), offered, slot=TOOL)
    assert chosen(selection) == {"ctl1": "tool"}
    assert codes(selection) == [("SB104", "pi01")]


def test_two_different_scripts_are_no_choice_of_ours(tmp_path: Path) -> None:
    offered = files(tmp_path, a=b"#!/bin/sh\n", b=b"#!/bin/sh\necho\n")
    assert codes(choose(with_sh(ctl1=AMD64), offered, slot=TOOL)) == [("SB113", "ctl1")]


@pytest.mark.parametrize(
    ("arch", "offered", "hints"),
    [
        (
            ARM64,
            False,
            (
                "put the arm64 build of k3s where `artifacts: k3s:` looks for it; any name will do",
                "get it: `curl https://example.net/k3s-arm64`",
            ),
        ),
        (
            AMD64,
            False,
            ("put the amd64 build of k3s where `artifacts: k3s:` looks for it; any name will do",),
        ),
        (
            ARM64,
            True,
            (
                "put the arm64 build of k3s beside the others; any name will do",
                "get it: `curl https://example.net/k3s-arm64`",
            ),
        ),
    ],
)
def test_a_missing_file_is_said_with_where_it_comes_from(
    tmp_path: Path, arch: Arch, offered: bool, hints: tuple[str, ...]
) -> None:
    slot = Slot("k3s", get=((ARM64, "curl https://example.net/k3s-arm64"),))
    others = files(tmp_path, other=static(Arch.S390X, "x")) if offered else []
    (finding,) = choose(facts(pi01=arch), others, slot=slot).diagnostics
    assert finding.code == "SB104"
    assert finding.hints == hints
    assert ("no file to choose from" in finding.summary) == (not offered)
