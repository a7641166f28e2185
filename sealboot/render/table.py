"""A borderless table whose cells are text, never markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text


class Trimmed:
    """A renderable without the blanks at the ends of its lines: they travel with everything that is pasted."""

    def __init__(self, inner: RenderableType) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segments in console.render_lines(self._inner, options, pad=False):
            while segments and not segments[-1].text.strip():
                segments.pop()
            for segment in segments[:-1]:
                yield segment
            for segment in segments[-1:]:
                yield Segment(segment.text.rstrip(), segment.style)
            yield Segment.line()


def table(headers: Sequence[str], rows: Iterable[Sequence[Text | str]], *, indent: int = 2) -> Trimmed:
    """Columns as wide as they need; what does not fit folds inside its cell and is never cut."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False, header_style="sb.head")
    for header in headers:
        made.add_column(Text(header), overflow="fold", no_wrap=False)
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return Trimmed(Padding(made, (0, 0, 0, indent), expand=False))
