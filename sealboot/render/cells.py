"""Text in columns of a terminal: what is cut and padded is counted in cells, for some characters take two."""

from __future__ import annotations

from rich.cells import cell_len


def head(text: str, width: int) -> str:
    """The longest beginning of the text that takes at most `width` cells."""
    if cell_len(text) <= width:
        return text
    taken = 0
    for number, character in enumerate(text):
        taken += cell_len(character)
        if taken > width:
            return text[:number]
    return text


def tail(text: str, width: int) -> str:
    """The longest end of the text that takes at most `width` cells."""
    return head(text[::-1], width)[::-1]


def cut(text: str, width: int, mark: str) -> str:
    """The text in at most `width` cells; what is longer ends in `mark`."""
    return text if cell_len(text) <= width else head(text, max(width - len(mark), 0)) + mark[: max(width, 0)]


def cut_middle(text: str, width: int, mark: str) -> str:
    """The same, cut in the middle: names of machines differ at both ends."""
    if cell_len(text) <= width or width <= len(mark):
        return cut(text, width, mark)
    end = (width - len(mark)) // 2
    return head(text, width - len(mark) - end) + mark + tail(text, end)


def left(text: str, width: int) -> str:
    """The text with spaces behind it, `width` cells in all."""
    return text + " " * (width - cell_len(text))


def right(text: str, width: int) -> str:
    """The text with spaces before it, `width` cells in all."""
    return " " * (width - cell_len(text)) + text
