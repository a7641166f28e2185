"""A machine with nothing on it: what debootstrap makes, what the README asks for, and a clean clone of the project.

Each `Bare` is a copy of a cached root, entered in mount, pid, uts and ipc namespaces of its own
(by pivot_root: from a mere chroot the kernel lets nobody make user namespaces, user_namespaces(7)).
It has the machine's network, and reaches the package mirrors as the machine does: the proxy,
certificate and index settings of apt and pip are handed in.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from labkit import syscalls
from labkit.apt import KEYRING, LabUnavailableError, mirror
from labkit.cache import CACHE, key, made

PROJECT = Path(__file__).resolve().parents[2]
#: What the README's first line installs; nothing else is there.
ASKED = ("git", "make", "python3-venv")
SUITES = ("bookworm", "trixie")
#: The user in it who is not root.
USER, UID = "dev", 1000
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Variables that say how this machine reaches package mirrors.
_NETWORK = re.compile(
    r"(PIP|UV)_\w+|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE|(HTTPS?|FTP|ALL|NO)_PROXY", re.IGNORECASE
)
_ENTER = """
set -e
root=$1; shift
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
while [ "$1" != -- ]; do
  mount --bind "$1" ".$1"
  mount -o remount,bind,ro ".$1"
  shift
done
shift
hostname bare
pivot_root . mnt
exec chroot . /bin/sh -c 'umount -l /mnt && exec "$@"' sh "$@"
"""


@dataclass(frozen=True, slots=True)
class Bare:
    """One such machine. `folder` is its root as this machine sees it; the project is in /src/sealboot."""

    folder: Path
    suite: str

    @property
    def source(self) -> Path:
        """The clone, as this machine sees it."""
        return self.folder / "src" / "sealboot"

    def run(
        self, *command: str, user: bool = False, home: bool = True, limit: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the clone, as root or as the unprivileged user; output and errors are one text.

        `home=False` leaves the variable HOME away. Raises `subprocess.TimeoutExpired` after `limit` seconds;
        then, as always, every process of the machine is ended with it.
        """
        folder = f"/home/{USER}" if user else "/root"
        variables = {"PATH": _PATH, **_network_variables()} | ({"HOME": folder} if home else {})
        who = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"] if user else []
        argv = [
            *("unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"),
            *("sh", "-c", _ENTER, "sh", str(self.folder), *_bound(variables), "--"),
            *(
                *who,
                "env",
                "-i",
                "-C",
                "/src/sealboot",
                *(f"{k}={v}" for k, v in variables.items()),
                *command,
            ),
        ]
        with syscalls.outside():
            return subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=limit,
                check=False,
            )


def machine(suite: str, folder: Path) -> Bare:
    """A new one below `folder`, with a clone of this project's last commit; raises `LabUnavailableError`."""
    folder.mkdir(parents=True, exist_ok=True)
    _run("cp", "-a", "--reflink=auto", str(root(suite)), str(folder / suite))
    new = Bare(folder / suite, suite)
    _run("git", "clone", "-q", "--no-hardlinks", str(PROJECT), str(new.source))
    _run("chown", "-R", f"{UID}:{UID}", str(new.folder / "src"))
    for path in _bound(_network_variables()):
        inside = new.folder / path[1:]
        inside.parent.mkdir(parents=True, exist_ok=True)
        if Path(path).is_dir():
            inside.mkdir(exist_ok=True)
        else:
            inside.touch()
    (new.folder / "etc/apt/apt.conf.d/20machine").write_text(_apt_settings())
    return new


def root(suite: str) -> Path:
    """The root of that Debian release, from the cache or made now; raises `LabUnavailableError`."""

    def make(part: Path) -> None:
        with syscalls.outside():
            _run(
                *("debootstrap", "--variant=minbase", f"--keyring={KEYRING}", f"--include={','.join(ASKED)}"),
                *(suite, str(part), mirror()),
            )
        (part / "var/cache/apt/archives").mkdir(parents=True, exist_ok=True)
        for deb in part.glob("var/cache/apt/archives/*.deb"):
            deb.unlink()
        _run("chroot", str(part), "useradd", "--create-home", "--uid", str(UID), "--shell", "/bin/sh", USER)

    return made(CACHE / "bare" / f"{suite}-{key(ASKED, USER, UID)}", make)


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabUnavailableError(f"{argv[0]}: {(done.stderr or done.stdout).strip()[-600:]}")
    return done.stdout


def _network_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if _NETWORK.fullmatch(name)}


def _bound(variables: dict[str, str]) -> list[str]:
    """What the machine's settings name and what they are: seen read-only at the same path inside."""
    named = {"/etc/hosts", "/etc/resolv.conf", "/etc/pip.conf", *variables.values()}
    return sorted(path for path in named if path.startswith("/") and Path(path).exists())


def _apt_settings() -> str:
    """The machine's own ways to its mirrors: proxies, certificates, retries."""
    dump = _run("apt-config", "dump", "Acquire")
    wanted = re.compile(r"Acquire::(https?|ftp|Retries|Check-Valid-Until|Check-Date)\b", re.IGNORECASE)
    return "".join(f"{line}\n" for line in dump.splitlines() if wanted.match(line))
