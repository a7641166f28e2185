"""Whether a machine may and can start another kernel from the running one."""

from __future__ import annotations

from collections.abc import Iterator

from sealboot.drivers import talos_image as image
from sealboot.drivers import talos_kexec as kexec
from sealboot.drivers.base import Context
from sealboot.drivers.talos_facts import TALOS_PARTITIONS, Machine
from sealboot.drivers.talos_options import CONTROLPLANE, TalosOptions, words_of
from sealboot.model.arch import Arch
from sealboot.model.bootfiles import boot_files_of
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.facts import Facts
from sealboot.model.host import Host

#: What Talos asks for at least, by role ("System Requirements" of its documentation).
_MINIMUM = {CONTROLPLANE: 2 << 30}
_MINIMUM_WORKER = 1 << 30
#: Firmware and kernel keep part of what is built in: a machine of 2 GiB reports less.
_KEPT = 0.87
#: What the kernel itself takes while it unpacks, beside kernel and initrd.
_MARGIN = 192 << 20
#: COMMAND_LINE_SIZE of x86 and arm64, without the zero at the end.
_LINE = 2047


def kexec_findings(
    ctx: Context, options: TalosOptions, host: Host, facts: Facts, machine: Machine
) -> Iterator[Diagnostic]:
    """SB691 to SB696, SB703, SB704 and SB710 of one machine that is to take this way."""
    yield from _forbidden(host, machine)
    yield from _unable(host, facts, machine)
    yield from _installed(host, machine)
    chosen = ctx.chosen.get((host.name, kexec.BOOT))
    if chosen is None:
        return
    yield from image.boots(ctx, options, host, chosen)
    yield from _memory(ctx, host, facts, machine)
    line = options.cmdline_of(host, kexec.own_cmdline(chosen), facts.kernel_arch)
    if words_of(line) is None or len(line) > _LINE:
        what = f"has {len(line)} characters; {_LINE} are read" if words_of(line) is not None else "is no text"
        yield Diagnostic(
            "SB710",
            f"the kernel's command line for {host.name} {what}",
            host=host.name,
            artifact=chosen.path,
            at=host.origin("vars.kernel_args"),
        )


def _forbidden(host: Host, machine: Machine) -> Iterator[Diagnostic]:
    """What the running kernel was told never to do."""
    told = machine.kernel
    if told.get("disabled") == "1":
        yield Diagnostic(
            "SB691",
            f"the kernel of {host.name} loads no other kernel: kexec_load_disabled is set until the next boot",
            host=host.name,
            at=host.origin(),
            hints=(
                "take `kernel.kexec_load_disabled=1` out of /etc/sysctl.conf and /etc/sysctl.d, and reboot",
            ),
        )
    lockdown = told.get("lockdown", "")
    mode = lockdown.partition("[")[2].partition("]")[0]
    if mode not in {"", "none"}:
        yield Diagnostic(
            "SB692",
            f"the kernel of {host.name} is locked down ({mode}): it starts kernels that it trusts alone",
            host=host.name,
            at=host.origin(),
            evidence=(("lockdown", lockdown),),
            hints=("switch Secure Boot off in the firmware, or take `lockdown=` out of its command line",),
        )
    if told.get("secureboot") == "1":
        yield Diagnostic(
            "SB693",
            f"Secure Boot is on at {host.name}: a kernel signed by others is not started",
            host=host.name,
            at=host.origin(),
            hints=("switch it off in the firmware; enrol Talos' own keys later, with a -secureboot image",),
        )


def _unable(host: Host, facts: Facts, machine: Machine) -> Iterator[Diagnostic]:
    """What the running system has not, and what its processor is in the middle of."""
    told = machine.kernel
    missing = "the program kexec (kexec-tools)" if told.get("kexec") == "" and "kexec" in told else ""
    if told and "loaded" not in told:
        missing = "a kernel with kexec (CONFIG_KEXEC)"
    if missing:
        yield Diagnostic(
            "SB696",
            f"{host.name} lacks {missing}",
            host=host.name,
            at=host.origin(),
            hints=(
                "install kexec-tools"
                if "kexec-tools" in missing
                else "take the other way: `vars: {route: disk}`",
            ),
        )
    if facts.kernel_arch is Arch.AMD64 and "la57" in facts.cpu.flags:
        yield Diagnostic(
            "SB695",
            f"{host.name} runs with five-level page tables, and Talos' kernel starts with four: it would reset",
            host=host.name,
            at=host.origin(),
            hints=("boot it once with `no5lvl` on the kernel's command line", "or `vars: {route: disk}`"),
        )


def _installed(host: Host, machine: Machine) -> Iterator[Diagnostic]:
    """SB703: Talos finds an older self on a disk and goes on as that one."""
    for found in machine.disks:
        if found.partitions >= TALOS_PARTITIONS:
            yield Diagnostic(
                "SB703",
                f"Talos was installed on /dev/{found.name} of {host.name} before, and would go on as it was",
                host=host.name,
                at=host.origin(),
                evidence=(("partitions", ", ".join(sorted(found.partitions))),),
                hints=(
                    f"wipe it if nothing there is needed: `wipefs -a /dev/{found.name}` on the host",
                    "or add `talos.experimental.wipe=system` to its kernel_args",
                ),
            )


def _memory(ctx: Context, host: Host, facts: Facts, machine: Machine) -> Iterator[Diagnostic]:
    """SB694: both systems are in memory for a moment, then the initrd and what it unpacks to."""
    files = (kexec.kernel_of(ctx, host), kexec.initrd_of(ctx, host))
    size = sum(file.size for file in files if file is not None)
    chosen = ctx.artifact(host, kexec.BOOT)
    kernel, made = chosen.kernel, boot_files_of(chosen)
    running = (kernel.memory or 0) if kernel is not None else 0
    unpacked = (made.unpacked or 0) if made is not None else 0
    after = size + running + unpacked + _MARGIN
    short: tuple[str, int, int] | None = None
    if facts.memory is not None and facts.memory < after:
        short = ("to unpack it", after, facts.memory)
    elif machine.available is not None and machine.available < size + running:
        short = ("to load it beside the running system", size + running, machine.available)
    if short is not None:
        why, needed, there = short
        yield Diagnostic(
            "SB694",
            f"{host.name} has too little memory {why}",
            host=host.name,
            artifact=chosen.path,
            at=host.origin(),
            evidence=(("needed", f"{needed >> 20} MiB"), ("there", f"{there >> 20} MiB")),
            hints=("stop what runs there, or take the other way: `vars: {route: disk}`",),
        )
        return
    wanted = _MINIMUM.get(host.role, _MINIMUM_WORKER)
    if facts.memory is not None and facts.memory < wanted * _KEPT:
        yield Diagnostic(
            "SB694",
            f"{host.name} has less memory than Talos asks for as a {host.role}",
            Severity.WARNING,
            host=host.name,
            at=host.origin(),
            evidence=(("needed", f"{wanted >> 20} MiB"), ("there", f"{facts.memory >> 20} MiB")),
        )
