"""Faults 1 to 5: hosts that are not reached, and why."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

import pytest
from faultkit import Cluster, fault
from proxykit import mute, name_server
from requires import requires
from sshd_kit import HOST, free_port, keygen

NETWORK = "ip link set lo up\n"


@fault(
    "1 connection refused",
    codes="SB201",
    exits=4,
    state="nothing written on any host; others checked",
)
def test_fault_01_refused(cluster: Cluster) -> None:
    good, gone = cluster.node("n1"), cluster.node("n2")
    gone.port = free_port()
    before = good.files()
    ran = cluster.told("check")
    ran.tells("SB201", "n2", f"nothing listens at {HOST}:{gone.port}", '"stage": "connect"', hint="ssh.port")
    assert (ran.code, ran.errors) == (4, ["SB201"])
    assert (ran.outcome("n1"), ran.outcome("n2")) == ("ok", "not_reached")
    assert cluster.told("apply", "--yes").code == 4
    assert good.files() == before


@fault("1 no route", codes="SB201", exits=4, state="nothing written")
def test_fault_01_no_route(cluster: Cluster) -> None:
    node = cluster.node()
    node.address = "10.99.0.1"
    ran = cluster.told("check", within=NETWORK)
    ran.tells("SB201", "n1", "no route to 10.99.0.1", '"stage": "route"', hint="ip route get")
    assert ran.code == 4


@fault("2 packets dropped", codes="SB201", exits=4, state="nothing written; stage: connect")
def test_fault_02_dropped(cluster: Cluster) -> None:
    requires("nft", "ip")
    node = cluster.node()
    cluster.connect_timeout = 1
    drop = (
        f"{NETWORK}nft add table inet t\n"
        "nft 'add chain inet t o { type filter hook output priority 0; }'\n"
        f"nft add rule inet t o tcp dport {node.port} drop\n"
    )
    ran = cluster.told("check", within=drop)
    ran.tells(
        "SB201",
        "n1",
        f"no TCP connection to {HOST}:{node.port} within 1 s",
        '"stage": "connect"',
        hint="firewall",
    )
    assert ran.code == 4
    assert ran.seconds < 10


@fault(
    "2 server mute",
    codes="SB201",
    exits=4,
    state="nothing written; stage: banner, key exchange or login",
)
def test_fault_02_mute_at_every_stage(cluster: Cluster) -> None:
    cluster.connect_timeout = 2
    good, banner, exchange, login = (
        cluster.node("n1"),
        cluster.node("n2"),
        cluster.node("n3"),
        cluster.node(
            "n4",
            setup="printf '#!/bin/sh\\nsleep 1000\\n' >/run/ask\nchmod 755 /run/ask\n",
            config="AuthorizedKeysFile none\nAuthorizedKeysCommand /run/ask\nAuthorizedKeysCommandUser root",
        ),
    )
    cluster.behind(exchange, hold_down=60)
    before = good.files()
    with mute() as port:
        banner.port = port
        started = time.monotonic()
        ran = cluster.told("check")
        ran.tells("SB201", "n2", "never said anything", '"stage": "banner"', hint="really SSH")
        ran.tells("SB201", "n3", "during the key exchange", '"stage": "key exchange"')
        ran.tells("SB201", "n4", "during the login", '"stage": "login"')
        assert (ran.code, ran.outcome("n1")) == (4, "ok")
        # One wait for all of them, in each of two runs.
        assert time.monotonic() - started < 15
    assert login.log()
    assert good.files() == before


@pytest.fixture
def resolver(cluster: Cluster) -> Iterator[str]:
    """Shell that makes a mute and ignorant name server the only one."""
    address = "127.9.9.53"
    resolv = cluster.folder / "resolv.conf"
    resolv.write_text(f"nameserver {address}\noptions timeout:30 attempts:1\n")
    with name_server(address, silent=frozenset({b"hangs"})) as asked:
        yield f"mount --bind '{resolv}' /etc/resolv.conf\n"
    assert asked


@fault(
    "3 DNS fails or hangs",
    codes="SB201",
    exits=4,
    state="nothing written; hosts with other names unaffected",
)
def test_fault_03_names(cluster: Cluster, resolver: str) -> None:
    cluster.connect_timeout = 2
    good = cluster.node("n1")
    unknown = cluster.node("n2")
    unknown.address = "unknown.example"
    # More stuck names than asyncio's shared pool has threads.
    for number in range(1, 41):
        cluster.strangers[f"s{number}"] = {"address": f"hangs{number}.example", "role": "node"}
    before = good.files()
    ran = cluster.told("check", within=resolver)
    ran.tells("SB201", "n2", "cannot be resolved", "unknown.example", '"stage": "name"', hint="getent hosts")
    assert len(ran.findings("SB201")) == 41
    assert all("no answer within 2 s" in ran.findings("SB201", f"s{n}")[0]["summary"] for n in range(1, 41))
    assert "s[1-40] cannot be resolved" in ran.text
    assert (ran.code, ran.outcome("n1")) == (4, "ok")
    # The deadline of the stuck names, and not one after the other.
    assert ran.seconds < 20
    assert good.files() == before


@fault("4 login refused", codes="SB204", exits=4, state="nothing written; one attempt in the server's log")
def test_fault_04_refused_login(cluster: Cluster) -> None:
    node = cluster.node()
    wrong = keygen(cluster.folder / "wrong")
    node.ssh["identity_file"] = str(wrong)
    ran = cluster.told("check")
    found = ran.tells(
        "SB204", "n1", "refused the login as root", str(wrong), "SHA256:", "publickey", hint="authorized_keys"
    )
    assert "a refused login is not tried again" in found["notes"]
    assert ran.code == 4
    # Two runs, one connection and one offered key each.
    assert node.log().count("Connection from") - 1 == 2
    assert node.log().count("Failed publickey") == 2


@pytest.fixture
def agent(cluster: Cluster) -> Iterator[dict[str, str]]:
    """A real agent with eight keys, none of which any server knows."""
    requires("ssh-agent", "ssh-add")
    socket = cluster.folder / "agent"
    process = subprocess.Popen(
        ["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    env = {"SSH_AUTH_SOCK": str(socket)}
    try:
        while not socket.exists():
            time.sleep(0.01)
        keys = [str(keygen(cluster.folder / f"key{i}")) for i in range(8)]
        subprocess.run(["ssh-add", "-q", *keys], env=os.environ | env, check=True, capture_output=True)
        yield env
    finally:
        process.kill()
        process.wait()


@fault("5 too many keys", codes="SB204", exits=4, state="nothing written; naming the key mends it")
def test_fault_05_too_many_keys(cluster: Cluster, agent: dict[str, str]) -> None:
    node = cluster.node()
    right = node.ssh.pop("identity_file")
    ran = cluster.told("check", env=agent)
    ran.tells("SB204", "n1", "too many", "keys were offered", "(agent)", hint="ssh.identity_file")
    assert ran.code == 4
    assert node.log().count("Connection from") - 1 == 2
    # What the hint says helps.
    node.ssh["identity_file"] = right
    assert cluster.told("check", env=agent).code == 0
