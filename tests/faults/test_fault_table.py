"""docs/faults.md is made from what the tests declare, and what they declare they have shown."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from faultkit import Fault

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "faults.md"
NUMBERS = range(1, 26)

HEAD = """# What happens when things go wrong

Each row is a test against real SSH servers, through the command line as an operator types it: the codes it must tell
(`sealboot explain CODE`), the exit code, and what is on the hosts afterwards. The table is made from the tests
themselves; a test that does not show what it declares fails. Write it anew with `UPDATE_GOLDEN=1`.

| Fault | Told | Exit | State afterwards | Test |
|---|---|---|---|---|
"""


def declared() -> Iterator[tuple[str, Fault]]:
    """Every test of this folder that declares a fault, by the name it is run under."""
    for path in sorted(HERE.glob("test_fault_*.py")):
        module = importlib.import_module(path.stem)
        for name, value in vars(module).items():
            row = getattr(value, "fault", None)
            if name.startswith("test_fault_") and isinstance(row, Fault):
                yield name, row


def number(name: str) -> int:
    match = re.match(r"test_fault_(\d\d)_", name)
    assert match, name
    return int(match[1])


def test_every_fault_has_a_test() -> None:
    assert {number(name) for name, _ in declared()} == set(NUMBERS)


def test_the_number_in_the_table_is_the_number_in_the_name() -> None:
    for name, row in declared():
        assert row.what.startswith(f"{number(name)} "), name


def test_the_page_is_fresh() -> None:
    rows = sorted(declared(), key=lambda pair: (number(pair[0]), pair[1].what))
    text = HEAD + "".join(
        f"| {row.what} | {', '.join(row.codes) or '-'} | {' or '.join(map(str, row.exits))} "
        f"| {row.state} | `{name}` |\n"
        for name, row in rows
    )
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(text)
    assert PAGE.read_text() == text
