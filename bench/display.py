"""What the live table costs: processor time of drawing it, as a share of one core, while nothing else is done.

    python bench/display.py --seconds 10

The table is on a real pseudo-terminal that is read by another process. Eight
hosts (or all, where there are fewer) send files and tell of it four times a
second, as often as the engine does.
"""

from __future__ import annotations

import argparse
import os
import pty
import subprocess
import termios
import time

from sealboot.model.events import RunStarted, StepProgress, StepStarted
from sealboot.render.console import make_consoles
from sealboot.render.live import LiveProgress

UPLOADS = 8
INTERVAL = 0.25
MIB = 1 << 20


def share(hosts: int, seconds: float, *, columns: int, lines: int, refresh: float) -> float:
    """Processor time by time on the clock; with `refresh` 0 that of taking events in alone."""
    mine, its = pty.openpty()
    termios.tcsetwinsize(its, (lines, columns))
    names = [f"node{n:03}" for n in range(hosts)]
    with (
        subprocess.Popen(["cat"], stdin=mine, stdout=subprocess.DEVNULL) as reader,
        os.fdopen(its, "w") as screen,
    ):
        progress = LiveProgress(make_consoles(err=screen, env={"TERM": "xterm"}).err, refresh=refresh)
        progress(RunStarted(at=0.0, command="apply", cluster="lab", hosts=tuple(names)))
        busy = names[:UPLOADS]
        for name in busy:
            progress(
                StepStarted(at=0.0, host=name, step="s", title="upload k3s to /usr/local/bin/k3s", wave="w")
            )
        start, used = time.monotonic(), time.process_time()
        done = 0
        while (passed := time.monotonic() - start) < seconds:
            done += MIB
            for name in busy:
                progress(StepProgress(at=passed, host=name, step="s", done=done, total=1 << 30))
            time.sleep(INTERVAL)
        used, passed = time.process_time() - used, time.monotonic() - start
        progress.close()
        reader.kill()
    os.close(mine)
    return used / passed


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    seconds = parser.parse_args().seconds
    for hosts in (3, 200):
        for columns, lines in ((80, 24), (120, 40)):
            drawn, taken = (
                share(hosts, seconds, columns=columns, lines=lines, refresh=refresh) for refresh in (8.0, 0.0)
            )
            print(
                f"{hosts:4} hosts at {columns}x{lines}: {drawn:.2%} of one core at 8 frames a second "
                f"({taken:.2%} without drawing)"
            )


if __name__ == "__main__":
    main()
