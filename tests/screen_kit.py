"""What a person sees: bytes for a terminal, decoded by one (pyte), and the frames of a table that is redrawn."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import pyte

#: A redraw begins at the left edge of the last line: everything before it was on the screen for a moment.
REDRAW = re.compile(rb"(?=\r\x1b\[2K)")


class Tty(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Terminal:
    """A terminal of a size. `frames` are the different pictures that were whole and on it, in order."""

    def __init__(self, columns: int, lines: int) -> None:
        self.screen = pyte.Screen(columns, lines)
        self.screen.set_mode(pyte.modes.LNM)  # a text stream ends lines with LF alone
        self._stream = pyte.ByteStream(self.screen)
        self.frames: list[str] = []

    def feed(self, data: bytes) -> None:
        """Show what a program wrote: all of it, or parts that end where a redraw begins."""
        for part in REDRAW.split(data):
            self._stream.feed(part)
            picture = self.text
            if picture and picture != (self.frames[-1] if self.frames else ""):
                self.frames.append(picture)

    @property
    def text(self) -> str:
        """The picture, without what is blank at the right and at the end."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip("\n")

    @property
    def cursor_hidden(self) -> bool:
        return bool(self.screen.cursor.hidden)

    def rows(self, name: str) -> Iterator[str]:
        """The line of a host in each frame."""
        for frame in self.frames:
            yield from (line for line in frame.splitlines() if line.startswith(f"{name} "))
