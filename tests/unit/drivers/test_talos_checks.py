"""Each thing that would leave a machine with neither system, and each that would not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from driver_kit import facts_of
from talos_kit import (
    CP1,
    CP2,
    CP3,
    DISKS,
    KERNEL,
    NETWORK,
    TALOSCTL,
    W1,
    Talos,
    config,
    linux,
    maintenance,
    raw,
    uki,
)

from sealboot.drivers.talos_names import EMPTY_SCHEMATIC
from sealboot.model.arch import Arch
from sealboot.model.artifact import Kernel, Kind
from sealboot.model.bootfiles import BootFiles
from sealboot.model.diagnostic import Severity
from sealboot.model.facts import Cpu
from sealboot.model.host import BecomeSettings, Host
from sealboot.model.tree import Packed

AMD64, ARM64 = Arch.AMD64, Arch.ARM64
BY_DISK = replace(CP1, vars={"route": "disk", "disk": "/dev/vda"})


def alone(host: Host = CP1, arch: Arch = AMD64, **observed: str) -> Talos:
    return Talos(host, arches={host.name: arch}, facts={host.name: linux(host.name, arch, **observed)})


def test_a_machine_that_suits_has_no_findings() -> None:
    for host in (CP1, BY_DISK):
        for arch in (AMD64, ARM64):
            assert alone(host, arch).found() == {}


@pytest.mark.parametrize(
    ("code", "old", "new", "words"),
    [
        ("SB691", "disabled=0", "disabled=1", "kexec_load_disabled"),
        ("SB692", "[none] integrity", "none [integrity]", "integrity"),
        ("SB692", "[none] integrity confidentiality", "none integrity [confidentiality]", "confidentiality"),
        ("SB693", "secureboot=0", "secureboot=1", "Secure Boot"),
        ("SB696", "kexec=kexec-tools 2.0.25", "kexec=", "kexec-tools"),
        ("SB696", "loaded=0\n", "", "CONFIG_KEXEC"),
        ("SB694", "available=3500000", "available=90000", "beside the running system"),
    ],
)
def test_what_the_running_kernel_says_against_kexec(code: str, old: str, new: str, words: str) -> None:
    assert old in KERNEL
    found = alone(kernel=KERNEL.replace(old, new)).found()
    assert list(found) == [code]
    assert found[code].severity is Severity.ERROR
    assert words in found[code].summary
    assert alone(BY_DISK, kernel=KERNEL.replace(old, new)).found() == {}, "a disk is written all the same"


def test_a_kernel_without_lockdown_is_not_locked_down() -> None:
    """Before Linux 5.4, and where securityfs is not mounted, there is no such file."""
    assert alone(kernel=KERNEL.replace("lockdown=[none] integrity confidentiality\n", "")).found() == {}


@pytest.mark.parametrize(("memory", "severity"), [(200 << 20, Severity.ERROR), (1 << 30, Severity.WARNING)])
def test_memory_for_the_initrd_as_it_unpacks(memory: int, severity: Severity) -> None:
    facts = replace(linux("cp1", AMD64), memory=memory)
    found = Talos(CP1, facts={"cp1": facts}).found()
    assert {code: d.severity for code, d in found.items()} == {"SB694": severity}


def test_a_machine_sold_with_two_gibibytes_has_two() -> None:
    """Firmware and kernel keep some hundred MiB for themselves."""
    assert Talos(CP1, facts={"cp1": replace(linux("cp1", AMD64), memory=1_970_000_000)}).found() == {}


def test_five_level_page_tables() -> None:
    def found(arch: Arch, *flags: str) -> list[str]:
        facts = replace(linux("cp1", arch), cpu=Cpu(flags=frozenset(flags)))
        return list(Talos(CP1, arches={"cp1": arch}, facts={"cp1": facts}).found())

    assert found(AMD64, "lm", "la57") == ["SB695"]
    assert found(AMD64, "lm") == []
    assert found(ARM64, "la57") == [], "it is a word of x86"


def test_root_is_needed() -> None:
    facts = replace(linux("cp1", AMD64), uid=1000)
    user = replace(CP1, become=BecomeSettings(method="none"))
    assert list(Talos(user, facts={"cp1": facts}).found()) == ["SB690"]
    assert Talos(CP1, facts={"cp1": facts}).found() == {}, "sudo is asked by the checks of every driver"


@pytest.mark.parametrize(
    "kind", ["docker", "lxc", "systemd-nspawn", "podman", "kubernetes", "openvz", "what-comes-next"]
)
def test_a_container_is_no_machine(kind: str) -> None:
    facts = replace(linux("cp1", AMD64), virtualization=kind)
    assert list(Talos(CP1, facts={"cp1": facts}).found()) == ["SB697"]


def test_a_virtual_machine_is_one() -> None:
    facts = replace(linux("cp1", AMD64), virtualization="kvm")
    assert Talos(CP1, facts={"cp1": facts}).found() == {}


@pytest.mark.parametrize(
    ("disk", "named", "words"),
    [
        ("", "", "no disk of cp1 is named"),
        ("sda", "", "no device"),
        ("/dev/../etc/passwd", "", "no device"),
        ("/dev/sdz", "", "has no disk"),
        ("/dev/vda1", "vda1\n1\n", "a partition"),
        ("/dev/disk/by-id/ata-x", "vdb\n", "has no disk"),
    ],
)
def test_a_disk_that_cannot_be_meant(disk: str, named: str, words: str) -> None:
    host = replace(CP1, vars={"route": "disk", **({"disk": disk} if disk else {})})
    found = alone(host, disk=named).found()
    assert list(found) == ["SB698"]
    assert words in found["SB698"].summary
    assert ("disks", "/dev/sda (30 GiB), /dev/vda (20 GiB)") in found["SB698"].evidence


def test_a_disk_that_cannot_be_written() -> None:
    found = alone(BY_DISK, disks=DISKS.replace("41943040 0", "41943040 1")).found()
    assert "read-only" in found["SB698"].summary


def test_a_disk_by_another_name_is_the_same_disk() -> None:
    host = replace(BY_DISK, vars={"route": "disk", "disk": "/dev/disk/by-id/virtio-1"})
    assert alone(host, disk="vda\n").found() == {}
    assert list(alone(host, disk="sda\n").found()) == ["SB699"]


@pytest.mark.parametrize("line", ["used vda /data", "swap vda"])
def test_the_disk_of_the_running_system(line: str) -> None:
    assert list(alone(BY_DISK, disks=f"{DISKS}{line}\n").found()) == ["SB699"]
    told = replace(BY_DISK, vars={**BY_DISK.vars, "overwrite": "running-system"})
    assert alone(told, disks=f"{DISKS}{line}\n").found() == {}


def test_a_disk_that_is_smaller_than_the_image() -> None:
    found = alone(BY_DISK, disks=DISKS.replace("vda 41943040", "vda 2000000")).found()
    assert found["SB700"].evidence == (("image", "1300234240 bytes"), ("disk", "1024000000 bytes"))


@pytest.mark.parametrize(
    ("kernel", "changed", "words"),
    [
        (KERNEL, {"loaders": (ARM64,)}, "arm64"),
        (KERNEL, {"loaders": (), "esp": None}, "no EFI system partition"),
        (KERNEL.replace("uefi=yes", "uefi=no"), {"bios": False}, "boot sector"),
    ],
)
def test_an_image_that_this_firmware_does_not_start(kernel: str, changed: Any, words: str) -> None:
    facts = {"cp1": linux("cp1", AMD64, kernel=kernel)}
    found = Talos(BY_DISK, facts=facts, chosen={("cp1", "image"): raw(AMD64, **changed)}).found()
    assert found["SB701"].severity is Severity.ERROR
    assert words in found["SB701"].summary


def test_what_nobody_can_know_of_an_image_is_said() -> None:
    chosen = {("cp1", "image"): raw(AMD64, loaders=())}
    found = Talos(BY_DISK, chosen=chosen).found()
    assert found["SB701"].severity is Severity.WARNING
    assert "nobody can say" in found["SB701"].summary
    entry = alone(BY_DISK, kernel=KERNEL.replace("efibootmgr=yes\n", "")).found()["SB701"]
    assert "go on booting the old disk" in entry.summary
    assert entry.severity is Severity.WARNING


STATIC = NETWORK.replace("dynamic", "static")


def test_a_static_address_must_be_told_to_talos() -> None:
    found = alone(network=STATIC).found()
    assert found["SB702"].severity is Severity.ERROR
    assert "ip=10.0.0.11::" in found["SB702"].hints[0]
    assert alone(BY_DISK, network=STATIC).found()["SB702"].severity is Severity.WARNING
    told = replace(CP1, vars={"kernel_args": "ip=10.0.0.11::10.0.0.1:255.255.255.0::eth0:off"})
    assert alone(told, network=STATIC).found() == {}


@pytest.mark.parametrize(
    "network",
    [
        "",
        "unknown\n",
        "address eth1 10.9.9.9/24 static\n" + NETWORK,
        NETWORK + "address eth0 fd00::5/64 static\n",
    ],
    ids=["no answer", "no ip", "another link", "a second address"],
)
def test_what_is_not_known_to_be_static_is_not_said_to_be(network: str) -> None:
    assert alone(network=network).found() == {}


def test_talos_was_here() -> None:
    disks = f"{DISKS}part vda META\npart vda STATE\npart vda EPHEMERAL\n"
    assert list(alone(disks=disks).found()) == ["SB703"]
    assert alone(disks=f"{DISKS}part vda STATE\n").found() == {}, "anybody may call a partition that"
    assert alone(BY_DISK, disks=disks).found() == {}, "it is overwritten"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"os_release": {}}, "nothing in it says so"),
        ({"os_release": {"ID": "debian", "VERSION_ID": "v1.14.0"}}, "'debian'"),
        ({"os_release": {"ID": "talos", "VERSION_ID": "v1.13.2"}}, "v1.13.2"),
        ({"cmdline": "console=tty0"}, "talos.platform="),
    ],
)
def test_a_uki_that_is_not_the_wanted_talos(changed: Any, words: str) -> None:
    found = Talos(CP1, chosen={("cp1", "boot"): uki(AMD64, **changed)}).found()
    assert list(found) == ["SB704"]
    assert words in found["SB704"].summary


def test_the_name_of_a_rebranded_talos_does_not_matter() -> None:
    told = {"ID": "talos", "VERSION_ID": "v1.14.0", "NAME": "Cozystack"}
    assert Talos(CP1, chosen={("cp1", "boot"): uki(AMD64, os_release=told)}).found() == {}


def test_no_release_in_the_inventory_takes_any_talos() -> None:
    old = uki(AMD64, os_release={"ID": "talos", "VERSION_ID": "v1.12.0"})
    assert "SB704" not in Talos(CP1, release=None, chosen={("cp1", "boot"): old}).found()


def test_a_kernel_alone_needs_its_initramfs() -> None:
    made = BootFiles("boot files", kernel=Packed("/cache/k", "1" * 64, 1000))
    kernel = replace(uki(AMD64), kind=Kind.KERNEL, layers=(Kernel("bzImage", AMD64), made))
    cluster = Talos(CP1, chosen={("cp1", "boot"): kernel})
    assert "initramfs" in cluster.found()["SB704"].hints[0]
    inside = BootFiles("boot files", initrd=Packed("/site/initramfs", "2" * 64, 2000), unpacked=5000)
    initrd = replace(uki(AMD64), path="initramfs-amd64.xz", kind=Kind.ZSTD, layers=(inside,))
    both = Talos(CP1, chosen={("cp1", "boot"): kernel, ("cp1", "initramfs"): initrd})
    assert both.found() == {}
    line = getattr(both.steps()["load/cp1/kexec"], "env", {})["CMDLINE"]
    assert {"talos.platform=metal", "console=tty0", "init_on_alloc=1", "slab_nomerge", "pti=on"} <= set(
        line.split()
    )


def test_there_is_no_talos_for_other_processors() -> None:
    facts = replace(linux("cp1", AMD64), kernel_arch=Arch.RISCV64)
    found = Talos(CP1, facts={"cp1": facts}, chosen={("cp1", "boot"): None}).found()
    assert "no Talos" in found["SB704"].summary


def test_the_type_of_a_configuration_decides_not_its_name() -> None:
    found = Talos(CP1, W1, chosen={("w1", "worker"): config("controlplane")}).found()
    assert list(found) == ["SB706"]
    assert found["SB706"].host == "w1"


@pytest.mark.parametrize(
    ("release", "image", "words"),
    [
        ("v1.14.0", f"factory.talos.dev/metal-installer/{EMPTY_SCHEMATIC}:v1.13.0", "installs Talos v1.13.0"),
        ("v1.14.0", "ghcr.io/siderolabs/installer:v1.12.4", "installs Talos v1.12.4"),
        ("v1.14.0", f"factory.talos.dev/installer/{EMPTY_SCHEMATIC}:v1.14.0", "before Talos 1.10"),
        ("v1.9.5", f"factory.talos.dev/metal-installer/{EMPTY_SCHEMATIC}:v1.9.5", "since Talos 1.10"),
    ],
)
def test_an_installer_that_does_not_go_with_the_release(release: str, image: str, words: str) -> None:
    told = {"ID": "talos", "VERSION_ID": release}
    chosen = {
        ("cp1", "controlplane"): config("controlplane", image=image),
        ("cp1", "boot"): uki(AMD64, os_release=told),
    }
    found = Talos(CP1, release=release, chosen=chosen).found()
    assert list(found) == ["SB707"]
    assert words in found["SB707"].summary
    assert found["SB707"].severity is Severity.WARNING


@pytest.mark.parametrize(
    ("release", "image"),
    [
        ("v1.14.0", ""),
        ("v1.13.0", ""),
        ("v1.13.0", "ghcr.io/siderolabs/installer:v1.13.0"),
        ("v1.9.5", f"factory.talos.dev/installer/{EMPTY_SCHEMATIC}:v1.9.5"),
        ("v1.14.0", "registry.lan/mirror/what-we-call-it:stable"),
    ],
)
def test_an_installer_that_goes_with_the_release(release: str, image: str) -> None:
    told = {"ID": "talos", "VERSION_ID": release}
    chosen = {
        ("cp1", "controlplane"): config("controlplane", image=image),
        ("cp1", "boot"): uki(AMD64, os_release=told),
    }
    assert Talos(CP1, release=release, chosen=chosen).found() == {}


def test_an_installer_of_another_schematic() -> None:
    options = {"schematic": {"customization": {"extraKernelArgs": ["noapic", "nolapic"]}}}
    found = Talos(CP1, options=options).found()["SB707"]
    known = "9cba8e32753f91a16c1837ab8abf356af021706ef284aef07380780177d9a06c"
    assert found.hints == (f"write `image: factory.talos.dev/metal-installer/{known}:v1.14.0`",)


def test_a_disk_to_install_on_that_is_not_there() -> None:
    """Workers that are alike share a configuration; this one has another kind of disk."""
    found = Talos(CP1, chosen={("cp1", "controlplane"): config("controlplane", disk="/dev/nvme0n1")}).found()
    assert {code: d.severity for code, d in found.items()} == {"SB714": Severity.WARNING}
    assert found["SB714"].evidence == (("disks", "/dev/sda, /dev/vda"),)


@pytest.mark.parametrize("disk", ["/dev/vda", "/dev/sda", "", "/dev/disk/by-id/ata-x"])
def test_a_disk_to_install_on_that_may_be_there(disk: str) -> None:
    assert Talos(CP1, chosen={("cp1", "controlplane"): config("controlplane", disk=disk)}).found() == {}


@pytest.mark.parametrize(
    ("changed", "severity"),
    [({"cluster": "other"}, Severity.ERROR), ({"endpoint": "https://10.9.9.9:6443"}, Severity.WARNING)],
)
def test_configurations_of_two_clusters(changed: dict[str, str], severity: Severity) -> None:
    found = Talos(CP1, W1, chosen={("w1", "worker"): config("worker", **changed)}).found()
    assert {code: d.severity for code, d in found.items()} == {"SB715": severity}


def test_talosctl_must_run_on_the_controller() -> None:
    cluster = Talos(CP1, chosen={("", "talosctl"): None})
    assert "talosctl-linux-amd64" in cluster.found()["SB708"].hints[0]
    ctx = cluster.context()
    has = replace(facts_of("the controller", AMD64), tools=frozenset({"talosctl"}))
    assert not [d for d in cluster.driver.checks(replace(ctx, controller=has)) if d.code == "SB708"]
    from_path = cluster.steps()["bootstrap/cp1/etcd"]
    assert getattr(from_path, "script", "").startswith("TALOSCTL=talosctl\n")
    assert TALOSCTL.path not in getattr(from_path, "script", "")


def test_the_shape_of_the_control_plane() -> None:
    assert Talos(W1).found()["SB709"].severity is Severity.ERROR
    assert Talos(CP1, CP2).found()["SB709"].severity is Severity.WARNING
    assert Talos(CP1, CP2, CP3).found() == {}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"route": "pxe"}, "no way to Talos"),
        ({"kernel_args": 'a="b'}, "no words"),
        ({"kernel_args": "a\tb"}, "no words"),
        ({"kernel_args": "x" * 2100}, "2047"),
    ],
)
def test_words_that_nobody_reads(said: dict[str, str], words: str) -> None:
    found = alone(replace(CP1, vars=said)).found()
    assert words in found["SB710"].summary


def test_a_command_line_of_a_uki_that_is_no_text() -> None:
    found = Talos(CP1, chosen={("cp1", "boot"): uki(AMD64, cmdline="talos.platform=metal\x1b[2J")}).found()
    assert "is no text" in found["SB710"].summary


def test_machines_that_answer_already_are_asked_for_nothing_else() -> None:
    assert Talos(CP1, W1, facts={h.name: maintenance(h.name, AMD64) for h in (CP1, W1)}).found() == {}
