"""What ships beside the code: example, schema, starter, pages, and the resolved view."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sealboot.diagnostics import page
from sealboot.diagnostics.catalogue import SECTIONS
from sealboot.inventory.hygiene import UnsafeError
from sealboot.inventory.load import DriverRoles, load_inventory
from sealboot.inventory.schema import InventoryPart, json_schema
from sealboot.inventory.starter import Order, StarterSlot, starter
from sealboot.inventory.starter_hosts import rows, targets
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


def order(driver: str, hosts: tuple[str, ...] = ("192.0.2.11", "192.0.2.12"), **more: Any) -> Order:
    found = tuple(rows(targets(hosts)))
    slot = StarterSlot("tool", "a program", "binaries/*", ("curl one", "curl two"))
    return Order(driver, found, (slot,), phases=driver == "phases", **more)


@pytest.mark.parametrize("driver", ["sealos", "k3s", "phases"])
@pytest.mark.parametrize(
    "hosts", [("10.0.0.1",), ("10.0.0.1", "ops@nas1.lan:2222", "nas1.other", "fe80::1", "bücher.example")]
)
def test_starters_load(driver: str, hosts: tuple[str, ...], drivers: dict[str, DriverRoles]) -> None:
    inventory, found = load_inventory(["-"], stdin=starter(order(driver, hosts)).encode(), drivers=drivers)
    assert inventory is not None
    assert {f.code for f in found} <= {"SB018"}
    assert inventory.driver == driver
    assert len(inventory.hosts) == len(hosts)
    if len(hosts) > 1:
        nas = inventory.host("nas1")
        assert (nas.address, nas.ssh.user, nas.ssh.port) == ("nas1.lan", "ops", 2222)


def test_a_starter_says_what_it_was_told(drivers: dict[str, DriverRoles]) -> None:
    told = order(
        "k3s",
        name="attic",
        release="v1.36.3+k3s1",
        user="ops",
        port=2222,
        key="~/keys/a b",
        schema="./s.json",
    )
    text = starter(told)
    inventory, found = load_inventory(["-"], stdin=text.encode(), drivers=drivers)
    assert inventory is not None
    assert not found
    assert (inventory.name, inventory.release) == ("attic", "v1.36.3+k3s1")
    ssh = inventory.hosts[0].ssh
    assert (ssh.user, ssh.port, ssh.identity_files) == ("ops", 2222, ("~/keys/a b",))
    assert text.startswith("# yaml-language-server: $schema=./s.json\n")
    assert "\n  #   curl one\n  #   curl two\n  tool: " in text
    assert "yaml-language-server" not in starter(order("k3s"))


def names_of(*given: str) -> list[tuple[str, str | None]]:
    return [(row.name, row.address) for row in rows(targets(given))]


def test_ranges_are_written_as_ranges() -> None:
    assert names_of("pi[01-03]") == [("pi[01-03]", None)]
    assert names_of("10.0.0.[11-13]") == [("node[1-3]", "10.0.0.[11-13]")]
    assert names_of("ops@pi[1-2].lan:2222") == [("pi[1-2]", "pi[1-2].lan")]
    assert names_of("pi[01,03-04]", "nas1") == [("pi[01,03-04]", None), ("nas1", None)]
    assert names_of("a.b[1-2].v3") == [("a", "a.b1.v3"), ("node2", "a.b2.v3")]


def test_a_range_with_two_roles_is_two_ranges() -> None:
    made = targets(("pi[1-5]",))
    named = [replace(one, role="server" if i < 3 else "agent") for i, one in enumerate(made)]
    assert [(r.name, r.role) for r in rows(named)] == [("pi[1-3]", "server"), ("pi[4-5]", "agent")]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (('x"}}, evil: {y: "\n',), "control"),
        (("a", "a"), "is the machine that"),
        (("10.0.0.1", "::ffff:10.0.0.1"), "is the machine that"),
        (("pi[3-1]",), "backwards"),
        (("pi[1-99999999]",), "more than"),
        (("-oProxyCommand=x",), "begins with `-`"),
        (("root:secret@a",), "password"),
        (("a:99999",), "is no port"),
        (("@a",), "no user"),
        (("127.1",), "odd spelling"),
    ],
)
def test_what_is_no_host_is_told_at_once(given: tuple[str, ...], why: str) -> None:
    with pytest.raises(UnsafeError, match=re.escape(why)):
        targets(given)


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


@pytest.mark.parametrize(
    ("source", "summary", "hint"),
    [
        ("ansible:hosts.ini", "no reader is called `ansible`; there are ", "sealboot init"),
        (
            "k0sctrl:k0sctl.yaml",
            "no reader is called `k0sctrl`; there are ",
            "did you mean `k0sctl:k0sctl.yaml`?",
        ),
        ("terraform:x", "sealos", "sealboot init"),
        ("none.yaml", "there is no inventory at none.yaml", "sealboot init"),
        ("./ansible:x", "there is no inventory at ./ansible:x", "sealboot init"),
        ("https://example.net/x", "there is no inventory at https://example.net/x", "sealboot init"),
    ],
)
def test_a_source_that_is_not_there(
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    drivers: dict[str, DriverRoles],
    source: str,
    summary: str,
    hint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    inventory, (found,) = load_inventory([source], drivers=drivers)
    assert inventory is None
    assert found.code == "SB001"
    assert summary in found.summary
    assert hint in found.hints[0]


def test_a_file_with_a_colon_in_its_name_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drivers: dict[str, DriverRoles]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site:one.yaml").write_text("version: 1\ncluster: {name: lab, driver: k3s}\nhosts: {a: {}}\n")
    inventory, _ = load_inventory(["site:one.yaml"], drivers=drivers)
    assert inventory is not None
