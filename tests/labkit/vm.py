"""Virtual machines under QEMU's own emulation (TCG): a Debian kernel, an initial RAM file system, dropbear.

They exist so that the cheap namespace nodes are proven like real machines:
their kernel is a true one of its architecture. They sit on the lab's bridge
through a tap, beside the nodes. KVM is not needed and not used.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from labkit import bootdisk, keys
from labkit.apt import LabUnavailableError, repository
from labkit.bridge import GATEWAY, Bridge
from labkit.cache import CACHE, key, made
from labkit.cpio import Archive
from labkit.debs import extract
from labkit.kmodules import Modules
from labkit.machines import Kind, Order
from labkit.roots import root


@dataclass(frozen=True, slots=True)
class Board:
    """How QEMU makes a machine of one architecture, and which Debian kernel runs on it.

    `memory` in MiB. `cpu` is chosen for speed under TCG: `cortex-a57` boots in
    3 s where `max` takes 25. arm64 needs `gic-version=2` to survive a kexec.
    """

    program: str
    package: str  # Debian's package of `program`
    machine: str
    cpu: str
    console: str
    kernel: str
    memory: int = 256
    nic: str = "virtio-net-pci,romfile="
    suite: str = ""  # the Debian release of the kernel, where it is not the architecture's usual one
    dtb: str = (
        ""  # a device tree among the kernel package's, for machines that describe themselves by nothing else
    )
    words: str = ""  # more of the kernel's command line
    modules: tuple[str, ...] = ()  # beyond the usual ones
    mac: str = "52:54:00:4c:42"
    empty_disk: int = 0  # MiB of a first disk; with it the machine is booted by UEFI from its second


BOARDS = {
    "arm64": Board(
        "qemu-system-aarch64",
        "qemu-system-arm",
        "virt,gic-version=2",
        "cortex-a57",
        "ttyAMA0",
        "linux-image-cloud-arm64",
        memory=192,
    ),
    "amd64": Board("qemu-system-x86_64", "qemu-system-x86", "q35", "max", "ttyS0", "linux-image-cloud-amd64"),
    "armhf": Board(
        "qemu-system-arm", "qemu-system-arm", "virt", "cortex-a15", "ttyAMA0", "linux-image-armmp-lpae"
    ),
    "riscv64": Board(
        "qemu-system-riscv64", "qemu-system-misc", "virt", "rv64", "ttyS0", "linux-image-riscv64"
    ),
    "ppc64el": Board(
        "qemu-system-ppc64",
        "qemu-system-ppc",
        "pseries,cap-htm=off",
        "power9",
        "hvc0",
        "linux-image-powerpc64le",
        memory=512,  # a multiple of 256
    ),
    "s390x": Board(
        "qemu-system-s390x",
        "qemu-system-misc",
        "s390-ccw-virtio",
        "max",
        "ttysclp0",
        "linux-image-s390x",
        nic="virtio-net-ccw",
    ),
}
BOARDS |= {
    # ARMv6: a Raspberry Pi Zero, whose network is on USB. Linux calls such a card eth0 only where its address is
    # not a local one. Two drivers are left out that crash where QEMU has no power controller.
    "armel-v6": Board(
        "qemu-system-arm",
        "qemu-system-arm",
        "raspi0",
        "arm1176",
        "ttyAMA0",
        "linux-image-rpi",
        memory=512,
        nic="usb-net",
        dtb="bcm2835-rpi-zero.dtb",
        words="initcall_blacklist=bcm2835_pm_driver_init,bcm2835_power_driver_init",
        modules=("cdc_ether", "bcm2835_rng"),
        mac="40:54:00:4c:42",
    ),
    # x86-64-v1: what the first 64-bit processors had.
    "amd64-old-cpu": replace(BOARDS["amd64"], cpu="qemu64"),
    "amd64-v2-cpu": replace(BOARDS["amd64"], cpu="Westmere"),
    "amd64-kexec": replace(BOARDS["amd64"], cpu="max,la57=off", memory=640),
    "arm64-kexec": replace(BOARDS["arm64"], memory=640),
    "amd64-uefi": replace(BOARDS["amd64"], cpu="max,la57=off", memory=1024, empty_disk=128),
    # A processor that has pages of 16 KiB, which a cortex-a57 has not; Debian 12 has no such kernel.
    "arm64-16k": replace(
        BOARDS["arm64"], cpu="neoverse-n1", kernel="linux-image-arm64-16k", suite="trixie", memory=384
    ),
}

#: Raise when the archive below changes for the same inputs.
_RECIPE = 2
_MODULES = ("virtio_pci", "virtio_mmio", "virtio_ccw", "virtio_net", "virtio_blk", "virtio_rng")

_INIT = """#!/bin/busybox sh
# PID 1 until the machine is furnished; then busybox init.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
busybox mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in $(cat /kmod/order); do insmod /kmod/$module; done
rm -rf /kmod
# A root that df and mount can name: the initial one is no file system of its own to them.
mkdir /new
mount -t tmpfs -o mode=755,size=75% root /new
for top in *; do
  case $top in new | proc | sys | dev | init) ;; *) cp -a "/$top" /new/ ;; esac
done
mkdir -p /new/proc /new/sys /new/dev
mount --move /proc /new/proc
mount --move /sys /new/sys
mount --move /dev /new/dev
exec switch_root /new /etc/furnish
"""

_FURNISH = """#!/bin/busybox sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p /dev/pts /dev/shm
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=755 tmpfs /run
for word in $(cat /proc/cmdline); do
  case $word in lab.*=*) name=${word%%=*}; export "lab_${name#lab.}=${word#*=}";; esac
done
hostname "$lab_host"
echo "$lab_host" > /etc/hostname
until [ -e /sys/class/net/eth0 ]; do usleep 20000; done
ip link set lo up
ip addr add "$lab_ip/24" dev eth0
ip link set eth0 up
ip route add default via "$lab_gw"
exec /sbin/init
"""

_INITTAB = """::respawn:/usr/sbin/dropbear -F -E -s -r /etc/hostkey -p 22
::ctrlaltdel:/sbin/reboot
"""


@dataclass(slots=True)
class Running:
    """An emulator that runs."""

    process: subprocess.Popen[bytes]
    link: str

    @property
    def pid(self) -> int:
        """The emulator's process."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def stop(self) -> None:
        """Cut the power."""
        self.process.kill()
        self.process.wait()


def prepare(kind: Kind) -> tuple[Path, Path]:
    """The kernel and the common part of the initial RAM file system, made if not in the cache."""
    package = _kernel_package(_board(kind))
    (kernel,) = package.glob("boot/vmlinu*")
    tree = root(kind.recipe, kind.debian, kind.suite)
    wanted = (*_MODULES, *BOARDS[_board(kind)].modules)
    digest = key(_RECIPE, package.name, tree.name, _INIT, _FURNISH, _INITTAB, wanted)

    def make(part: Path) -> None:
        part.write_bytes(_initramfs(package, tree, wanted))

    return kernel, made(CACHE / "initramfs" / f"{kind.debian}-{digest}.cpio", make)


def _board(kind: Kind) -> str:
    return kind.board or kind.kernel_debian


def kernel_of(debian: str) -> Path:
    """The kernel that machines of Debian's architecture `debian` boot."""
    (kernel,) = _kernel_package(debian).glob("boot/vmlinu*")
    return kernel


def _kernel_package(board: str) -> Path:
    link = CACHE / "debs" / f"kernel-{board}"
    # A board's name begins with that of its architecture.
    arch, about = board.partition("-")[0], BOARDS[board]

    def make(part: Path) -> None:
        names = repository(CACHE, arch, about.suite).depends(about.kernel)
        name = next(name for name in names if name.startswith("linux-image-"))
        part.symlink_to(extract(name, arch, about.suite).name)

    return made(link, make).resolve()


def _initramfs(package: Path, tree: Path, wanted: tuple[str, ...]) -> bytes:
    archive = Archive()
    archive.add_file("init", _INIT.encode(), 0o755)
    archive.add_file("etc/furnish", _FURNISH.encode(), 0o755)
    archive.add_file("etc/inittab", _INITTAB.encode())
    modules = Modules(package).ordered(wanted)
    for name, content in modules.items():
        archive.add_file(f"kmod/{name}.ko", content)
    archive.add_file("kmod/order", "".join(f"{name}.ko\n" for name in modules).encode())
    archive.add_tree(tree)
    archive.add("dev/console", 0o020600, device=(5, 1))
    archive.add("dev/null", 0o020666, device=(1, 3))
    return archive.bytes()


def _personal(authorized: str, host_key: keys.KeyPair) -> bytes:
    """What only this machine has, as a second archive behind the common one."""
    archive = Archive()
    archive.add("root", 0o040700)
    archive.add("home/ops", 0o040755, owner=1000)
    for home, owner in (("root", 0), ("home/ops", 1000)):
        archive.add(f"{home}/.ssh", 0o040700, owner=owner)
        archive.add_file(f"{home}/.ssh/authorized_keys", authorized.encode(), 0o600, owner=owner)
    archive.add_file("etc/hostkey", host_key.dropbear, 0o600)
    return archive.bytes()


def start(bridge: Bridge, order: Order) -> Running:
    """Switch a machine on; it answers SSH some seconds later."""
    board = BOARDS[_board(order.about)]
    if not shutil.which(board.program):
        raise LabUnavailableError(f"{board.program} is missing: apt-get install {board.package}")
    kernel, common = prepare(order.about)
    initramfs = order.state / "initramfs"
    initramfs.write_bytes(common.read_bytes() + _personal(order.authorized, order.host_key))
    tap = f"t{order.number}"
    bridge.ip(f"tuntap add {tap} mode tap", f"link set {tap} master br0 up")
    words = {"ip": order.address, "gw": GATEWAY, "host": order.name}
    command_line = " ".join(
        (f"console={board.console} panic=-1 quiet", board.words, *(f"lab.{k}={v}" for k, v in words.items()))
    )
    argv = [
        # The emulator must not outlive the test run, however that ends.
        *(
            "setpriv",
            "--pdeathsig",
            "KILL",
            board.program,
            "-M",
            board.machine,
            "-cpu",
            board.cpu,
            "-accel",
            "tcg,thread=multi",
        ),
        *("-m", str(board.memory), "-nodefaults", "-display", "none"),
        *("-netdev", f"tap,id=n,ifname={tap},script=no,downscript=no"),
        *("-device", f"{board.nic},netdev=n,mac={board.mac}:{order.number:02x}"),
        *_boot(order, kernel, initramfs, command_line),
        *_console(order.about.kernel_debian, order.state / "log"),
        *_device_tree(order.about),
    ]
    with bridge.entered(), (order.state / "emulator.log").open("wb") as output:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    return Running(process, tap)


def _boot(order: Order, kernel: Path, initramfs: Path, command_line: str) -> tuple[str, ...]:
    """The kernel handed over by the emulator, or on a disk behind an empty one."""
    size = BOARDS[_board(order.about)].empty_disk
    if not size:
        return ("-kernel", str(kernel), "-initrd", str(initramfs), "-append", command_line)
    debian = order.about.kernel_debian
    first, second = order.state / "first.disk", order.state / "second.disk"
    with first.open("wb") as empty:
        empty.truncate(size << 20)
    image = bootdisk.uki(debian, kernel.read_bytes(), initramfs.read_bytes(), command_line)
    second.write_bytes(bootdisk.disk(image, debian, order.state))
    drives = (
        word
        for number, path in enumerate((first, second), 1)
        for word in (
            *("-drive", f"if=none,id=d{number},format=raw,file={path}"),
            *("-device", f"virtio-blk-pci,drive=d{number},bootindex={number}"),
        )
    )
    return ("-bios", str(bootdisk.firmware()), *drives)


def _console(debian: str, log: Path) -> tuple[str, ...]:
    if debian == "s390x":
        return ("-chardev", f"file,id=c,path={log}", "-device", "sclpconsole,chardev=c")
    return ("-serial", f"file:{log}")


def _device_tree(kind: Kind) -> tuple[str, ...]:
    name = BOARDS[_board(kind)].dtb
    if not name:
        return ()
    (path,) = _kernel_package(_board(kind)).glob(f"usr/lib/linux-image-*/{name}")
    return ("-dtb", str(path))
