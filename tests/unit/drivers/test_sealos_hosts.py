"""A hosts file that gets an entry and loses it again, in real shells: every other line stays as it is.

The fault cases were seen with real root filesystems (sealos 5.1.1): `init-kube.sh` adds `::1 localhost`, and
`sealctl hosts` then made one line of both localhosts.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from requires import inapplicable, shells

from sealboot.drivers import sealos_hosts_scripts as scripts

pytestmark = pytest.mark.parametrize("shell", shells("sh", "bash", "busybox"))
DEBIAN = "127.0.0.1\tlocalhost\n127.0.1.1\tbox.lan box # me\n\n# IPv6\nff02::1 ip6-allnodes\n"
MERGED = "127.0.0.1 localhost\n::1 localhost\n10.0.0.11 apiserver.cluster.local\n"


def sh(shell: list[str], script: str, hosts: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*shell, "-c", script],
        env={"PATH": "/usr/bin:/bin", "HOSTS_FILE": str(hosts), **env},
        text=True,
        capture_output=True,
        timeout=20,
        check=False,
    )


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    return tmp_path / "my hosts"


def add(shell: list[str], hosts: Path, domain: str = "sealos.hub") -> subprocess.CompletedProcess[str]:
    return sh(shell, scripts.ADD_HOST, hosts, IP="10.0.0.1", DOMAIN=domain)


@pytest.mark.parametrize(
    ("content", "holds"),
    [
        ("10.0.0.1 sealos.hub\n", True),
        ("10.0.0.1\tother sealos.hub # comment\n", True),
        ("10.0.0.1 sealos.hub", True),
        ("  10.0.0.1   sealos.hub\n", True),
        ("", False),
        ("#10.0.0.1 sealos.hub\n", False),
        ("10.0.0.1 other # sealos.hub\n", False),
        ("10.0.0.1 sealos.hub.lan\n10.0.0.1 my.sealos.hub\n", False),
        ("10.0.0.11 sealos.hub\n", False),
        ("10.0.0.2 sealos.hub\n10.0.0.1 sealos.hub\n", False),
        ("10.0.0.1 sealos.hub\n10.0.0.2 sealos.hub\n", False),
        ("10.0.0.1 sealosxhub\n", False),
    ],
)
def test_the_question(shell: list[str], content: str, holds: bool, hosts: Path) -> None:
    hosts.write_text(content)
    asked = scripts.has_entry(str(hosts), "10.0.0.1", "sealos.hub")
    assert (sh(shell, asked, hosts).returncode == 0) is holds


@pytest.mark.parametrize(
    ("content", "left"),
    [
        ("", ""),
        (DEBIAN, DEBIAN),
        (MERGED, MERGED),
        (
            "127.0.0.1 localhost # us\n# note\n10.0.0.9 sealos.hub\n# last\n",
            "127.0.0.1 localhost # us\n# note\n# last\n",
        ),
        ("1.2.3.4 last", "1.2.3.4 last\n"),
        ("10.0.0.9 sealos.hub other\n", "10.0.0.9 other\n"),
        ("10.0.0.9\tother sealos.hub # a sealos.hub\n", "10.0.0.9 other # a sealos.hub\n"),
        ("10.0.0.9 my.sealos.hub sealos.hub.lan\n", "10.0.0.9 my.sealos.hub sealos.hub.lan\n"),
        ("not an entry\n*\n10.0.0.9\n %s \\n x\r\n", "not an entry\n*\n10.0.0.9\n %s \\n x\r\n"),
    ],
)
def test_every_other_line_stays_as_it_is(shell: list[str], content: str, left: str, hosts: Path) -> None:
    hosts.write_bytes(content.encode())
    result = add(shell, hosts)
    assert (result.returncode, result.stderr) == (0, "")
    assert hosts.read_bytes().decode() == f"{left}10.0.0.1 sealos.hub\n"
    assert sh(shell, scripts.has_entry(str(hosts), "10.0.0.1", "sealos.hub"), hosts).returncode == 0


def test_the_address_of_a_name_changes_beside_two_localhosts(shell: list[str], hosts: Path) -> None:
    """Which ended with 65 on each further master, at each run."""
    hosts.write_text(MERGED)
    assert add(shell, hosts, "apiserver.cluster.local").returncode == 0
    assert hosts.read_text() == MERGED.replace("10.0.0.11", "10.0.0.1")


def test_a_machine_without_a_hosts_file_gets_one(shell: list[str], hosts: Path) -> None:
    result = add(shell, hosts)
    assert (result.returncode, result.stderr) == (0, "")
    assert hosts.read_text() == "10.0.0.1 sealos.hub\n"
    assert hosts.stat().st_mode & 0o777 == 0o644


def test_what_cannot_be_written_whole_is_put_back(shell: list[str], hosts: Path, tmp_path: Path) -> None:
    """What becomes of it is read again: here a disk that keeps nothing of it, by a `sort` that sees less."""
    if shell[0] == "busybox":
        inapplicable("its `sort` is its own")
    hosts.write_text(DEBIAN)
    (tmp_path / "sort").write_text(f'#!/bin/sh\necho x >>"{tmp_path}/n"; wc -l <"{tmp_path}/n"\n')
    (tmp_path / "sort").chmod(0o755)
    result = sh(shell, scripts.ADD_HOST, hosts, IP="1.1.1.1", DOMAIN="x", PATH=f"{tmp_path}:/usr/bin:/bin")
    assert result.returncode == scripts.LOST_ENTRIES
    assert "was put back" in result.stderr
    assert hosts.read_text() == DEBIAN


@pytest.mark.parametrize(
    ("kept", "now", "left"),
    [
        # Nobody but us has written to it: the copy, byte for byte.
        (DEBIAN, DEBIAN + "10.0.0.1 sealos.hub\n", DEBIAN),
        # `init-kube.sh` has added the localhost that was missing.
        (DEBIAN, DEBIAN + "10.0.0.1 sealos.hub\n::1 localhost\n10.0.0.2 apiserver.cluster.local\n", DEBIAN),
        (
            "10.0.0.5 me\n",
            "10.0.0.5 me\n127.0.0.1 localhost\n::1 localhost\n10.0.0.1 sealos.hub\n",
            "10.0.0.5 me\n",
        ),
        # Somebody else has: only our names go.
        (DEBIAN, "10.0.0.9 nas\n" + MERGED, "10.0.0.9 nas\n127.0.0.1 localhost\n::1 localhost\n"),
        # A localhost that was there and is not any more is somebody else's doing, too.
        (DEBIAN, "10.0.0.1 sealos.hub\n::1 localhost\n", "::1 localhost\n"),
        (None, MERGED, "127.0.0.1 localhost\n::1 localhost\n"),
    ],
)
def test_the_hosts_file_becomes_what_it_was_unless_others_wrote_to_it(
    shell: list[str], kept: str | None, now: str, left: str, tmp_path: Path
) -> None:
    hosts = tmp_path / "my hosts"
    if kept is not None:
        (tmp_path / "kept").write_text(kept)
    hosts.write_text(now)
    env = {"KEPT": str(tmp_path / "kept"), "DOMAINS": "sealos.hub apiserver.cluster.local"}
    for _ in range(2):
        ran = sh(shell, scripts.REMOVE_HOSTS, hosts, **env)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert hosts.read_text() == left
    asked = scripts.has_none(str(hosts), ("sealos.hub", "apiserver.cluster.local"))
    assert sh(shell, asked, hosts).returncode == 0
