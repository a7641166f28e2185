"""`sealboot check`: the read-only pre-flight, every finding at once."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from sealboot.cli.options import IgnoreOption, Reading, takes


class FailOn(StrEnum):
    """The least severity that makes `check` exit 1."""

    ERROR = "error"
    WARNING = "warning"


@takes(Reading)
def check(
    options: Reading,
    *,
    matrix: Annotated[bool, typer.Option("--matrix", help="every artifact against every host")] = False,
    fail_on: Annotated[
        FailOn, typer.Option("--fail-on", metavar="SEVERITY", help="error, warning")
    ] = FailOn.ERROR,
    ignore: IgnoreOption = None,
) -> None:
    """Say what does not fit, before anything is written.

    Probes every host, inspects every file, and matches them. Changes nothing.
    """
    from sealboot.cli import runtime
    from sealboot.cli.exits import Exit, of_findings
    from sealboot.model.diagnostic import Severity

    view = runtime.view_of(options)
    accepted = runtime.accepted_codes(ignore)
    prepared = runtime.prepared_or_leave(options, view, "check")

    async def main() -> Exit:
        async with runtime.look(
            options, prepared, view, command="check", matrix=matrix, ignore=accepted
        ) as looked:
            report = looked.preflight.report
            code = of_findings(report.diagnostics)
            if code is Exit.OK and fail_on is FailOn.WARNING:
                warned = any(d.severity is Severity.WARNING for d in report.diagnostics)
                code = Exit.FINDINGS if warned else code
            view.check(report)
            return runtime.finish(view, looked, code)

    runtime.leave(runtime.run_async(main(), view))
