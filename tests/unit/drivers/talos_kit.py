"""Clusters of machines that are to become Talos, or are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from driver_kit import Cluster, facts_of

from sealboot.drivers.base import Context
from sealboot.drivers.talos_names import EMPTY_SCHEMATIC
from sealboot.drivers.talos_options import TalosOptions
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Kernel, Kind, Pe, Uki
from sealboot.model.bootfiles import BootFiles, DiskImage, MachineConfig, OnController, TalosConfig
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.facts import Cpu, Facts
from sealboot.model.host import Host, Inventory
from sealboot.model.steps import Step
from sealboot.model.tree import Packed

CP1 = Host("cp1", "10.0.0.11", "controlplane")
CP2 = Host("cp2", "10.0.0.12", "controlplane")
CP3 = Host("cp3", "fd00::13", "controlplane")
W1 = Host("w1", "10.0.0.21", "worker")
VERSION = "v1.14.0"
INSTALLER = f"factory.talos.dev/metal-installer/{EMPTY_SCHEMATIC}:{VERSION}"
MACHINES = {Arch.AMD64: 0x8664, Arch.ARM64: 0xAA64}

#: What a machine answers that may leave: two disks, of which the first has the running system.
KERNEL = """disabled=0
loaded=0
lockdown=[none] integrity confidentiality
uefi=yes
secureboot=0
kexec=kexec-tools 2.0.25
efibootmgr=yes
available=3500000
"""
DISKS = """disk sda 62914560 0
part sda root
used sda /
disk vda 41943040 0
"""
NETWORK = """route default via 10.0.0.1 dev eth0 proto dhcp
address eth0 10.0.0.11/24 dynamic
"""


def linux(name: str, arch: Arch, **observed: str) -> Facts:
    """A machine with 4 GiB that suits both ways; `observed` replaces answers (`kernel`, `disks`, `network`)."""
    answers = {"kernel": KERNEL, "disks": DISKS, "network": NETWORK, "disk": "vda\n"} | observed
    return replace(
        facts_of(name, arch),
        uid=0,
        memory=4 << 30,
        cpu=Cpu(flags=frozenset({"fpu"})),
        observed={f"talos.{key}": value for key, value in answers.items()},
    )


def maintenance(name: str, arch: Arch, api: str = "maintenance") -> Facts:
    """A machine that refuses SSH and answers on Talos' port."""
    return Facts(
        name, "", arch, arch, 64, "little", assumed=True, observed={"api": api, "api.key": "bWFpbnRlbmFuY2U="}
    )


def uki(arch: Arch, **changed: Any) -> Artifact:
    told = {"ID": "talos", "VERSION_ID": VERSION, "NAME": "Talos"}
    wanted = Uki(
        "systemd-stub 257",
        told,
        "6.12.1-talos",
        f"talos.platform=metal console={'tty0' if arch is Arch.AMD64 else 'ttyAMA0'}",
    )
    kernel = Packed(f"/cache/{arch}-kernel.boot", "1" * 64, 20_000_000)
    initrd = Packed(f"/cache/{arch}-initrd.boot", "2" * 64, 80_000_000)
    made = BootFiles(
        "boot files", kernel=kernel, initrd=initrd, wrapped=arch is Arch.ARM64, unpacked=90_000_000
    )
    inner = Kernel("bzImage" if arch is Arch.AMD64 else "Image", arch, memory=60_000_000)
    layers = (Pe(MACHINES[arch], arch, 64, 10), replace(wanted, **changed), inner, made)
    return Artifact(
        f"binaries/metal-{arch}-uki.efi", Kind.UKI, 101_000_000, "3" * 64, (f"linux/{arch}",), layers
    )


def raw(arch: Arch, **changed: Any) -> Artifact:
    path = f"binaries/metal-{arch}.raw.zst"
    made = DiskImage(
        "disk image",
        file=Packed(f"/site/{path}", "4" * 64, 90_000_000),
        size=1_300_234_240,
        sha256="5" * 64,
        compression="zstd",
        table="gpt",
        bios=arch is Arch.AMD64,
        loaders=(arch,),
        esp=1,
        labels=("EFI", "META"),
    )
    return Artifact(path, Kind.ZSTD, 90_000_000, "4" * 64, (f"linux/{arch}",), (replace(made, **changed),))


def config(role: str, **changed: Any) -> Artifact:
    path = f"talos/{role}.yaml"
    digit = {"controlplane": "6", "worker": "7"}[role]
    made = MachineConfig(
        "machine configuration",
        file=Packed(f"/site/{path}", digit * 64, 9000),
        type=role,
        cluster="lab",
        endpoint="https://10.0.0.10:6443",
        image=INSTALLER,
        disk="/dev/vda",
    )
    return Artifact(path, Kind.UNKNOWN, 9000, digit * 64, layers=(replace(made, **changed),))


TALOSCONFIG = Artifact(
    "talos/talosconfig",
    Kind.UNKNOWN,
    1500,
    "8" * 64,
    layers=(
        TalosConfig("talosconfig", file=Packed("/site/talos/talosconfig", "8" * 64, 1500), context="lab"),
    ),
)
TALOSCTL = Artifact(
    "binaries/talosctl-linux-amd64",
    Kind.ELF,
    80_000_000,
    "9" * 64,
    ("linux/amd64",),
    (
        OnController(
            "on the controller", file=Packed("/site/binaries/talosctl-linux-amd64", "9" * 64, 80_000_000)
        ),
    ),
)


class Talos(Cluster):
    """A cluster whose hosts have what they boot, their configuration, and a controller with `talosctl`."""

    def __init__(
        self,
        *hosts: Host,
        arches: Mapping[str, Arch] | None = None,
        options: Mapping[str, Any] | None = None,
        facts: Mapping[str, Facts] | None = None,
        release: str | None = VERSION,
        chosen: Mapping[tuple[str, str], Artifact | None] | None = None,
    ) -> None:
        inventory = Inventory("inventory.yaml", ".", "lab", "talos", release, hosts, options=options or {})
        super().__init__(inventory, {h.name: (arches or {}).get(h.name, Arch.AMD64) for h in hosts})
        self._facts = dict(facts or {})
        self._chosen = dict(chosen or {})

    def context(self, limit: Sequence[str] = ()) -> Context:
        ctx = super().context(limit)
        assert isinstance(ctx.options, TalosOptions)
        facts = {n: self._facts.get(n) or linux(n, self.arches[n]) for n in ctx.facts}
        chosen: dict[tuple[str, str], Artifact | None] = {
            ("", "talosctl"): TALOSCTL,
            ("", "talosconfig"): TALOSCONFIG,
        }
        for host in ctx.inventory.hosts:
            arch = self.arches[host.name]
            if host.name in facts and not facts[host.name].assumed:
                by_disk = ctx.options.route_of(host) == "disk"
                chosen[host.name, "image" if by_disk else "boot"] = raw(arch) if by_disk else uki(arch)
            chosen[host.name, host.role] = config(host.role)
        chosen |= self._chosen
        kept = {key: artifact for key, artifact in chosen.items() if artifact is not None}
        return replace(ctx, facts=facts, chosen=kept, controller=facts_of("the controller", Arch.AMD64))

    def found(self) -> dict[str, Diagnostic]:
        """The driver's findings by code; the first of each."""
        made: dict[str, Diagnostic] = {}
        for diagnostic in self.driver.checks(self.context()):
            made.setdefault(diagnostic.code, diagnostic)
        return made

    def steps(self) -> dict[str, Step]:
        """Every step by its id."""
        return {step.id: step for wave in self.driver.waves(self.context()) for step in wave.steps}
