"""P4: tricks with known_hosts and ssh_config; a wrong key is never accepted, nor a login tried."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from promise_kit import Room
from session_kit import folder
from sshd_kit import Server, keygen, openssh, public_line, sign_host_key


@pytest.fixture
def place() -> Iterator[Path]:
    with folder() as made:
        yield made


@pytest.fixture
def server(place: Path) -> Iterator[Server]:
    with openssh(place / "sshd") as made:
        yield made


def other_key(place: Path) -> str:
    return public_line(keygen(place / "other"))


async def refused(room: Room, server: Server, *codes: str) -> None:
    """Exit 8 with one of these codes, nothing recorded, no login begun."""
    before = (room.folder / "known_hosts").read_bytes()
    for command in (("check",), ("apply", "--yes", "--accept-new")):
        ran = await room.run(*command, "--format", "json")
        assert ran.code == 8, ran
        assert set(ran.codes) <= set(codes), ran.codes
    assert (room.folder / "known_hosts").read_bytes() == before
    assert "Accepted" not in server.log_text()
    assert "Failed" not in server.log_text()


@pytest.mark.parametrize(
    "form",
    [
        "\ufeff{name} {other}\n",
        "{name} {other}\r\n",
        "\t {name} \t {other} comment\n",
        "*,!nothing {other}\n",
        "{name},10.1.1.1 {other}\n",
        "{name} {other}\n{name} {other}\n",
        "# c\n\ufeff@revoked * {good}\n{name} {good}\n",
        "\ufeff@revoked * {good}\n{name} {good}\n",
        "@revoked * {good}\r\n{name} {good}\r\n",
        "@revoked\t{name}\t{good}\n@cert-authority * {good}\n{name} {good}\n",
    ],
)
async def test_a_changed_or_revoked_key_however_it_is_written(place: Path, server: Server, form: str) -> None:
    room = Room(place / "room")
    room.add("n1", server)
    name = f"[127.0.0.1]:{server.port}"
    text = form.format(name=name, other=other_key(place), good=server.host_keys["ed25519"])
    (room.folder / "known_hosts").write_text(text, newline="")
    await refused(room, server, "SB202", "SB206", "SB209")


async def test_known_hosts_in_utf_16_does_not_count_as_empty(place: Path, server: Server) -> None:
    """What a PowerShell redirection writes."""
    room = Room(place / "room")
    room.add("n1", server)
    text = f"[127.0.0.1]:{server.port} {other_key(place)}\r\n"
    (room.folder / "known_hosts").write_bytes(text.encode("utf-16"))
    await refused(room, server, "SB202")


@pytest.mark.parametrize(
    "line",
    [
        "StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null",
        "UserKnownHostsFile {place}/theirs",
        "GlobalKnownHostsFile {place}/theirs",
        "KnownHostsCommand /bin/cat {place}/theirs",
        "VerifyHostKeyDNS yes\n  CheckHostIP no",
        "NoHostAuthenticationForLocalhost yes",
        "ProxyCommand sh -c 'touch {place}/ran; exec nc 127.0.0.1 {port}'",
        "LocalCommand touch {place}/ran\n  PermitLocalCommand yes",
        "UpdateHostKeys yes",
    ],
)
async def test_no_line_of_ssh_config_weakens_the_check(place: Path, server: Server, line: str) -> None:
    room = Room(place / "room")
    room.add("n1", server, config="true")
    (place / "theirs").write_text(server.known_hosts())
    config = f'Match exec "touch {place}/ran"\n  User root\nInclude {room.folder}/home/.ssh/more\n'
    path = room.folder / "home/.ssh/config"
    path.write_text(config)
    path.with_name("more").write_text(f"Host *\n  {line}\n".format(place=place, port=server.port))
    (room.folder / "known_hosts").write_text(f"[127.0.0.1]:{server.port} {other_key(place)}\n")
    if "ProxyCommand" in line:
        ran = await room.run("check", "--format", "json")
        assert ran.code in {4, 8}, ran
        assert "Accepted" not in server.log_text()
    else:
        await refused(room, server, "SB202")
    assert not (place / "ran").exists()


async def test_a_certificate_for_another_name_or_time_is_refused(place: Path) -> None:
    for number, (principals, validity) in enumerate([("elsewhere", "-1h:+1h"), ("127.0.0.1", "-2h:-1h")]):
        ca = keygen(place / f"ca{number}")
        host = keygen(place / f"host{number}")
        certificate = sign_host_key(ca, host, principals=principals, validity=validity)
        with openssh(
            place / f"sshd{number}", host_key_files=[host], config=f"HostCertificate {certificate}"
        ) as server:
            room = Room(place / f"room{number}")
            room.add("n1", server)
            (room.folder / "known_hosts").write_text(f"@cert-authority * {public_line(ca)}\n")
            await refused(room, server, "SB207")
