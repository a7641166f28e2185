"""Every code has a page, every page a use, and every code a test that raises it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sealboot.diagnostics import codes, name_of, page
from sealboot.diagnostics.catalogue import SECTIONS

ROOT = Path(__file__).parents[3]
CODE = re.compile(r"\bSB\d{3}\b")


def mentioned(folder: Path, *, leave_out: tuple[str, ...] = ()) -> dict[str, set[str]]:
    """The codes in the Python sources under a folder, and the files that have them."""
    found: dict[str, set[str]] = {}
    for path in folder.rglob("*.py"):
        if path.name not in leave_out:
            for code in CODE.findall(path.read_text()):
                found.setdefault(code, set()).add(str(path.relative_to(ROOT)))
    return found


IN_SOURCES = mentioned(ROOT / "sealboot")
#: Tables of exit codes and wrong command lines name codes without raising them.
IN_TESTS = mentioned(
    ROOT / "tests", leave_out=("test_codes_complete.py", "test_cli_exits.py", "test_cli_offline.py")
)


@pytest.mark.parametrize("code", codes())
def test_pages_have_their_sections(code: str) -> None:
    text = page(code).text
    sections = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert sections == list(SECTIONS)
    for body in re.split(r"^## .*$", text, flags=re.MULTILINE)[1:]:
        assert len(body.split()) >= 2


def test_names_are_unique() -> None:
    assert len({name_of(code) for code in codes()}) == len(codes())


def test_every_code_in_the_sources_has_a_page() -> None:
    assert {c: sorted(f) for c, f in IN_SOURCES.items() if c not in codes()} == {}


@pytest.mark.parametrize("code", codes())
def test_every_page_is_of_use(code: str) -> None:
    assert code in IN_SOURCES


@pytest.mark.parametrize("code", codes())
def test_every_code_is_raised_by_a_test(code: str) -> None:
    assert code in IN_TESTS


def test_pages_refer_to_codes_that_exist() -> None:
    for code in codes():
        assert set(CODE.findall(page(code).text)) <= set(codes()), code
