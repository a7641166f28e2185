"""Consent is an answer to the question that was shown."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator

import pytest

ASK = "import sys; from sealboot.cli.runtime import confirm; sys.stdin.readline(); print(confirm('Go on?'))"


@pytest.fixture
def terminal() -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A process on a terminal that reads one line and then asks."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ASK], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    yield ours, process
    process.kill()
    process.wait()
    os.close(ours)


def _until(terminal: int, text: bytes) -> bytes:
    seen = b""
    while text not in seen:
        readable, _, _ = select.select([terminal], [], [], 20)
        assert readable, seen
        seen += os.read(terminal, 4096)
    return seen


@pytest.mark.parametrize(("answer", "agreed"), [(b"y\n", b"True"), (b"YES\n", b"True"), (b"\n", b"False")])
def test_the_answer_counts(
    terminal: tuple[int, subprocess.Popen[bytes]], answer: bytes, agreed: bytes
) -> None:
    link, _ = terminal
    os.write(link, b"go\n")
    _until(link, b"[y/N] ")
    os.write(link, answer)
    _until(link, agreed)


def test_what_was_typed_before_the_question_is_no_answer(
    terminal: tuple[int, subprocess.Popen[bytes]],
) -> None:
    link, _ = terminal
    os.write(link, b"go\ny\n")
    _until(link, b"[y/N] ")
    os.write(link, b"n\n")
    _until(link, b"False")
