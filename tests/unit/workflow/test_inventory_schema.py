"""The JSON schema of inventories: with each driver's own options, and agreeing with the program on all that we show."""

from __future__ import annotations

import copy
import importlib.metadata
import json
import re
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ConfigDict

from sealboot.drivers import registry
from sealboot.drivers.base import Driver
from sealboot.drivers.options import validate
from sealboot.drivers.phases_schema import ACTIONS
from sealboot.drivers.registry import load_driver, own_driver_names
from sealboot.inventory.schema import InventoryPart
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Host, Inventory
from sealboot.workflow.schema import inventory_schema, main, text

ROOT = Path(__file__).parents[3]
SCHEMA = ROOT / "schemas" / "inventory.schema.json"
DRIVERS = own_driver_names()
OURS = inventory_schema(DRIVERS)


def wrong(tree: Any, schema: dict[str, Any] | None = None) -> list[str]:
    """What an editor would underline."""
    checker = Draft202012Validator(schema or OURS)
    return [f"{error.json_path}: {error.message}" for error in checker.iter_errors(tree)]


def driver(name: str) -> Driver:
    loaded = load_driver(name)
    assert not isinstance(loaded, Diagnostic)
    return loaded


def small(name: str, **more: Any) -> dict[str, Any]:
    """The smallest inventory of a driver."""
    made = {"version": 1, "cluster": {"name": "lab", "driver": name}, "hosts": {"a": {}}, **more}
    if name == "phases" and "phases" not in made and "options" not in made:
        made["phases"] = [{"name": "p", "steps": [{"run": "true"}]}]
    return made


def snippets() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every YAML block of the pages that has an inventory, or a part of one, in it."""
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for number, block in enumerate(
            re.findall(r"^```ya?ml\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
        ):
            tree = yaml.safe_load(block.replace("…", "x"))
            if not isinstance(tree, dict) or not set(tree) <= set(InventoryPart.model_fields):
                continue  # a Clusterfile, a k0sctl.yaml, a piece of a step
            whole = {"version": 1, "cluster": {"name": "lab"}, "hosts": {"a": {}}, **copy.deepcopy(tree)}
            name = page.stem if page.stem in DRIVERS else "phases"
            whole["cluster"] = {"driver": name, **whole["cluster"], "name": "lab"}
            if whole["cluster"]["driver"] == "phases":
                whole.setdefault("phases", small("phases")["phases"])
            yield f"{page.name}-{number}", whole


def test_the_file_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    written = SCHEMA.read_text()
    assert capsys.readouterr().out == written, "run: make schemas"
    schema = json.loads(written)
    Draft202012Validator.check_schema(schema)
    assert schema["patternProperties"] == {"^x-": {}}
    assert "null" not in written


def test_every_reference_leads_somewhere() -> None:
    written = SCHEMA.read_text()
    names = set(re.findall(r'"#/\$defs/([^"]+)"', written))
    assert names <= set(json.loads(written)["$defs"])


@pytest.mark.parametrize(
    "path", ["inventory.example.yaml", "docs/examples/etcd.yaml", "docs/examples/agents.yaml"]
)
def test_examples_are_valid(path: str) -> None:
    assert wrong(yaml.safe_load((ROOT / path).read_text())) == []


@pytest.mark.parametrize(("name", "tree"), list(snippets()), ids=[name for name, _ in snippets()])
def test_snippets_of_the_pages_are_valid(name: str, tree: dict[str, Any]) -> None:
    assert wrong(tree) == [], name


def test_there_are_snippets_for_every_driver() -> None:
    assert {tree["cluster"]["driver"] for _, tree in snippets()} == set(DRIVERS)


@pytest.mark.parametrize("name", DRIVERS)
def test_the_smallest_inventory_is_valid(name: str) -> None:
    assert wrong(small(name)) == []


@pytest.mark.parametrize("name", DRIVERS)
def test_every_option_is_known_and_its_misspelling_is_not(name: str) -> None:
    known = OURS["$defs"][f"{name}.options"]["properties"]
    assert set(known) == set(driver(name).Options.model_fields)
    for option in known:
        assert wrong(small(name, options={option[:-1] + "_": "x"})), option
    assert wrong(small(name, options={"x-mine": 1, **_phases(name)})) == []


def _phases(name: str) -> dict[str, Any]:
    return {"phases": small("phases")["phases"]} if name == "phases" else {}


@pytest.mark.parametrize("name", DRIVERS)
def test_defaults_are_valid_in_the_editor_and_for_the_driver(name: str) -> None:
    """Whatever the schema proposes as a value is one: typed into YAML, and read as text by the driver."""
    known = OURS["$defs"][f"{name}.options"]["properties"]
    defaults = {option: about["default"] for option, about in known.items() if "default" in about}
    enums = {option: value for option, about in known.items() for value in about.get("enum", ())}
    for options in (defaults, {**defaults, **enums}):
        if not options:
            continue
        assert wrong(small(name, options=options)) == []
        as_text = {
            key: str(value).lower() if isinstance(value, bool) else str(value)
            for key, value in options.items()
        }
        inventory = Inventory(
            "i.yaml", ".", "lab", name, None, (Host("a", "10.0.0.1", "x"),), options=as_text
        )
        assert isinstance(validate(driver(name), inventory), BaseModel)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("k3s", {"tls_san": "lab.example"}),
        ("k3s", {"tls_san": ["lab.example", "10.0.0.9"], "adopt": True, "embedded_registry": "false"}),
        ("k3s", {"config": {"max-pods": 250}, "token_from": "env:TOKEN"}),
        ("k0s", {"batch": 3, "drain": {"enabled": False, "grace_period": 60}}),
        ("k0s", {"batch": "10%", "install_flags": "--debug"}),
        ("sealos", {"apiserver_port": 6443, "ipvs": True, "env": {"a": 1}}),
        ("talos", {"route": "disk", "kernel_args": "console=ttyS0", "handover_timeout": 600}),
    ],
)
def test_what_people_type_is_valid(name: str, options: dict[str, Any]) -> None:
    assert wrong(small(name, options=options)) == []


@pytest.mark.parametrize(
    ("name", "options", "where"),
    [
        ("k3s", {"install": "helm"}, "install"),
        ("k3s", {"start_timeout": 1}, "start_timeout"),
        ("k3s", {"token_from": "hunter2"}, "token_from"),
        ("k3s", {"adopt": "yes"}, "adopt"),
        ("k0s", {"drain": {"graceperiod": 1}}, "drain"),
        ("k0s", {"token_expiry": "soon"}, "token_expiry"),
        ("sealos", {"apiserver_port": 0}, "apiserver_port"),
        ("sealos", {"image_repository": " x"}, "image_repository"),
        ("talos", {"route": "pxe"}, "route"),
        ("talos", {"config_url": ["a"]}, "config_url"),
    ],
)
def test_what_the_driver_refuses_is_underlined(name: str, options: dict[str, Any], where: str) -> None:
    (first, *_) = wrong(small(name, options=options))
    assert first.startswith(f"$.options.{where}")
    as_text = json.loads(json.dumps(options), parse_int=str)
    inventory = Inventory("i.yaml", ".", "lab", name, None, (Host("a", "10.0.0.1", "x"),), options=as_text)
    assert isinstance(validate(driver(name), inventory), tuple)


@pytest.mark.parametrize("name", DRIVERS)
@pytest.mark.parametrize("level", ["defaults", "groups", "hosts"])
def test_roles_are_the_driver_s_own(name: str, level: str) -> None:
    roles = driver(name).roles

    def with_role(role: str) -> dict[str, Any]:
        setting = {"role": role}
        return small(name, **{level: setting if level == "defaults" else {"a": setting}})

    assert all(wrong(with_role(role)) == [] for role in roles or ("member",))
    assert bool(wrong(with_role("captain"))) == bool(roles)


def test_an_unknown_driver_is_underlined() -> None:
    assert wrong(small("k9s"))[0].startswith("$.cluster.driver")


@pytest.mark.parametrize("name", [name for name in DRIVERS if name != "phases"])
def test_phases_belong_to_their_own_driver(name: str) -> None:
    assert wrong(small(name, phases=small("phases")["phases"]))


@pytest.mark.parametrize("place", ["phases", "options"])
def test_phases_stand_at_the_top_or_among_the_options(place: str) -> None:
    phases = small("phases")["phases"]
    made = small("phases", **({"phases": phases} if place == "phases" else {"options": {"phases": phases}}))
    assert wrong(made) == []
    assert wrong(small("phases", options={}))


@pytest.mark.parametrize(
    "step",
    [
        {"run": "true"},
        {"run": {"script": "true", "env": {"A": "1"}}, "unless": "test -e /x", "timeout": "90s"},
        {"upload": {"artifact": "x", "dest": "/x", "smoke": '"$1"', "mode": "0755", "expects": "one"}},
        {"write": {"dest": "/x", "content": "a", "mode": 644}},
        {"service": "etcd", "after": "one"},
        {"wait": {"tcp": "localhost:1", "timeout": 5}},
        {"remove": "/x", "become": False, "x-why": "because"},
    ],
)
def test_steps_of_every_kind_are_valid(step: dict[str, Any]) -> None:
    assert wrong(small("phases", phases=[{"name": "p", "steps": [step]}])) == []


@pytest.mark.parametrize(
    "step",
    [
        {},
        {"name": "nothing"},
        {"run": "true", "remove": "/x"},
        {"uplod": {"artifact": "x", "dest": "/x"}},
        {"upload": {"artifact": "x", "dst": "/x"}},
        {"write": {"dest": "/x", "content": "a", "mode": "rwx"}},
        {"wait": {"tcp": "localhost:1", "timeout": "soon"}},
        {"service": {"name": "x", "state": "running"}},
    ],
)
def test_wrong_steps_are_underlined(step: dict[str, Any]) -> None:
    assert wrong(small("phases", phases=[{"name": "p", "steps": [step]}]))


def test_an_editor_completes_actions_and_slots() -> None:
    schema = OURS
    assert set(ACTIONS) <= set(schema["$defs"]["phases.StepPart"]["properties"])
    rules = {
        rule["if"]["properties"]["cluster"]["properties"]["driver"]["const"]: rule["then"]
        for rule in schema["allOf"]
    }
    assert {"k3s", "images"} <= set(rules["k3s"]["properties"]["artifacts"]["properties"])
    assert {"boot", "talosctl"} <= set(rules["talos"]["properties"]["artifacts"]["properties"])
    assert "service" in schema["$defs"]["k3s.options"]["properties"]["install"]["description"]


class OtherOptions(BaseModel):
    """A third party's options."""

    model_config = ConfigDict(extra="forbid")

    colour: str = "red"


class Other:
    """A third party's driver."""

    name: ClassVar[str] = "other"
    roles: ClassVar[tuple[str, ...]] = ("boss",)
    default_role: ClassVar[str] = "boss"
    Options: ClassVar[type[BaseModel]] = OtherOptions

    def _none(self, *_: object) -> tuple[()]:
        return ()

    slots = wants = checks = waves = _none


def _break() -> None:
    raise OSError("broken")


def test_drivers_of_others_are_in_the_schema_that_is_printed_and_broken_ones_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entries = {
        "other": EntryPoint("other", f"{__name__}:Other", registry.GROUP),
        "broken": EntryPoint("broken", f"{__name__}:_break", registry.GROUP),
    }
    real = importlib.metadata.entry_points

    def found(*, group: str, name: str | None = None) -> list[EntryPoint]:
        if name is not None:
            return [entries[name]] if name in entries else list(real(group=group, name=name))
        return [*real(group=group), *entries.values()]

    monkeypatch.setattr(registry, "entry_points", found)
    schema = json.loads(text())
    assert wrong(small("other", options={"colour": "blue"}), schema) == []
    assert wrong(small("other", options={"color": "blue"}), schema)
    assert wrong(small("other", hosts={"a": {"role": "server"}}), schema)
    assert wrong(small("k3s"), schema) == []
    assert wrong(small("broken"), schema)
    assert own_driver_names() == DRIVERS
