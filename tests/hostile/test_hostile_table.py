"""docs/hostile.md is made from the declared cases, and each of them has tests that are there and assert."""

from __future__ import annotations

import ast
import os
from functools import cache
from pathlib import Path

import pytest
from hostile_cases import CASES, Case

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "hostile.md"

HEAD = """# Hostile input

What sealboot reads was written by others: downloads, archives, inventories, texts from hosts. Each row is something that
was made to hang, exhaust or mislead whoever reads it, and the tests that try it. The table is made from
`tests/hostile/hostile_cases.py`; a case without a test fails. Write it anew with `UPDATE_GOLDEN=1`. What is tried
without being thought of first: [fuzzing.md](fuzzing.md).

| # | Input | Harm to a reader that trusts it | What sealboot does | Tests |
|---|---|---|---|---|
"""


@cache
def functions(file: str) -> dict[str, ast.AST]:
    """The tests of a file by name, unless they are never run."""
    tree = ast.parse((TESTS / file).read_text())
    return {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not any("skip" in ast.unparse(d) or "slow" in ast.unparse(d) for d in node.decorator_list)
    }


def shown(case: Case) -> str:
    return "<br>".join(f"`{test.rpartition('/')[2]}`" for test in case.tests)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what[:40])
def test_every_case_has_tests(case: Case) -> None:
    assert case.tests
    for test in case.tests:
        file, _, name = test.partition("::")
        assert name.startswith("test_")
        assert name in functions(file), f"{test} is not there, or is not run"


def test_cases_are_told_once() -> None:
    assert len({case.what for case in CASES}) == len(CASES)
    assert all(case.harm and case.rule for case in CASES)


def test_no_hostile_test_is_left_out() -> None:
    """What stands in this folder is in the table."""
    told = {test for case in CASES for test in case.tests}
    for path in Path(__file__).parent.glob("test_hostile_*.py"):
        if path.name != Path(__file__).name:
            names = {name for name in functions(f"hostile/{path.name}") if name.startswith("test_")}
            assert {f"hostile/{path.name}::{name}" for name in names} <= told


def test_the_page_is_fresh() -> None:
    rows = (
        f"| {number} | {case.what} | {case.harm} | {case.rule} | {shown(case)} |\n"
        for number, case in enumerate(CASES, 1)
    )
    text = HEAD + "".join(rows)
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(text)
    assert PAGE.read_text() == text
