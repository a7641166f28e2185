"""Faults 6 and 7: host keys that changed, and host keys that nobody knows."""

from __future__ import annotations

import subprocess

from faultkit import Cluster, Node, fault
from requires import requires
from sshd_kit import HOST, keygen, public_line


def fingerprint(line: str) -> str:
    """The SHA256 fingerprint of a public key line, by OpenSSH."""
    requires("ssh-keygen")
    done = subprocess.run(["ssh-keygen", "-lf", "-"], input=line, check=True, capture_output=True, text=True)
    return done.stdout.split()[1]


def logins(node: Node) -> int:
    return node.log().count("Accepted publickey")


@fault(
    "6 host key changed",
    codes="SB202",
    exits=8,
    state="no login on that host; nothing written on any host, --accept-new and --ready-only or not",
)
def test_fault_06_host_key_changed(cluster: Cluster) -> None:
    good, swapped = cluster.node("n1"), cluster.node("n2", trusted=False)
    old = public_line(keygen(cluster.folder / "old"))
    cluster.trust = f"# trusted by hand\n{cluster.trust}[{HOST}]:{swapped.port} {old}\n"
    before = good.files()
    ran = cluster.told("check")
    found = ran.tells(
        "SB202",
        "n2",
        "different host key",
        fingerprint(old),
        fingerprint(swapped.server.host_keys["ed25519"]),
        "known_hosts:3",
        hint="sealboot trust n2",
    )
    assert found["at"] == {"file": "known_hosts", "line": 3, "column": 1}
    assert "no login was tried and no command was run on this host" in found["notes"]
    assert "--> known_hosts:3" in ran.text
    assert (ran.code, ran.outcome("n1")) == (8, "ok")
    for flags in ((), ("--accept-new",)):
        ran = cluster.told("apply", "--yes", *flags)
        assert (ran.code, ran.errors) == (8, ["SB202"])
        assert "Nothing was changed" in ran.text
    assert good.files() == before
    assert logins(swapped) == 0
    assert (cluster.folder / "known_hosts").read_text() == cluster.trust
    # Naming the excluded host lets the others go on; the exit code still says what was found.
    ran = cluster.run("apply", "--yes", "--ready-only")
    assert ran.errors == ["SB202"]
    assert ran.code == 8
    assert (ran.outcome("n1"), ran.outcome("n2")) == ("changed", "unreachable")
    assert logins(swapped) == 0


@fault("6 host key of another type", codes="SB202", exits=8, state="no login; nothing written")
def test_fault_06_host_key_type_changed(cluster: Cluster) -> None:
    node = cluster.node(keys=("ecdsa",), trusted=False)
    old = public_line(keygen(cluster.folder / "old"))
    cluster.trust = f"[{HOST}]:{node.port} {old}\n"
    ran = cluster.told("check")
    ran.tells(
        "SB202", "n1", "another type", fingerprint(old), "ECDSA", "known_hosts:1", hint="sealboot trust n1"
    )
    assert ran.code == 8
    assert logins(node) == 0


@fault(
    "7 host key unknown",
    codes="SB203",
    exits=8,
    state="no login; nothing written; the command shown records the key",
)
def test_fault_07_host_key_unknown(cluster: Cluster) -> None:
    node = cluster.node(trusted=False)
    ran = cluster.told("check")
    shown = fingerprint(node.server.host_keys["ed25519"])
    ran.tells("SB203", "n1", "not known", shown, hint="`sealboot trust n1`")
    assert ran.code == 8
    assert cluster.told("apply", "--yes").code == 8
    assert logins(node) == 0
    assert node.files() == {str(node.inside("/opt/bin")): node.files()[str(node.inside("/opt/bin"))]}
    # The other way that is shown: the key is recorded, and that is said.
    ran = cluster.run("apply", "--yes", "--accept-new")
    assert (ran.code, ran.outcome("n1")) == (0, "changed")
    recorded = (cluster.folder / "known_hosts").read_text()
    assert recorded == f"[{HOST}]:{node.port} {node.server.host_keys['ed25519']}\n"
