"""Faults 8 and 9: the login user may not do what a bootstrap does."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from faultkit import Cluster, Node, fault
from requires import requires
from sshd_kit import User

PASSWORD = "c0rrect horse"
SUDO: dict[str, Any] = {"become": {"method": "sudo", "password_from": "env:SUDO_PW"}}


def sudoers(rules: str) -> str:
    """Shell that gives the node its own sudoers, with a log of what was tried."""
    return (
        f"cat >/run/sudoers <<'EOF'\nDefaults logfile=/run/sudo.log\nroot ALL=(ALL:ALL) ALL\n{rules}\nEOF\n"
        "chmod 440 /run/sudoers\nmount --bind /run/sudoers /etc/sudoers\n"
        "mkdir -p /run/empty; mount --bind /run/empty /etc/sudoers.d\n"
    )


def tried(node: Node) -> str:
    """What sudo wrote down about attempts with a password."""
    path = node.inside("/run/sudo.log")
    text = " ".join(path.read_text().split()) if path.exists() else ""
    return text.replace("1 incorrect password attempt", "WRONG")


@fault("8 sudo needs a password", codes="SB303", exits=1, state="nothing written")
def test_fault_08_password_needed(cluster: Cluster) -> None:
    requires("sudo")
    node = cluster.node(users=[User("ops", PASSWORD)], user="ops", setup=sudoers("ops ALL=(ALL) ALL"))
    before = node.files()
    ran = cluster.told("check")
    ran.tells("SB303", "n1", "password", "none is configured", "ops", hint="password_from")
    assert (ran.code, ran.errors) == (1, ["SB303"])
    assert cluster.told("apply", "--yes").code == 1
    assert node.files() == before


@fault(
    "8 sudo password wrong",
    codes="SB303",
    exits=1,
    state="nothing written; one attempt with a password in each run (sudo's log)",
)
def test_fault_08_password_wrong(cluster: Cluster) -> None:
    requires("sudo")
    node = cluster.node(users=[User("ops", PASSWORD)], user="ops", setup=sudoers("ops ALL=(ALL) ALL"), **SUDO)
    before = node.files()
    ran = cluster.told("apply", "--yes", env={"SUDO_PW": "wr0ng battery"})
    ran.tells("SB303", "n1", "password", "wrong", "ops", hint="tried once")
    assert (ran.code, ran.errors) == (1, ["SB303"])
    assert "wr0ng" not in str(ran)
    assert tried(node).count("WRONG") == 2, tried(node)
    assert node.files() == before
    # The right one serves, and is nowhere to be seen.
    ran = cluster.told("apply", "--yes", env={"SUDO_PW": PASSWORD})
    assert ran.code == 0
    assert PASSWORD not in str(ran)
    assert node.inside("/opt/bin/tool").stat().st_uid == 0


@pytest.mark.parametrize("rule", ["", "ops ALL=(ALL) NOPASSWD: /usr/bin/id"], ids=["stranger", "narrow"])
@fault("8 sudo not allowed", codes="SB303", exits=1, state="nothing written")
def test_fault_08_not_allowed(cluster: Cluster, rule: str) -> None:
    requires("sudo")
    node = cluster.node(users=[User("ops", PASSWORD)], user="ops", setup=sudoers(rule), **SUDO)
    before = node.files()
    ran = cluster.told("apply", "--yes", env={"SUDO_PW": PASSWORD})
    # sudo itself tells a stranger from a narrow rule only after the password.
    words = ("not in the sudoers file", "ops") if not rule else ("does not let ops run /bin/sh as root",)
    ran.tells("SB303", "n1", *words)
    assert (ran.code, ran.errors) == (1, ["SB303"])
    assert "WRONG" not in tried(node)
    assert node.files() == before


@fault("9 not root, no sudo or doas", codes="SB303", exits=1, state="nothing written")
def test_fault_09_no_sudo(cluster: Cluster) -> None:
    hidden = [path for name in ("sudo", "doas") if (path := shutil.which(name))]
    setup = "".join(f"mount --bind /dev/null '{path}'\n" for path in hidden)
    node = cluster.node(users=[User("ops")], user="ops", setup=setup)
    before = node.files()
    ran = cluster.told("check")
    ran.tells("SB303", "n1", "ops", "is not root", "no sudo", hint="log in as root")
    assert (ran.code, ran.errors) == (1, ["SB303"])
    assert cluster.told("apply", "--yes").code == 1
    assert node.files() == before
