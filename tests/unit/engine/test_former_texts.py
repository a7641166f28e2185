"""What is in the files that a plan would change: read as anybody on the host may read it, in bounds."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requires import shells

from sealboot.engine.former import TEXT_LIMIT, former_texts, parse
from sealboot.engine.observe import observe
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.plan import Action, Before, PlannedStep
from sealboot.model.steps import Run, Step, WriteFile

SHELLS = shells("sh", "bash", "busybox")


def write(path: Path, name: str = "w", **more: Any) -> WriteFile:
    return WriteFile(id=name, host="n1", title="write it", dest=str(path), content="new\n", **more)


async def planned(node: Any, *steps: Step) -> list[PlannedStep]:
    """The steps as a plan has them, after the question how they are."""
    seen = await observe(node.session, steps, node.paths)
    assert not isinstance(seen, Diagnostic)
    marks = {"same": Action.NONE, "absent": Action.CREATE, "differs": Action.CHANGE}
    return [
        PlannedStep(s, marks[seen[s.id].state] if s.id in seen else Action.CHANGE, seen[s.id].detail if s.id in seen else "")
        for s in steps
    ]  # fmt: skip


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "text", ["old\n", "", "no end", "a:b:text:3\n\n\nx\n", "ü\u202e\x1b[2J\n", "\n" * 50]
)
async def test_a_text_that_everybody_may_read(node: Any, shell: tuple[str, ...], text: str) -> None:
    node.session.shell = shell
    paths = [node.root / "it's $1", node.root / "b"]
    for path in paths:
        path.write_text(text, newline="")
        path.chmod(0o644)
    steps = await planned(node, write(paths[0], "one"), write(paths[1], "two"))
    assert await former_texts(node.session, steps) == {"one": Before(text), "two": Before(text)}


async def test_what_is_not_shown(node: Any) -> None:
    def file(name: str, data: bytes, mode: int = 0o644) -> WriteFile:
        path: Path = node.root / name
        path.write_bytes(data)
        path.chmod(mode)
        return write(path, name)

    steps = await planned(
        node,
        file("private", b"token\n", 0o600),
        file("group", b"token\n", 0o640),
        file("large", b"x" * (TEXT_LIMIT + 1)),
        file("fits", b"x" * TEXT_LIMIT),
        file("latin", b"M\xe4x"),
        file("nul", b"a\0b"),
        file("same", b"new\n"),
    )
    found = await former_texts(node.session, steps)
    assert found == {
        "private": Before(why="not every user of the host may read it"),
        "group": Before(why="not every user of the host may read it"),
        "large": Before(why=f"it has {TEXT_LIMIT + 1} bytes"),
        "fits": Before("x" * TEXT_LIMIT),
        "latin": Before(why="it is no text"),
        "nul": Before(why="it is no text"),
    }


async def test_a_file_with_secrets_is_never_read_nor_one_that_is_not_there(node: Any) -> None:
    there = node.root / "there"
    there.write_text("token: abc\n")
    there.chmod(0o644)
    secret = PlannedStep(
        replace(write(there), content="{{ secret.t }}", secrets=("t",)), Action.CHANGE, "sha256 " + "0" * 64
    )
    new = (await planned(node, write(node.root / "new")))[0]
    mode = PlannedStep(write(there), Action.CHANGE, "mode 644, wanted 600")
    other = PlannedStep(Run(id="r", host="n1", title="r", script="x"), Action.CHANGE, "sha256 " + "0" * 64)
    elsewhere = PlannedStep(replace(write(there), on="controller"), Action.CHANGE, "sha256 " + "0" * 64)
    before = node.session.calls
    assert await former_texts(node.session, [secret, new, mode, other, elsewhere]) == {}
    assert node.session.calls == before, "nothing is asked"


async def test_a_link_that_took_the_files_place_is_not_followed(node: Any) -> None:
    path, target = node.root / "x", node.root / "target"
    path.write_text("old\n")
    path.chmod(0o644)
    steps = await planned(node, write(path))
    path.unlink()
    target.write_text("other\n")
    path.symlink_to(target)
    assert await former_texts(node.session, steps) == {"w": Before(why="it is not a regular file any more")}


async def test_it_is_read_as_the_login_user_and_silence_is_no_finding(node: Any) -> None:
    path = node.root / "x"
    path.write_text("old\n")
    path.chmod(0o644)
    steps = await planned(node, write(path))
    node.session.drop()
    assert await former_texts(node.session, steps) == {}


@given(st.binary(max_size=300))
def test_whatever_a_host_answers_is_no_trouble(data: bytes) -> None:
    for head in (b"", b"tok:0:text:4\n", b"tok:1:large:"):
        assert set(parse(head + data, "tok", 2)) <= {0, 1}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"tok:0:text:2\nab\ntok:1:private:\n", {0: Before("ab"), 1: Before(why="not every user of the host may read it")}),
        (b"tok:0:text:9\nab\ntok:1:private:\n", {}),
        (b"tok:0:text:1\nab\n", {}),
        (b"tok:7:text:1\na\n", {}),
        (b"tok:0:text:99999999\n", {}),
        (b"motd\ntok:0:text:1\na\n", {}),
        (b"tok:0:large:" + b"9" * 400 + b"\n", {0: Before()}),
        (b"tok:0:text:\xb2\n", {}),
    ],
)  # fmt: skip
def test_frames_that_do_not_fit_end_the_reading(data: bytes, expected: dict[int, Before]) -> None:
    assert parse(data, "tok", 2) == expected


SECRETS = {
    "token: K10abc": True,
    "server:\n  agent-token: 'K10abc'\n": True,
    '{"password":"x"}': True,
    "DB_PASSWORD=hunter2": True,
    "ExecStart=/opt/agent --join-token abc": True,
    "-----BEGIN OPENSSH PRIVATE KEY-----": True,
    "proxy = http://bob:secret@proxy:3128": True,
    "API_KEY = 7": True,
    "token-file: /etc/agent/token": False,
    "token: /etc/agent/token": False,
    "password: ''": False,
    "TOKEN=${TOKEN}": False,
    "# the token is kept elsewhere": False,
    "-----BEGIN CERTIFICATE-----": False,
    "url = https://host:6443/x@y": False,
    "ExecStart=/opt/agent --token-file /etc/token --zone attic": False,
}


@pytest.mark.parametrize("text", SECRETS, ids=str)
def test_a_text_that_seems_to_hold_a_secret_stays_where_it_is(text: str) -> None:
    data = text.encode()
    (told,) = parse(b"tok:0:text:%d\n%s\n" % (len(data), data), "tok", 1).values()
    assert told == (Before(why="it seems to hold a secret") if SECRETS[text] else Before(text))


@pytest.mark.parametrize("filler", ["token ", "a:", "://", "--", "://a:", "- token", "secret=  "])
def test_looking_for_secrets_ends_soon(filler: str) -> None:
    data = (filler * TEXT_LIMIT).encode()[:TEXT_LIMIT]
    began = time.process_time()
    parse(b"tok:0:text:%d\n%s\n" % (len(data), data), "tok", 1)
    assert time.process_time() - began < 2
