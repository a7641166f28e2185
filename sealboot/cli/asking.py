"""Waiting for a person must not outlast their patience: Ctrl-C ends a question at once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from sealboot.cli.exits import Exit


def _leave(number: int, frame: FrameType | None) -> None:
    del frame
    if number == signal.SIGTERM:
        raise SystemExit(int(Exit.SIGTERM))
    raise KeyboardInterrupt


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGINT and SIGTERM end a blocking read in this block (`KeyboardInterrupt`, `SystemExit`).

    The event loop's own handlers only set a flag that nobody looks at while a
    read blocks the loop, and Python begins the read anew: without this, Ctrl-C
    at a question does nothing until Enter is pressed.
    """
    before = {number: signal.signal(number, _leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
