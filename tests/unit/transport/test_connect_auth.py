"""Logins: faults 4 and 5, trap 12, promise P16, and keys that must not be used."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from connect_kit import host_of, no_secrets, rig, secrets_from
from requires import requires
from sshd_kit import HOST, User, dropbear, keygen, openssh, public_line, sign_user_key

from sealboot.model.diagnostic import Severity
from sealboot.model.host import Host, SshSettings
from sealboot.model.secret import SecretRef
from sealboot.transport.auth import Identity, Keyring
from sealboot.transport.endpoint import Endpoint

PASSWORD = SecretRef("env", "PASSWORD")
PASSPHRASE = SecretRef("env", "PASSPHRASE")


@contextmanager
def agent(folder: Path, *keys: Path) -> Iterator[str]:
    """A real ssh-agent that holds these keys; its socket."""
    requires("ssh-agent", "ssh-add")
    path = folder / "agent.sock"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    try:
        while not path.exists():
            assert process.poll() is None
            time.sleep(0.01)
        for key in keys:
            environment = os.environ | {"SSH_AUTH_SOCK": str(path)}
            subprocess.run(["ssh-add", "-q", str(key)], check=True, env=environment)
        yield str(path)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("start", [openssh, dropbear])
async def test_a_wrong_key_is_told_and_never_tried_again(tmp_path: Path, start: Any) -> None:
    wrong = keygen(tmp_path / "wrong")
    with start(tmp_path / "s") as server:
        host = host_of(server, identity_files=(str(wrong),))
        async with rig(tmp_path, [host], trust=server.known_hosts()) as r:
            found = await r.refusal("n1")
        assert found.code == "SB204"
        evidence = dict(found.evidence)
        shown = subprocess.run(["ssh-keygen", "-lf", str(wrong)], check=True, capture_output=True, text=True)
        assert shown.stdout.split()[1] in evidence["tried"]
        assert "publickey" in evidence["offered by host"]
        assert "stage" not in evidence
        logins = [
            line for line in server.log_text().splitlines() if f"from {HOST}" in line and "port" in line
        ]
        assert len([line for line in logins if line.startswith(("Connection from", "Child"))]) <= 2


async def test_eight_wrong_keys_are_too_many(tmp_path: Path) -> None:
    wrong = [keygen(tmp_path / f"k{i}") for i in range(8)]
    with openssh(tmp_path / "s") as server:
        host = host_of(server, identity_files=tuple(map(str, wrong)))
        async with rig(tmp_path, [host], trust=server.known_hosts()) as r:
            found = await r.refusal("n1")
        assert found.code == "SB204"
        assert "too many login attempts" in found.summary
        tried = [text for label, text in found.evidence if label == "tried"]
        assert len(tried) == 6
        assert any("ssh.identity_file" in hint for hint in found.hints)


class HangsUp(asyncssh.SSHServer):
    """A server that drops the connection without a word when it has seen enough keys."""

    patience: int
    connection: asyncssh.SSHServerConnection

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.connection = conn

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self.patience -= 1
        if not self.patience:
            self.connection.abort()
        return False


@pytest.mark.parametrize(
    ("keys", "expected"), [(1, "hung up during the login"), (7, "too many login attempts")]
)
async def test_a_server_that_hangs_up_on_a_key_is_not_asked_again(
    tmp_path: Path, keys: int, expected: str
) -> None:
    made: list[HangsUp] = []

    def factory() -> HangsUp:
        made.append(HangsUp())
        made[-1].patience = keys
        return made[-1]

    key = asyncssh.generate_private_key("ssh-ed25519")
    files = tuple(str(keygen(tmp_path / f"k{i}")) for i in range(keys))
    acceptor = await asyncssh.create_server(factory, HOST, 0, server_host_keys=[key])
    port = acceptor.get_port()
    try:
        host = Host("n1", HOST, "node", ssh=SshSettings(user="bob", port=port, identity_files=files))
        trust = f"[{HOST}]:{port} {key.export_public_key().decode()}"
        async with rig(tmp_path, [host], trust=trust) as r:
            found = await r.refusal("n1")
        assert found.code == "SB204"
        assert expected in found.summary
        assert len(made) == 1
    finally:
        acceptor.close()
        await acceptor.wait_closed()


async def test_a_password_by_reference_is_tried_once(tmp_path: Path) -> None:
    users = [User("bob", "right password")]
    with openssh(tmp_path / "s", users=users, config="PasswordAuthentication yes") as server:
        host = host_of(server, user="bob", identity_files=(), password_from=PASSWORD)
        for given, code in (("right password", None), ("wrong password", "SB204")):
            options: dict[str, Any] = {"secrets": secrets_from({"PASSWORD": given})}
            async with rig(tmp_path, [host], trust=server.known_hosts(), **options) as r:
                if code is None:
                    raw = await r.raw("n1")
                    assert (await raw.output("id -un")).strip() == "bob"
                else:
                    found = await r.refusal("n1")
                    assert found.code == code
                    assert ("tried", "password") in found.evidence
                    assert given not in repr(found)
        assert server.log_text().count("Failed password") == 1


async def test_a_password_that_cannot_be_had(tmp_path: Path) -> None:
    with openssh(tmp_path / "s") as server:
        host = host_of(server, password_from=PASSWORD)
        async with rig(tmp_path, [host], trust=server.known_hosts()) as r:
            found = await r.refusal("n1")
    assert found.code == "SB204"
    assert "env:PASSWORD is not set" in dict(found.evidence)["reason"]


class Questions(asyncssh.SSHServer):
    """A server that asks by keyboard-interactive only, and counts the answers."""

    answers: list[list[str]]

    def kbdint_auth_supported(self) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return False

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
        return "", "Welcome", "", [("Password: ", False)]

    def validate_kbdint_response(self, username: str, responses: Any) -> bool:
        self.answers.append(list(responses))
        return bool(responses == ["right"])


@pytest.mark.parametrize("given", ["right", "wrong"])
async def test_keyboard_interactive_answers_once(tmp_path: Path, given: str) -> None:
    answers: list[list[str]] = []

    def factory() -> Questions:
        server = Questions()
        server.answers = answers
        return server

    key = asyncssh.generate_private_key("ssh-ed25519")
    acceptor = await asyncssh.create_server(factory, HOST, 0, server_host_keys=[key])
    port = acceptor.get_port()
    try:
        host = Host("n1", HOST, "node", ssh=SshSettings(user="bob", port=port, password_from=PASSWORD))
        trust = f"[{HOST}]:{port} {key.export_public_key().decode()}"
        options: dict[str, Any] = {"secrets": secrets_from({"PASSWORD": given})}
        async with rig(tmp_path, [host], trust=trust, **options) as r:
            if given == "right":
                await r.raw("n1")
            else:
                found = await r.refusal("n1")
                assert found.code == "SB204"
                assert ("tried", "keyboard-interactive") in found.evidence
        assert answers == [[given]]
    finally:
        acceptor.close()
        await acceptor.wait_closed()


async def test_two_factors_of_key_and_password(tmp_path: Path) -> None:
    users = [User("bob", "right password")]
    config = "AuthenticationMethods publickey,password"
    with openssh(tmp_path / "s", users=users, config=config) as server:
        host = host_of(server, user="bob", password_from=PASSWORD)
        options: dict[str, Any] = {"secrets": secrets_from({"PASSWORD": "right password"})}
        async with rig(tmp_path, [host], trust=server.known_hosts(), **options) as r:
            await r.raw("n1")


async def test_a_user_certificate_beside_the_key(tmp_path: Path) -> None:
    ca, key = keygen(tmp_path / "ca"), keygen(tmp_path / "user")
    sign_user_key(ca, key, principals="root")
    config = f"TrustedUserCAKeys {ca}.pub"
    with openssh(tmp_path / "s", config=config, authorized=[]) as server:
        host = host_of(server, identity_files=(str(key),))
        async with rig(tmp_path, [host], trust=server.known_hosts()) as r:
            await r.raw("n1")


@pytest.mark.parametrize("key_type", ["rsa", "ecdsa", "ed25519"])
async def test_each_type_of_key_from_a_file_with_a_passphrase(tmp_path: Path, key_type: str) -> None:
    key = keygen(tmp_path / "locked", key_type, passphrase="open sesame")
    with openssh(tmp_path / "s", authorized=[public_line(key)]) as server:
        host = host_of(server, identity_files=("locked",), passphrase_from=PASSPHRASE)
        options: dict[str, Any] = {"secrets": secrets_from({"PASSPHRASE": "open sesame"})}
        async with rig(tmp_path, [host], trust=server.known_hosts(), **options) as r:
            await r.raw("n1")


@pytest.mark.parametrize(
    ("passphrase", "reference", "expected"),
    [
        ("wrong", PASSPHRASE, "does not open it"),
        (None, PASSPHRASE, "cannot be had"),
        (None, None, "needs a passphrase"),
    ],
)
async def test_a_locked_key_is_told(
    tmp_path: Path, passphrase: str | None, reference: SecretRef | None, expected: str
) -> None:
    key = keygen(tmp_path / "locked", passphrase="open sesame")
    with openssh(tmp_path / "s", authorized=[public_line(key)]) as server:
        host = host_of(server, identity_files=(str(key),), passphrase_from=reference)
        values = {"PASSPHRASE": passphrase} if passphrase else {}
        options: dict[str, Any] = {"secrets": secrets_from(values)}
        async with rig(tmp_path, [host], trust=server.known_hosts(), **options) as r:
            found = await r.refusal("n1")
    assert found.code == "SB208"
    assert expected in found.summary


async def test_a_private_key_others_can_read_is_refused(tmp_path: Path) -> None:
    with openssh(tmp_path / "s") as server:
        server.identity.chmod(0o640)
        async with rig(tmp_path, [host_of(server)], trust=server.known_hosts()) as r:
            found = await r.refusal("n1")
        assert found.code == "SB208"
        assert "0640" in found.summary
        assert found.hints == (f"chmod 600 {server.identity}",)
        good = keygen(tmp_path / "good")
        both = host_of(server, identity_files=(str(server.identity), str(good)))
        async with rig(tmp_path, [both], trust=server.known_hosts()) as r:
            assert (await r.refusal("n1")).code == "SB204"
            assert [f.severity for f in r.connector.findings] == [Severity.WARNING]


@pytest.mark.parametrize("kind", ["missing", "garbage", "fifo"])
async def test_a_key_file_that_is_none(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "key"
    if kind == "garbage":
        path.write_bytes(os.urandom(400))
        path.chmod(0o600)
    elif kind == "fifo":
        os.mkfifo(path, 0o600)
    with openssh(tmp_path / "s") as server:
        host = host_of(server, identity_files=(str(path),))
        async with rig(tmp_path, [host], trust=server.known_hosts()) as r:
            assert (await r.refusal("n1")).code == "SB208"


async def test_default_key_names_are_tried(tmp_path: Path) -> None:
    with openssh(tmp_path / "s") as server:
        home = tmp_path / "home/.ssh"
        home.mkdir(parents=True)
        (home / "id_ed25519").write_bytes(server.identity.read_bytes())
        (home / "id_ed25519").chmod(0o600)
        async with rig(tmp_path, [host_of(server, identity_files=())], trust=server.known_hosts()) as r:
            await r.raw("n1")


async def test_nothing_to_try_is_told(tmp_path: Path) -> None:
    with openssh(tmp_path / "s") as server:
        async with rig(tmp_path, [host_of(server, identity_files=())], trust=server.known_hosts()) as r:
            found = await r.refusal("n1")
    assert found.code == "SB204"
    assert "nothing to try" in found.summary


async def test_keys_of_an_agent(tmp_path: Path) -> None:
    with openssh(tmp_path / "s") as server, agent(tmp_path, server.identity) as path:
        host = host_of(server, identity_files=())
        async with rig(tmp_path, [host], trust=server.known_hosts(), agent_path=path) as r:
            await asyncio.gather(*(r.raw("n1") for _ in range(5)))


@pytest.mark.parametrize("by", ["inventory", "ssh_config"])
async def test_a_public_key_names_the_one_of_the_agent(tmp_path: Path, by: str) -> None:
    """Keys without a private file: a YubiKey's, 1Password's, gpg-agent's."""
    key, others = keygen(tmp_path / "id"), [keygen(tmp_path / f"other{n}") for n in range(3)]
    public = tmp_path / "card.pub"
    public.write_text(public_line(key) + "\n")
    public.chmod(0o644)
    config = tmp_path / "config"
    config.write_text(f"Host *\n  IdentityFile {public}\n  IdentitiesOnly yes\n")
    with (
        openssh(tmp_path / "s", authorized=[public_line(key)]) as server,
        agent(tmp_path, *others, key) as path,
    ):
        host = host_of(
            server,
            **(
                {"identity_files": (str(public),)}
                if by == "inventory"
                else {"identity_files": (), "config": True}
            ),
        )
        async with rig(tmp_path, [host], trust=server.known_hosts(), agent_path=path, ssh_config=config) as r:
            await r.raw("n1")
        # The agent's other keys were not offered: one of them would have been refused first.
        assert server.log_text().count("Failed publickey") == 0


async def test_a_public_key_that_the_agent_lacks(tmp_path: Path) -> None:
    key = keygen(tmp_path / "id")
    with openssh(tmp_path / "s") as server, agent(tmp_path) as path:
        host = host_of(server, identity_files=(f"{key}.pub",))
        async with rig(tmp_path, [host], trust=server.known_hosts(), agent_path=path) as r:
            found = await r.refusal("n1")
    assert found.code == "SB208"
    assert "the agent does not hold the private key" in found.summary
    assert not any("chmod" in hint for hint in found.hints)


async def test_a_locked_key_that_the_agent_holds(tmp_path: Path) -> None:
    key = keygen(tmp_path / "key")
    with openssh(tmp_path / "s", authorized=[public_line(key)]) as server, agent(tmp_path, key) as path:
        subprocess.run(
            ["ssh-keygen", "-q", "-p", "-N", "locked now", "-f", str(key)], check=True, capture_output=True
        )
        host = host_of(server, identity_files=(str(key),))
        async with rig(tmp_path, [host], trust=server.known_hosts(), agent_path=path) as r:
            await r.raw("n1")


@pytest.mark.parametrize("kind", ["hung", "dead", "gone"])
async def test_a_bad_agent_is_harmless(tmp_path: Path, kind: str) -> None:
    # Trap 12: a hung agent blocked even where a key file was named.
    path = tmp_path / "agent.sock"
    held: list[asyncio.StreamWriter] = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        await reader.read()

    listener = await asyncio.start_unix_server(hang, path) if kind != "gone" else None
    if listener and kind == "dead":
        listener.close()
        await listener.wait_closed()
    with openssh(tmp_path / "s") as server:
        hosts = [host_of(server, name=f"n{i}") for i in range(3)]
        async with rig(tmp_path, hosts, trust=server.known_hosts(), agent_path=str(path)) as r:
            started = time.monotonic()
            await asyncio.gather(*(r.raw(h.name) for h in hosts))
            assert time.monotonic() - started < 4
            assert [f.code for f in r.connector.findings] == ["SB208"]
    for writer in held:
        writer.transport.abort()
    if listener:
        listener.close()


async def test_an_rsa_key_is_shared_by_connections_but_its_notes_are_not(tmp_path: Path) -> None:
    key = keygen(tmp_path / "rsa", "rsa")
    endpoint = Endpoint("n1", HOST, 22, "root", SshSettings(), identities=(str(key),))
    keyring = Keyring(secrets=no_secrets, home=tmp_path, base=tmp_path, agent_path=None)
    (identity,) = await _loaded(keyring, endpoint)
    one, two = identity.fresh(), identity.fresh()
    one.set_sig_algorithm(b"rsa-sha2-512")
    two.set_sig_algorithm(b"rsa-sha2-256")
    assert (one.algorithm, two.algorithm) == (b"rsa-sha2-512", b"rsa-sha2-256")
    assert (await _loaded(keyring, endpoint))[0] is identity
    with openssh(tmp_path / "a", authorized=[public_line(key)]) as server:
        hosts = [host_of(server, f"n{i}", identity_files=(str(key),)) for i in range(6)]
        async with rig(tmp_path, hosts, trust=server.known_hosts()) as r:
            await asyncio.gather(*(r.raw(h.name) for h in hosts))


async def _loaded(keyring: Keyring, endpoint: Endpoint) -> list[Identity]:
    found = await keyring.identities(endpoint)
    assert isinstance(found, list)
    return found
