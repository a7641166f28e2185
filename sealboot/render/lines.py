"""Progress where nothing may move: one line for each event, the host first."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from sealboot.model.events import (
    Event,
    FactsGathered,
    Found,
    Heartbeat,
    HostFinished,
    RunStopping,
    StepFinished,
    StepStarted,
    StepVerifying,
    WaveStarted,
)
from sealboot.render.board import Board, stopping_words
from sealboot.render.text import human_bytes, human_left, human_part, human_seconds, safe

_RESULT_STYLE = {"changed": "sb.change", "same": "sb.dim", "failed": "sb.error", "unknown": "sb.error"}
#: Hosts that one heartbeat names.
_NAMED = 5


class LineProgress:
    """A sink that prints what ended, and every ten seconds who is still at work, and how far."""

    def __init__(self, console: Console, *, verbose: bool = False, board: Board | None = None) -> None:
        """`board` is one that knows the run so far."""
        self._console = console
        self._verbose = verbose
        self._board = board or Board()

    def __call__(self, event: Event) -> None:
        """Print the line of this event, if it has one."""
        self._board.note(event)
        self._print(self._line(event))

    def catch_up(self) -> None:
        """Print who is at work now: what came before was shown elsewhere."""
        rows = self._board.rows.values()
        busy = [(row.name, row.doing) for row in rows if row.state == "at work"]
        if busy:
            self._print(self._heartbeat(self._board.now, busy))

    def _print(self, line: Text | None) -> None:
        if line is not None:
            self._console.print(line, soft_wrap=True)

    def _line(self, event: Event) -> Text | None:
        match event:
            case FactsGathered() if self._verbose:
                return Text(f"{safe(event.host)}: {event.arch} kernel, {event.userland} userland")
            case WaveStarted():
                return Text(f"wave {event.index}/{event.total}: {safe(event.title)}", style="sb.head")
            case StepStarted() if self._verbose:
                return Text(f"{safe(event.host)}: {safe(event.title)} ...")
            case StepVerifying() if self._verbose:
                return Text(f"{safe(event.host)}: {safe(self._board.rows[event.host].doing)}: verifying")
            case StepFinished() if event.result != "same" or self._verbose:
                sent = f", {human_bytes(event.sent)}" if event.sent else ""
                return Text(
                    f"{safe(event.host)}: {safe(event.title)}: {event.result} "
                    f"({human_seconds(event.seconds)}{sent})",
                    style=_RESULT_STYLE.get(event.result, ""),
                )
            case HostFinished() if self._verbose:
                return Text(f"{safe(event.host)}: {event.outcome.value}")
            case Heartbeat():
                return self._heartbeat(event.at, event.busy)
            case RunStopping():
                return Text(stopping_words(event), style="sb.warning")
            case Found() if self._verbose:
                d = event.diagnostic
                return Text(f"{safe(d.host or '-')}: {d.severity.value}[{d.code}] {safe(d.summary)}")
            case _:
                return None

    def _heartbeat(self, at: float, busy: Sequence[tuple[str, str]]) -> Text:
        told = "; ".join(f"{safe(host)}: {safe(step)}{self._far(host)}" for host, step in busy[:_NAMED])
        more = f" and {len(busy) - _NAMED} more" if len(busy) > _NAMED else ""
        return Text(f"... {human_seconds(at)}: {told}{more}", style="sb.dim")

    def _far(self, host: str) -> str:
        """How far the upload of this host is: bytes, per cent, rate, time left."""
        row = self._board.rows.get(host)
        transfer = row.transfer if row else None
        if transfer is None or not transfer.total:
            return ""
        if transfer.verifying is not None:
            return f", {human_bytes(transfer.total)} sent, verifying"
        now = self._board.now
        rate, left = transfer.rate(now), transfer.left(now)
        parts = [human_part(transfer.done, transfer.total), f"{100 * transfer.done // transfer.total}%"]
        parts += [f"{human_bytes(rate)}/s"] if rate is not None else []
        parts += [human_left(left)] if left is not None else []
        return ", " + ", ".join(parts)
