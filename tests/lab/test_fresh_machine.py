"""The README's two commands on machines that have what its first line installs, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from labkit import bare
from labkit.bare import Bare
from requires import BASE, LAB, requires

#: Seconds for one command.
DEMO, TEST, WHOLE = 600, 3600, 7200
pytestmark = [pytest.mark.slow, pytest.mark.timeout(DEMO * 2)]
#: Tests of the fast tier, those of the lab apart, that neither skip nor are left out on the barest machine.
ENOUGH = 5000


@pytest.fixture(params=bare.SUITES)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Bare:
    """A machine of its own for each test."""
    requires(*LAB, "debootstrap", "git", "apt-config")
    return bare.machine(request.param, tmp_path)


def ended(text: str) -> dict[str, int]:
    """The counts in pytest's last line."""
    last = text.strip().splitlines()[-1]
    return {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", last)}


def skipped(text: str) -> set[str]:
    """The reasons in pytest's short summary."""
    return set(re.findall(r"^SKIPPED \[\d+\] \S+ (.+)$", text, re.MULTILINE))


@pytest.mark.parametrize("user", [True, False], ids=["user", "root"])
def test_the_demo(machine: Bare, user: bool) -> None:
    etc = sorted(path.name for path in (machine.folder / "etc").iterdir())
    played = machine.run("make", "demo", user=user, limit=DEMO)
    assert played.returncode == 0, played.stdout
    assert "aarch64 programs by the lab's own interpreter" in played.stdout
    assert "4 ok. Nothing to do: 0 changes, 0 bytes sent." in played.stdout
    assert sorted(path.name for path in (machine.folder / "etc").iterdir()) == etc


def test_the_demo_without_a_home(machine: Bare) -> None:
    played = machine.run("make", "demo", home=False, limit=DEMO)
    assert played.returncode == 0, played.stdout


def test_what_every_test_may_count_on_is_there(machine: Bare) -> None:
    script = 'for name; do command -v "$name" >/dev/null || echo "$name"; done'
    assert machine.run("sh", "-c", script, "sh", *sorted(BASE), limit=60).stdout == ""


@pytest.mark.timeout(TEST)
def test_the_tests_as_a_user(machine: Bare) -> None:
    """Nothing is installed: what is missing skips, and says which package brings it."""
    ran = machine.run("make", "test", user=True, limit=TEST)
    assert ran.returncode == 0, ran.stdout[-20000:]
    assert "lab-prepare: not root: nothing is installed" in ran.stdout
    reasons = skipped(ran.stdout)
    assert {
        "busybox is missing: apt-get install busybox-static",
        "ssh-keygen is missing: apt-get install openssh-client",
        "needs root",
    } <= reasons
    counts = ended(ran.stdout)
    assert counts["passed"] > ENOUGH
    assert not {"failed", "error", "errors"} & counts.keys()


@pytest.mark.timeout(WHOLE)
def test_the_tests_as_root(machine: Bare) -> None:
    """What they need is installed, once and told, and the lab runs too."""
    ran = machine.run("make", "test", limit=WHOLE)
    assert ran.returncode == 0, ran.stdout[-20000:]
    (told,) = re.findall(r"^lab-prepare: installing with apt: (.*)$", ran.stdout, re.MULTILINE)
    assert {"busybox-static", "openssh-server", "gcc", "minisign"} <= set(told.split())
    assert not [reason for reason in skipped(ran.stdout) if "apt-get install" in reason]
    counts = ended(ran.stdout)
    assert counts["passed"] > ENOUGH
    assert not {"failed", "error", "errors"} & counts.keys()
    again = machine.run("scripts/lab-prepare", "packages", limit=60)
    assert (again.returncode, again.stdout) == (0, "")
