"""What a machine of another architecture shows in /proc, so that an emulated node shows the same.

qemu-user answers uname but passes most of /proc through from the real kernel;
the binfmt_misc rules, which no real board has, would show as well.
The texts are what the virtual machines of the slow tier print, except that the
features of arm64 are those that the emulator has, by the AT_HWCAP it gives to programs.
"""

from __future__ import annotations

_CPUINFO = {
    "arm64": """\
processor\t: 0
BogoMIPS\t: 125.00
Features\t: fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3 \
sm3 sm4 asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm sb paca pacg
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: 0xd07
CPU revision\t: 0

""",
    "armhf": """\
processor\t: 0
model name\t: ARMv7 Processor rev 0 (v7l)
BogoMIPS\t: 125.00
Features\t: half thumb fastmult vfp edsp thumbee neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm
CPU implementer\t: 0x41
CPU architecture: 7
CPU variant\t: 0x4
CPU part\t: 0xc0f
CPU revision\t: 0

Hardware\t: Generic DT based system
Revision\t: 0000
Serial\t\t: 0000000000000000
""",
    "riscv64": """\
processor\t: 0
hart\t\t: 0
isa\t\t: rv64imafdch_zicntr_zicsr_zifencei_zihintpause_zihpm_zca_zcd_zba_zbb_zbc_zbs_sstc
mmu\t\t: sv57
mvendorid\t: 0x0
marchid\t\t: 0x70216
mimpid\t\t: 0x70216

""",
    "ppc64el": """\
processor\t: 0
cpu\t\t: POWER9 (architected), altivec supported
clock\t\t: 1000.000000MHz
revision\t: 2.0 (pvr 004e 1200)

timebase\t: 512000000
platform\t: pSeries
model\t\t: IBM pSeries (emulated by qemu)
machine\t\t: CHRP IBM pSeries (emulated by qemu)
MMU\t\t: Radix
""",
    "s390x": """\
vendor_id       : IBM/S390
# processors    : 1
bogomips per cpu: 13370.00
max thread id   : 0
features\t: esan3 zarch stfle msa ldisp eimm etf3eh highgprs vx vxe vxe2
processor 0: version = 00,  identification = 000000,  machine = 8561

cpu number      : 0
version         : 00
identification  : 000000
machine         : 8561

""",
}
#: Sysctls that only one architecture's kernel has.
_ABI = {"arm64": ("cp15_barrier", "setend", "swp", "tagged_addr_disabled")}


def masks(debian: str, uname: str) -> dict[str, str]:
    """Path (relative to the root) to text, for a node of Debian's architecture `debian`.

    A path that ends in `/` becomes an empty folder; later paths may lie in it.
    """
    shown = {
        # The rules stay in force; a machine that needs none shows an empty folder.
        "proc/sys/fs/binfmt_misc/": "",
        "proc/sys/kernel/arch": f"{uname}\n",
        "proc/sys/abi/": "",
    }
    shown |= {f"proc/sys/abi/{name}": "0\n" for name in _ABI.get(debian, ())}
    if debian in _CPUINFO:
        shown["proc/cpuinfo"] = _CPUINFO[debian]
    return shown
