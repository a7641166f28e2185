"""The registry inside k3s: it shares between nodes what `registries.yaml` of each of them names, and says nothing where that is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sealboot.drivers.base import Context
from sealboot.drivers.k3s_config import CONFIG_DIR
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.drivers.options import origin_of
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.host import Host

#: Tells whether registries.yaml names a mirror: an entry below `mirrors:`, which may be empty itself.
MIRRORS: Final = r"""file=@DIR@/registries.yaml
[ -r "$file" ] || { echo no; exit 0; }
awk '/^mirrors:/ { on = 1; if ($0 ~ /[{] *[^} ]/) found = 1; next }
/^[^ #]/ { on = 0 } on && /^ +[^ #]/ { found = 1 }
END { print found ? "yes" : "no" }' "$file"
""".replace("@DIR@", CONFIG_DIR)


def findings(ctx: Context, options: K3sOptions) -> Iterator[Diagnostic]:
    """SB637: the embedded registry is on, and a node has no mirror to share for.

    A file of the inventory's replaces the nodes' own; without one, theirs count.
    """
    if options.embedded_registry != "true" or options.registries.get("mirrors"):
        return
    if options.registries:
        yield _finding(ctx, "the embedded registry shares nothing: registries.yaml names no mirror", ())
        return
    told = {h.name: ctx.facts[h.name].observed.get("k3s.mirrors", "").strip() for h in ctx.reached}
    without = tuple(host for host in ctx.reached if told[host.name] == "no")
    unknown = tuple(host for host in ctx.reached if told[host.name] not in {"yes", "no"})
    if without:
        yield _finding(
            ctx,
            "the embedded registry shares nothing: registries.yaml of these nodes names no mirror",
            without,
        )
    if unknown:
        yield _finding(
            ctx,
            "the embedded registry needs mirrors in registries.yaml of each node, and these did not tell theirs",
            unknown,
            Severity.WARNING,
        )


def _finding(
    ctx: Context, text: str, hosts: tuple[Host, ...], severity: Severity = Severity.ERROR
) -> Diagnostic:
    return Diagnostic(
        "SB637",
        text,
        severity,
        host=hosts[0].name if hosts else None,
        also=tuple(host.name for host in hosts[1:]),
        at=origin_of(ctx.inventory, "options.embedded_registry"),
        evidence=(("between nodes", "TCP 5001 and 6443 must be open"),),
        hints=("name each registry whose images are shared: `registries: {mirrors: {docker.io: {}}}`",),
    )
