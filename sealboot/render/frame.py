"""One frame of the live table: a head, a line for each host, a footer. Pure text, laid out by cells.

The name comes first and whole: it is what an operator looks for. What is short
of room is the title of the step, then the bar, then the time left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from sealboot.render.board import Board, Row, Transfer, stopping_words
from sealboot.render.cells import cut, cut_middle, left, right
from sealboot.render.text import human_bytes, human_left, human_part, human_seconds, safe

#: Cells of the numbers: `1023/1023 MiB`, `1023 MiB/s`, `59m left`.
BYTES, RATE, LEFT = 13, 10, 8
GAP = 2
BAR_LEAST, BAR_MOST, TITLE_LEAST = 8, 24, 6
_STYLES = {"failed": "sb.error", "done": "sb.ok", "waiting": "sb.dim"}


@dataclass(frozen=True, slots=True)
class Marks:
    """What a bar is made of, and what stands for what was cut: told apart without colour."""

    full: str
    half: str
    empty: str
    more: str


UNICODE = Marks("━", "╸", "─", "…")
ASCII = Marks("#", "=", "-", "~")


def marks_for(encoding: str) -> Marks:
    """What a terminal with this encoding can show."""
    return UNICODE if encoding.lower().startswith("utf") else ASCII


@dataclass(frozen=True, slots=True)
class _Layout:
    """Cells for each column. Zero: there is no room for it."""

    name: int
    room: int  # all that follows the name
    title: int
    bar: int
    rate: int
    left: int
    marks: Marks


def frame(board: Board, width: int, height: int, marks: Marks = UNICODE) -> list[Text]:
    """The lines of this moment: fewer than `height`, each narrower than `width`.

    Where there are more hosts than lines, those at work and those in trouble
    are shown, and the rest are counted.
    """
    now = board.now
    rows = list(board.rows.values())
    shown = _shown(rows, max(height - 5, 1))
    layout = _layout(rows, shown, width - 1, marks)
    lines = [_line(safe("  ".join(x for x in (board.title, board.wave) if x)), "sb.head", width, marks)]
    lines += (_row(row, layout, now) for row in shown)
    lines.append(_line(_footer(rows, len(rows) - len(shown), now), "sb.dim", width, marks))
    if board.stopping is not None:
        lines.append(_line(stopping_words(board.stopping), "sb.warning", width, marks))
    return lines


def _line(text: str, style: str, width: int, marks: Marks) -> Text:
    # Room for the two cells of `^C`, which the terminal itself writes behind the last line.
    return Text(cut(text, width - 3, marks.more), style=style, no_wrap=True, overflow="crop")


def _shown(rows: Sequence[Row], room: int) -> list[Row]:
    if len(rows) <= room:
        return list(rows)
    order = {"failed": 0, "at work": 1, "waiting": 2, "done": 3}
    kept = sorted(range(len(rows)), key=lambda i: (order[rows[i].state], i))[:room]
    return [rows[i] for i in sorted(kept)]


def _layout(rows: Sequence[Row], shown: Sequence[Row], width: int, marks: Marks) -> _Layout:
    # All names count, not only those shown: the columns stay where they are.
    name = min(max((cell_len(safe(r.name)) for r in rows), default=0), max(12, width * 3 // 10))
    room = width - name - GAP
    over = room - BYTES
    rate = RATE if over >= RATE + GAP else 0
    over -= rate + GAP if rate else 0
    left_ = LEFT if rate and over >= LEFT + GAP else 0
    over -= left_ + GAP if left_ else 0
    titles = max((cell_len(safe(r.doing, limit=120)) for r in shown if r.transfer), default=0)
    spare = max(over - GAP - titles - GAP, over // 3)
    bar = max(BAR_LEAST, min(BAR_MOST, spare)) if over >= BAR_LEAST + GAP else 0
    over -= bar + GAP if bar else 0
    title = min(titles, over - GAP) if over - GAP >= min(TITLE_LEAST, titles) else 0
    return _Layout(name, room, title, bar, rate, left_, marks)


def _row(row: Row, layout: _Layout, now: float) -> Text:
    marks = layout.marks
    name = left(cut_middle(safe(row.name), layout.name, marks.more), layout.name)
    line = Text(no_wrap=True, overflow="crop")
    line.append(name, style="sb.head").append(" " * GAP)
    doing, style = safe(row.doing, limit=120), _STYLES.get(row.state, "")
    if row.state != "at work":
        return line.append(cut(doing, layout.room, marks.more), style=style)
    if row.transfer is not None:
        return _transfer(line, doing, row.transfer, layout, now)
    room = max(layout.room - LEFT - GAP, 0)
    line.append(left(cut(doing, room, marks.more), room)).append(" " * GAP)
    return line.append(right(human_seconds(now - row.since), LEFT), style="sb.dim")


def _transfer(line: Text, doing: str, transfer: Transfer, layout: _Layout, now: float) -> Text:
    marks = layout.marks
    if layout.title:
        line.append(left(cut(doing, layout.title, marks.more), layout.title)).append(" " * GAP)
    if layout.bar:
        done, half = divmod(2 * layout.bar * min(transfer.done, transfer.total) // max(transfer.total, 1), 2)
        line.append(marks.full * done + marks.half * half, style="sb.ok")
        line.append(marks.empty * (layout.bar - done - half), style="sb.dim").append(" " * GAP)
    if transfer.verifying is not None:
        behind = layout.rate + layout.left + GAP * (bool(layout.rate) + bool(layout.left))
        line.append(right(human_bytes(transfer.total), BYTES) if behind else "")
        words = f"verifying {human_seconds(now - transfer.verifying)}"
        return line.append(right(cut(words, behind or BYTES, marks.more), behind or BYTES))
    line.append(right(human_part(transfer.done, transfer.total), BYTES))
    rate, seconds = transfer.rate(now), transfer.left(now)
    if layout.rate:
        line.append(" " * GAP + right("" if rate is None else f"{human_bytes(rate)}/s", RATE))
    if layout.left:
        line.append(" " * GAP + right("" if seconds is None else human_left(seconds), LEFT), style="sb.dim")
    return line


def _footer(rows: Sequence[Row], hidden: int, now: float) -> str:
    count = Counter(row.state for row in rows)
    words = ", ".join(f"{count[s]} {s}" for s in ("at work", "waiting", "done", "failed") if count[s])
    parts = [f"{words}{f' ({hidden} not shown)' if hidden else ''}", human_seconds(now)]
    moving = [row.transfer for row in rows if row.transfer is not None and row.state == "at work"]
    if len(moving) > 1:
        together = sum(t.rate(now) or 0.0 for t in moving if t.verifying is None)
        parts.append(human_part(sum(t.done for t in moving), sum(t.total for t in moving)))
        parts += [f"{human_bytes(together)}/s"] if together else []
    return "  ".join(parts)
