"""Hostile and broken YAML: refused with a code, a place and a fix, at once."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealboot.inventory.load import MAXIMUM_FINDINGS, DriverRoles, load_inventory
from sealboot.inventory.tree import MAXIMUM_BYTES, Map, Scalar, parse, parse_on, plain
from sealboot.model.diagnostic import Diagnostic

DRIVERS = {"k3s": DriverRoles(("server", "agent"), "agent"), "phases": DriverRoles((), "node")}

LAUGHS = b"a: &a [x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (c, c, c - 1, c - 1) for c in range(98, 120))
MERGES = b"a: &a {k: v}\n" + b"".join(
    b"%c: &%c {<<: [*%c, *%c]}\n" % (c, c, c - 1, c - 1) for c in range(98, 120)
)


@pytest.mark.parametrize(
    ("data", "code", "place"),
    [
        (LAUGHS, "SB003", "f:1:4"),
        (MERGES, "SB003", "f:1:4"),
        (b"a: *x\n", "SB003", "f:1:4"),
        (b"a:\n  <<: {b: c}\n", "SB003", "f:2:3"),
        (b"a: !!python/object/apply:os.system [id]\n", "SB003", "f:1:4"),
        (b"%TAG ! tag:x,2000:\n---\na: 1\n", "SB003", "f:1:1"),
        (b"a: 1\n---\nb: 2\n", "SB003", "f:2:1"),
        (b"? [a]\n: b\n", "SB003", "f:1:3"),
        (b"a: 1\nb: 2\na: 3\n", "SB004", "f:3:1"),
        (b"[" * 900 + b"]" * 900, "SB005", "f:1:33"),
        (b"[" * 100_000, "SB005", "f:1:33"),
        (b"{a: " * 100_000, "SB005", "f:1:129"),
        (b"- " * 100_000, "SB005", "f:1:65"),
        ("é😀: 1\r\nb: ".encode() + b"[" * 5000, "SB005", "f:2:35"),
        (b"a: " + b"[" * 40 + b"@", "SB005", "f:1:35"),  # whatever the parser has read ahead of the level
        (b"a: " + b"[" * 20 + b"@", "SB002", "f:1:24"),
        (b"? " * 100_000, "SB003", "f:1:3"),
        (b"{? " * 900, "SB003", "f:1:4"),
        (b"#" * (MAXIMUM_BYTES + 1), "SB005", "f:1:1"),
        (b"a:\n\tb: c\n", "SB002", "f:2:1"),
        (b"a: b: c\n", "SB002", "f:1:5"),
        (b"a: \x00\n", "SB002", "f:1:4"),
        (b"a: \x1b[31m\n", "SB002", "f:1:4"),
        (b"a: {b: c\n", "SB002", "f:2:1"),
        (b"a: 'b\n", "SB002", "f:2:1"),
        (b"a: @b\n", "SB002", "f:1:4"),
        (b"a: 1\nn\xc3\xa4me: M\xe4x\n", "SB019", "f:2:8"),
        (b"\xff\xfea\x00:", "SB019", "f:1:1"),
        (b"\xff\xfe\x00\x00a\x00\x00\x00", "SB019", "f:1:1"),
        ("a: 1\n".encode("utf-16-le"), "SB019", "f:1:1"),
        ("a: 1\n".encode("utf-16-be"), "SB019", "f:1:1"),
    ],
)
def test_refused_with_code_place_and_fix(data: bytes, code: str, place: str) -> None:
    began = time.process_time()
    found = parse(data, "f")
    assert time.process_time() - began < 5
    assert isinstance(found, Diagnostic)
    assert (found.code, str(found.at)) == (code, place)
    assert found.hints


def test_a_duplicate_key_names_both_places() -> None:
    found = parse(b"a: 1\nb: 2\na: 3\n", "f")
    assert isinstance(found, Diagnostic)
    assert found.evidence == (("first", "f:1:1"), ("again", "f:3:1"))


@pytest.mark.parametrize(
    "text", ["no", "0777", "22:22", "1_000", "1.30", "010", "0x1f", "2001-01-01", "nil", "nULL", ".inf", "on"]
)
def test_every_scalar_is_the_text_it_is(text: str) -> None:
    tree = parse(f"a: {text}\n{text}: b\n".encode(), "f")
    assert isinstance(tree, Map)
    value = tree.entries["a"].node
    assert isinstance(value, Scalar)
    assert value.text == text
    assert text in tree.entries


@pytest.mark.parametrize("text", ["null", "Null", "NULL", "~", ""])
def test_nothing_is_no_text(text: str) -> None:
    """YAML 1.2.2, section 10.3.2; quoted, or as a key, it is a word like any other."""
    tree = parse(f"a: {text}\nb: '{text}'\nc: [{text or 'null'}]\nnull: d\n".encode(), "f")
    assert isinstance(tree, Map)
    assert plain(tree) == {"a": None, "b": text, "c": [None], "null": "d"}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_what_powershell_writes_is_read(encoding: str) -> None:
    mark = "\ufeff" if encoding.endswith("be") else ""
    tree = parse(f"{mark}a: Mäx\r\nb: 2\r\n".encode(encoding), "f")
    assert isinstance(tree, Map)
    assert plain(tree) == {"a": "Mäx", "b": "2"}
    assert str(tree.entries["b"].node.at) == "f:2:4"


def test_the_fix_for_utf_16_without_its_mark_is_the_right_one() -> None:
    found = parse("a: Mäx\n".encode("utf-16-le"), "f.yaml")
    assert isinstance(found, Diagnostic)
    assert found.hints == ("convert it: `iconv -f utf-16le -t utf-8 f.yaml > new.yaml`",)


def test_places_count_the_lines_above() -> None:
    tree = parse(b"a: 1\n", "f", above=7)
    assert isinstance(tree, Map)
    assert str(tree.entries["a"].node.at) == "f:8:4"
    for wrong, place in ((b"a: [", "f:9"), (b"x: 1\nb: &a 1\n", "f:9"), (b"a: 1\n\xe4", "f:9"), (b"", "f:8")):
        found = parse(wrong, "f", above=7)
        assert found.at is not None
        assert str(found.at).startswith(place)


def test_a_byte_order_mark_and_line_ends_of_windows_are_let_in() -> None:
    tree = parse(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", "f")
    assert isinstance(tree, Map)
    assert list(tree.entries) == ["a", "b"]
    assert str(tree.entries["b"].node.at) == "f:2:4"


def test_an_empty_file_is_an_empty_map() -> None:
    for data in (b"", b"# nothing\n", b"---\n", b"\xef\xbb\xbf"):
        assert isinstance(tree := parse(data, "f"), Map)
        assert not tree.entries


KEYS = st.sampled_from(
    [
        "version",
        "cluster",
        "name",
        "driver",
        "hosts",
        "groups",
        "defaults",
        "ssh",
        "jump",
        "port",
        "vars",
        "x-y",
        "a[1-3]",
        "ignore",
        "code",
        "reason",
        "address",
        "artifacts",
        "phases",
        "options",
        "arch",
        "become",
        "password_from",
        "role",
        "sudo_pass",
    ]
)
TEXTS = st.one_of(
    st.sampled_from(["1", "k3s", "phases", "SB304", "a1", "a1:22", "[::1]", "prompt", "127.1", ""]),
    st.text(max_size=8),
)
TREES = st.recursive(
    TEXTS, lambda t: st.one_of(st.lists(t, max_size=3), st.dictionaries(KEYS, t, max_size=5)), max_leaves=25
)


@given(st.binary(max_size=400))
@settings(deadline=None)
def test_no_bytes_ever_raise(data: bytes) -> None:
    inventory, found = load_inventory(["-"], stdin=data, drivers=DRIVERS)
    assert inventory is None
    assert found


@given(st.dictionaries(KEYS, TREES, min_size=1))
@settings(deadline=None, max_examples=300)
def test_no_tree_ever_raises_and_every_error_has_its_reasons(tree: dict[str, object]) -> None:
    text = _flow(tree).encode("utf-8", "replace")
    inventory, found = load_inventory(["-"], stdin=text, drivers=DRIVERS)
    assert (inventory is None) == any(f.severity == "error" for f in found)
    assert all(f.code.startswith("SB0") and f.summary for f in found)


def _flow(tree: object) -> str:
    if isinstance(tree, dict):
        return "{" + ", ".join(f'"{key}": {_flow(value)}' for key, value in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(_flow, tree)) + "]"
    return '"' + "".join(f"\\U{ord(c):08x}" for c in str(tree)) + '"'


def test_findings_are_bounded() -> None:
    hosts = "".join(f"  h{n}: {{prt: 1}}\n" for n in range(2 * MAXIMUM_FINDINGS))
    text = f"version: 1\ncluster: {{name: a, driver: k3s}}\nhosts:\n{hosts}"
    inventory, found = load_inventory(["-"], stdin=text.encode(), drivers=DRIVERS)
    assert inventory is None
    assert len(found) == MAXIMUM_FINDINGS + 1
    assert "500 more" in found[-1].summary


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "nul"])
def test_what_cannot_be_read_is_sb001(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "inventory.yaml"
    if kind == "directory":
        path.mkdir()
    if kind == "fifo":
        os.mkfifo(path)
    inventory, (found,) = load_inventory(["a\0b" if kind == "nul" else str(path)], drivers=DRIVERS)
    assert inventory is None
    assert found.code == "SB001"
    assert ("sealboot init" in found.hints[0]) == (kind == "missing")


def test_ten_thousand_hosts_load_quickly() -> None:
    rows = (
        f"  n{i:05d}: {{address: 10.{i >> 16}.{i >> 8 & 255}.{i & 255}, role: agent, groups: [pis], ssh: {{port: 22}}}}\n"
        for i in range(10_000)
    )
    text = "version: 1\ncluster: {name: a, driver: k3s}\ngroups: {pis: {arch: arm64}}\nhosts:\n" + "".join(
        rows
    )
    began = time.process_time()
    inventory, found = load_inventory(["-"], stdin=text.encode(), drivers=DRIVERS)
    spent = time.process_time() - began
    assert not found
    assert inventory is not None
    assert len(inventory.hosts) == 10_000
    # About 1 s; the allowance is for slow and busy machines. A quadratic step takes minutes.
    assert spent < 8


def test_a_key_that_stands_twice_hides_no_other_mistake(tmp_path: Path) -> None:
    """docs/inventory.md: all mistakes are shown at once."""
    path = tmp_path / "i.yaml"
    path.write_text(
        "version: 1\ncluster: {name: lab, driver: k3s, name: other}\n"
        "hosts:\n  a: {address: 10.0.0.1, rolle: server}\n  a: {address: 10.0.0.2}\n  b: {addres: 10.0.0.3}\n"
    )
    made, found = load_inventory([str(path)], stdin=None, drivers=DRIVERS)
    assert made is None
    assert [(d.code, d.at.line if d.at else 0) for d in found] == [
        ("SB004", 2),
        ("SB006", 4),
        ("SB004", 5),
        ("SB006", 6),
    ]


def test_what_breaks_off_behind_a_key_that_stands_twice() -> None:
    root, found = parse_on(b"a: 1\na: 2\nb: [\n", "f")
    assert root is None
    assert [d.code for d in found] == ["SB004", "SB002"]
    _, many = parse_on(b"a: 1\n" * 5000, "f")
    assert {d.code for d in many} == {"SB004"}
    assert len(many) == 100
