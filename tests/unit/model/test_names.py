from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealboot.model.host import Host
from sealboot.model.names import MAXIMUM_NAMES, expand, fold, is_pattern, select, split

HOSTS = (
    Host("ctl1", "10.0.0.1", "server"),
    *(Host(f"pi0{n}", f"10.0.0.1{n}", "agent", groups=("pis",)) for n in range(1, 5)),
    Host("nas1", "10.0.0.9", "agent"),
)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("ctl1", "ctl1"),
        ("pi[01,03-04]", "pi01 pi03 pi04"),
        ("n[9-11]", "n9 n10 n11"),
        ("n[08-10].lan", "n08.lan n09.lan n10.lan"),
        ("r[1-2]n[1-2]", "r1n1 r1n2 r2n1 r2n2"),
        ("10.0.0.[7]", "10.0.0.7"),
    ],
)
def test_expand(pattern: str, names: str) -> None:
    assert expand(pattern) == tuple(names.split())


@pytest.mark.parametrize(
    "pattern",
    [
        "n[1",
        "n1]",
        "n[]",
        "n[a-b]",
        "n[4-1]",
        "n[8-010]",
        "n[[1]]",
        "n[1-999999999]",
        "n[1-300][1-300]",
        "n[\u0661]",
    ],
)
def test_wrong_patterns_are_refused_before_they_cost_anything(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        expand(pattern)


def test_the_largest_pattern_is_let_in() -> None:
    assert len(expand(f"n[1-{MAXIMUM_NAMES}]")) == MAXIMUM_NAMES


def test_fold() -> None:
    assert fold(["ctl1", "pi01", "pi02", "pi03", "pi04", "pi07"]) == "ctl1,pi[01-04,07]"
    assert fold(["n8", "n9", "n10"]) == "n[8-10]"
    assert fold([]) == ""
    assert not is_pattern("[fe80::1]")


@given(st.lists(st.from_regex(r"[a-z]{0,2}[0-9]{0,4}[a-z]{0,2}", fullmatch=True).filter(bool)))
def test_fold_and_expand_are_inverse(names: list[str]) -> None:
    folded = fold(names)
    assert sorted({n for part in split(folded) for n in expand(part)}) == sorted(set(names))


@given(st.text())
def test_nothing_but_a_value_error_leaves_expand_and_nothing_leaves_fold(text: str) -> None:
    fold([text, text + "1"])
    select(HOSTS, text)
    with contextlib.suppress(ValueError):
        assert expand(text)


@pytest.mark.parametrize(
    ("limit", "chosen"),
    [
        ("pi[01-04],!pi03", "pi01 pi02 pi04"),
        ("pi[01-04],!pi03,@agents", "nas1 pi01 pi02 pi04"),
        ("@pis", "pi01 pi02 pi03 pi04"),
        ("@server,nas1", "ctl1 nas1"),
        ("!@pis", "ctl1 nas1"),
        ("!pi[01-03],!nas1", "ctl1 pi04"),
    ],
)
def test_select(limit: str, chosen: str) -> None:
    names, found = select(HOSTS, limit)
    assert not found
    assert sorted(names) == chosen.split()


@pytest.mark.parametrize(
    ("limit", "hint"),
    [
        ("pi3", "pi03"),
        ("ctl1,!pi05", "did you mean"),
        ("@pys", "@pis"),
        ("agent", "@agent"),
        ("pi[", "host names or ranges"),
        ("pi01,!@pis", "host names or ranges"),
        (",", "host names or ranges"),
    ],
)
def test_a_part_that_matches_nothing_is_sb016(limit: str, hint: str) -> None:
    _, (found,) = select(HOSTS, limit)
    assert found.code == "SB016"
    assert hint in found.hints[0]
