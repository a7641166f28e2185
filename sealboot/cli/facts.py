"""`sealboot facts`: what each host said about itself."""

from __future__ import annotations

from typing import Annotated

import typer

from sealboot.cli.options import Reading, takes


@takes(Reading)
def facts(
    options: Reading,
    *,
    details: Annotated[bool, typer.Option("--details", help="everything, host by host")] = False,
) -> None:
    """Show what each host is. Changes nothing."""
    from sealboot.cli import runtime
    from sealboot.cli.exits import Exit, of_findings

    view = runtime.view_of(options)
    prepared = runtime.prepared_or_leave(options, view, "facts")

    async def main() -> Exit:
        async with runtime.look(options, prepared, view, command="facts") as looked:
            survey = looked.survey
            view.facts(list(survey.facts.values()), survey.diagnostics, details=details)
            return runtime.finish(view, looked, of_findings(survey.diagnostics))

    runtime.leave(runtime.run_async(main(), view))
