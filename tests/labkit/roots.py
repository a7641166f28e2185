"""Root file systems of the nodes: Debian packages unpacked, with the few files their scripts would have made.

No maintainer script runs and no emulator is needed, so a root of any
architecture takes seconds. Two recipes:

`minimal`
    busybox and dropbear: what an appliance offers. No bash, no SFTP server, no
    /etc/os-release.
`debian`
    the essential packages with OpenSSH and systemd: a full small server. It
    serves both the nodes whose PID 1 is sshd and those that boot systemd.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from labkit import musl
from labkit.apt import LabUnavailableError, repository
from labkit.cache import CACHE, key, made
from labkit.debs import unpack

#: Raise when a recipe below changes what it makes of the same packages.
_RECIPE = 5

MINIMAL = ("busybox-static", "dropbear-bin")
DEBIAN = (
    *("base-files", "base-passwd", "bash", "coreutils", "dash", "debianutils", "diffutils", "findutils"),
    *("grep", "gzip", "hostname", "libc-bin", "login", "mawk", "mount", "ncurses-base", "passwd", "procps"),
    *("sed", "tar", "util-linux", "zstd", "iproute2", "sudo", "libpam-modules", "libpam-runtime"),
    *("openssh-server", "openssh-sftp-server", "systemd"),
)

#: A server whose init is not systemd, as Alpine and Gentoo are: busybox as PID 1, OpenRC for the services.
OPENRC = (*(name for name in DEBIAN if name != "systemd"), "openrc", "busybox-static")

#: Units that mean nothing in a node, would wait for hardware, or need what a user namespace may not do.
MASKED = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer"),
    *("fstrim.timer", "logrotate.timer", "man-db.timer", "systemd-timesyncd.service"),
    *("systemd-networkd.service", "systemd-resolved.service", "systemd-pstore.service"),
    *("systemd-logind.service", "getty@tty1.service", "console-getty.service", "serial-getty@.service"),
    *("systemd-update-utmp.service", "systemd-update-utmp-runlevel.service", "systemd-binfmt.service"),
    *("sys-kernel-debug.mount", "sys-kernel-tracing.mount", "dev-hugepages.mount", "dev-mqueue.mount"),
    *("proc-sys-fs-binfmt_misc.automount", "systemd-sysusers.service", "systemd-hwdb-update.service"),
    *("systemd-sysctl.service", "systemd-tmpfiles-setup-dev.service", "systemd-udevd.service"),
    *("systemd-udev-trigger.service", "systemd-modules-load.service", "systemd-remount-fs.service"),
    *("systemd-tmpfiles-setup.service", "systemd-tmpfiles-clean.timer", "systemd-random-seed.service"),
    *("systemd-journal-flush.service", "systemd-machine-id-commit.service", "ldconfig.service"),
    *("rescue-ssh.target", "rc-local.service", "remote-fs.target", "systemd-firstboot.service"),
)

_ACCOUNTS = (
    "sshd:x:101:65534::/run/sshd:/usr/sbin/nologin",
    "messagebus:x:102:102::/nonexistent:/usr/sbin/nologin",
    "ops:x:1000:1000:an operator who is not root:/home/ops:{shell}",
)
_GROUPS = ("messagebus:x:102:", "systemd-journal:x:995:", "ops:x:1000:")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Which packages make a root, and what turns the unpacked tree into a system."""

    packages: tuple[str, ...]
    finish: Callable[[Path], None]


def root(recipe: str, arch: str, suite: str = "") -> Path:
    """The root of that recipe for Debian's architecture `arch`, from the cache or made now.

    `suite` is the Debian release, where it is not to be the architecture's usual one.
    """
    chosen = RECIPES[recipe]
    digest = key(_RECIPE, chosen.packages, MASKED, _ACCOUNTS)

    def make(part: Path) -> None:
        for deb in repository(CACHE, arch, suite).closure(chosen.packages):
            unpack(deb, part)
        chosen.finish(part)

    name = "-".join(filter(None, (recipe, arch, suite, digest)))
    return made(CACHE / "roots" / name, make)


def _merge_usr(tree: Path) -> None:
    """Give a tree whose packages ship /usr/bin only (Debian 13) the links that base-files makes."""
    for name in ("bin", "sbin", "lib", "lib64"):
        top = tree / name
        if not top.exists() and (tree / "usr" / name).is_dir():
            top.symlink_to(f"usr/{name}")


def _skeleton(tree: Path) -> None:
    _merge_usr(tree)
    for name in ("proc", "sys", "dev", "run", "etc", "mnt", "var/log", "opt", "usr/local/bin"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    for name, mode in (("tmp", 0o1777), ("var/tmp", 0o1777), ("root", 0o700)):
        (tree / name).mkdir(parents=True, exist_ok=True)
        (tree / name).chmod(mode)
    for name in ("doc", "man", "locale", "lintian", "info", "bash-completion", "zoneinfo", "initramfs-tools"):
        shutil.rmtree(tree / "usr/share" / name, ignore_errors=True)


def _accounts(tree: Path, passwd: str, group: str, shell: str) -> None:
    etc = tree / "etc"
    users = [line.replace("root:*:", "root:x:") for line in passwd.splitlines()]
    users += [account.format(shell=shell) for account in _ACCOUNTS]
    (etc / "passwd").write_text("\n".join(users) + "\n")
    (etc / "group").write_text("\n".join([*group.splitlines(), *_GROUPS]) + "\n")
    shadow = [f"{user.partition(':')[0]}:*:19000:0:99999:7:::" for user in users]
    (etc / "shadow").write_text("\n".join(shadow) + "\n")
    (etc / "shadow").chmod(0o600)
    home = tree / "home/ops"
    home.mkdir(parents=True, exist_ok=True)
    for path in (home, *home.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    _own(home, 1000)


def _own(path: Path, uid: int) -> None:
    for entry in (path, *path.rglob("*")):
        shutil.chown(entry, uid, uid)


@functools.cache
def _applets(busybox: Path) -> tuple[str, ...]:
    """The paths of busybox's applets, as the machine's own copy of the same release lists them."""
    done = subprocess.run([str(busybox), "--list-full"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabUnavailableError(f"busybox --list-full: {done.stderr.strip()}")
    return tuple(done.stdout.split())


def _finish_minimal(tree: Path) -> None:
    _skeleton(tree)
    native = root("minimal", "amd64") / "bin/busybox" if not _runs_here(tree) else tree / "bin/busybox"
    _furnish(tree, _applets(native))
    for folder in tree.glob("usr/lib/*/gconv"):
        shutil.rmtree(folder)


def _finish_musl(tree: Path) -> None:
    musl.settle(tree)
    _skeleton(tree)
    _furnish(tree, musl.applets())


def _furnish(tree: Path, applets: Iterable[str]) -> None:
    for applet in applets:
        link = tree / applet
        link.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            link.symlink_to("/bin/busybox")
    _accounts(tree, "root:x:0:0:root:/root:/bin/sh\n", "root:x:0:\n", "/bin/sh")
    (tree / "etc/shells").write_text("/bin/sh\n")


def _runs_here(tree: Path) -> bool:
    header = (tree / "bin/busybox").read_bytes()[:20]
    return header[18:20] == Path("/proc/self/exe").read_bytes()[18:20]


def _finish_debian(tree: Path) -> None:
    _skeleton(tree)
    base = tree / "usr/share/base-passwd"
    _accounts(tree, (base / "passwd.master").read_text(), (base / "group.master").read_text(), "/bin/bash")
    etc = tree / "etc"
    if not (tree / "bin/sh").is_symlink():
        (tree / "bin/sh").symlink_to("dash")
    with contextlib.suppress(FileExistsError):
        (tree / "usr/bin/awk").symlink_to("mawk")
    (etc / "nsswitch.conf").write_text(
        "passwd: files systemd\ngroup: files systemd\nshadow: files\nhosts: files dns\n"
    )
    (etc / "ld.so.conf").write_text("include /etc/ld.so.conf.d/*.conf\n")
    for kind in ("auth", "account", "password", "session", "session-noninteractive"):
        module = "pam_unix.so" if kind == "auth" else "pam_permit.so"
        (etc / f"pam.d/common-{kind}").write_text(f"{kind.partition('-')[0]} required {module}\n")
    (etc / "ssh/sshd_config").write_text(
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\nUsePAM yes\nUseDNS no\n"
        "HostKey /etc/ssh/ssh_host_ed25519_key\nPrintMotd no\nPrintLastLog no\n"
        "Subsystem sftp /usr/lib/openssh/sftp-server\n"
    )
    (etc / "sudoers").write_text("root ALL=(ALL:ALL) ALL\nops ALL=(ALL:ALL) NOPASSWD: ALL\n")
    (etc / "sudoers").chmod(0o440)
    (tree / "usr/bin/sudo").chmod(0o4755)
    for name in ("fstab", "environment", "default/locale"):
        (etc / name).write_text("")
    for name in ("run", "lock"):
        link = tree / "var" / name
        if not link.is_symlink():
            link.rmdir()
            link.symlink_to("/run" if name == "run" else "/run/lock")
    (etc / "machine-id").write_text("")
    for name in ("etc/.updated", "var/.updated"):
        (tree / name).touch()
    _units(etc / "systemd/system")


def _finish_openrc(tree: Path) -> None:
    """The runlevels are there and empty: a node has nothing to mount, to check or to plug in."""
    _finish_debian(tree)
    for name in ("sysinit", "boot", "default", "nonetwork", "shutdown"):
        folder = tree / "etc/runlevels" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    shutil.rmtree(tree / "etc/systemd", ignore_errors=True)


def _units(folder: Path) -> None:
    wants = folder / "multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    for unit in MASKED:
        (folder / unit).unlink(missing_ok=True)
        (folder / unit).symlink_to("/dev/null")
    links = {
        folder / "default.target": "/lib/systemd/system/multi-user.target",
        wants / "ssh.service": "/lib/systemd/system/ssh.service",
        folder / "sshd.service": "/lib/systemd/system/ssh.service",
    }
    for link, target in links.items():
        link.unlink(missing_ok=True)
        link.symlink_to(target)


RECIPES = {
    "minimal": Recipe(MINIMAL, _finish_minimal),
    "musl": Recipe(musl.PACKAGES, _finish_musl),
    "debian": Recipe(DEBIAN, _finish_debian),
    "openrc": Recipe(OPENRC, _finish_openrc),
}
