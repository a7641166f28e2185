"""A cluster of Talos from its files on: matched, checked and written down, without a byte on any host."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from boot_kit import METHODS, OS_RELEASE, add_sections, arm64_image, bzimage, cpio, pe, uki, zboot
from elf_corpus import static
from fit_kit import facts_of

from sealboot.engine.context import Sources
from sealboot.model.arch import Arch
from sealboot.model.diagnostic import Severity
from sealboot.model.facts import Facts
from sealboot.model.steps import Run, Upload
from sealboot.workflow.controller import controller_facts
from sealboot.workflow.preflight import Preflight, candidates, preflight
from sealboot.workflow.prepare import Prepared, prepare
from sealboot.workflow.survey import Survey

AMD64, ARM64 = Arch.AMD64, Arch.ARM64
INVENTORY = """version: 1
cluster: {name: lab, driver: talos, release: v1.14.0}
hosts:
  cp1: {address: 10.0.0.11, role: controlplane}
  pi1: {address: 10.0.0.21, role: worker}
"""
KEYS = "context: lab\ncontexts: {lab: {endpoints: [10.0.0.11], ca: YQ==, crt: Yg==, key: Yw==}}\n"


def initrd(machine: int) -> bytes:
    program = (b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, machine)).ljust(200, b"\0")
    return METHODS["zstd22"](cpio([("init", program)]))


def answers(arch: Arch, host: str) -> Facts:
    observed = {
        "talos.kernel": "disabled=0\nloaded=0\nkexec=kexec-tools 2.0.25\nuefi=yes\navailable=3000000\n"
    }
    return replace(facts_of(arch, host), uid=0, memory=4 << 30, observed=observed, become="root")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An operator's folder; the work is done from another one."""
    folder = tmp_path / "site"
    for name in ("binaries", "talos"):
        (folder / name).mkdir(parents=True)
    (folder / "inventory.yaml").write_text(INVENTORY)
    # The images' names say each other's architecture: their bytes decide.
    (folder / "binaries/metal-arm64-uki.efi").write_bytes(uki(0x8664, bzimage(), initrd(0x3E)))
    (folder / "binaries/metal-amd64-uki.efi").write_bytes(uki(0xAA64, zboot(arm64_image()), initrd(0xB7)))
    (folder / "binaries/talosctl-linux-arm64").write_bytes(static(ARM64, "talosctl"))
    (folder / "binaries/talosctl-linux-amd64").write_bytes(static(AMD64, "talosctl"))
    for role in ("controlplane", "worker"):
        (folder / f"talos/{role}.yaml").write_text(f"version: v1alpha1\nmachine: {{type: {role}}}\n")
    (folder / "talos/talosconfig").write_text(KEYS)
    for path in (folder / "talos").iterdir():
        path.chmod(0o600)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return folder


def looked(site: Path, facts: Mapping[str, Facts] | None = None) -> tuple[Prepared, Preflight]:
    prepared = prepare([str(site / "inventory.yaml")])
    assert isinstance(prepared, Prepared), prepared
    given = facts or {"cp1": answers(AMD64, "cp1"), "pi1": answers(ARM64, "pi1")}
    survey = Survey(given, {}, (), controller=replace(facts_of(AMD64, "the controller"), tools=frozenset()))
    return prepared, preflight(prepared, survey, candidates(prepared))


def errors(found: Preflight) -> list[tuple[str, str | None]]:
    return [(d.code, d.host) for d in found.report.diagnostics if d.severity is Severity.ERROR]


def test_a_mixed_cluster_is_ready_by_what_its_files_are(site: Path) -> None:
    prepared, found = looked(site)
    assert errors(found) == []
    assert [h.name for h in found.ready] == ["cp1", "pi1"]
    boots = {host: found.context.chosen[host, "boot"].path for host in ("cp1", "pi1")}
    assert boots == {"cp1": "binaries/metal-arm64-uki.efi", "pi1": "binaries/metal-amd64-uki.efi"}
    assert found.context.chosen["", "talosctl"].path == "binaries/talosctl-linux-amd64"
    steps = {s.id: s for w in prepared.waves(found.context) for s in w.steps}
    kernel = steps["ship/pi1/kernel"]
    assert isinstance(kernel, Upload)
    assert Path(kernel.source).read_bytes() == arm64_image()
    applied = steps["configure/pi1/apply"]
    assert isinstance(applied, Run)
    assert f"CONFIG={site}/talos/worker.yaml\n" in applied.script
    assert f"TALOSCTL={site}/binaries/talosctl-linux-amd64\n" in applied.script


async def test_what_is_shipped_is_what_was_planned(site: Path) -> None:
    prepared, found = looked(site)
    uploads = [s for w in prepared.waves(found.context) for s in w.steps if isinstance(s, Upload)]
    sources = Sources()
    assert [await sources.digest(s.source) for s in uploads] == [s.sha256 for s in uploads]


def test_nothing_is_planned_for_a_machine_without_an_image(site: Path) -> None:
    (site / "binaries/metal-amd64-uki.efi").unlink()
    prepared, found = looked(site)
    assert ("SB114", "pi1") in errors(found)
    assert [h.name for h in found.ready] == ["cp1"]
    assert {s.host for w in prepared.waves(found.context) for s in w.steps} == {"cp1"}


def test_a_machine_that_is_talos_needs_no_image_at_all(site: Path) -> None:
    for path in (site / "binaries").glob("*.efi"):
        path.unlink()
    facts = {
        name: Facts(name, "", arch, arch, 64, "little", assumed=True, observed={"api": "maintenance"})
        for name, arch in (("cp1", AMD64), ("pi1", ARM64))
    }
    prepared, found = looked(site, facts)
    assert errors(found) == []
    assert {s.on for w in prepared.waves(found.context) for s in w.steps} == {"controller"}


def test_the_wrong_roles_configuration_stops_that_host(site: Path) -> None:
    (site / "talos/worker.yaml").write_text("version: v1alpha1\nmachine: {type: controlplane}\n")
    _, found = looked(site)
    assert errors(found) == [("SB706", "pi1")]


def test_no_credentials_stop_everything(site: Path) -> None:
    (site / "talos/talosconfig").unlink()
    _, found = looked(site)
    (lacking,) = [d for d in found.report.diagnostics if d.severity is Severity.ERROR]
    assert (lacking.code, lacking.host) == ("SB104", None)
    assert "talosctl gen config lab https://10.0.0.11:6443" in lacking.hints[0]
    assert "--install-image factory.talos.dev/metal-installer/" in lacking.hints[0]


def test_patterns_that_nobody_wrote_and_nobody_needs_are_not_told(site: Path) -> None:
    for path in (site / "binaries").iterdir():
        path.unlink()
    facts = {
        name: Facts(name, "", AMD64, AMD64, 64, "little", assumed=True, observed={"api": "maintenance"})
        for name in ("cp1", "pi1")
    }
    _, found = looked(site, facts)
    assert [d.code for d in found.report.diagnostics] == ["SB708"]


def test_another_release_than_the_inventory_names(site: Path) -> None:
    stub = pe(0x8664, [(".text", b"\x90" * 700)])
    parts = [
        (".osrel", OS_RELEASE.replace(b"v1.14.0", b"v1.13.9")),
        (".cmdline", b"talos.platform=metal"),
        (".linux", bzimage()),
        (".initrd", initrd(0x3E)),
    ]
    (site / "binaries/metal-arm64-uki.efi").write_bytes(add_sections(stub, parts))
    _, found = looked(site)
    assert errors(found) == [("SB704", "cp1")]


def test_the_controller_is_asked_what_it_is(site: Path) -> None:
    prepared = prepare([str(site / "inventory.yaml")])
    assert isinstance(prepared, Prepared)
    facts = asyncio.run(controller_facts(prepared.slots, timeout=20.0))
    assert facts is not None
    assert facts.kernel_arch is not None
    assert asyncio.run(controller_facts([], timeout=20.0)) is None
