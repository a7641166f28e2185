"""The reference of commands is made of the program, and the pages lead to one another."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from sealboot.cli.options import TASTE, taste
from sealboot.cli.reference import text
from sealboot.drivers.published import files_of
from sealboot.drivers.registry import load_driver, own_driver_names
from sealboot.model.diagnostic import Diagnostic

DOCS = Path(__file__).parents[3] / "docs"


def test_the_reference_is_fresh() -> None:
    assert (DOCS / "commands-reference.md").read_text() == text(), "run: make reference"


def test_the_reference_has_every_command_and_no_leak() -> None:
    made = text()
    for name in ("check", "apply", "init", "lock release", "inventory schema", "version"):
        assert f"\n## {name}\n" in made
    assert not re.search(r"list\[str\]|<path>|<str>|\{drivers\}|--out(?!put)", made)


def test_every_page_is_reached_from_the_index() -> None:
    index = (DOCS / "README.md").read_text()
    pages = {page.name for page in DOCS.glob("*.md")} - {"README.md"}
    assert {page for page in pages if f"({page})" not in index} == set()


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        file, _, anchor = target.partition("#")
        if ":" in file:
            continue
        place = (page.parent / file) if file else page
        assert place.exists(), target
        if anchor and place.suffix == ".md":
            heads = re.findall(r"^#+ (.*)$", place.read_text(), re.MULTILINE)
            made = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in made, target


def test_the_settings_file_of_the_page_is_one(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", (DOCS / "commands.md").read_text(), re.DOTALL)
    path = tmp_path / "config.toml"
    path.write_text(block)
    assert set(taste(path)) == set(TASTE) == set(tomllib.loads(block))


@pytest.mark.parametrize("name", [name for name in own_driver_names() if name != "phases"])
def test_the_pages_show_the_addresses_that_init_writes(name: str) -> None:
    """Every address in a command of the driver is on its page, so that neither goes its own way."""
    driver = load_driver(name)
    assert not isinstance(driver, Diagnostic)
    page = (DOCS / f"{name}.md").read_text()
    release = {"k3s": "v1.36.3+k3s1", "k0s": "v1.30.2+k0s.0", "sealos": "v1.29.9", "talos": "v1.14.0"}[name]
    base = re.findall(r"^base=(\S+)", page, re.MULTILINE)
    written = [line.replace("$base", folder) for line in page.splitlines() for folder in base or [""]]
    commands = [
        c for file in files_of(driver, release) for a, c in file.commands.items() if a in {"amd64", "arm64"}
    ]
    assert commands
    missing = []
    for command in commands:
        (address,) = re.findall(r"(?:https|docker)://\S+", command)
        if "airgap-images-list" not in address and not any(address in line for line in written):
            missing.append(address)
    assert [a for a in missing if "talosctl-linux-arm64" not in a and "metal-arm64.raw" not in a] == []
