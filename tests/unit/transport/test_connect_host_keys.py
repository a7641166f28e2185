"""Host keys against real servers: faults 6 and 7, traps 7 to 10, and promise P4."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from connect_kit import A, B, host_of, rig
from sshd_kit import dropbear, keygen, openssh, public_line, sign_host_key

from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.events import Found, HostConnected
from sealboot.model.host import SshSettings
from sealboot.transport.endpoint import Endpoint
from sealboot.transport.verdict import Trust

NEVER_LOGGED_IN = ("Accepted", "Failed", "Postponed", "userauth_request", "Invalid user")


def assert_untouched(log: str) -> None:
    assert not [word for word in NEVER_LOGGED_IN if word in log], log


async def test_a_known_key_logs_in_and_says_what_trusts_it(tmp_path: Path) -> None:
    with openssh(tmp_path / "s") as server:
        async with rig(tmp_path, [host_of(server)], trust="# ours\n" + server.known_hosts()) as r:
            raw = await r.raw("n1")
            assert (await raw.output("echo hello")) == "hello\n"
        connected = [e for e in r.events if isinstance(e, HostConnected)]
        assert [e.trusted_by for e in connected] == [f"{tmp_path}/known_hosts:2"]
        assert connected[0].key.startswith("SHA256:")
        assert connected[0].address == f"127.0.0.1:{server.port}"


async def test_an_unknown_key_is_refused_before_any_login(tmp_path: Path) -> None:
    with openssh(tmp_path / "s") as server:
        async with rig(tmp_path, [host_of(server)]) as r:
            found = await r.refusal("n1")
        assert found.code == "SB203"
        assert dict(found.evidence)["offered"].startswith("ED25519 SHA256:")
        assert any("sealboot trust n1" in hint for hint in found.hints)
        assert not (tmp_path / "known_hosts").exists()
        assert_untouched(server.log_text())


async def test_a_changed_key_shows_old_and_new_and_the_line(tmp_path: Path) -> None:
    old = keygen(tmp_path / "old")
    with openssh(tmp_path / "s") as server:
        trust = f"# a comment\n[127.0.0.1]:{server.port} {public_line(old)}\n"
        for accept_new in (False, True):
            async with rig(tmp_path, [host_of(server)], trust=trust, accept_new=accept_new) as r:
                found = await r.refusal("n1")
            assert found.code == "SB202"
            assert found.at is not None
            assert (found.at.file, found.at.line) == (str(tmp_path / "known_hosts"), 2)
            shown = subprocess.run(
                ["ssh-keygen", "-lf", f"{old}.pub"], check=True, capture_output=True, text=True
            ).stdout.split()[1]
            assert shown in dict(found.evidence)["known"]
            assert "ED25519 SHA256:" in dict(found.evidence)["offered"]
            assert shown not in dict(found.evidence)["offered"]
        assert (tmp_path / "known_hosts").read_text() == trust
        assert_untouched(server.log_text())


@pytest.mark.parametrize("start", [openssh, dropbear])
async def test_a_changed_type_is_told_and_refused(tmp_path: Path, start: object) -> None:
    # Trap 9: the server has no key of the known type any more.
    old = keygen(tmp_path / "old")
    assert callable(start)
    with start(tmp_path / "s", keys=("ecdsa",)) as server:
        trust = f"[127.0.0.1]:{server.port} {public_line(old)}\n"
        async with rig(tmp_path, [host_of(server)], trust=trust, accept_new=True) as r:
            found = await r.refusal("n1")
        assert found.code == "SB202"
        assert "another type" in found.summary
        assert dict(found.evidence)["known"].startswith("ED25519 SHA256:")
        assert dict(found.evidence)["offered"].startswith("ECDSA SHA256:")
        assert_untouched(server.log_text())


@pytest.mark.parametrize("known", ["ed25519", "ecdsa", "rsa"])
async def test_any_one_known_type_of_several_is_no_false_alarm(tmp_path: Path, known: str) -> None:
    with openssh(tmp_path / "s", keys=("rsa", "ecdsa", "ed25519")) as server:
        async with rig(tmp_path, [host_of(server)], trust=server.known_hosts(known)) as r:
            raw = await r.raw("n1")
            key = raw.connection.get_server_host_key()
            assert key is not None
            assert server.host_keys[known].startswith(key.get_algorithm())


async def test_a_hashed_entry_is_found(tmp_path: Path) -> None:
    with openssh(tmp_path / "s") as server:
        plain = tmp_path / "hashed"
        plain.write_text(server.known_hosts())
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(plain)], check=True, capture_output=True)
        text = plain.read_text()
        assert text.startswith("|1|")
        async with rig(tmp_path, [host_of(server)], trust=text) as r:
            await r.raw("n1")


async def test_a_revoked_key_is_refused_even_where_it_is_known(tmp_path: Path) -> None:
    with openssh(tmp_path / "s") as server:
        trust = server.known_hosts() + f"@revoked * {server.host_keys['ed25519']}\n"
        async with rig(tmp_path, [host_of(server)], trust=trust, accept_new=True) as r:
            found = await r.refusal("n1")
        assert found.code == "SB206"
        assert found.at is not None
        assert found.at.line == 2
        assert_untouched(server.log_text())


async def test_a_revocation_that_cannot_be_read_closes_the_door(tmp_path: Path) -> None:
    with openssh(tmp_path / "s") as server:
        trust = server.known_hosts() + "@revoked * ssh-ed25519 damaged!\n"
        async with rig(tmp_path, [host_of(server)], trust=trust) as r:
            found = await r.refusal("n1")
        assert found.code == "SB206"
        assert "cannot be read" in found.summary
        assert_untouched(server.log_text())


async def test_bad_lines_are_warnings_and_nothing_else(tmp_path: Path) -> None:
    # Trap 8: any of these alone made a whole file unreadable.
    with openssh(tmp_path / "s") as server:
        bad = (
            b"justoneword\n|1|bad|hash ssh-ed25519 AAAA\n@unknown h ssh-ed25519 AAAA\n# caf\xe9\nh\xe9 x y\n"
        )
        async with rig(tmp_path, [host_of(server)], trust=bad + server.known_hosts().encode()) as r:
            await r.raw("n1")
            lines = [f.at.line for f in r.connector.findings if f.at]
        assert lines == [1, 2, 3, 5]
        assert all(f.code == "SB209" and f.severity is Severity.WARNING for f in r.connector.findings)


async def test_accept_new_pins_into_the_project_only(tmp_path: Path) -> None:
    users = tmp_path / "user_known_hosts"
    users.write_text("# mine\n")
    with openssh(tmp_path / "s", keys=("ecdsa", "ed25519")) as server:
        kept = "# kept\nother.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDamaged0\n"
        options: dict[str, Any] = {"user_known_hosts": (users,), "accept_new": True}
        async with rig(tmp_path, [host_of(server)], trust=kept, **options) as r:
            await r.raw("n1")
            await r.raw("n1")
        text = (tmp_path / "known_hosts").read_text()
        assert text == kept + server.known_hosts("ed25519")
        assert (tmp_path / "known_hosts").stat().st_mode & 0o777 == 0o644
        assert users.read_text() == "# mine\n"
        notes = [e.diagnostic for e in r.events if isinstance(e, Found) and e.diagnostic.code == "SB203"]
        assert [n.severity for n in notes] == [Severity.NOTE]
        async with rig(tmp_path, [host_of(server)]) as again:
            await again.raw("n1")


async def test_accept_new_without_a_writable_project_does_not_log_in(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with openssh(tmp_path / "s") as server:
        options: dict[str, Any] = {"accept_new": True, "known_hosts": blocked / "known_hosts"}
        async with rig(tmp_path, [host_of(server)], **options) as r:
            found = await r.refusal("n1")
        assert found.code == "SB209"
        assert_untouched(server.log_text())


async def test_the_users_own_file_is_read(tmp_path: Path) -> None:
    with openssh(tmp_path / "s") as server:
        users = tmp_path / "user_known_hosts"
        users.write_text(server.known_hosts())
        async with rig(tmp_path, [host_of(server)], user_known_hosts=(users,)) as r:
            await r.raw("n1")
        assert not (tmp_path / "known_hosts").exists()


async def test_a_host_key_alias_stands_for_name_and_port(tmp_path: Path) -> None:
    with openssh(tmp_path / "s") as server:
        trust = server.known_hosts(name="cluster-vip")
        async with rig(tmp_path, [host_of(server, host_key_alias="cluster-vip")], trust=trust) as r:
            await r.raw("n1")


@pytest.mark.parametrize(
    ("principals", "validity", "expected"),
    [
        ("127.0.0.1", "-1h:+1h", None),
        ("127.0.0.1", "-2h:-1h", "expired"),
        ("other.example", "-1h:+1h", "principal"),
    ],
)
async def test_host_certificates(
    tmp_path: Path, principals: str, validity: str, expected: str | None
) -> None:
    ca = keygen(tmp_path / "ca")
    key = keygen(tmp_path / "host")
    certificate = sign_host_key(ca, key, principals=principals, validity=validity)
    config = f"HostCertificate {certificate}"
    with openssh(tmp_path / "s", host_key_files=[key], config=config) as server:
        trust = f"@cert-authority [127.0.0.1]:* {public_line(ca)}\n"
        async with rig(tmp_path, [host_of(server)], trust=trust, accept_new=True) as r:
            if expected is None:
                await r.raw("n1")
                return
            found = await r.refusal("n1")
        assert found.code == "SB207"
        assert expected in found.summary
        assert_untouched(server.log_text())
        assert (tmp_path / "known_hosts").read_text() == trust


async def test_a_certificate_of_an_unknown_authority_falls_back_to_the_plain_key(tmp_path: Path) -> None:
    ca, other = keygen(tmp_path / "ca"), keygen(tmp_path / "other")
    key = keygen(tmp_path / "host")
    certificate = sign_host_key(other, key, principals="127.0.0.1")
    with openssh(tmp_path / "s", host_key_files=[key], config=f"HostCertificate {certificate}") as server:
        authority = f"@cert-authority * {public_line(ca)}\n"
        async with rig(tmp_path, [host_of(server)], trust=authority) as r:
            found = await r.refusal("n1")
        assert found.code == "SB207"
        assert_untouched(server.log_text())
        async with rig(tmp_path, [host_of(server)], trust=authority + server.known_hosts()) as r:
            await r.raw("n1")


@pytest.mark.parametrize("revoked", ["authority", "host"])
async def test_revocation_reaches_into_certificates(tmp_path: Path, revoked: str) -> None:
    ca, key = keygen(tmp_path / "ca"), keygen(tmp_path / "host")
    certificate = sign_host_key(ca, key, principals="127.0.0.1")
    with openssh(tmp_path / "s", host_key_files=[key], config=f"HostCertificate {certificate}") as server:
        bad = public_line(ca if revoked == "authority" else key)
        trust = f"@cert-authority * {public_line(ca)}\n@revoked * {bad}\n"
        async with rig(tmp_path, [host_of(server)], trust=trust) as r:
            found = await r.refusal("n1")
        assert found.code == "SB206"
        assert_untouched(server.log_text())


async def test_ssh_config_cannot_weaken_the_check(tmp_path: Path) -> None:
    # Trap 7: these lines switch host key checking off in asyncssh and OpenSSH.
    config = tmp_path / "config"
    config.write_text(
        "Host *\n  UserKnownHostsFile none\n  StrictHostKeyChecking no\n  GlobalKnownHostsFile /dev/null\n"
    )
    with openssh(tmp_path / "s") as server:
        async with rig(tmp_path, [host_of(server, config=True)], ssh_config=config) as r:
            found = await r.refusal("n1")
            (warning,) = [f for f in r.connector.findings if f.code == "SB209"]
        assert found.code == "SB203"
        assert [line for line, _ in warning.evidence] == ["line 2", "line 3", "line 4"]
        assert_untouched(server.log_text())


async def test_nothing_of_a_diagnostic_is_an_exception(tmp_path: Path) -> None:
    with openssh(tmp_path / "s") as server:
        async with rig(tmp_path, [host_of(server)]) as r:
            assert isinstance(await r.connector.connect("n1"), Diagnostic)


async def test_of_two_keys_seen_at_once_only_the_first_is_recorded(tmp_path: Path) -> None:
    async with rig(tmp_path, [], accept_new=True) as r:
        endpoint = Endpoint("n1", "host", 22, "root", SshSettings())
        problems: list[Diagnostic] = []
        record = r.connector._pinner(endpoint, problems)
        one, same, other = record(A), record(A), record(B)
        assert one
        assert same
        assert other
        assert [v.trust for v in (one, same, other)] == [Trust.TRUSTED, Trust.TRUSTED, Trust.CHANGED]
    assert problems == []
    assert (tmp_path / "known_hosts").read_text() == f"host {A.line}\n"


async def test_a_whole_session(tmp_path: Path) -> None:
    with openssh(tmp_path / "s") as server:
        async with rig(tmp_path, [host_of(server)], trust=server.known_hosts(), wrap=None) as r:
            session = await r.connector.connect("n1")
            assert not isinstance(session, Diagnostic)
            result = await session.run("echo out; exit 3", timeout=20)
            assert (result.ending, result.exit_status, result.text) == ("exited", 3, "out\n")
            await session.close()
