"""`--only`: one part of the desired state."""

from __future__ import annotations

from pathlib import Path

from sealboot.drivers.base import Context
from sealboot.model.arch import Arch
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.facts import Facts
from sealboot.workflow.planning import unknown_part
from sealboot.workflow.prepare import Prepared, prepare

INVENTORY = """
version: 1
cluster: {name: lab, driver: phases}
hosts: {a: {address: 127.0.0.1, role: x}}
phases:
  - name: one
    steps: [{name: first, run: {script: "true"}}, {name: second, run: {script: "true"}, after: [first]}]
  - name: two
    steps: [{run: {script: "true"}}]
"""


def prepared(tmp_path: Path, *only: str) -> tuple[Prepared, Context]:
    path = tmp_path / "inventory.yaml"
    path.write_text(INVENTORY)
    made = prepare([str(path)])
    assert isinstance(made, Prepared), made
    facts = {"a": Facts("a", "x86_64", Arch.AMD64, Arch.AMD64, 64, "little")}
    context = Context(made.inventory, made.options, made.selected, facts, {})
    return Prepared(made.inventory, made.driver, made.options, made.slots, made.selected, only=only), context


def test_all_of_it_without_only(tmp_path: Path) -> None:
    made, context = prepared(tmp_path)
    assert [w.id for w in made.waves(context)] == ["one", "two"]


def test_only_one_wave(tmp_path: Path) -> None:
    made, context = prepared(tmp_path, "one")
    (wave,) = made.waves(context)
    assert (wave.id, wave.steps[1].only_after) == ("one", (wave.steps[0].id,))
    assert unknown_part(made, context) is None


def test_what_does_not_exist_is_told(tmp_path: Path) -> None:
    made, context = prepared(tmp_path, "tow")
    found = unknown_part(made, context)
    assert isinstance(found, Diagnostic)
    assert (found.code, found.hints) == ("SB639", ("did you mean `two`?",))
