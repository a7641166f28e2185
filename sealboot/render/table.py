"""A borderless table whose cells are text, never markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.padding import Padding
from rich.table import Table
from rich.text import Text


def table(headers: Sequence[str], rows: Iterable[Sequence[Text | str]], *, indent: int = 2) -> Padding:
    """Columns as wide as they need; what does not fit folds inside its cell and is never cut."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False, header_style="sb.head")
    for header in headers:
        made.add_column(Text(header), overflow="fold", no_wrap=False)
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return Padding(made, (0, 0, 0, indent), expand=False)
