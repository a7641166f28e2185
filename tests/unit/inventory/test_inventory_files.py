"""What ships beside the code: example, schema, starter, pages, and the resolved view."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sealboot.diagnostics import page
from sealboot.diagnostics.catalogue import SECTIONS
from sealboot.inventory.load import DriverRoles, load_inventory
from sealboot.inventory.schema import InventoryPart, json_schema, main
from sealboot.inventory.starter import starter
from sealboot.inventory.view import ViewRow, resolved_view
from sealboot.model.diagnostic import Location

ROOT = Path(__file__).parents[3]


def test_the_example_loads_and_names_every_key(drivers: dict[str, DriverRoles]) -> None:
    example = ROOT / "inventory.example.yaml"
    inventory, found = load_inventory([str(example)], drivers=drivers)
    assert not found
    assert inventory is not None
    text = example.read_text()
    definitions = json_schema()["$defs"].values()
    keys = {key for part in definitions for key in part["properties"]} | set(InventoryPart.model_fields)
    assert [key for key in sorted(keys) if not re.search(rf"\b{key}:", text)] == []


def test_the_schema_file_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    written = (ROOT / "schemas" / "inventory.schema.json").read_text()
    assert capsys.readouterr().out == written, (
        "run: python -m sealboot.inventory.schema > schemas/inventory.schema.json"
    )
    schema = json.loads(written)
    assert schema["patternProperties"] == {"^x-": {}}
    assert "null" not in written


@pytest.mark.parametrize("driver", ["sealos", "k3s", "phases"])
@pytest.mark.parametrize(
    "hosts", [(), ("10.0.0.1", "ops@nas1.lan:2222", "nas1.other", "fe80::1", "bücher.example")]
)
def test_starters_load(driver: str, hosts: tuple[str, ...], drivers: dict[str, DriverRoles]) -> None:
    inventory, found = load_inventory(["-"], stdin=starter(driver, hosts).encode(), drivers=drivers)
    assert inventory is not None
    assert {f.code for f in found} <= {"SB018"}
    assert inventory.driver == driver
    assert len(inventory.hosts) == (len(hosts) or 2)
    if hosts:
        nas = inventory.host("nas1")
        assert (nas.address, nas.ssh.user, nas.ssh.port) == ("nas1.lan", "ops", 2222)


def test_a_starter_with_nonsense_is_told_so_at_its_place(drivers: dict[str, DriverRoles]) -> None:
    text = starter("sealos", ['x"}}, evil: {y: "\n'])
    inventory, (found,) = load_inventory(["-"], stdin=text.encode(), drivers=drivers)
    assert inventory is None
    assert found.code == "SB013"


def test_the_view_names_values_and_origins(drivers: dict[str, DriverRoles]) -> None:
    text = (
        "version: 1\ncluster: {name: a, driver: k3s}\nartifacts: {k3s: [b/k3s*]}\nhosts:\n"
        "  n1: {arch: arm/v6, become: {password_from: 'env:PW'}, ssh: {jump: none}}\n"
    )
    inventory, _ = load_inventory(["-"], stdin=text.encode(), drivers=drivers)
    assert inventory is not None
    rows = {row.setting: row for row in resolved_view(inventory)}
    assert rows["become.password_from"] == ViewRow(
        "n1", "become.password_from", "env:PW", Location("<stdin>", 5, 46)
    )
    assert (rows["arch"].value, rows["ssh.jump"].value) == ("arm/v6", "none")
    assert rows["artifacts.k3s"].origin == Location("<stdin>", 3, 13)
    assert rows["address"].origin == Location("<stdin>", 5, 3)
    assert rows["role"] == ViewRow("n1", "role", "agent", None)


@pytest.mark.parametrize("number", range(1, 20))
def test_every_code_has_its_page(number: int) -> None:
    text = page(f"SB{number:03}").text
    assert [section for section in SECTIONS if f"\n## {section}\n\n" not in text] == []
