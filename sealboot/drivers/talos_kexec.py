"""Into Talos without a reboot: kernel and initrd shipped, loaded, proven to be loaded, then started.

The running system loads the new kernel itself. So everything that it may refuse is asked
before anything is shipped, and what it says all the same is put into words.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Final

from sealboot.drivers.base import Context
from sealboot.drivers.talos_options import API_PORT, TalosOptions
from sealboot.model.artifact import Artifact, Uki
from sealboot.model.bootfiles import boot_files_of
from sealboot.model.host import Host
from sealboot.model.steps import FileIs, Handover, Run, Step, Upload
from sealboot.model.tree import Packed

BOOT: Final = "boot"
INITRD: Final = "initramfs"

#: What kexec says, and what it means. Texts of errno(3) in the C locale, of both system calls; the first that
#: is found counts: that one of the two does not exist says nothing where the other gave a reason.
#: A kernel for another machine is ENOEXEC on x86 and EINVAL on arm64.
FAILURES: Final[tuple[tuple[tuple[str, ...], str], ...]] = (
    (
        ("Key was rejected", "Required key not available"),
        "the running kernel takes signed kernels alone, and this one is not signed with a key that it trusts",
    ),
    (
        ("Operation not permitted", "Permission denied"),
        "the running kernel forbids it: kexec_load_disabled, lockdown, or root without CAP_SYS_BOOT",
    ),
    (("Device or resource busy",), "another kexec is at work on this host: wait for it, or reboot the host"),
    (
        ("Cannot allocate memory", "Could not find a free area", "locate_hole failed", "Out of memory"),
        "there is not enough memory in one piece for kernel and initrd",
    ),
    (
        ("Exec format error", "Invalid argument", "Cannot determine the file type", "is not a"),
        "the kernel is of a format or for a machine that this kexec does not take",
    ),
    (("Operation not supported", "Not supported"), "the running kernel cannot load a kernel of this format"),
    (
        ("Function not implemented", "not available", "Function not supported"),
        "the running kernel was built without kexec",
    ),
)

_TRY = """set -u
LC_ALL=C PATH=$PATH:/usr/sbin:/sbin; export LC_ALL PATH
sb_load() { kexec "$@" -l "$KERNEL" --initrd="$INITRD" --command-line="$CMDLINE" 2>&1; }
sb_first=$(sb_load -s) && sb_said=$sb_first || sb_said=$(sb_load) || {
  case "$sb_said $sb_first" in
"""
_TOLD = """    *) sb_why="kexec failed" ;;
  esac
  printf '%s\\n' "$sb_why" "kexec -s: $sb_first" "kexec: $sb_said" | head -n 6 >&2
  exit 65
}
[ "$(cat /sys/kernel/kexec_loaded)" = 1 ] || { echo 'kexec ended well, and no kernel is loaded' >&2; exit 65; }
"""

#: `kexec -e` stops nothing and asks nobody: what is not on the disk by then is lost.
START: Final = """PATH=$PATH:/usr/sbin:/sbin
[ "$(cat /sys/kernel/kexec_loaded)" = 1 ] || { echo 'the kernel that was loaded is gone' >&2; exit 65; }
sync
exec kexec -e
"""


def load_script() -> str:
    """Load the kernel: by the system call that takes files (it alone passes a lockdown), else by the old one."""
    cases = "".join(
        f"    {'|'.join(f'*{shlex.quote(said)}*' for said in texts)}) sb_why={shlex.quote(why)} ;;\n"
        for texts, why in FAILURES
    )
    return _TRY + cases + _TOLD


def initrd_of(ctx: Context, host: Host) -> Packed | None:
    """The initrd beside or in what this host boots, where it is on the controller."""
    inside = boot_files_of(ctx.artifact(host, BOOT))
    if inside is not None and inside.initrd is not None:
        return inside.initrd
    beside = ctx.chosen.get((host.name, INITRD))
    return Packed(beside.path, beside.sha256, beside.size) if beside is not None else None


def kernel_of(ctx: Context, host: Host) -> Packed | None:
    """The kernel that this host loads, where it is on the controller."""
    inside = boot_files_of(ctx.artifact(host, BOOT))
    return inside.kernel if inside is not None else None


def own_cmdline(artifact: Artifact) -> str:
    """The command line that a UKI has in it."""
    return next((layer.cmdline for layer in artifact.layers if isinstance(layer, Uki)), "")


def ship(ctx: Context, options: TalosOptions, host: Host) -> Iterator[Step]:
    """Kernel and initrd, each whole and verified on the host before the next step."""
    for label, file in (("kernel", kernel_of(ctx, host)), (INITRD, initrd_of(ctx, host))):
        if file is None:
            continue
        dest = f"{options.data(host)}/{label}"
        yield Upload(
            id=f"ship/{host.name}/{label}",
            host=host.name,
            title=f"upload the {label} to {dest}",
            timeout=3600.0,
            check=FileIs(dest, file.sha256, 0o600),
            source=file.path,
            sha256=file.sha256,
            size=file.size,
            dest=dest,
            mode=0o600,
            keep_previous=False,
        )


def load(ctx: Context, options: TalosOptions, host: Host) -> Iterator[Step]:
    """Load it: nothing has been lost yet, and a host that refuses keeps running as it is."""
    folder = options.data(host)
    arch = ctx.facts[host.name].kernel_arch
    yield Run(
        id=f"load/{host.name}/kexec",
        host=host.name,
        title="load the kernel of Talos",
        timeout=300.0,
        script=load_script(),
        env={
            "KERNEL": f"{folder}/kernel",
            "INITRD": f"{folder}/{INITRD}",
            "CMDLINE": options.cmdline_of(host, own_cmdline(ctx.artifact(host, BOOT)), arch),
        },
    )


def leave(options: TalosOptions, host: Host) -> Iterator[Step]:
    """Start the loaded kernel: SSH ends here, and the answer comes from Talos."""
    yield Handover(
        id=f"handover/{host.name}/kexec",
        host=host.name,
        title=f"leave this system for Talos, and wait for its answer on port {API_PORT}",
        timeout=float(options.handover_timeout),
        script=START,
        port=API_PORT,
        alpn=("h2",),
    )
