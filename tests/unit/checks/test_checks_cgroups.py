"""The version of a host's control groups: the script on made-up mount tables, and who is refused for it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from requires import shells
from test_checks import FACTS, HOST

from sealboot.checks.cgroups import KEY, QUESTION, old_cgroups, refuses_v1
from sealboot.model.diagnostic import Severity

V1 = "tmpfs {} tmpfs rw 0 0\ncgroup {}/memory cgroup rw,memory 0 0\ncgroup {}/cpu,cpuacct cgroup rw 0 0\n"
HYBRID = V1 + "cgroup2 {}/unified cgroup2 rw 0 0\n"
V2 = "cgroup2 {} cgroup2 rw 0 0\n"
NONE = "proc /proc proc rw 0 0\nsysfs /sys sysfs rw 0 0\ncgroup /mnt/v1 cgroup rw 0 0\n"


@pytest.mark.parametrize("shell", shells("dash", "busybox"))
@pytest.mark.parametrize(
    ("mounts", "unified", "told"),
    [(V1, False, "v1"), (HYBRID, False, "hybrid"), (V2, True, "v2"), (NONE, False, ""), (None, False, "")],
)
def test_a_host_tells_its_control_groups(
    shell: Sequence[str], mounts: str | None, unified: bool, told: str, tmp_path: Path
) -> None:
    place = tmp_path / "cgroup"
    place.mkdir()
    table = tmp_path / "mounts"
    if mounts is not None:
        table.write_text(mounts.replace("{}", str(place)))
    if unified:
        (place / "cgroup.controllers").write_text("cpu memory\n")
    script = QUESTION.replace("/sys/fs/cgroup", str(place)).replace("/proc/self/mounts", str(table))
    done = subprocess.run([*shell, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, told, "")


@pytest.mark.parametrize(
    ("release", "refuses"),
    [
        ("v1.34.9+k3s1", False),
        ("v1.35.0", True),
        ("v1.36.3+k0s.2", True),
        ("v2.0.0", True),
        ("", False),
        ("no release", False),
        ("v1.9.11", False),
    ],
)
def test_releases_that_do_not_start_on_the_first_version(release: str, refuses: bool) -> None:
    assert refuses_v1(release) == refuses
    for told in ("v1\n", "hybrid\n"):
        facts = replace(FACTS, observed={KEY: told})
        found = old_cgroups(HOST, facts, release, accepted=False, way="or do that")
        assert [(d.code, d.severity, d.host) for d in found] == (
            [("SB314", Severity.ERROR, HOST.name)] if refuses else []
        )
        assert all("or do that" in d.hints and release in d.summary for d in found)
        assert old_cgroups(HOST, facts, release, accepted=True, way="") == ()


@pytest.mark.parametrize("told", ["v2\n", "", "nonsense"])
def test_other_hosts_have_no_finding(told: str) -> None:
    facts = replace(FACTS, observed={KEY: told})
    assert old_cgroups(HOST, facts, "v1.36.3", accepted=False, way="") == ()
    assert old_cgroups(HOST, FACTS, "v1.36.3", accepted=False, way="") == ()
