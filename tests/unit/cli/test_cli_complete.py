"""What a shell proposes: never an error, never a word of a host, and only what can be typed there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_kit import clean

from sealboot.diagnostics import codes
from sealboot.drivers.registry import driver_names

INVENTORY = """\
version: 1
cluster: {name: lab, driver: k3s}
artifacts: {k3s: ["binaries/k3s*"], images: ["images/*"]}
groups: {pis: {}, attic: {}}
hosts:
  ctl1: {address: 192.0.2.1, role: server}
  pi[01-03]: {address: "192.0.2.[11-13]", groups: [pis], role: agent}
  nas1: {address: 192.0.2.20, groups: [attic], role: agent}
"""


def proposed(folder: Path, line: str, **env: str) -> list[str]:
    """What bash is told for this line, of which the last word is being typed."""
    words = line.split(" ")
    asked = {"_SEALBOOT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    program = "import sys; sys.argv[0] = 'sealboot'; import sealboot.cli; sealboot.cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**clean(folder), **asked, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout.split()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sealboot check --limit pi", ["pi01", "pi02", "pi03"]),
        ("sealboot check -l ctl1,p", ["ctl1,pi01", "ctl1,pi02", "ctl1,pi03"]),
        ("sealboot check -l @", ["@server", "@agent", "@pis", "@attic"]),
        ("sealboot check -l !n", ["!nas1"]),
        ("sealboot check -l pi[0", []),
        ("sealboot trust n", ["nas1"]),
        ("sealboot apply --confirm-disk ct", ["ctl1"]),
        ("sealboot explain SB10", [code for code in codes() if code.startswith("SB10")]),
        ("sealboot explain arch-mis", ["arch-mismatch"]),
        ("sealboot check --ignore SB30", [code for code in codes() if code.startswith("SB30")]),
        ("sealboot init --driver ", list(driver_names())),
        ("sealboot init --driver s", ["sealos"]),
        ("sealboot rollback --slot ", ["k3s", "images"]),
        ("sealboot plan --only imag", ["images"]),
        ("sealboot plan --only ser", []),  # there is one server, and no other one to join
        ("sealboot lock st", ["status"]),
    ],
)
def test_what_is_proposed(folder: Path, line: str, expected: list[str]) -> None:
    assert proposed(folder, line) == expected


def test_the_inventory_of_the_line_is_the_one_that_counts(folder: Path) -> None:
    (folder / "other.yaml").write_text(INVENTORY.replace("nas1", "attic9"))
    assert proposed(folder, "sealboot check -i other.yaml -l at") == ["attic9"]
    assert proposed(folder, "sealboot check -l at", SEALBOOT_INVENTORY="other.yaml") == ["attic9"]


@pytest.mark.parametrize("driver", driver_names())
def test_parts_of_every_driver(tmp_path: Path, driver: str) -> None:
    texts = {
        "k3s": ("k3s", "ship", "server"),
        "k0s": ("k0s", "ship", "controller"),
        "sealos": ("sealctl", "ship", "master"),
        "talos": ("boot", "handover", "controlplane"),
        "phases": ("tool", "install", "node"),
    }
    slot, part, role = texts[driver]
    text = f"version: 1\ncluster: {{name: lab, driver: {driver}}}\nhosts: {{a: {{role: {role}, address: 192.0.2.1}}}}\n"
    text += f"artifacts: {{{slot}: [b/*]}}\n"
    if driver == "phases":
        text += "phases: [{name: install, steps: [{run: 'true', creates: /x}]}]\n"
    (tmp_path / "inventory.yaml").write_text(text)
    found = proposed(tmp_path, "sealboot apply --only ")
    assert part in found or found == [], found
    if driver in {"k3s", "phases", "sealos"}:
        assert part in found


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"\xff\xfe",
        b"version: 1\nhosts: {",
        b"version: 1\ncluster: {name: lab, driver: nobody}\nhosts: {a: {}}\n",
        b"a: " * 1000,
        b"hosts: " + b"[" * 5000,
    ],
)
@pytest.mark.parametrize(
    "line",
    [
        "sealboot check -l ",
        "sealboot trust ",
        "sealboot rollback --slot ",
        "sealboot plan --only ",
        "sealboot check -i - -l ",
    ],
)
def test_whatever_the_inventory_is_nothing_is_said(tmp_path: Path, content: bytes | None, line: str) -> None:
    if content is not None:
        (tmp_path / "inventory.yaml").write_bytes(content)
    assert proposed(tmp_path, line) == []


def test_a_wrong_settings_file_is_no_matter_for_a_shell(folder: Path) -> None:
    settings = folder / "home" / ".config" / "sealboot" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("fomat = 1")
    assert proposed(folder, "sealboot check -l nas") == ["nas1"]


def test_a_fifo_does_not_hold_the_shell_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "inventory.yaml")
    begun = time.monotonic()
    assert proposed(tmp_path, "sealboot check -l ") == []
    assert time.monotonic() - begun < 30


def test_thousands_of_hosts_are_not_poured_into_the_shell(tmp_path: Path) -> None:
    text = INVENTORY.replace('pi[01-03]: {address: "192.0.2.[11-13]"', "pi[0001-3000]: {arch: arm64")
    (tmp_path / "inventory.yaml").write_text(text)
    found = proposed(tmp_path, "sealboot check -l pi")
    assert 0 < len(found) <= 200
