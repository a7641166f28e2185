"""k0s clusters made of values: mixed machines, as fresh ones and as members that run an older release."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from driver_kit import GOLDEN, Cluster, text_of

from sealboot.drivers import k0s_golive, k0s_shell
from sealboot.drivers.base import Context
from sealboot.model.arch import Arch
from sealboot.model.artifact import Other
from sealboot.model.host import Host, Inventory
from sealboot.model.plan import Plan

C1 = Host("c1", "10.0.0.11", "controller")
C2 = Host("c2", "10.0.0.12", "controller")
C3 = Host("c3", "10.0.0.13", "controller+worker")
W1 = Host("W1", "10.0.0.21", "worker", vars={"node_labels": "zone=attic, disk=sd"})
W2 = Host("w2", "10.0.0.22", "worker", paths={"data": "/data/k0s"})
W3 = Host("w3", "10.0.0.23", "worker", vars={"ip": "fd00::23"})
ARCHES = {
    "c1": Arch.AMD64,
    "c2": Arch.ARM,
    "c3": Arch.ARM64,
    "W1": Arch.ARM64,
    "w2": Arch.ARM,
    "w3": Arch.AMD64,
}
RELEASE = "v1.30.2+k0s.0"


class K0s(Cluster):
    """A cluster whose hosts are members with another program where `old` names them."""

    def __init__(
        self,
        inventory: Inventory,
        arches: Mapping[str, Arch],
        old: Sequence[str] = (),
        same: Sequence[str] = (),
    ) -> None:
        super().__init__(inventory, arches)
        self.old, self.same = old, same

    def context(self, limit: Sequence[str] = ()) -> Context:
        ctx = super().context(limit)
        chosen = {
            key: replace(a, layers=(*a.layers, Other("go", {"product": "k0s", "version": RELEASE})))
            if key[1] == "k0s"
            else a
            for key, a in ctx.chosen.items()
        }
        facts = dict(ctx.facts)
        for name, seen in ctx.facts.items():
            host = self.inventory.host(name)
            unit = "k0sworker" if host.role == "worker" else "k0scontroller"
            if name in {*self.old, *self.same}:
                given = chosen.get((name, "k0s"))
                sha = given.sha256 if given and name in self.same else "0" * 64
                observed = {
                    "k0s.units": unit,
                    "k0s.installed": sha,
                    "k0s.proven": f"d {sha} s v1.29.9+k0s.0",
                    "k0s.state": {
                        "worker": "worker",
                        "controller+worker": "controller etcd worker",
                        "single": "controller kine worker",
                    }.get(host.role, "controller etcd"),
                    "k0s.version": RELEASE if name in self.same else "v1.29.9+k0s.0",
                }
                facts[name] = replace(seen, observed=observed)
        return replace(ctx, facts=facts, chosen=chosen)


def k0s(
    *hosts: Host,
    options: Mapping[str, Any] | None = None,
    old: Sequence[str] = (),
    same: Sequence[str] = (),
    release: str | None = None,
) -> K0s:
    inventory = Inventory("inventory.yaml", ".", "lab", "k0s", release, hosts, options=options or {})
    return K0s(inventory, {h.name: ARCHES.get(h.name, Arch.AMD64) for h in hosts}, old, same)


#: Texts that many steps have in common, by what stands for them in a golden plan; `k0s-scripts.txt` has them whole.
PARTS = {
    "LIBRARY": k0s_shell.LIBRARY,
    **{name: getattr(k0s_golive, name) for name in ("_SAME", "_DONE", "_STEPS", "_KEEP", "_TOLD", "_GO")},
}


def compare(name: str, plan: Plan) -> None:
    """Assert that a plan is the reviewed one, its common parts folded."""
    text = text_of(plan)
    for label, part in PARTS.items():
        shown = "\n".join(f"    | {line}".rstrip() for line in part.strip("\n").splitlines())
        for whole in (shown, repr(part)[1:-1], repr(part + "'")[1:-2]):
            text = text.replace(whole, f"<{label.strip('_').lower()}>")
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_text(text)
    assert path.read_text() == text, "if the change is wanted: UPDATE_GOLDEN=1"
