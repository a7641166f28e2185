"""`sealboot init`: a starter inventory that says what can be written where."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sealboot.cli import complete
from sealboot.cli.options import Output, examples, takes


@examples(
    "sealboot init        asks, where there is a terminal",
    "sealboot init --driver k3s ops@10.0.0.11:2222 10.0.0.21",
    "sealboot init --driver k0s --servers 3 'ctl[1-3]' 'pi[01-20]'",
)
@takes(Output)
def init(
    options: Output,
    *,
    hosts: Annotated[
        list[str] | None,
        typer.Argument(metavar="HOST", help="[user@]address[:port]; ranges too: 'pi[01-04]'"),
    ] = None,
    driver: Annotated[
        str | None,
        typer.Option(
            "--driver",
            metavar="NAME",
            help="{drivers} [default: asked, else sealos]",
            autocompletion=complete.drivers,
        ),
    ] = None,
    servers: Annotated[
        int | None,
        typer.Option(
            "--servers",
            "--controller-count",
            metavar="N",
            min=1,
            help="how many hosts, from the first, are servers [default: 1]",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("-n", "--cluster-name", metavar="NAME", help="[default: lab]")
    ] = None,
    release: Annotated[
        str | None, typer.Option("--release", metavar="VERSION", help="such as v1.36.3+k3s1")
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="NAME", help="who logs in [default: root]")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", metavar="N", min=1, max=65535, help="SSH port [default: 22]")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", "--key-path", metavar="FILE", help="private key to log in with")
    ] = None,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", "--out", metavar="FILE", help="never overwritten; - for stdout"),
    ] = Path("inventory.yaml"),
    schema: Annotated[
        bool,
        typer.Option(
            "--schema/--no-schema",
            help="write inventory.schema.json beside it, for editors [default: yes]",
            show_default=False,
        ),
    ] = True,
    no_input: Annotated[bool, typer.Option("--no-input", help="never ask anything")] = False,
) -> None:
    """Write a commented starter inventory.

    The first hosts are servers (k3s), controllers (k0s), masters (Sealos) or control planes (Talos).
    What it writes is an inventory that `sealboot check` reads.
    """
    from sealboot.cli.initialising import Place, begin, completed
    from sealboot.workflow.starting import Said

    said = Said(tuple(hosts or ()), servers, name, release, user, port, key)
    chosen, said = completed(driver, said, ask=not no_input)
    begin(options, chosen, said, Place(output, schema))
