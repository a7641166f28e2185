"""sudo and doas with every rule that hosts have, through real sshd and the real tools."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from requires import requires
from session_kit import command_lines, eventually, folder, running, session
from sshd_kit import Server, User, dropbear, openssh

from sealboot.model.host import BecomeSettings
from sealboot.model.secret import Secret, SecretRef
from sealboot.transport.hold import HeldScript

PASSWORD = "c0rrect horse'$x"
REFERENCE = SecretRef("env", "PW")

SUDOERS = """
Defaults env_reset
Defaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
Defaults:tty requiretty
Defaults:ptyuser use_pty
root ALL=(ALL:ALL) ALL
free ALL=(ALL:ALL) NOPASSWD: ALL
asked ALL=(ALL:ALL) ALL
tty ALL=(ALL:ALL) NOPASSWD: ALL
ptyuser ALL=(ALL:ALL) NOPASSWD: ALL
narrow ALL=(ALL:ALL) NOPASSWD: /usr/bin/id
"""

DOAS = """
permit nopass free as root
permit asked as root
"""

USERS = tuple(User(n, PASSWORD) for n in ("free", "asked", "tty", "ptyuser", "narrow", "stranger"))


def setup(*, tools: bool = True) -> str:
    text = (
        f"cat >/run/sudoers <<'EOF'\n{SUDOERS}EOF\nchmod 440 /run/sudoers\n"
        "mount --bind /run/sudoers /etc/sudoers\n"
        f"cat >/run/doas.conf <<'EOF'\n{DOAS}EOF\nchmod 400 /run/doas.conf\n"
        "[ -e /etc/doas.conf ] || : >/etc/doas.conf\nmount --bind /run/doas.conf /etc/doas.conf\n"
    )
    if not tools:
        text += "for t in sudo doas; do mount --bind /dev/null /usr/bin/$t; done\n"
    return text


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    requires("sudo", "doas")
    with folder() as place, openssh(place, users=USERS, setup=setup()) as started:
        yield started


@pytest.fixture(scope="module")
def bare() -> Iterator[Server]:
    requires("sudo", "doas")
    with folder() as place, openssh(place, users=USERS, setup=setup(tools=False)) as started:
        yield started


class Source:
    """A secret source that counts how often it was asked."""

    def __init__(self, password: str) -> None:
        self.password = password
        self.asked = 0

    def __call__(self, reference: SecretRef) -> Secret:
        self.asked += 1
        return Secret(self.password)


@pytest.mark.parametrize(
    ("user", "settings", "password"),
    [
        ("free", BecomeSettings(), None),
        ("free", BecomeSettings(password_from=REFERENCE), "never-needed"),
        ("asked", BecomeSettings(password_from=REFERENCE), PASSWORD),
        ("ptyuser", BecomeSettings(), None),
        ("free", BecomeSettings("doas"), None),
    ],
)
async def test_scripts_run_as_root(
    server: Server, user: str, settings: BecomeSettings, password: str | None
) -> None:
    source = Source(password or "")
    async with session(server, user, become=settings, secrets=source) as ssh:
        result = await ssh.run(
            'id -un; echo "$1|$V"; cat; exit 4',
            args=("a'b",),
            env={"V": Secret("hidden-value")},
            stdin=b"\x00in\xff",
            become=True,
            timeout=30,
        )
        assert (result.ending, result.exit_status) == ("exited", 4)
        assert result.stdout == b"root\na'b|hidden-value\n\x00in\xff"
        assert result.stderr == b"", "neither prompt nor lecture is the script's"
        assert (await ssh.run("id -un", timeout=30)).text == f"{user}\n"
        put = await ssh.put(b"content", f"{server.homes[user]}/{settings.method}-root", become=True)
        assert put.result.ok
        made = server.homes[user] / f"{settings.method}-root"
        assert made.stat().st_uid == 0
        assert made.stat().st_mode & 0o777 == 0o600
        made.unlink()
    assert source.asked == (1 if password == PASSWORD else 0)


async def test_the_password_never_reaches_a_shell_that_did_not_ask(server: Server) -> None:
    source = Source("sh0uld-never-be-sent")
    settings = BecomeSettings(password_from=REFERENCE)
    async with session(server, "free", become=settings, secrets=source) as ssh:
        result = await ssh.run("cat; id -u", stdin=b"mine\n", become=True, timeout=30)
    assert result.stdout == b"mine\n0\n"
    assert result.stderr == b""
    assert source.asked == 0


@pytest.mark.parametrize(
    ("user", "settings", "password", "words"),
    [
        ("asked", BecomeSettings(), "", "needs a password"),
        (
            "asked",
            BecomeSettings(password_from=REFERENCE),
            "wr0ng-password",
            "password for asked on node is wrong",
        ),
        ("stranger", BecomeSettings(password_from=REFERENCE), PASSWORD, "is not in the sudoers file"),
        ("narrow", BecomeSettings(password_from=REFERENCE), PASSWORD, "does not let narrow run /bin/sh"),
        ("tty", BecomeSettings(), "", "wants a terminal (requiretty)"),
        ("asked", BecomeSettings("doas", password_from=REFERENCE), PASSWORD, "reads from a terminal only"),
        ("stranger", BecomeSettings("doas"), "", "does not let stranger become root"),
    ],
)
async def test_each_refusal_has_its_own_words_and_is_tried_once(
    server: Server, user: str, settings: BecomeSettings, password: str, words: str
) -> None:
    source = Source(password)
    async with session(server, user, become=settings, secrets=source) as ssh:
        results = await asyncio.gather(*(ssh.run("id", become=True, timeout=30) for _ in range(4)))
        results.append((await ssh.put(b"x", "/run/never", become=True)).result)
        assert (await ssh.run("true", timeout=30)).ok, "the session itself is good"
        failure = ssh.become_failure
    for result in results:
        assert result.ending == "no-become"
        assert result.exit_status is None
        assert result.diagnostic == failure
    assert failure is not None
    assert failure.code == "SB303"
    assert words in failure.summary
    assert source.asked <= 1
    if password:
        assert password not in repr(failure)


async def test_a_wrong_password_is_one_attempt_in_the_hosts_own_log(server: Server) -> None:
    source = Source("wr0ng-again")
    settings = BecomeSettings(password_from=REFERENCE)
    async with session(server, "asked", become=settings, secrets=source) as ssh:
        for _ in range(3):
            assert (await ssh.run("id", become=True, timeout=30)).ending == "no-become"
    assert source.asked == 1


@pytest.mark.parametrize("method", ["sudo", "doas"])
async def test_no_tool_on_the_host(bare: Server, method: str) -> None:
    settings = BecomeSettings("sudo" if method == "sudo" else "doas")
    async with session(bare, "free", become=settings) as ssh:
        result = await ssh.run("id", become=True, timeout=30)
    assert result.diagnostic is not None
    assert result.diagnostic.code == "SB303"
    assert f"{method} is not installed there" in result.diagnostic.summary


async def test_a_secret_that_cannot_be_had_says_why(server: Server) -> None:
    settings = BecomeSettings(password_from=REFERENCE)
    async with session(server, "asked", become=settings) as ssh:
        result = await ssh.run("id", become=True, timeout=30)
    assert result.diagnostic is not None
    assert "env:PW is not set" in dict(result.diagnostic.evidence)["sudo"]


async def test_without_a_method_everything_runs_as_the_login_user(server: Server) -> None:
    async with session(server, "free", become=BecomeSettings("none")) as ssh:
        assert (await ssh.run("id -un", become=True, timeout=30)).text == "free\n"
        assert ssh.become_failure is None


async def test_root_needs_no_sudo(bare: Server) -> None:
    async with session(bare, "root", become=BecomeSettings("none")) as ssh:
        assert (await ssh.run("id -u", become=True, timeout=30)).text == "0\n"


@pytest.mark.parametrize("user", ["free", "ptyuser"])
async def test_a_deadline_ends_roots_processes_too(server: Server, user: str) -> None:
    async with session(server, user) as ssh:
        script = "sleep 7511 & (trap '' TERM; sleep 7512; sleep 7513) & sleep 7514"
        assert (await ssh.run(script, become=True, timeout=1.0)).ending == "timeout"
        await eventually(lambda: not running(server, "sleep\x0075"))
        hold = await ssh.hold("echo held; exec cat -u -", become=True, ready="held", timeout=30)
        assert isinstance(hold, HeldScript)
        await hold.release()
        await eventually(lambda: not running(server, "cat\x00-u"))


async def test_neither_password_nor_script_is_in_a_process_list(server: Server) -> None:
    source = Source(PASSWORD)
    settings = BecomeSettings(password_from=REFERENCE)
    async with session(server, "asked", become=settings, secrets=source) as ssh:
        call = asyncio.ensure_future(
            ssh.run("sleep 7521; true", env={"T": Secret("t0ken-canary")}, become=True, timeout=2.0)
        )
        await eventually(lambda: running(server, "sleep\x007521"))
        seen = b"\n".join(command_lines(server).values())
        result = await call
    assert PASSWORD.encode() not in seen
    assert b"t0ken-canary" not in seen
    assert PASSWORD not in repr(result)
    assert PASSWORD not in server.log_text()


async def test_sudo_on_dropbear() -> None:
    requires("sudo", "doas")
    with folder() as place, dropbear(place, users=USERS, setup=setup()) as server:
        source = Source(PASSWORD)
        settings = BecomeSettings(password_from=REFERENCE)
        async with session(server, "asked", become=settings, secrets=source, ciphers=("aes128-ctr",)) as ssh:
            assert (await ssh.run("id -u", become=True, timeout=30)).text == "0\n"
            assert (await ssh.run("sleep 7531", become=True, timeout=1.0)).ending == "timeout"
            await eventually(lambda: not running(server, "sleep\x007531"))
