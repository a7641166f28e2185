"""Parsers of what Talos is made of: disk images, machine configurations, and what machines say before they leave."""

from __future__ import annotations

import struct

from disk_kit import DATA, ESP, fat, gpt, mbr
from fuzz_target import Target, memory_file, still, utf8

from sealboot.artifacts.disk_look import look
from sealboot.artifacts.diskimage import ImageError, pieces
from sealboot.artifacts.initrd_content import Content, unpack
from sealboot.artifacts.reader import Memory
from sealboot.artifacts.talos_files import read_machine_config, read_talosconfig
from sealboot.drivers.talos_facts import Machine
from sealboot.model.artifact import Other
from sealboot.model.facts import Facts
from sealboot.render.text import safe

#: Of one image that is inflated here.
_LIMIT = 8 << 20


def feed_disk(data: bytes) -> None:
    """What would boot from it, and all of it inflated; as an initrd as well, for both are streams."""
    found = look(Memory(data))
    assert found is None or found.table in {"gpt", "mbr"}
    with memory_file(data) as path:
        try:
            made = sum(len(piece) for piece in pieces(path, _LIMIT))
            assert made <= _LIMIT
        except ImageError as error:
            still(safe(str(error)))
    content = unpack(Memory(data))
    assert not isinstance(content, Content) or content.size >= 0


def disk_seeds() -> list[bytes]:
    """Both tables, with a loader of each machine in the smallest file system."""
    found = []
    for machine, name in ((0x8664, "BOOTX64.EFI"), (0xAA64, "BOOTAA64.EFI")):
        loader = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + b"PE\0\0"
        loader += struct.pack("<HHIIIHH", machine, 0, 0, 0, 0, 2, 0) + b"\x0b\x02"
        system = fat(12, {f"EFI/BOOT/{name}": loader}, count=6, roots=16)
        found.append(gpt([(ESP, "EFI", system), (DATA, "X", b"x")], code=b"\xeb", start=4))
    return [*found, mbr(0x83, bytes(512))[:1024]]


def feed_files(data: bytes) -> None:
    """Nothing but what is no secret comes out, and it is text."""
    for made in (read_machine_config(data), read_talosconfig(data)):
        assert made is None or isinstance(made, Other)
        assert made is None or all(isinstance(value, str) for value in made.facts.values())


def file_seeds() -> list[bytes]:
    """One of each kind, in both styles of YAML, with a second document."""
    machine = (
        b"version: v1alpha1\nmachine:\n  type: worker\n  install: {disk: /dev/sda, image: i, wipe: true}\n"
    )
    cluster = b"cluster: {clusterName: c, controlPlane: {endpoint: 'https://h'}}\n---\nkind: X\n"
    talos = b"context: a\ncontexts:\n  a: {endpoints: [b, c], key: &k x}\n  d: {key: *k}\n"
    return [machine + cluster, talos, b'"version": "v1alpha1"\n"machine": {"type": "controlplane"}\n']


def feed_machine(data: bytes) -> None:
    """Whatever a host answers, disks have sizes and addresses are texts."""
    keys = ("talos.kernel", "talos.disks", "talos.network", "talos.disk")
    parts = utf8(data).split("\n--\n")
    machine = Machine.of(
        Facts("h", "", None, None, None, None, observed=dict(zip(keys, parts, strict=False)))
    )
    assert all(disk.size >= 0 for disk in machine.disks)
    assert machine.available is None or machine.available >= 0
    assert machine.is_root("/dev/sda") in {True, False}
    assert all(machine.static)


def machine_seeds() -> list[bytes]:
    """A machine with disks, a lease and a disk by another name."""
    kernel = b"disabled=0\nloaded=0\nlockdown=[none] integrity\nuefi=yes\nkexec=x\navailable=3500000\n"
    disks = b"disk sda 1000 0\npart sda META\nused sda /\nswap sda\n"
    network = b"route default via 10.0.0.1 dev eth0\naddress eth0 10.0.0.2/24 static\naddress eth0 fd00::1/64 dynamic\n"
    return [b"\n--\n".join([kernel, disks, network, b"sda\n1\n"])]


TALOS = (
    Target("disk-image", feed_disk, disk_seeds),
    Target("talos-files", feed_files, file_seeds),
    Target("talos-machine", feed_machine, machine_seeds),
)
