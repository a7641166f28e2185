"""Every login shell, and everything that is none, behind real servers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from requires import requires
from session_kit import folder, session
from sshd_kit import Server, User, dropbear, openssh

SHELLS = {
    "bashuser": "/bin/bash",
    "dashuser": "/bin/dash",
    "fishuser": "/usr/bin/fish",
    "tcshuser": "/usr/bin/tcsh",
    "ashuser": "/run/ash",
    "zeroes": "/usr/sbin/nologin",
    "restricted": "/run/rbash",
    "menu": "/run/menu",
}
REAL = [name for name, shell in SHELLS.items() if "nologin" not in shell and "/run/" not in shell] + [
    "ashuser"
]

SETUP = """
printf '#!/bin/sh\\nexec busybox sh "$@"\\n' >/run/ash
ln -s /bin/bash /run/rbash
printf '#!/bin/sh\\nprintf "Welcome to \\\\033[31mSWITCH 9000\\\\n1) status\\\\n2) quit\\\\n"\\n' >/run/menu
chmod 755 /run/ash /run/menu
printf '/run/ash\\n/run/rbash\\n/run/menu\\n' >>/etc/shells 2>/dev/null || true
"""

FORCED = """
Match User forcedecho
  ForceCommand echo Forbidden here; echo nothing runs
Match User forcedcat
  ForceCommand cat
Match User forcedyes
  ForceCommand yes nothing
Match User forcedfake
  ForceCommand printf '\\n%%032d:begin:\\n%%032d:end:0\\n' 0 0
Match all
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    requires("fish", "tcsh", "busybox", "dash")
    users = [User(name, shell=shell) for name, shell in SHELLS.items()]
    users += [User(name) for name in ("forcedecho", "forcedcat", "forcedyes", "forcedfake")]
    with folder() as place, openssh(place, users=users, setup=SETUP, config=FORCED) as started:
        noisy = "echo 'loading…'; echo warning >&2\n"
        for name, rc in (
            ("bashuser", ".bashrc"),
            ("fishuser", ".config/fish/config.fish"),
            ("tcshuser", ".cshrc"),
        ):
            path = started.homes[name] / rc
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(noisy if rc != ".cshrc" else "echo loading\n")
        yield started


@pytest.mark.parametrize("user", REAL)
async def test_scripts_run_in_sh_whatever_the_login_shell(server: Server, user: str) -> None:
    async with session(server, user) as ssh:
        result = await ssh.run(
            'x=$(id -un); echo "$x|$1|$2|$V"; echo problem >&2; exit 7',
            args=('it\'s ! \\ "$HOME" `id`\nsecond', ""),
            env={"V": "a'b!c"},
            timeout=20,
        )
    assert result.ending == "exited"
    assert result.exit_status == 7
    assert result.stdout == f"{user}|it's ! \\ \"$HOME\" `id`\nsecond||a'b!c\n".encode()
    assert result.stderr == b"problem\n", "the noise of rc files belongs to nobody"


@pytest.mark.parametrize("user", REAL)
async def test_files_arrive_whole_whatever_the_login_shell(server: Server, user: str) -> None:
    data = bytes(range(256)) * 2000
    async with session(server, user) as ssh:
        put = await ssh.put(data, f"{server.homes[user]}/file", mode=0o640)
    assert put.result.ok, put.result
    arrived = server.homes[user] / "file"
    assert arrived.read_bytes() == data
    assert arrived.stat().st_mode & 0o7777 == 0o640


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ("zeroes", "This account is currently not available."),
        ("restricted", "restricted"),
        ("menu", "SWITCH 9000"),
        ("forcedecho", "Forbidden here"),
        ("forcedcat", "sb_n="),
        ("forcedyes", "nothing\nnothing"),
        ("forcedfake", "begin"),
    ],
)
async def test_what_is_no_shell_is_named_with_its_words(server: Server, user: str, said: str) -> None:
    async with session(server, user) as ssh:
        result = await ssh.run("echo hello", timeout=20, limit=100_000)
    assert result.ending == "no-shell"
    assert not result.ok
    assert result.exit_status is None
    assert result.diagnostic is not None
    assert result.diagnostic.code == "SB205"
    assert said in dict(result.diagnostic.evidence)["said"]


async def test_a_noisy_login_does_not_reach_the_held_script(server: Server) -> None:
    async with session(server, "bashuser") as ssh:
        hold = await ssh.hold("echo locked; cat >/dev/null", ready="locked", timeout=20)
        assert not hasattr(hold, "ending")


async def test_dropbear_runs_scripts_and_takes_files_without_an_sftp_server() -> None:
    data = bytes(range(256)) * 20_000
    with folder() as place, dropbear(place, users=[User("ops")]) as server:
        async with session(server, "ops", ciphers=("aes128-ctr", "chacha20-poly1305@openssh.com")) as ssh:
            result = await ssh.run('echo "$1"; exit 3', args=("hi",), timeout=20)
            assert (result.ending, result.exit_status, result.stdout) == ("exited", 3, b"hi\n")
            put = await ssh.put(data, f"{server.homes['ops']}/file")
    assert put.result.ok, put.result
    assert put.sha256 == hashlib.sha256(data).hexdigest()
