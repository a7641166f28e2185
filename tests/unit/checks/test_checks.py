"""Every code of host readiness, raised and not raised."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealboot.checks import Load, apply_ignores, run_all, shipped
from sealboot.checks.identity import conflicts, duplicates, unknown_machine, wrong_expectation
from sealboot.checks.init import no_init
from sealboot.checks.privilege import no_privilege, own_name
from sealboot.checks.skew import clock_skew, reference
from sealboot.checks.space import covering, no_space, size_text, unusable_target
from sealboot.checks.tools import missing_tools
from sealboot.diagnostics import page
from sealboot.diagnostics.promises import NEVER_IGNORED
from sealboot.drivers.base import Wants
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Elf, Kind
from sealboot.model.diagnostic import Diagnostic, Location, Severity
from sealboot.model.facts import Become, Cpu, Facts, Space
from sealboot.model.host import BecomeSettings, Host, Ignore
from sealboot.model.plan import Wave
from sealboot.model.secret import SecretRef
from sealboot.model.steps import Remove, Upload

MIB = 1024 * 1024
HOST = Host("pi01", "10.0.0.1", "agent", origins={"": Location("inventory.yaml", 3, 5)})
FACTS = Facts(
    host="pi01",
    kernel_machine="aarch64",
    kernel_arch=Arch.ARM64,
    userland_arch=Arch.ARM64,
    userland_bits=64,
    endian="little",
    native=frozenset({Arch.ARM64}),
    uid=0,
    user="root",
    become="root",
    tools=frozenset({"sh", "mv", "sha256sum", "sudo"}),
    clock_offset=0.0,
    clock_error=0.1,
)
SPACE = Space(
    path="/usr/local/bin",
    existing="/usr/local/bin",
    exists=True,
    fstype="ext4",
    mount="/",
    options=frozenset({"rw"}),
    free=100 * MIB,
    total=1000 * MIB,
    writable=True,
)
FILE = Artifact(
    "binaries/k3s", Kind.ELF, size=60 * MIB, layers=(Elf(64, "little", 0xB7, 2, 0, 0, Arch.ARM64),)
)


def codes(found: tuple[Diagnostic, ...]) -> list[tuple[str, str]]:
    return [(d.code, d.severity.value) for d in found]


def only(found: tuple[Diagnostic, ...]) -> Diagnostic:
    assert len(found) == 1
    assert page(found[0].code).text
    return found[0]


# -- SB301


@pytest.mark.parametrize(("need", "raised"), [(83, False), (84, True), (0, False), (5000, True)])
def test_sb301_asks_for_a_fifth_more(need: int, raised: bool) -> None:
    facts = replace(FACTS, spaces=(SPACE,))
    found = no_space(HOST, facts, Load({"/usr/local/bin": need * MIB}))
    assert codes(found) == ([("SB301", "error")] if raised else [])


def test_sb301_adds_up_what_goes_to_one_file_system() -> None:
    var = replace(SPACE, path="/var/lib", existing="/var/lib")
    data = replace(SPACE, path="/data", existing="/data", mount="/data")
    facts = replace(FACTS, spaces=(SPACE, var, data))
    load = Load({"/usr/local/bin": 50 * MIB, "/var/lib/k3s": 50 * MIB, "/data": 50 * MIB})
    found = only(no_space(HOST, facts, load))
    assert found.host == "pi01"
    assert "/usr/local/bin, /var/lib/k3s" in found.summary
    assert ("free", "100.0 MiB on /") in found.evidence


def test_sb301_says_nothing_about_what_is_not_known() -> None:
    facts = replace(FACTS, spaces=(replace(SPACE, free=None),))
    assert no_space(HOST, facts, Load({"/usr/local/bin": MIB, "/elsewhere": MIB})) == ()


def test_the_nearest_probed_directory_covers() -> None:
    root = replace(SPACE, path="/")
    facts = replace(FACTS, spaces=(root, SPACE))
    assert covering(facts, "/usr/local/bin/sub") is SPACE
    assert covering(facts, "/usr/local/binary") is root
    assert covering(FACTS, "/usr") is None


def test_loads_are_read_from_a_drivers_waves() -> None:
    def upload(name: str, dest: str, mode: int) -> Upload:
        return Upload(id=name, host="a", title=name, source="s", sha256="0", size=5, dest=dest, mode=mode)

    steps = (upload("1", "/bin/x", 0o755), upload("2", "/var/y", 0o644), upload("3", "/bin/z", 0o600))
    waves = (Wave("w", "w", (*steps, Remove(id="4", host="b", title="r", path="/bin/x"))),)
    assert shipped(waves) == {"a": Load({"/bin": 10, "/var": 5}, frozenset({"/bin"}))}


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1536, "1.5 KiB"), (3 << 30, "3.0 GiB"), (5 << 40, "5.0 TiB"), (7 << 50, "7168.0 TiB")],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert size_text(size) == text


# -- SB302


@pytest.mark.parametrize(
    ("space", "programs", "severity", "words"),
    [
        (replace(SPACE, options=frozenset({"rw", "noexec"})), True, "error", "noexec"),
        (replace(SPACE, options=frozenset({"rw", "noexec"})), False, "warning", "noexec"),
        (replace(SPACE, options=frozenset({"ro"})), False, "error", "read-only"),
        (replace(SPACE, immutable=True), False, "error", "immutable"),
        (replace(SPACE, directory=False, exists=False, existing="/usr"), False, "error", "/usr is a file"),
    ],
    ids=["noexec programs", "noexec data", "read-only", "immutable", "file in the way"],
)
def test_sb302_names_the_cause(space: Space, programs: bool, severity: str, words: str) -> None:
    facts = replace(FACTS, spaces=(space,))
    folders = frozenset({"/usr/local/bin"} if programs else ())
    found = only(unusable_target(HOST, facts, ("/usr/local/bin", "/usr/local/bin"), folders))
    assert (found.code, found.severity) == ("SB302", severity)
    assert words in found.summary
    assert found.hints


@pytest.mark.parametrize(
    ("uid", "become", "raised"),
    # Where becoming root fails, that is SB303; the directories are fine.
    [(0, "root", True), (1000, "missing", False), (1000, "nopasswd", False), (1000, "password", False)],
)
def test_sb302_writability_counts_only_for_the_one_who_writes(uid: int, become: Become, raised: bool) -> None:
    facts = replace(FACTS, spaces=(replace(SPACE, writable=False),), uid=uid, become=become)
    assert bool(unusable_target(HOST, facts, ("/usr/local/bin",), frozenset())) is raised
    as_itself = replace(HOST, become=BecomeSettings(method="none"))
    assert unusable_target(as_itself, facts, ("/usr/local/bin",), frozenset())


def test_sb302_says_nothing_about_a_good_directory() -> None:
    facts = replace(FACTS, spaces=(SPACE,))
    assert unusable_target(HOST, facts, ("/usr/local/bin", "/unknown"), frozenset({"/usr/local/bin"})) == ()


# -- SB303


def user(become: Become, tools: str = "sh mv sudo", detail: str = "") -> Facts:
    return replace(
        FACTS, uid=1000, user="ops", become=become, tools=frozenset(tools.split()), become_detail=detail
    )


def test_sb303_has_three_wordings() -> None:
    needed = only(no_privilege(HOST, user("password", detail="sudo: a password is required")))
    denied = only(no_privilege(HOST, user("denied", detail="not in the sudoers file")))
    missing = only(no_privilege(HOST, user("missing", tools="sh mv")))
    assert "asks ops for a password, and none is configured" in needed.summary
    assert ("sudo says", "sudo: a password is required") in needed.evidence
    assert "does not let ops become root" in denied.summary
    assert "there is no sudo" in missing.summary
    assert {d.code for d in (needed, denied, missing)} == {"SB303"}


def test_sb313_is_for_a_host_that_does_not_know_its_own_name() -> None:
    assert own_name(HOST, FACTS) == ()
    found = only(own_name(HOST, replace(user("nopasswd"), own_name_unknown=True)))
    assert (found.code, found.severity, found.host) == ("SB313", Severity.WARNING, HOST.name)
    assert "/etc/hosts" in found.hints[0]


@pytest.mark.parametrize("init", ["busybox", "other"])
def test_sb511_before_anything_is_sent(init: str) -> None:
    here = Location("i.yaml", 7, 3)
    found = only(no_init(HOST, replace(FACTS, init=init), "k3s", here))
    assert (found.code, found.severity, found.at) == ("SB511", Severity.ERROR, here)
    assert found.summary == f"k3s needs systemd or OpenRC, and {HOST.name} runs neither"
    assert found.hints
    assert found.evidence == ((("init", "busybox"),) if init == "busybox" else ())


@pytest.mark.parametrize("init", ["systemd", "openrc", ""])
def test_sb511_is_silent_where_a_service_manager_runs_or_nobody_knows(init: str) -> None:
    assert no_init(HOST, replace(FACTS, init=init), "k3s") == ()


def test_sb303_names_the_tool_that_is_there_instead() -> None:
    found = only(no_privilege(HOST, user("password", tools="sh mv doas")))
    assert "there is no sudo" in found.summary
    assert "`become.method: doas`" in found.hints[0]


@pytest.mark.parametrize(
    ("host", "facts"),
    [
        (HOST, FACTS),
        (HOST, user("nopasswd")),
        (HOST, user("unknown")),
        (replace(HOST, become=BecomeSettings(method="none")), user("missing", tools="sh")),
        (replace(HOST, become=BecomeSettings(password_from=SecretRef("prompt"))), user("password")),
    ],
    ids=["root", "nopasswd", "unknown", "none wanted", "password configured"],
)
def test_sb303_is_silent_where_root_can_be_had(host: Host, facts: Facts) -> None:
    assert no_privilege(host, facts) == ()


# -- SB304


def skewed(*offsets: float | None, error: float = 0.1) -> tuple[Diagnostic, ...]:
    hosts = tuple(replace(HOST, name=f"h{i}") for i in range(len(offsets)))
    facts = {
        h.name: replace(FACTS, host=h.name, clock_offset=o, clock_error=error)
        for h, o in zip(hosts, offsets, strict=True)
    }
    return clock_skew(hosts, facts)


@pytest.mark.parametrize(
    ("offset", "severity"),
    [(4.9, None), (5.05, None), (5.2, "warning"), (-29, "warning"), (31, "error"), (-1e9, "error")],
)
def test_sb304_at_its_thresholds(offset: float, severity: str | None) -> None:
    assert codes(skewed(0.0, 0.1, offset)) == ([("SB304", severity)] if severity else [])


def test_sb304_of_a_single_host_is_measured_against_the_controller() -> None:
    assert codes(skewed(40.0)) == [("SB304", "error")]


def test_sb304_blames_the_controller_where_it_is_the_odd_one() -> None:
    found = only(skewed(100.0, 100.2, 99.9))
    assert found.host is None
    assert found.severity is Severity.WARNING
    assert "behind" in found.summary


def test_sb304_takes_the_measurement_error_off() -> None:
    assert skewed(0.0, 0.0, 6.0, error=2.0) == ()


def test_sb304_ignores_hosts_without_a_clock() -> None:
    assert skewed(None, None) == ()


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_the_reference_is_one_of_the_clocks_and_lies_in_the_middle(offsets: list[float]) -> None:
    chosen = reference(offsets)
    everyone = [*offsets, 0.0]
    assert chosen in everyone
    assert 2 * sum(o < chosen for o in everyone) <= len(everyone)
    assert 2 * sum(o > chosen for o in everyone) <= len(everyone)


@given(st.lists(st.floats(-2, 2), min_size=3, max_size=20), st.floats(40, 1e6), st.booleans())
def test_one_wrong_clock_among_good_ones_is_the_only_one_found(
    good: list[float], wrong: float, behind: bool
) -> None:
    found = skewed(*good, -wrong if behind else wrong)
    assert codes(found) == [("SB304", "error")]
    assert found[0].host == f"h{len(good)}"


@given(st.lists(st.floats(-1e5, 1e5), max_size=12))
def test_the_order_of_the_hosts_does_not_matter(offsets: list[float]) -> None:
    assert sorted(codes(skewed(*offsets))) == sorted(codes(skewed(*reversed(offsets))))


# -- SB305, SB307, SB309


def test_sb305_at_its_origin() -> None:
    at = Location("inventory.yaml", 9, 12)
    host = replace(HOST, arch=Arch.AMD64, origins={"arch": at})
    found = only(wrong_expectation(host, FACTS))
    assert (found.code, found.severity, found.at) == ("SB305", Severity.ERROR, at)
    assert ("inventory", "amd64 (x86-64)") in found.evidence


def test_sb305_is_a_warning_where_the_userland_was_meant() -> None:
    facts = replace(FACTS, userland_arch=Arch.ARM)
    assert codes(wrong_expectation(replace(HOST, arch=Arch.ARM), facts)) == [("SB305", "warning")]


def test_sb305_compares_arm_levels() -> None:
    facts = replace(FACTS, kernel_arch=Arch.ARM, cpu=Cpu(arm_level=6))
    host = replace(HOST, arch=Arch.ARM, arm_level=7)
    assert "arm/v7" in only(wrong_expectation(host, facts)).summary
    assert wrong_expectation(replace(host, arm_level=6), facts) == ()


def test_sb305_is_silent_where_it_fits_or_nothing_is_expected() -> None:
    assert wrong_expectation(HOST, FACTS) == ()
    assert wrong_expectation(replace(HOST, arch=Arch.ARM64), FACTS) == ()


def test_sb307_for_a_machine_that_nobody_knows() -> None:
    found = only(unknown_machine(HOST, replace(FACTS, kernel_arch=None, kernel_machine="sparc64")))
    assert (found.code, found.severity) == ("SB307", Severity.ERROR)
    assert "sparc64" in found.summary
    assert unknown_machine(HOST, FACTS) == ()


def test_sb309_is_a_note_with_every_contradiction() -> None:
    facts = replace(FACTS, userland_arch=Arch.ARM, conflicts=("uname says x",))
    found = only(conflicts(HOST, facts))
    assert (found.code, found.severity) == ("SB309", Severity.NOTE)
    assert len(found.evidence) == 2
    assert conflicts(HOST, FACTS) == ()


# -- SB306


def machines(*rows: tuple[str, str, str]) -> tuple[Diagnostic, ...]:
    hosts = tuple(replace(HOST, name=f"h{i}") for i in range(len(rows)))
    facts = {
        host.name: replace(FACTS, host=host.name, machine_id=m, boot_id=b, hostname=n)
        for host, (m, b, n) in zip(hosts, rows, strict=True)
    }
    return duplicates(hosts, facts)


def test_sb306_one_machine_under_two_names() -> None:
    found = only(machines(("m", "b", "n"), ("m", "b", "n"), ("other", "b", "n")))
    assert (found.code, found.severity) == ("SB306", Severity.ERROR)
    assert (found.host, found.also) == ("h1", ("h0",))


@pytest.mark.parametrize("second", [("m", "b2", "n"), ("m", "b", "n2")], ids=["clone", "container"])
def test_sb306_a_shared_machine_id_alone_is_a_warning(second: tuple[str, str, str]) -> None:
    assert codes(machines(("m", "b", "n"), second)) == [("SB306", "warning")]


def test_sb306_says_nothing_without_machine_ids() -> None:
    assert machines(("", "b", "n"), ("", "b", "n")) == ()
    assert machines(("m", "b", "n"), ("m2", "b2", "n2")) == ()


# -- SB308


def test_sb308_lists_everything_that_is_missing_once() -> None:
    found = only(missing_tools(HOST, replace(FACTS, tools=frozenset({"sh"})), ("tar", "flock", "tar")))
    assert (found.code, found.severity) == ("SB308", Severity.ERROR)
    assert [label for label, _ in found.evidence] == [
        "sha256sum or busybox or openssl or shasum",
        "mv or busybox",
        "tar",
    ]


def test_sb308_accepts_replacements_and_silence() -> None:
    assert missing_tools(HOST, replace(FACTS, tools=frozenset({"busybox"})), ("setsid",)) == ()
    assert missing_tools(HOST, replace(FACTS, tools=frozenset()), ("tar",)) == ()


# -- all of them, and what is accepted


def test_run_all_assumes_that_files_go_to_the_first_directory() -> None:
    facts = replace(FACTS, spaces=(replace(SPACE, options=frozenset({"rw", "noexec"}), free=MIB),))
    wants = {"pi01": Wants(directories=("/usr/local/bin",), tools=("tar",))}
    found = run_all((HOST,), {"pi01": facts}, chosen={("pi01", "k3s"): FILE}, wants=wants)
    assert [d.code for d in found] == ["SB302", "SB301", "SB308"]
    assert all(d.at == Location("inventory.yaml", 3, 5) for d in found)


def test_run_all_follows_a_load() -> None:
    facts = replace(FACTS, spaces=(SPACE, replace(SPACE, path="/data", mount="/data", free=MIB)))
    wants = {"pi01": Wants(directories=("/usr/local/bin", "/data"))}
    load = {"pi01": Load({"/data": 60 * MIB})}
    found = run_all((HOST,), {"pi01": facts}, chosen={("pi01", "k3s"): FILE}, wants=wants, loads=load)
    assert [d.code for d in found] == ["SB301"]
    assert "/data" in found[0].summary


def test_run_all_finds_nothing_about_good_hosts_and_skips_unknown_ones() -> None:
    facts = {"pi01": replace(FACTS, spaces=(SPACE,))}
    hosts = (HOST, replace(HOST, name="down"))
    assert run_all(hosts, facts, chosen={}, wants={"pi01": Wants(directories=("/usr/local/bin",))}) == ()


ACCEPTING = replace(HOST, ignore=tuple(Ignore(c, "no RTC") for c in ("SB304", "SB101", "SB202", "SB203")))


def test_accepted_findings_become_notes_with_the_reason() -> None:
    found = Diagnostic("SB304", "late", host="pi01")
    other = Diagnostic("SB304", "late", host="pi02")
    accepted, kept = apply_ignores((ACCEPTING,), (found, other))
    assert accepted.severity is Severity.NOTE
    assert accepted.notes == ("accepted in the inventory: no RTC",)
    assert kept is other


@pytest.mark.parametrize("code", sorted(NEVER_IGNORED))
def test_some_findings_are_never_accepted(code: str) -> None:
    found = Diagnostic(code, "no", host="pi01")
    assert apply_ignores((ACCEPTING,), (found,)) == (found,)


def test_a_finding_about_several_hosts_is_accepted_only_by_all() -> None:
    found = Diagnostic("SB304", "both", host="pi01", also=("pi02",))
    second = replace(ACCEPTING, name="pi02")
    assert apply_ignores((ACCEPTING,), (found,)) == (found,)
    assert apply_ignores((ACCEPTING, second), (found,))[0].severity is Severity.NOTE
