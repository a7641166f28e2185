"""What is asked of a machine before Talos takes its place, and the answers as values.

Everything is read from the kernel's own files, by any user: a host that lacks
`lsblk`, `ip` or `kexec` still answers what it can. What it cannot tell is
`None` or empty, and never a default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sealboot.model.facts import Facts

#: Partitions that an installed Talos has, and nothing else has together.
TALOS_PARTITIONS: Final = frozenset({"META", "STATE"})

_KERNEL = """PATH=$PATH:/usr/sbin:/sbin
say() { v=$(cat "$2" 2>/dev/null) && echo "$1=$v"; }
say disabled /proc/sys/kernel/kexec_load_disabled
say loaded /sys/kernel/kexec_loaded
say lockdown /sys/kernel/security/lockdown
[ ! -d /sys/firmware/efi ] || echo uefi=yes
[ ! -d /sys/firmware ] || [ -d /sys/firmware/efi ] || echo uefi=no
for f in /sys/firmware/efi/efivars/SecureBoot-*; do
  [ -r "$f" ] && echo "secureboot=$(od -An -tu1 -j4 -N1 "$f" | tr -d ' ')"
done
if command -v kexec >/dev/null; then echo "kexec=$(kexec --version 2>/dev/null | head -n 1)"; else echo kexec=; fi
command -v efibootmgr >/dev/null && echo efibootmgr=yes
while read -r k v _; do [ "$k" = MemAvailable: ] && echo "available=$v"; done </proc/meminfo
exit 0
"""

#: `disk NAME SECTORS READONLY`, `part DISK NAME`, `used DISK PLACE` (one for each disk), `swap DISK`. A file system on LVM, RAID
#: or encryption is on every disk below it.
_DISKS = r"""below() {
  p=$(cd -P "$1" 2>/dev/null && pwd -P) || return 0
  found=
  for s in "$p"/slaves/*; do [ -e "$s" ] && { found=1; below "$s"; }; done
  [ -z "$found" ] || return 0
  [ ! -e "$p/partition" ] || p=${p%/*}
  printf '%s\n' "${p##*/}"
}
for d in /sys/block/*; do
  n=${d##*/}
  case $n in loop*|ram*|zram*|fd*|sr*|dm-*|md*) continue ;; esac
  [ -e "$d/device" ] || [ -e "$d/mq" ] || continue
  echo "disk $n $(cat "$d/size") $(cat "$d/ro")"
  for u in "$d"/*/uevent; do
    while IFS='=' read -r k v; do [ "$k" = PARTNAME ] && echo "part $n $v"; done <"$u"
  done
done
while read -r _ _ majmin _ place rest; do
  source=${rest#* - }; source=${source#* }; source=${source%% *}
  case $majmin in 0:*) case $source in /dev/*) ;; *) continue ;; esac
    source=$(readlink -f "$source") && at=/sys/class/block/${source##*/} ;;
  *) at=/sys/dev/block/$majmin ;; esac
  for n in $(below "$at"); do echo "used $n $place"; done
done </proc/self/mountinfo | sort -u -k 2,2
while read -r source kind _; do
  [ "$kind" = partition ] || continue
  source=$(readlink -f "$source") && for n in $(below "/sys/class/block/${source##*/}"); do echo "swap $n"; done
done </proc/swaps
exit 0
"""

#: Where the default route leaves, and which addresses have a lease. Without `ip` nobody can say.
_NETWORK = """command -v ip >/dev/null || { echo unknown; exit 0; }
for v in -4 -6; do ip $v route show default 2>/dev/null | while read -r line; do echo "route $line"; done; done
ip -o addr show scope global 2>/dev/null | while read -r _ link kind address rest; do
  case " $rest " in *' dynamic '*) lease=dynamic ;; *) lease=static ;; esac
  echo "address $link $address $lease"
done
exit 0
"""

#: Where several names lead to one disk (by-id, by-path), the kernel's own is what counts.
_NAMED = """d=$(readlink -f "$DISK") && [ -b "$d" ] && { echo "${d##*/}"; cat "/sys/class/block/${d##*/}/partition" 2>/dev/null; }
exit 0
"""

_SECTOR: Final = 512


def questions(device: str | None) -> Mapping[str, str]:
    """The questions, by the name of their answer; `device` is the disk that is to be overwritten, if one is."""
    asked = {"talos.kernel": _KERNEL, "talos.disks": _DISKS, "talos.network": _NETWORK}
    return {**asked, "talos.disk": f"DISK={device}\n{_NAMED}"} if device else asked


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk of the host: its kernel name, its size in bytes, the names of its partitions, what is mounted from it."""

    name: str
    size: int
    read_only: bool = False
    partitions: frozenset[str] = frozenset()
    mounted: tuple[str, ...] = ()
    swap: bool = False


@dataclass(frozen=True, slots=True)
class Address:
    """An address of an interface; `leased` when it was given for a time (DHCP, router advertisements)."""

    link: str
    address: str
    leased: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine as Talos' predecessor sees it. `None`: it could not tell."""

    kernel: Mapping[str, str]
    disks: tuple[Disk, ...]
    addresses: tuple[Address, ...]
    default_links: frozenset[str]
    named: str = ""  # the kernel's name of the disk that is to be overwritten
    named_partition: bool = False

    @classmethod
    def of(cls, facts: Facts) -> Machine:
        """Read the answers; a line that is not understood is passed over."""
        kernel = dict(
            line.partition("=")[::2] for line in _lines(facts, "talos.kernel") if line.partition("=")[1]
        )
        named = _lines(facts, "talos.disk")
        network = [line.split() for line in _lines(facts, "talos.network")]
        return cls(
            kernel,
            tuple(_disks(_lines(facts, "talos.disks"))),
            tuple(
                Address(w[1], w[2], w[3] == "dynamic") for w in network if len(w) == 4 and w[0] == "address"
            ),
            frozenset(w[w.index("dev") + 1] for w in network if w[0] == "route" and "dev" in w[:-1]),
            named[0] if named else "",
            len(named) > 1,
        )

    @property
    def uefi(self) -> bool | None:
        """Whether the machine was booted by UEFI."""
        return {"yes": True, "no": False}.get(self.kernel.get("uefi", ""))

    @property
    def available(self) -> int | None:
        """Memory that can be had without swapping, in bytes."""
        told = self.kernel.get("available", "")
        return int(told) << 10 if told.isascii() and told.isdigit() else None

    def disk(self, device: str) -> Disk | None:
        """The disk behind a device's name; `None` where there is none, or it is a partition."""
        name = self.named or device.rpartition("/")[2]
        return next((disk for disk in self.disks if disk.name == name), None)

    def is_root(self, device: str) -> bool:
        """Whether anything of the running system is on that disk."""
        disk = self.disk(device)
        return disk is not None and bool(disk.mounted or disk.swap)

    @property
    def static(self) -> tuple[str, ...]:
        """The addresses without a lease on the links of the default route, where none there has one."""
        at = [a for a in self.addresses if a.link in self.default_links]
        v4 = [a for a in at if "." in a.address]
        counted = v4 or at
        return () if any(a.leased for a in counted) else tuple(a.address for a in counted)


def _lines(facts: Facts, key: str) -> list[str]:
    return [line.strip() for line in facts.observed.get(key, "").splitlines() if line.strip()]


def _disks(lines: list[str]) -> list[Disk]:
    rows = [line.split(" ", 2) for line in lines]
    found: list[Disk] = []
    for line in lines:
        match = re.fullmatch(r"disk (\S+) (\d{1,18}) ([01])", line, re.ASCII)
        if match is None:
            continue
        name = match[1]
        found.append(
            Disk(
                name,
                int(match[2]) * _SECTOR,
                match[3] == "1",
                frozenset(row[2] for row in rows if row[:2] == ["part", name] and len(row) == 3),
                tuple(row[2] for row in rows if row[:2] == ["used", name] and len(row) == 3),
                any(row[:2] == ["swap", name] for row in rows),
            )
        )
    return found
