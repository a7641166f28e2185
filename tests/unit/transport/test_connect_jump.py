"""Jump hosts: chains, sharing, and telling which hop failed."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import asyncssh
from connect_kit import host_of, rig
from sshd_kit import HOST, Server, free_port, openssh, public_line


def trust_of(*servers: Server) -> str:
    return "".join(s.known_hosts() for s in servers)


def logins(server: Server) -> int:
    return server.log_text().count("Accepted publickey")


async def test_two_hosts_behind_two_hops_share_one_connection_each(tmp_path: Path) -> None:
    with (
        openssh(tmp_path / "a") as a,
        openssh(tmp_path / "b") as b,
        openssh(tmp_path / "c") as c,
    ):
        hosts = [
            host_of(a, "bastion"),
            host_of(b, "inner", jump=("bastion",)),
            host_of(c, "n1", jump=("inner",)),
            host_of(c, "n2", jump=("inner",)),
        ]
        async with rig(tmp_path, hosts, trust=trust_of(a, b, c)) as r:
            one, two = await asyncio.gather(r.raw("n1"), r.raw("n2"))
            assert (await one.output("echo 1"), await two.output("echo 2")) == ("1\n", "2\n")
            assert (logins(a), logins(b), logins(c)) == (1, 1, 2)
            # The hop also is the peer that the target sees.
            assert one.connection is not two.connection


async def test_a_chain_of_two_named_hops(tmp_path: Path) -> None:
    with (
        openssh(tmp_path / "a") as a,
        openssh(tmp_path / "b") as b,
        openssh(tmp_path / "c") as c,
    ):
        hosts = [host_of(a, "a"), host_of(b, "b"), host_of(c, "n1", jump=("a", "b"))]
        async with rig(tmp_path, hosts, trust=trust_of(a, b, c)) as r:
            raw = await r.raw("n1")
            assert await raw.output("echo through") == "through\n"
        assert (logins(a), logins(b), logins(c)) == (1, 1, 1)


async def test_a_hop_that_is_no_inventory_host_has_a_key_of_its_own(tmp_path: Path) -> None:
    """The key file that the inventory names for the target is the target's: a bastion often has another."""
    with openssh(tmp_path / "c") as c, openssh(tmp_path / "d") as d:
        host = host_of(c, jump=(f"root@{HOST}:{d.port}",))
        own = tmp_path / "home" / ".ssh" / "id_ed25519"
        own.parent.mkdir(parents=True)
        shutil.copy(d.identity, own)
        async with rig(tmp_path, [host], trust=trust_of(c, d)) as r:
            await r.raw("n1")
        assert (logins(c), logins(d)) == (1, 1)


async def test_the_targets_key_is_not_offered_to_a_hop_that_is_no_inventory_host(tmp_path: Path) -> None:
    with openssh(tmp_path / "c") as c, openssh(tmp_path / "d", authorized=[public_line(c.identity)]) as d:
        host = host_of(c, jump=(f"root@{HOST}:{d.port}",))
        async with rig(tmp_path, [host], trust=trust_of(c, d)) as r:
            found = await r.refusal("n1")
        assert found.code == "SB204"
        assert "Accepted" not in d.log_text()


async def test_a_hop_from_ssh_config(tmp_path: Path) -> None:
    with openssh(tmp_path / "a") as a, openssh(tmp_path / "c") as c:
        config = tmp_path / "config"
        config.write_text(
            f"Host gate\n  HostName {HOST}\n  Port {a.port}\n  User root\n  IdentityFile {a.identity}\n"
            f"Host target\n  HostName {HOST}\n  Port {c.port}\n  ProxyJump gate\n  User root\n"
            f"  IdentityFile {c.identity}\n  ConnectTimeout 5s\n"
        )
        host = replace(host_of(c, config=True, user=None, port=None, identity_files=()), address="target")
        async with rig(tmp_path, [host], trust=trust_of(a, c), ssh_config=config) as r:
            raw = await r.raw("n1")
            assert raw.user == "root"
        assert (logins(a), logins(c)) == (1, 1)


async def test_the_hop_that_failed_is_named_and_its_login_not_repeated(tmp_path: Path) -> None:
    with openssh(tmp_path / "a", authorized=[]) as a, openssh(tmp_path / "c") as c:
        hosts = [host_of(a, "bastion"), *(host_of(c, f"n{i}", jump=("bastion",)) for i in range(3))]
        async with rig(tmp_path, hosts, trust=trust_of(a, c)) as r:
            found = await asyncio.gather(*(r.refusal(f"n{i}") for i in range(3)))
        assert {f.code for f in found} == {"SB204"}
        assert [f.host for f in found] == ["n0", "n1", "n2"]
        assert all("jump host bastion" in f.summary and "bastion" in dict(f.evidence)["hop"] for f in found)
        assert a.log_text().count("Connection from") <= 2  # the test's own look for the banner, and one login
        assert logins(c) == 0


async def test_an_unknown_hop_key_stops_everything_behind_it(tmp_path: Path) -> None:
    with openssh(tmp_path / "a") as a, openssh(tmp_path / "c") as c:
        hosts = [host_of(a, "bastion"), host_of(c, "n1", jump=("bastion",))]
        async with rig(tmp_path, hosts, trust=trust_of(c)) as r:
            found = await r.refusal("n1")
        assert found.code == "SB203"
        assert found.host == "n1"
        assert "bastion" in found.summary
        assert "Accepted" not in a.log_text()


async def test_a_changed_key_behind_a_hop_is_seen(tmp_path: Path) -> None:
    with openssh(tmp_path / "a") as a, openssh(tmp_path / "c") as c:
        hosts = [host_of(a, "bastion"), host_of(c, "n1", jump=("bastion",))]
        wrong = a.host_keys["ed25519"]
        async with rig(tmp_path, hosts, trust=trust_of(a) + f"[{HOST}]:{c.port} {wrong}\n") as r:
            found = await r.refusal("n1")
        assert found.code == "SB202"
        assert "Accepted" not in c.log_text()


async def test_a_closed_port_behind_a_hop(tmp_path: Path) -> None:
    with openssh(tmp_path / "a") as a:
        hosts = [host_of(a, "bastion"), host_of(a, "n1", jump=("bastion",), port=free_port())]
        async with rig(tmp_path, hosts, trust=trust_of(a)) as r:
            found = await r.refusal("n1")
        assert found.code == "SB201"
        assert dict(found.evidence)["stage"] == "hop"
        assert "from its jump host" in found.summary


async def test_a_group_that_jumps_through_its_own_member_and_a_circle(tmp_path: Path) -> None:
    with openssh(tmp_path / "a") as a:
        hosts = [
            host_of(a, "bastion", jump=("bastion",)),
            host_of(a, "x", jump=("y",)),
            host_of(a, "y", jump=("x",)),
        ]
        async with rig(tmp_path, hosts, trust=trust_of(a)) as r:
            await r.raw("bastion")
            found = await r.refusal("x")
        assert found.code == "SB201"
        assert "circle" in found.summary


async def test_a_lost_hop_is_made_again(tmp_path: Path) -> None:
    with openssh(tmp_path / "a") as a, openssh(tmp_path / "c") as c:
        hosts = [
            host_of(a, "bastion"),
            host_of(c, "n1", jump=("bastion",)),
            host_of(c, "n2", jump=("bastion",)),
        ]
        async with rig(tmp_path, hosts, trust=trust_of(a, c)) as r:
            await r.raw("n1")
            for task in r.connector._hops.values():
                hop = await task
                assert isinstance(hop, asyncssh.SSHClientConnection)
                hop.abort()
                await hop.wait_closed()
            await r.raw("n2")
        assert logins(a) == 2
