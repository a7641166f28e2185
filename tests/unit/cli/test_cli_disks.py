"""Disks are overwritten only where somebody named their machine."""

from __future__ import annotations

import pytest

from sealboot.cli import runtime
from sealboot.cli.disks import consent_to
from sealboot.cli.options import Reading
from sealboot.model.steps import Run, WriteDisk


def disk(host: str, destroys: str = "everything on /dev/sda") -> WriteDisk:
    return WriteDisk(
        id=f"d/{host}",
        host=host,
        title="write",
        source="image",
        sha256="0" * 64,
        size=1,
        raw_sha256="1" * 64,
        raw_size=1,
        device="/dev/sda",
        destroys=destroys,
    )


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> Reading:
    monkeypatch.setattr(runtime, "may_ask", lambda _: True)
    return Reading()


def typing(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    asked: list[str] = []
    left = iter(answers)

    def typed(question: str) -> str:
        asked.append(question)
        return next(left)

    monkeypatch.setattr(runtime, "typed", typed)
    return asked


def test_nothing_to_destroy_is_not_asked_about(options: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = typing(monkeypatch)
    assert (consent_to((), options, ()), asked) == ("", [])


def test_each_machine_is_named_once_and_told_what_it_loses(
    options: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = typing(monkeypatch, "cp1", "cp2")
    installs = Run(id="i", host="cp2", title="install", script="x", destroys="everything on /dev/nvme0n1")
    assert consent_to((disk("cp1"), disk("cp1", "all of /dev/sdb"), installs), options, ()) == ""
    assert "everything on /dev/sda; all of /dev/sdb" in asked[0]
    assert "/dev/nvme0n1" in asked[1]


@pytest.mark.parametrize("answer", ["", "y", "yes", "cp2", "CP1"])
def test_any_other_word_is_no(answer: str, options: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    typing(monkeypatch, answer)
    assert "Nothing was changed" in consent_to((disk("cp1"),), options, ())


def test_named_beforehand_nobody_is_asked(options: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = typing(monkeypatch, "cp2")
    assert consent_to((disk("cp1"), disk("cp2")), options, ("cp1",)) == ""
    assert len(asked) == 1
    assert consent_to((disk("cp1"),), options, ("cp1",)) == ""


def test_without_a_terminal_it_is_said_how(options: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "may_ask", lambda _: False)
    refused = consent_to((disk("cp1"), disk("cp2")), options, ("cp2",))
    assert "--confirm-disk cp1" in refused
    assert "cp2" not in refused


def test_what_an_inventory_says_of_a_disk_cannot_move_the_cursor(
    options: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = typing(monkeypatch, "cp1")
    consent_to((disk("cp1", "\x1b[2Jnothing"),), options, ())
    assert "\x1b" not in asked[0]
