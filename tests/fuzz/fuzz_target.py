"""What a campaign is run against: one parser, what it is fed, and what must hold whatever it was fed."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sealboot.artifacts.brief import brief
from sealboot.artifacts.inspect import inspect
from sealboot.model.artifact import Artifact
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.report import InspectReport
from sealboot.render import jsondoc
from sealboot.render.view import make_view

T = TypeVar("T")

#: Characters that no output may hold: they move cursors, hide or reorder text.
_FORBIDDEN = frozenset(
    map(chr, [*range(9), *range(11, 32), 0x7F, *range(0x80, 0xA0), 0x202E, 0x200B, 0x2028])
)


@dataclass(frozen=True)
class Target:
    """`feed` takes any bytes and returns; whatever it raises is a finding. `seeds` are whole, good inputs."""

    name: str
    feed: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    longest: int = 1 << 16


def as_file(data: bytes, *, name: str = "file") -> None:
    """`data` as a file that an operator names, looked at quickly and deeply, and shown in both ways."""
    with memory_file(data) as path:
        for deep in (False, True):
            shown(inspect(path, name, deep=deep))
        brief(path, name)


@contextmanager
def memory_file(data: bytes) -> Iterator[Path]:
    """A file with this content that is on no file system."""
    handle = os.memfd_create("fuzz", os.MFD_CLOEXEC)
    try:
        os.write(handle, data)
        yield Path(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)


def shown(found: Artifact) -> None:
    """Both renderings of an artifact; the text must be still."""
    report = InspectReport((found,))
    jsondoc.dump(jsondoc.inspected(report))
    with redirect_stdout(io.StringIO()) as out:
        make_view("plain").inspected(report)
    still(out.getvalue())


def told(*diagnostics: Diagnostic) -> None:
    """Findings as they are shown."""
    assert all(d.code.startswith("SB") and d.summary for d in diagnostics)
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(out):
        make_view("plain").diagnostics("check", diagnostics)
    still(out.getvalue())
    for found in diagnostics:
        jsondoc.plain(jsondoc.diagnostic(found))


def still(text: str) -> None:
    """Nothing of the text moves a cursor or hides what follows."""
    wrong = set(text) & _FORBIDDEN
    assert not wrong, f"shown: {sorted(map(ascii, wrong))}"


def result_of(work: Coroutine[Any, Any, T]) -> T:
    """Run what only seems to wait: every answer of a `Scripted` session is already there."""
    try:
        work.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    raise AssertionError("it waits for something")


def utf8(data: bytes) -> str:
    """Bytes as the text that a terminal or a decoded stream gives."""
    return data.decode("utf-8", "backslashreplace")
