"""`python -m labkit`: prepare the cache, or keep machines up to try things on by hand.

python -m labkit prepare [--slow]     make roots, emulators, kernels
python -m labkit up KIND...           start machines, print how to reach them, stop on Ctrl-C
python -m labkit kinds                list the kinds
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from requires import LAB, lacking

from labkit import containerd, debs, nodes, rarecases, realcorpus, vm
from labkit.apt import LabUnavailableError
from labkit.lab import Lab
from labkit.machines import KINDS, RARE_NODES, TWINS, kind

#: Programs of other projects that the tests ship to machines.
PAYLOADS = (
    *((package, arch, "") for package in ("etcd-server", "etcd-client") for arch in ("amd64", "arm64")),
    *(("containerd", arch, containerd.SUITE) for arch in ("amd64", "arm64")),
)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def prepare(*, slow: bool) -> None:
    """Make everything the tests would otherwise make when they first ask."""
    begun = time.monotonic()

    def one(name: str) -> None:
        about = kind(name)
        if about.vm:
            vm.prepare(about)
        else:
            nodes.prepare(about)
        _say(f"{time.monotonic() - begun:6.1f} s  {name}")

    every = {**KINDS, **TWINS}
    kinds = [name for name, about in every.items() if slow or not about.slow or name in RARE_NODES]
    files = [case.file.make for case in rarecases.cases(slow=slow)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, kinds))
        list(pool.map(debs.extract, *zip(*PAYLOADS, strict=True)))
        list(pool.map(lambda make: make(), files))
    if slow:
        realcorpus.whole()
    _say(f"{time.monotonic() - begun:6.1f} s  all prepared")


def up(kinds: list[str]) -> None:
    """Start machines and wait for Ctrl-C or SIGTERM."""
    with tempfile.TemporaryDirectory(prefix="sealboot-lab-") as folder:
        lab = Lab(Path(folder))
        try:
            begun = time.monotonic()
            machines = lab.need(*kinds)
            lab.inventory(Path(folder, "inventory.yaml"), machines)
            _say(f"up in {time.monotonic() - begun:.1f} s; inventory, known_hosts and key are in {folder}")
            for node in machines:
                _say(
                    f"  {node.name}: nsenter --net={lab.bridge.path} ssh -F none -i {node.key_file}"
                    f" -o UserKnownHostsFile={folder}/known_hosts {node.user}@{node.address}"
                )
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
        finally:
            lab.close()


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="labkit", description="the real lab of the tests")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare").add_argument("--slow", action="store_true")
    commands.add_parser("kinds")
    commands.add_parser("up").add_argument("kinds", nargs="+", choices=[*KINDS, *TWINS], metavar="KIND")
    chosen = parser.parse_args()
    if chosen.command == "kinds":
        _say("\n".join([*KINDS, *TWINS]))
        return 0
    if reason := lacking(*LAB):
        _say(f"no lab: {reason}")
        return 1
    try:
        if chosen.command == "prepare":
            prepare(slow=chosen.slow)
        else:
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            up(chosen.kinds)
    except LabUnavailableError as error:
        _say(f"no lab: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
