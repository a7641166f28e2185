"""Where the kubeconfig is, whose it is, and the one command that uses it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from sealboot.model.report import KubeconfigReport
from sealboot.render.findings import block
from sealboot.render.text import safe, wrapped

_VERBS = {"created": "written to", "changed": "written to", "same": "already in"}


def document(report: KubeconfigReport, width: int) -> Iterator[RenderableType]:
    """The file, what is in it, how to use it; and what was found on the way."""
    verb = "added to" if report.merged and report.state != "same" else _VERBS[report.state]
    yield Text(f"Access to cluster {safe(report.cluster)} {verb} {safe(report.path)} (0600)", style="sb.ok")
    rows = [
        ("server", report.server),
        ("context", report.context),
        ("from", report.host),
        ("until", report.until),
        ("before", report.backup),
    ]
    for label, value in rows:
        if value:
            for line in wrapped(safe(value), first=f"  {label:<8} ", rest=" " * 11, width=width):
                yield Text(line)
    yield Text(f"  {_use(report)}", style="sb.hint", no_wrap=True, overflow="ignore")
    if report.diagnostics:
        yield Text()
        yield block(report.diagnostics, width)


def _use(report: KubeconfigReport) -> str:
    """A command to be copied: never broken into lines."""
    if report.merged:
        return f"kubectl --context {safe(shlex.quote(report.context))} get nodes"
    return f"kubectl --kubeconfig {safe(shlex.quote(report.path))} get nodes"
