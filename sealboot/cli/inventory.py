"""`sealboot inventory show|schema`."""

from __future__ import annotations

import sys

import typer

from sealboot.cli.help import Command, Group
from sealboot.cli.options import Common, takes

app = typer.Typer(
    help="Look at the inventory as sealboot understands it.",
    cls=Group,
    rich_markup_mode=None,
    no_args_is_help=True,
)


@app.command("show", cls=Command)
@takes(Common)
def show(options: Common) -> None:
    """Every setting of every host, its value, and the line it comes from."""
    from sealboot.cli import runtime
    from sealboot.inventory.view import resolved_view

    view = runtime.view_of(options)
    prepared = runtime.prepared_or_leave(options, view, "inventory show")
    names = {host.name for host in prepared.selected}
    rows = [
        (row.host, row.setting, row.value, str(row.origin or "default"))
        for row in resolved_view(prepared.inventory)
        if row.host in names
    ]
    headers = ("HOST", "SETTING", "VALUE", "FROM")
    view.rows("inventory show", headers, rows, diagnostics=prepared.diagnostics)


@app.command("schema", cls=Command)
def schema() -> None:
    """Print the JSON schema of inventories, for editors.

    With the options, roles and slots of every installed driver.
    """
    from sealboot.workflow.schema import text

    sys.stdout.write(text())
