"""The one gate for text that sealboot did not write itself (promise P6).

Whatever a host, a file or an inventory said passes through `safe` before it
meets a terminal: rich lets ESC, C1 controls and bidirectional overrides
through, and reads square brackets as markup. Output of `safe` is plain text,
to be wrapped in `rich.text.Text`, never in markup.
"""

from __future__ import annotations

import textwrap

#: Characters of one remote value that are shown; what is longer says how much was cut.
DEFAULT_LIMIT = 400


def escape_character(character: str) -> str:
    r"""`\x1b` for ESC, `\u202e` for a bidirectional override: visible and harmless."""
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def safe(text: str, *, limit: int = DEFAULT_LIMIT, lines: bool = False) -> str:
    """The text with everything that is not a visible character spelled out, cut at `limit` characters.

    Controls (C0, DEL, C1), bidirectional and zero-width characters, line
    separators, surrogates and private-use characters are shown as escapes;
    with `lines`, line feeds stay and tabs become spaces.
    """
    cut = text[:limit]
    if not (cut.isascii() and cut.isprintable()):
        if lines:
            cut = cut.replace("\r\n", "\n").expandtabs(4)
        cut = "".join(c if c.isprintable() or (lines and c == "\n") else escape_character(c) for c in cut)
    return cut if len(text) <= limit else f"{cut}... ({len(text) - limit} more characters)"


def wrapped(text: str, *, first: str, rest: str, width: int) -> list[str]:
    """The text in lines of at most `width` characters, behind `first` and then `rest`.

    A word that is longer than a line goes on in the next one, behind `rest` like any other.
    """
    lines = textwrap.wrap(
        text,
        width=max(width, len(rest) + 20),
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
        break_long_words=True,
    )
    return lines or [first.rstrip()]


def human_bytes(count: float) -> str:
    """`938 B`, `4.2 MiB`: binary units, three digits."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"


def human_seconds(seconds: float) -> str:
    """`4.1s`, `2m05s`."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s"
