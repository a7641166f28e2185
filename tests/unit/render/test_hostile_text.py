"""Promise P6: what hosts and files say cannot move the cursor, inject markup or crash the output."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from render_kit import HOSTILE, MISMATCH, Screen, check_report

from sealboot.model.diagnostic import Diagnostic
from sealboot.model.words import agree, plural
from sealboot.render.jsondoc import check, dump
from sealboot.render.text import ending, human_bytes, human_seconds, safe

ANY_TEXT = st.text(st.characters())


@given(ANY_TEXT)
def test_safe_is_printable_whatever_comes(text: str) -> None:
    assert all(c.isprintable() for c in safe(text))


@given(ANY_TEXT)
def test_safe_lines_keep_only_line_feeds(text: str) -> None:
    assert all(c.isprintable() or c == "\n" for c in safe(text, lines=True))


def test_escapes_are_shown() -> None:
    assert safe("a\x1b[31mb\x9bc\u202ed\u200be\x7f") == r"a\x1b[31mb\x9bc\u202ed\u200be\x7f"
    assert safe("\U000e0041") == r"\U000e0041"
    assert safe("ü 日本 😀") == "ü 日本 😀"


def test_long_values_say_what_was_cut() -> None:
    assert safe("x" * 500, limit=10) == "xxxxxxxxxx... (490 more characters)"


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_no_diagnostic_crashes_or_moves_the_cursor(summary: str, label: str, value: str) -> None:
    screen = Screen(80)
    found = Diagnostic(
        "SB101", summary, host=value, artifact=value, evidence=((label, value),), hints=(value,)
    )
    screen.view.diagnostics("check", [found])
    assert all(c.isprintable() or c == "\n" for c in screen.err.getvalue())


def test_markup_is_text() -> None:
    screen = Screen(120)
    screen.view.rows("x", ("A",), [("[/]",), ("[bold]x[/bold]",), ("[fe80::1]:22",)])
    assert "[/]" in screen.text
    assert "[bold]x[/bold]" in screen.text
    assert "[fe80::1]:22" in screen.text


def test_evidence_keeps_its_lines_behind_the_rule() -> None:
    screen = Screen(80)
    screen.view.diagnostics("check", [HOSTILE])
    shown = screen.err.getvalue()
    assert "   | says  line one\n   |       line two [link=http://x]\\x9b2J\n" in shown


def test_json_is_ascii_and_complete() -> None:
    text = dump(check(check_report()))
    assert text.isascii()
    document = json.loads(text)
    assert document["format"] == 1
    assert document["summary"] == {"hosts": 5, "ok": 2, "failed": 1, "not_reached": 2}
    assert document["hosts"][2] == {
        "host": "pi02",
        "role": "agent",
        "status": "failed",
        "arch": "arm64",
        "userland": "arm64",
        "artifacts": {"k3s": "binaries/old/k3s-arm64"},
    }
    assert document["diagnostics"][2]["name"] == "arch-mismatch"
    assert document["diagnostics"][2]["at"] == {"file": "inventory.yaml", "line": 27, "column": 12}
    assert document["diagnostics"][2]["evidence"]["host"] == MISMATCH.evidence[1][1]
    assert {
        "host": "pi02",
        "artifact": "binaries/old/k3s-arm64",
        "outcome": "runs-emulated",
        "code": "SB103",
    } in (document["pairs"])


def test_small_words() -> None:
    assert [plural(n, "host") for n in (0, 1, 2)] == ["0 hosts", "1 host", "2 hosts"]
    assert [agree(n, "{} host is", "{} hosts are") for n in (0, 1, 2)] == [
        "0 hosts are",
        "1 host is",
        "2 hosts are",
    ]
    assert (human_bytes(0), human_bytes(1536), human_bytes(5 << 40)) == ("0 B", "1.5 KiB", "5120 GiB")
    assert (human_seconds(4.12), human_seconds(125)) == ("4.1s", "2m05s")


@given(ANY_TEXT, st.integers(min_value=1, max_value=40))
def test_the_end_of_an_output_is_bounded_and_harmless(text: str, limit: int) -> None:
    shown = safe(ending(text, limit), limit=10_000, lines=True)
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert len(ending(text, limit)) <= limit + 60


def test_the_end_of_a_long_output_is_what_is_shown() -> None:
    """kubeadm's reason came after kernel options in colour: 20,630 characters before it in a real run."""
    before = "".join(f"\x1b[0;37mCONFIG_{n:03}\x1b[0m: \x1b[0;32menabled\x1b[0m\n" for n in range(400))
    reason = "error execution phase preflight: [ERROR ImagePull]: failed to pull image"
    screen = Screen(100)
    screen.view.diagnostics(
        "apply", [Diagnostic("SB501", "kubeadm init: exit status 1", evidence=(("log", before + reason),))]
    )
    shown = screen.err.getvalue()
    lines = shown.splitlines()
    assert f"   |      {reason}" in lines
    assert "x1b" not in shown
    assert lines[1].startswith("   | log  (")
    assert lines[1].endswith(" characters before)")
    count = int(lines[1].split("(")[1].split(" ")[0])
    quoted = [line.removeprefix("   |      ") for line in lines[2:] if line.startswith("   |      ")]
    assert count + len("\n".join(quoted)) == len(before + reason) - 400 * 22  # its colours
    assert quoted[0].startswith("CONFIG_")


def test_one_line_without_an_end_is_cut_at_its_beginning() -> None:
    assert ending("a" * 10 + "b" * 5, 5) == "(10 characters before)\nbbbbb"
    assert ending("first\nsecond\n", 7) == "(6 characters before)\nsecond\n"
    assert ending("first\nsecond\n", 8) == "(6 characters before)\nsecond\n"
    assert ending("\x1b\x1b[0m[2Jx", 10) == "\x1b[2Jx"
