"""The one gate for text that sealboot did not write itself (promise P6).

Whatever a host, a file or an inventory said passes through `safe` before it
meets a terminal: rich lets ESC, C1 controls and bidirectional overrides
through, and reads square brackets as markup. Output of `safe` is plain text,
to be wrapped in `rich.text.Text`, never in markup.
"""

from __future__ import annotations

import re
import textwrap

#: Characters of one remote value that are shown; what is longer says how much was cut.
DEFAULT_LIMIT = 400

#: A colour or a movement of the cursor (ECMA-48, control sequences): nothing that a log would lack.
_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


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


def ending(text: str, limit: int) -> str:
    """The last lines of an output, at most `limit` characters of it, with a line before them that counts the rest.

    Programs tell their reason last. Colour codes are dropped; a line is left out where only its end would
    fit, unless it is the only one. What is returned is still hostile: `safe` comes after.
    """
    plain = _SEQUENCE.sub("", text)
    if len(plain) <= limit:
        return plain
    kept = plain[-limit:]
    _, _, whole = kept.partition("\n")
    kept = whole if whole.strip() and plain[-limit - 1] != "\n" else kept
    return f"({len(plain) - len(kept)} characters before)\n{kept}"


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


def human_part(done: float, total: float) -> str:
    """`12.5/286 MiB`: how much of a total, in the unit of the total."""
    number, unit = human_bytes(total).split(" ")
    part = done / 1024 ** ("B", "KiB", "MiB", "GiB").index(unit)
    return f"{part:.{len(number.partition('.')[2])}f}/{number} {unit}"


def human_left(seconds: float) -> str:
    """`42s left`, `12m left`, `3h left`: no more than is known."""
    if seconds < 99.5:
        return f"{seconds:.0f}s left"
    minutes = seconds / 60
    return f"{minutes:.0f}m left" if minutes < 99.5 else f"{min(minutes / 60, 999):.0f}h left"
