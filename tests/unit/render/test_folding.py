"""Findings that differ only in host and address are told once; what differs otherwise is told apart."""

from __future__ import annotations

from dataclasses import replace

import pytest
from render_kit import Screen

from sealboot.model.diagnostic import Diagnostic, Location
from sealboot.render.findings import folded


def dead(number: int, address: str = "", **changes: object) -> Diagnostic:
    address = address or f"10.0.{number // 100}.{number % 100}"
    made = Diagnostic(
        "SB201",
        f"pi{number:02} did not answer: no TCP connection to {address}:22 within 15 s",
        host=f"pi{number:02}",
        at=Location("inventory.yaml", 10 + number, 5),
        evidence=(("address", f"ops@{address}:22"), ("stage", "connect")),
        notes=("no login was tried and no command was run on this host",),
        hints=("is it switched on, and does a firewall drop the port?",),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_forty_dead_hosts_are_one_block_with_all_their_addresses() -> None:
    (found,) = folded([dead(n) for n in range(1, 41)])
    assert found.summary == "pi[01-40] did not answer: no TCP connection to 10.0.0.[1-40]:22 within 15 s"
    assert found.evidence == (("address", "ops@10.0.0.[1-40]:22"), ("stage", "connect"))
    assert found.hints == dead(1).hints
    assert found.notes == (
        *dead(1).notes,
        "also at inventory.yaml:12:5, inventory.yaml:13:5, inventory.yaml:14:5 and 36 more",
    )
    screen = Screen(80)
    screen.view.diagnostics("check", [dead(n) for n in range(1, 41)])
    assert len(screen.text.splitlines()) < 15


def test_no_address_is_lost() -> None:
    (found,) = folded([dead(1), dead(2, "192.168.7.9"), dead(3, "fd00::3"), dead(150)])
    for address in ("10.0.0.1", "192.168.7.9", "fd00::3", "10.0.1.50"):
        assert address in found.summary
        assert address in found.evidence[0][1]


@pytest.mark.parametrize(
    "other",
    [
        dead(2, summary="pi02 refused the connection: nothing listens at 10.0.0.2:22"),
        dead(2, evidence=(("address", "ops@10.0.0.2:22"), ("stage", "route"))),
        dead(2, evidence=(("address", "root@10.0.0.2:22"), ("stage", "connect"))),
        dead(2, hints=("check the cable",)),
        dead(2, code="SB204"),
    ],
    ids=["cause", "stage", "user", "hint", "code"],
)
def test_another_cause_is_another_block(other: Diagnostic) -> None:
    assert folded([dead(1), other]) == [dead(1), other]


def test_an_address_that_is_a_name() -> None:
    (found,) = folded([dead(1, "rack7.example.com"), dead(2, "rack8.example.com")])
    assert "to rack[7-8].example.com:22 within" in found.summary
    (lan,) = folded([dead(1, "pi01.lan"), dead(2, "pi02.lan")])
    assert lan.evidence[0] == ("address", "ops@pi[01-02].lan:22")
    (same,) = folded([dead(1, "pi01"), dead(2, "pi02")])
    assert same.summary.startswith("pi[01-02] did not answer: no TCP connection to pi[01-02]:22")


def test_a_name_inside_a_word_is_no_name() -> None:
    a, b = (Diagnostic("SB301", f"not a lot of space on {n}", host=n) for n in ("a", "b"))
    assert folded([a, b]) == [a, b], (
        "in one of them the name is a word as well: nobody can say which is which"
    )


def test_two_addresses_in_one_text_keep_their_order() -> None:
    def doubled(n: int) -> Diagnostic:
        return dead(n, notes=(f"asked 10.9.9.{n}, then 10.0.0.{n}, then 10.8.8.8",))

    (found,) = folded([doubled(1), doubled(2)])
    assert found.notes[0] == "asked 10.9.9.[1-2], then 10.0.0.[1-2], then 10.8.8.8"


@pytest.mark.parametrize(
    "text", ["\0", "\1 10.0.0.1", "10.0.0.1.5", "12:30:59", "1.2.3", "::", "a" * 5000, "(?P<own>"]
)
def test_whatever_a_finding_says_it_is_told(text: str) -> None:
    findings = [dead(n, summary=f"pi0{n} {text}", notes=(text,)) for n in (1, 2)]
    told = folded(findings)
    assert len(told) in {1, 2}
    assert all(d.host for d in told)
