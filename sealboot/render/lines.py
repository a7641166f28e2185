"""Progress where nothing may move: one line for each event, the host first."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from sealboot.model.events import (
    Event,
    FactsGathered,
    Found,
    Heartbeat,
    HostFinished,
    StepFinished,
    StepStarted,
    WaveStarted,
)
from sealboot.render.text import human_bytes, human_seconds, safe

_RESULT_STYLE = {"changed": "sb.change", "same": "sb.dim", "failed": "sb.error", "unknown": "sb.error"}


class LineProgress:
    """A sink that prints what ended, and every ten seconds who is still at work."""

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        self._console = console
        self._verbose = verbose

    def __call__(self, event: Event) -> None:
        """Print the line of this event, if it has one."""
        line = self._line(event)
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
                busy = "; ".join(f"{safe(host)}: {safe(step)}" for host, step in event.busy[:5])
                more = f" and {len(event.busy) - 5} more" if len(event.busy) > 5 else ""
                return Text(f"... {human_seconds(event.at)}: {busy}{more}", style="sb.dim")
            case Found() if self._verbose:
                d = event.diagnostic
                return Text(f"{safe(d.host or '-')}: {d.severity.value}[{d.code}] {safe(d.summary)}")
            case _:
                return None
