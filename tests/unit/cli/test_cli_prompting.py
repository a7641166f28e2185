"""Which hosts a password is for is in the question, and it is asked before anything is drawn."""

from __future__ import annotations

import pytest
from cli_kit import Lab, terminal

from sealboot.cli.prompting import questions
from sealboot.workflow.prepare import Prepared, prepare

HEAD = "version: 1\ncluster: {name: lab, driver: phases}\nphases: [{name: p, steps: [{run: 'true', creates: /x}]}]\n"


def asked(text: str, limit: str | None = None) -> list[str]:
    made = prepare(("-",), stdin=(HEAD + text).encode(), limit=limit)
    assert isinstance(made, Prepared), made
    return list(questions(made).values())


@pytest.mark.parametrize(
    ("hosts", "question"),
    [
        ("m1: {become: {password_from: prompt}}", "Password for sudo on m1"),
        ("m1: {become: {password_from: prompt, method: doas}}", "Password for doas on m1"),
        (
            "m1: {become: {password_from: prompt}}, x: {}, m3: {become: {password_from: prompt, method: doas}}",
            "Password for doas or sudo on m[1,3]",
        ),
        ("'m[01-40]': {become: {password_from: prompt}}", "Password for sudo on m[01-40]"),
        (
            ", ".join(f"{name}: {{become: {{password_from: prompt}}}}" for name in "abcdef"),
            "Password for sudo on a, b, c and 3 more",
        ),
        ("m1: {ssh: {password_from: prompt}}", "SSH password, for m1"),
        ("m1: {ssh: {passphrase_from: prompt, identity_file: keys/lab}}", "Passphrase of keys/lab, for m1"),
        ("m1: {ssh: {passphrase_from: prompt}}", "Passphrase of the SSH key, for m1"),
        (
            "m1: {ssh: {passphrase_from: prompt, identity_file: [a, b]}}",
            "Passphrase of the SSH key, for m1",
        ),
    ],
)
def test_questions_name_their_hosts(hosts: str, question: str) -> None:
    assert asked(f"hosts: {{{hosts}}}\n") == [question]


def test_only_those_who_are_reached_are_asked_for() -> None:
    text = "hosts: {m1: {become: {password_from: prompt}}, m2: {become: {password_from: prompt}}, m3: {}}\n"
    assert asked(text, "m2") == ["Password for sudo on m2"]
    assert asked(text, "m3") == []


def test_hosts_on_the_way_are_asked_for_too() -> None:
    text = (
        "hosts: {gate: {ssh: {password_from: prompt, jump: door}}, door: {ssh: {password_from: prompt}},"
        " m1: {ssh: {jump: gate}}}\n"
    )
    assert asked(text, "m1") == ["SSH password, for gate, door"]


def test_every_kind_is_one_question() -> None:
    text = "hosts: {m1: {ssh: {password_from: prompt, passphrase_from: prompt}, become: {password_from: prompt}}}\n"
    assert asked(text) == [
        "SSH password, for m1",
        "Passphrase of the SSH key, for m1",
        "Password for sudo on m1",
    ]


def test_a_path_of_a_key_is_text() -> None:
    (question,) = asked('hosts: {m1: {ssh: {passphrase_from: prompt, identity_file: "k [red]ey"}}}\n')
    assert question == "Passphrase of k [red]ey, for m1"


def test_the_question_comes_before_the_table(own_lab: Lab) -> None:
    own_lab.edit("{method: none}", "{method: sudo, password_from: prompt}")
    with terminal(own_lab.folder, "check") as screen:
        screen.until(b"Password for sudo on ctl[1-2], pi[01-02]: ")
        # Nothing is drawn yet: neither a table, which hides the cursor, nor a word about a host.
        assert screen.shown.strip() == b"Password for sudo on ctl[1-2], pi[01-02]:"
        screen.type("hunter2-hunter2\n")
        screen.end()
        assert b"hunter2" not in screen.shown
        assert screen.shown.count(b"Password for") == 1
