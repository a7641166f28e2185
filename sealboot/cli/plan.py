"""`sealboot plan`: what apply would do; writes nothing anywhere but the file it is told to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from sealboot.cli import complete
from sealboot.cli.options import IgnoreOption, Reading, takes


@takes(Reading)
def plan(
    options: Reading,
    *,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", "--out", metavar="FILE", help="save the plan for `apply FILE`"),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="also the steps that are already done")] = False,
    ready_only: Annotated[bool, typer.Option("--ready-only", help="leave out hosts with errors")] = False,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="exit 10 when there are changes")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", metavar="PART", help="only this part or wave; repeatable", autocompletion=complete.parts
        ),
    ] = None,
    ignore: IgnoreOption = None,
) -> None:
    """Show what `apply` would do. Changes nothing."""
    from sealboot.cli import runtime
    from sealboot.cli.exits import Exit, of_findings
    from sealboot.model.report import PlanReport
    from sealboot.plan.planfile import save
    from sealboot.workflow import planning

    view = runtime.view_of(options)
    accepted = runtime.accepted_codes(ignore)
    prepared = replace(runtime.prepared_or_leave(options, view, "plan"), only=tuple(only or ()))

    async def main() -> Exit:
        async with runtime.look(options, prepared, view, command="plan", ignore=accepted) as looked:
            if looked.errors and not (ready_only and looked.preflight.ready):
                view.check(looked.preflight.report)
                return runtime.finish(view, looked, of_findings(looked.errors))
            made = await planning.make(
                prepared, looked.survey, looked.preflight, sink=looked.sink, secrets=looked.store
            )
            if isinstance(made, tuple):
                view.diagnostics("plan", made)
                return runtime.finish(view, looked, of_findings(made))
            failed = None if output is None else save(made, output)
            if failed is not None:
                view.diagnostics("plan", [failed])
                return runtime.finish(view, looked, Exit.USAGE)
            before = await planning.former(looked.survey, made)
            found = looked.preflight.report.diagnostics
            view.plan(PlanReport(made, found, looked.seconds, before=before), full=full)
            if output is not None:
                view.message(f"Saved. Apply exactly this with: sealboot apply {output}")
            changed = detailed_exitcode and made.changes
            return runtime.finish(view, looked, Exit.CHANGES if changed else Exit.OK)

    runtime.leave(runtime.run_async(main(), view))
