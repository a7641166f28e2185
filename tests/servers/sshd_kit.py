"""Real OpenSSH and dropbear servers on loopback, each in namespaces of its own.

`with openssh(folder) as server:` starts one, ready once its banner answers,
and ends it with everything that runs in it. Users named in `users` exist only
inside the server's mount namespace: the machine's own passwd file is not
touched. Needs root; where something is missing the test is skipped with the
reason: see `requires`.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from requires import program_path, requires

HOST = "127.0.0.1"
START_DEADLINE = 20.0
FIRST_UID = 54000


@dataclass(frozen=True)
class User:
    """A user that exists only inside one server. `groups` are existing group names to join."""

    name: str
    password: str | None = None
    shell: str = "/bin/sh"
    uid: int | None = None
    groups: tuple[str, ...] = ()


@dataclass
class Server:
    """A running server. `host_keys` maps a key type to its public line (`ssh-ed25519 AAAA…`)."""

    folder: Path
    port: int
    pid: int
    identity: Path
    host_keys: dict[str, str]
    log: Path
    user: str = "root"
    host: str = HOST
    homes: dict[str, Path] = field(default_factory=dict)

    def known_hosts(self, *types: str, name: str | None = None) -> str:
        """The text of a known_hosts file that trusts the keys of these types (or of all)."""
        name = name or f"[{self.host}]:{self.port}"
        return "".join(f"{name} {self.host_keys[t]}\n" for t in types or tuple(self.host_keys))

    def log_text(self) -> str:
        """What the server logged so far."""
        return self.log.read_text(errors="replace")

    def session_pids(self) -> list[int]:
        """The processes inside the server but the listener itself, oldest first."""
        return _descendants(self.pid)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def keygen(path: Path, key_type: str = "ed25519", *, passphrase: str = "") -> Path:
    """Make a key pair at `path`."""
    requires("ssh-keygen")
    bits = ["-b", "2048"] if key_type == "rsa" else []
    subprocess.run(
        ["ssh-keygen", "-q", "-t", key_type, *bits, "-N", passphrase, "-C", "test", "-f", str(path)],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return path


def public_line(private: Path) -> str:
    """Type and key of the pair at `private`, without the comment."""
    return " ".join(Path(f"{private}.pub").read_text().split()[:2])


def sign_host_key(
    ca: Path, private: Path, *, principals: str, validity: str = "-1h:+1h", identity: str = "host"
) -> Path:
    """Let the certificate authority sign a host key; the path of the certificate."""
    requires("ssh-keygen")
    subprocess.run(
        [
            "ssh-keygen",
            "-q",
            "-s",
            str(ca),
            "-I",
            identity,
            "-h",
            "-n",
            principals,
            "-V",
            validity,
            f"{private}.pub",
        ],
        check=True,
    )
    return Path(f"{private}-cert.pub")


def sign_user_key(ca: Path, private: Path, *, principals: str, validity: str = "-1h:+1h") -> Path:
    """Let the certificate authority sign a user's key; the path of the certificate."""
    requires("ssh-keygen")
    subprocess.run(
        ["ssh-keygen", "-q", "-s", str(ca), "-I", "user", "-n", principals, "-V", validity, f"{private}.pub"],
        check=True,
    )
    return Path(f"{private}-cert.pub")


@contextmanager
def openssh(
    folder: Path,
    *,
    keys: Sequence[str] = ("ed25519",),
    host_key_files: Sequence[Path] = (),
    config: str = "",
    users: Sequence[User] = (),
    authorized: Sequence[str] | None = None,
    setup: str = "",
    port: int | None = None,
    sftp: bool = True,
) -> Iterator[Server]:
    """A stock OpenSSH sshd.

    `keys` are the types of host keys to make (or `host_key_files`, made
    before); `config` lines come first, so they win over the defaults here;
    `authorized` replaces the lines of every user's authorized_keys (default:
    the key `server.identity`); `setup` is shell that runs inside the
    namespaces before sshd does (mounts, further files).
    """
    requires("root", "namespaces", "sshd")
    folder.mkdir(parents=True, exist_ok=True)
    host_keys = list(host_key_files) or [keygen(folder / f"host_{t}", t) for t in keys]
    identity = _identity(folder)
    port = port or free_port()
    lines = authorized if authorized is not None else [public_line(identity)]
    authorized_file = folder / "authorized_keys"
    authorized_file.write_text("".join(f"{line}\n" for line in lines))
    settings = folder / "sshd_config"
    settings.write_text(
        f"{config}\n"
        + "".join(f"HostKey {key}\n" for key in host_keys)
        + f"Port {port}\nListenAddress {HOST}\nPermitRootLogin yes\nStrictModes no\nUsePAM no\n"
        + f"AuthorizedKeysFile {authorized_file}\nPidFile none\nPrintMotd no\nLogLevel VERBOSE\n"
        + ("Subsystem sftp internal-sftp\n" if sftp else "")
    )
    inside, homes = _inside(folder, users)
    command = f"{inside}{setup}\nexec {program_path('sshd')} -D -e -f '{settings}'"
    with _running(folder, command, port) as (pid, log):
        yield Server(folder, port, pid, identity, _by_type(host_keys), log, homes=homes)


@contextmanager
def dropbear(
    folder: Path,
    *,
    keys: Sequence[str] = ("ed25519",),
    options: Sequence[str] = (),
    users: Sequence[User] = (),
    authorized: Sequence[str] | None = None,
    setup: str = "",
    port: int | None = None,
) -> Iterator[Server]:
    """A stock dropbear; `options` are further arguments."""
    requires("root", "namespaces", "dropbear", "dropbearkey")
    folder.mkdir(parents=True, exist_ok=True)
    identity = _identity(folder)
    host_keys: dict[str, str] = {}
    arguments: list[str] = []
    for key_type in keys:
        path = folder / f"dropbear_{key_type}"
        made = subprocess.run(
            [program_path("dropbearkey"), "-t", key_type, "-f", str(path)],
            check=True,
            capture_output=True,
            text=True,
        )
        line = next(row for row in made.stdout.splitlines() if row.startswith(("ssh-", "ecdsa-")))
        host_keys[key_type] = " ".join(line.split()[:2])
        arguments += ["-r", str(path)]
    port = port or free_port()
    lines = authorized if authorized is not None else [public_line(identity)]
    inside, homes = _inside(folder, users)
    keys_file = folder / "authorized_keys"
    keys_file.write_text("".join(f"{line}\n" for line in lines))
    # dropbear reads ~/.ssh alone and insists on strict modes.
    home = f"{folder}/roothome"
    command = (
        f"{inside}mkdir -p '{home}/.ssh'; chmod 700 '{home}' '{home}/.ssh'\n"
        f"cp '{keys_file}' '{home}/.ssh/authorized_keys'; chmod 600 '{home}/.ssh/authorized_keys'\n"
        f"chown -R 0:0 '{home}'\n"
        + "".join(
            f"cp -R '{home}/.ssh' '{h}/.ssh'; chown -R --reference='{h}' '{h}/.ssh'\n" for h in homes.values()
        )
        + f"{setup}\n"
        f"exec {program_path('dropbear')} -F -E -p {HOST}:{port} {' '.join(arguments)} {' '.join(options)}"
    )
    with _running(folder, command, port) as (pid, log):
        yield Server(folder, port, pid, identity, host_keys, log, homes=homes)


def _identity(folder: Path) -> Path:
    identity = folder / "id_ed25519"
    return identity if identity.exists() else keygen(identity)


def _by_type(host_keys: Sequence[Path]) -> dict[str, str]:
    named: dict[str, str] = {}
    for path in host_keys:
        line = public_line(path)
        short = {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa"}.get(line.split()[0], "ecdsa")
        named[short] = line
    return named


def _inside(folder: Path, users: Sequence[User]) -> tuple[str, dict[str, Path]]:
    """Shell that prepares the namespaces, and the homes of the users that live there."""
    passwd = Path("/etc/passwd").read_text()
    shadow = Path("/etc/shadow").read_text()
    group = Path("/etc/group").read_text().splitlines()
    homes: dict[str, Path] = {}
    script = "set -e\nmount -t tmpfs -o mode=755 tmpfs /run\nmkdir -m 755 -p /run/sshd /run/lock\n"
    # Root's own start-up files are not part of a test: one that waits for a lock held up every command by a minute.
    home = folder / "roothome"
    home.mkdir(mode=0o700, exist_ok=True)
    os.chown(home, 0, 0)
    script += f"mount --bind '{home}' /root\n"
    for index, user in enumerate(users):
        uid = FIRST_UID + index if user.uid is None else user.uid
        own = folder / "homes" / user.name
        own.mkdir(parents=True, exist_ok=True)
        homes[user.name] = own
        os.chown(own, uid, uid)
        passwd += f"{user.name}:x:{uid}:{uid}:test:{own}:{user.shell}\n"
        shadow += f"{user.name}:{_crypt(user.password)}:19000:0:99999:7:::\n"
        group.append(f"{user.name}:x:{uid}:")
        group = [_joined(row, user) for row in group]
    if users:
        texts = {"passwd": passwd, "shadow": shadow, "group": "\n".join(group) + "\n"}
        for name, text in texts.items():
            path = folder / f"etc_{name}"
            path.write_text(text)
            path.chmod(0o600 if name == "shadow" else 0o644)
            script += f"mount --bind '{path}' /etc/{name}\n"
        for parent in (folder, *folder.parents):
            if parent.stat().st_uid == os.geteuid() and parent not in (Path("/"), Path("/tmp")):
                parent.chmod(parent.stat().st_mode | 0o111)
    return script, homes


def _joined(row: str, user: User) -> str:
    name = row.split(":", maxsplit=1)[0]
    if name not in user.groups:
        return row
    return row + ("" if row.endswith(":") else ",") + user.name


def _crypt(password: str | None) -> str:
    if password is None:
        return "*"
    requires("openssl")
    made = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"], input=password, check=True, capture_output=True, text=True
    )
    return made.stdout.strip()


@contextmanager
def _running(folder: Path, command: str, port: int) -> Iterator[tuple[int, Path]]:
    log = folder / "server.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            ["unshare", "-m", "-p", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"},
        )
    try:
        _wait_for_banner(process, port, log)
        yield _descendants(process.pid)[0], log
    finally:
        # Ending PID 1 of a namespace ends everything inside it.
        for pid in _descendants(process.pid)[:1]:
            os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()


def _wait_for_banner(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with socket.create_connection((HOST, port), timeout=1.0) as probe:
                probe.settimeout(1.0)
                if probe.recv(4) == b"SSH-":
                    return
        except OSError:
            time.sleep(0.02)
    pytest.fail(f"the server did not start:\n{log.read_text(errors='replace')}")


def _descendants(pid: int) -> list[int]:
    """Children of a process and theirs, parents first (Linux proc(5), task/*/children)."""
    found: list[int] = []
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return found
    for child in map(int, text.split()):
        found.append(child)
        found += _descendants(child)
    return found
