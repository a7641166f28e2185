"""Consent to what cannot be undone: whoever has a disk overwritten types the name of its host."""

from __future__ import annotations

from collections.abc import Sequence

from sealboot.cli import runtime
from sealboot.cli.options import Reading
from sealboot.model.steps import Run, WriteDisk
from sealboot.render.text import safe


def consent_to(disks: Sequence[WriteDisk | Run], options: Reading, confirmed: Sequence[str]) -> str:
    """Why nothing may be changed; empty when each host was named whose disks will be overwritten.

    Neither `--yes` nor a saved plan stands for that: both are said about a plan, and a disk is lost for
    the one machine whose name somebody mistook.
    """
    hosts = tuple(dict.fromkeys(step.host for step in disks))
    open_ones = [host for host in hosts if host not in confirmed]
    if open_ones and not runtime.may_ask(options):
        said = " ".join(f"--confirm-disk {host}" for host in open_ones)
        return f"Disks would be overwritten: nothing was changed. Without a terminal, say {said}"
    for host in open_ones:
        lost = "; ".join(safe(step.destroys) for step in disks if step.host == host)
        if runtime.typed(f"This destroys {lost}.\nType the name of the host to go on:") != host:
            return "That is not its name. Nothing was changed."
    return ""
