"""`sealboot inspect FILE...`: what is this file? Offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from sealboot.cli.options import Format, Output, takes
from sealboot.model.verification import NAMESPACE, Verification


@takes(Output)
def inspect(
    options: Output,
    *,
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="files or folders, under any name")],
    deep: Annotated[
        bool, typer.Option("--deep", help="inflate what programs carry, and compare every checksum")
    ] = False,
    brief: Annotated[
        bool,
        typer.Option("--brief", help="a line for each file, by its first bytes alone; nothing is hashed"),
    ] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="read every file anew")] = False,
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
    if brief and (deep or checksums):
        raise typer.BadParameter("--brief reads headers only: leave out --deep and --checksums")
    if brief:
        _brief(options, files)
    from sealboot.artifacts import collect
    from sealboot.cli import showing
    from sealboot.cli.caching import results
    from sealboot.cli.exits import of_findings, strongest
    from sealboot.model.report import InspectReport

    view = showing.view_of(options)
    # What is to be vouched for is read now, whatever was found in it before.
    with results(no_cache=no_cache or bool(checksums)) as cache:
        artifacts, wrong = collect(files, Path(), deep=deep, cache=cache)
    if checksums:
        from sealboot.workflow.verify import vouched

        wanted = Verification(
            checksums=tuple(checksums),
            minisign_key=minisign_key,
            allowed_signers=allowed_signers,
            namespace=namespace,
        )
        artifacts, problems = vouched(wanted, Path(), artifacts)
        wrong = (*wrong, *problems)
    view.inspected(InspectReport(artifacts, wrong))
    showing.leave(strongest([of_findings(wrong), *(of_findings(a.diagnostics) for a in artifacts)]))


def _brief(options: Output, files: list[str]) -> NoReturn:
    """List what the files are. Little is imported: a folder of a thousand files takes a moment."""
    from sealboot.artifacts.brief import briefs
    from sealboot.cli.exits import Exit
    from sealboot.model.artifact import Kind
    from sealboot.render import listing
    from sealboot.render.text import safe

    found, nothing = briefs(files, Path())
    if options.format in {Format.JSON, Format.JSONL}:
        from sealboot.cli import showing

        showing.view_of(options).rows("inspect", listing.HEADERS, map(listing.cells, found))
    else:
        listing.show(found)
    for pattern in nothing:
        typer.echo(f"no file matches {safe(pattern)}", err=True)
    wrong = any(b.trouble and b.kind not in {Kind.DIRECTORY, Kind.SPECIAL} for b in found)
    raise typer.Exit(int(Exit.FINDINGS if wrong else Exit.OK))
