"""A transcript in, `Facts` out: pure, bounded, and never surprised by what a host said."""

from __future__ import annotations

import re
from types import MappingProxyType

from sealboot.model.diagnostic import Diagnostic
from sealboot.model.facts import INTERPRETERS, Facts
from sealboot.model.host import BecomeMethod
from sealboot.probe import binfmt, cpu, elfhead, machine, storage, system
from sealboot.probe.transcript import LIMIT, Transcript, read

_MACHINE = re.compile(r"[A-Za-z0-9_.+-]{1,64}")
_ID = re.compile(r"uid=(\d{1,10})(?:\(([^)]{0,64})\))?")
_MACHINE_ID = re.compile(r"[0-9a-f]{32}")
_BOOT_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MEMORY = re.compile(r"MemTotal:\s*(\d{1,15}) kB")
_TOOL = re.compile(r"[A-Za-z0-9_.+-]{1,64}")


def parse(
    transcript: bytes,
    *,
    host: str,
    nonce: str,
    sent: float,
    received: float,
    become: BecomeMethod = "sudo",
) -> Facts | Diagnostic:
    """Read what one host said about itself.

    `sent` and `received` are the controller's clock (seconds since the epoch)
    around the round trip; `become` says whether sudo's answer counts or doas'.
    SB310 when the transcript is none, or does not reach its end.
    """
    told = read(transcript, nonce)
    if told is None or not told.complete:
        return unreadable(host, transcript, told)
    files = system.files(told.text("files"))
    uname = told.text("uname", 1024).split()
    release, named = (uname[1], uname[2]) if len(uname) >= 3 else ("", "")
    named = named if _MACHINE.fullmatch(named) else named[:64]
    shell = elfhead.head(elfhead.from_hex(told.text("exe", 1024)))
    weighed = machine.weigh(
        machine.Evidence(
            uname=named,
            sysctl_arch=system.only(files, "/proc/sys/kernel/arch", limit=64),
            shell=shell,
            abi=frozenset(told.text("abi", 1024).split()),
            linux32=told.line("linux32", 64),
            config=frozenset(told.text("config", 4096).split("\n")),
            rules=binfmt.rules(files, told.text("interpreters")),
        )
    )
    hints = frozenset(told.text("hints", 1024).split())
    processor = cpu.parse(
        told.text("cpu", 8192),
        weighed.kernel_arch,
        named,
        system.only(files, "/sys/devices/system/cpu/online"),
    )
    os_id, os_version, os_name = system.os_release(files)
    uid, user = _who(told.text("id", 2048))
    right, words = system.become(told.text("doas" if become == "doas" else "sudo", 1024))
    offset, error = system.clock(told, sent, received)
    return Facts(
        host=host,
        kernel_machine=named,
        kernel_arch=weighed.kernel_arch,
        userland_arch=shell.arch if shell else None,
        userland_bits=shell.bits if shell else None,
        endian=shell.endian if shell else None,
        native=weighed.native,
        binfmt=weighed.handlers,
        page_size=_page(told, shell),
        kernel_release=release[:128],
        libc=system.libc(told),
        cpu=processor,
        hard_float=_hard_float(told, shell),
        os_id=os_id,
        os_version=os_version,
        os_name=os_name,
        init=system.init(files, hints),
        virtualization=system.virtualization(files, hints, processor.flags),
        boot_id=_matching(_BOOT_ID, system.only(files, "/proc/sys/kernel/random/boot_id")),
        machine_id=_matching(_MACHINE_ID, system.only(files, "/etc/machine-id", "/var/lib/dbus/machine-id")),
        hostname=system.only(files, "/proc/sys/kernel/hostname"),
        uid=uid,
        user=user,
        home=told.line("home", 1024),
        become=right,
        memory=_memory(files),
        spaces=storage.spaces(told),
        tools=frozenset(t for t in told.text("tools", 16384).split() if _TOOL.fullmatch(t)),
        clock_offset=offset,
        clock_error=error,
        personality_32=weighed.personality_32,
        interpreters=frozenset(told.text("scripts", 4096).split()) & INTERPRETERS,
        observed=MappingProxyType(
            {key[4:]: told.text(key, 4096) for key in told.records if key.startswith("ask.")}
        ),
        conflicts=weighed.conflicts,
        become_detail=words,
        own_name_unknown=system.own_name_unknown(told.text("sudo", 1024)),
        beneath=weighed.beneath,
    )


def unreadable(host: str, transcript: bytes, told: Transcript | None) -> Diagnostic:
    """SB310: what came back is no whole transcript."""
    quote = transcript[:200].decode("utf-8", "backslashreplace")
    if len(transcript) > LIMIT:
        why = f"more than {LIMIT // 1024} KiB"
    elif told is None:
        why = "no record of this run"
    else:
        why = f"{len(told.records)} records, then nothing more"
    return Diagnostic(
        "SB310",
        f"{host} did not finish telling about itself",
        host=host,
        evidence=(("came back", why), ("it begins", quote)) if told is None else (("came back", why),),
        hints=(
            "run `sealboot check --limit " + host + "` again; if it stays so, see `sealboot explain SB310`",
        ),
    )


def _page(told: Transcript, shell: elfhead.Head | None) -> int | None:
    if shell is not None:
        size = elfhead.page_size(elfhead.from_hex(told.text("auxv", 4096)), shell.bits, shell.endian)
        if size is not None:
            return size
    said = told.line("page", 16)
    return elfhead.plausible_page(int(said)) if said.isascii() and said.isdigit() else None


def _hard_float(told: Transcript, shell: elfhead.Head | None) -> bool | None:
    """The shell's own ELF flags, else the loader that exists; `None` where both kinds of loader do."""
    if shell is not None and shell.hard_float is not None:
        return shell.hard_float
    loaders = told.text("loaders")
    hard = "ld-linux-armhf.so" in loaders or "ld-musl-armhf.so" in loaders
    soft = "/ld-linux.so.3" in loaders or "ld-musl-arm.so" in loaders
    return hard if hard != soft else None


def _who(text: str) -> tuple[int | None, str]:
    match = _ID.match(text)
    return (int(match[1]), match[2] or "") if match else (None, "")


def _matching(pattern: re.Pattern[str], text: str) -> str:
    return text if pattern.fullmatch(text) else ""


def _memory(files: system.Files) -> int | None:
    lines = (_MEMORY.match(line) for line in files.get("/proc/meminfo", ()))
    return next((int(m[1]) * 1024 for m in lines if m), None)
