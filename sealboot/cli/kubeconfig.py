"""`sealboot kubeconfig`: fetch the administrator's kubeconfig and make it usable from here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from sealboot.cli.options import Format, Remote, examples, takes


@examples(
    "sealboot kubeconfig                  write ./kubeconfig",
    "sealboot kubeconfig --merge          add the cluster to ~/.kube/config",
    "sealboot kubeconfig -o - | ssh desk 'umask 077; cat > lab.kubeconfig'",
    "sealboot kubeconfig --server https://lab.example:6443",
)
@takes(Remote)
def kubeconfig(
    options: Remote,
    *,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE", help="- for stdout [default: kubeconfig]"),
    ] = None,
    server: Annotated[
        str | None, typer.Option("--server", metavar="URL", help="the API server's address as seen from here")
    ] = None,
    context: Annotated[
        str | None,
        typer.Option("--context", metavar="NAME", help="name of context, cluster, user [default: cluster's]"),
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="add to FILE [default: ~/.kube/config], keep all else")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="replace another cluster's; a copy is kept")] = False,
) -> None:
    """Fetch the cluster's admin kubeconfig.

    Asks one server after the other, over SSH. The file is made anew, 0600, with the server's own
    address and the cluster's name in it; what could run a program or read a file here is refused.
    """
    from sealboot.cli import runtime
    from sealboot.cli.fetching import Place, fetch_and_save
    from sealboot.workflow.kubeconfig_text import name_fault, url_fault

    for value, fault, hint in ((server, url_fault, "--server"), (context, name_fault, "--context")):
        if value is not None and fault(value):
            raise typer.BadParameter(fault(value), param_hint=hint)
    if output == "" or (merge and output == "-"):
        why = "it is empty: name the file to write" if output == "" else "--merge adds to a file"
        raise typer.BadParameter(why, param_hint="--output")
    if output == "-":  # stdout is the file and nothing else
        options = replace(options, format=Format.PLAIN)
    default = "~/.kube/config" if merge else "kubeconfig"
    target = None if output == "-" else Path(output or default)
    if target is not None and str(target).startswith("~/"):
        target = target.expanduser()
    view = runtime.view_of(options)
    prepared = runtime.prepared_or_leave(options, view, "kubeconfig")
    place = Place(target, server or "", context or "", merge=merge, force=force)
    runtime.leave(runtime.run_async(fetch_and_save(options, prepared, view, place), view))
