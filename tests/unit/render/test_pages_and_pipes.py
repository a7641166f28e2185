"""A page on a terminal and in a pipe; and that in a pipe one row is one line, whatever its length."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from render_kit import (
    GOOD,
    MISMATCH,
    apply_report,
    check_report,
    kubeconfig_report,
    plan,
    repack_report,
)

from sealboot.diagnostics import codes, page
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.report import InspectReport, PlanReport
from sealboot.render.console import make_consoles
from sealboot.render.view import HumanView, View

PATH = "/srv/" + "/".join(f"folder{n}" for n in range(15)) + "/k3s"
SHA = "0123456789abcdef" * 4
LONG = Diagnostic(
    "SB101",
    f"{PATH} is not the file with SHA-256 {SHA}",
    host="pi02",
    evidence=(("file", f"{PATH} {SHA}"), ("said", "word " * 60 + SHA)),
    notes=(f"the note of {PATH} {SHA}",),
    hints=(f"put it to {PATH}, SHA-256 {SHA}",),
)


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def shown(show: Callable[[View], None], *, terminal: bool = False, columns: str = "") -> str:
    out = Terminal() if terminal else io.StringIO()
    env = {"TERM": "xterm-256color", **({"COLUMNS": columns} if columns else {})}
    show(HumanView(make_consoles(out=out, err=out, env=env, plain=not terminal)))
    return out.getvalue()


def bare(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("code", codes())
@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_every_page_is_set_for_a_terminal(code: str, columns: str) -> None:
    text = page(code).text
    seen = bare(shown(lambda view: view.page("explain", text), terminal=True, columns=columns))
    assert not re.search(r"^#|^```|^ *\*\*", seen, re.MULTILINE)
    assert max(map(len, seen.splitlines())) <= min(int(columns), 100)
    assert all(line == line.rstrip() for line in seen.splitlines())
    words = re.findall(r"[A-Za-z]{4,}", re.sub(r"^```\w*$", "", text, flags=re.MULTILINE))
    squeezed = re.sub(r"[^A-Za-z]", "", seen)
    assert [word for word in words if word not in squeezed] == []


def test_headings_stand_on_the_left() -> None:
    seen = bare(
        shown(
            lambda view: view.page("x", "# A\n\ntext\n\n## B\n\n```\nx | y\n```\n"),
            terminal=True,
            columns="80",
        )
    )
    assert seen == "A\n\ntext\n\nB\n\n    x | y\n"


def test_a_page_in_a_pipe_is_markdown() -> None:
    text = page("SB101").text
    assert shown(lambda view: view.page("explain", text)) == text.rstrip() + "\n"


SCENES: dict[str, Callable[[View], None]] = {
    "findings": lambda view: view.diagnostics("check", [LONG]),
    "check": lambda view: view.check(replace(check_report(), diagnostics=(LONG, MISMATCH))),
    "plan": lambda view: view.plan(PlanReport(plan(), (LONG,))),
    "rows": lambda view: view.rows("x", ("A", "B"), [(PATH, SHA), ("short", SHA)]),
    "message": lambda view: view.message(f"Saved {PATH} {SHA}"),
}


@pytest.mark.parametrize("scene", SCENES)
def test_nothing_is_broken_in_a_pipe(scene: str) -> None:
    text = shown(SCENES[scene])
    assert text.count(SHA) >= 1
    for whole in (PATH, SHA) if scene != "findings" else (PATH, SHA, "word " * 60 + SHA):
        assert any(whole in line for line in text.splitlines()), whole
    if scene in {"findings", "check", "plan"}:
        (row,) = [line for line in text.splitlines() if line.startswith("   | file") and PATH in line]
        assert row.endswith(SHA)
        assert f"  hint: put it to {PATH}, SHA-256 {SHA}" in text.splitlines()


@pytest.mark.parametrize(
    "show",
    [
        lambda view: view.applied(apply_report()),
        lambda view: view.inspected(InspectReport((GOOD,))),
        lambda view: view.repacked(repack_report()),
        lambda view: view.kubeconfig(kubeconfig_report()),
        lambda view: view.check(check_report()),
    ],
)
def test_the_other_reports_are_small_in_a_pipe(show: Callable[[View], None]) -> None:
    """A pipe without an end of the line is no reason for blanks without an end."""
    text = shown(show)
    assert len(text) < 5000
    assert all(line == line.rstrip() for line in text.splitlines())


def test_who_names_columns_gets_them() -> None:
    text = shown(SCENES["findings"], columns="60")
    assert sum(line.startswith("   |") for line in text.splitlines()) > 2


def test_a_table_without_rows_is_not_there() -> None:
    assert shown(lambda view: view.rows("trust", ("HOST", "STATE"), [])) == ""
    assert shown(lambda view: view.rows("trust", ("HOST", "STATE"), [("a", "same")])).startswith("HOST")
