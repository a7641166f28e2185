"""Pages of our own Markdown: as they are written for pipes, set for reading on a terminal."""

from __future__ import annotations

from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown
from rich.padding import Padding
from rich.text import Text
from rich.theme import Theme

from sealboot.render.table import Trimmed

#: Wider text is tiring to read.
_WIDTH: Final = 100
_STYLES: Final = Theme(
    {
        "markdown.h1": "bold",
        "markdown.h2": "bold cyan",
        "markdown.h3": "bold",
        "markdown.code": "bold",
        "markdown.code_block": "cyan",
        "markdown.item.bullet": "none",
    }
)


class _Heading(Heading):
    """A heading on the left, where the eye looks for it."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "left"
        yield self.text


class _Code(CodeBlock):
    """Lines to be copied: as they are written, broken only where the terminal is too narrow for them."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in str(self.text).rstrip().splitlines():
            yield Padding(
                Text(line, style="markdown.code_block", overflow="fold"), (0, 0, 0, 4), expand=False
            )


class _Page(Markdown):
    elements = {  # noqa: RUF012 (rich reads it from the class)
        **Markdown.elements,
        "heading_open": _Heading,
        "fence": _Code,
        "code_block": _Code,
    }


def show(console: Console, text: str) -> None:
    """Print the page; only on a terminal its marks are replaced by how they look."""
    if not console.is_terminal or not console.file.isatty():
        for line in text.splitlines():
            console.print(Text(line, style="sb.head" if line.startswith("#") else ""))
        return
    with console.use_theme(_STYLES):
        console.print(Trimmed(_Page(text, hyperlinks=False)), width=min(console.width, _WIDTH))
