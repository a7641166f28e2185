"""`sealboot inspect FILE...`: what is this file? Offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sealboot.cli.options import Output, takes
from sealboot.model.verification import NAMESPACE, Verification


@takes(Output)
def inspect(
    options: Output,
    *,
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="files or folders, under any name")],
    deep: Annotated[
        bool, typer.Option("--deep", help="inflate what programs carry, and compare every checksum")
    ] = False,
    checksums: Annotated[
        list[str] | None,
        typer.Option("--checksums", metavar="FILE", help="checksum files that must list every file"),
    ] = None,
    minisign_key: Annotated[
        str | None,
        typer.Option("--minisign-key", metavar="KEY", help="key or its file: must have signed FILE.minisig"),
    ] = None,
    allowed_signers: Annotated[
        str | None,
        typer.Option("--allowed-signers", metavar="FILE", help="SSH keys: one must have signed FILE.sig"),
    ] = None,
    namespace: Annotated[
        str, typer.Option("--namespace", metavar="WORD", help="what SSH signatures were made for")
    ] = NAMESPACE,
) -> None:
    """Say what a file is, by its bytes.

    What would run it, what it needs, what is wrong with it. Offline.
    """
    if (minisign_key or allowed_signers) and not checksums:
        raise typer.BadParameter("a key verifies checksum files: name them with --checksums")
    from sealboot.artifacts import collect
    from sealboot.cli import runtime
    from sealboot.cli.exits import of_findings, strongest
    from sealboot.model.report import InspectReport
    from sealboot.workflow.verify import vouched

    view = runtime.view_of(options)
    artifacts, wrong = collect(files, Path(), deep=deep)
    if checksums:
        wanted = Verification(
            checksums=tuple(checksums),
            minisign_key=minisign_key,
            allowed_signers=allowed_signers,
            namespace=namespace,
        )
        artifacts, problems = vouched(wanted, Path(), artifacts)
        wrong = (*wrong, *problems)
    view.inspected(InspectReport(artifacts, wrong))
    runtime.leave(strongest([of_findings(wrong), *(of_findings(a.diagnostics) for a in artifacts)]))
