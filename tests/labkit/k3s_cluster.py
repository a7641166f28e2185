"""A project for a k3s cluster of lab machines: the programs of its release, and an inventory that says who is what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labkit.k3s import VERSION, k3s
from labkit.k3s_install import install_sh
from labkit.lab import Lab
from labkit.machines import Node
from labkit.project import Project, Ran

#: The lab's machines have no memory controller to give away; a real kubelet would need it.
ACCEPTED = [{"code": "SB633", "reason": "the stand-in starts no containers"}]
_TIMES = {"start_timeout": "60", "ready_timeout": "60", "import_timeout": "60"}


class K3sProject(Project):
    """Commands against `nodes`, of which the first `servers` are servers."""

    def __init__(self, lab: Lab, folder: Path, nodes: Sequence[Node], *, servers: int = 1) -> None:
        super().__init__(lab, folder, nodes)
        self.servers = servers
        self.put("install.sh", install_sh())
        self.release()

    def release(self, version: str = VERSION, **options: Any) -> None:
        """Offer the programs of a release, and an inventory that wants it with these options."""
        for arch in {node.arch for node in self.nodes}:
            self.put(f"k3s-{arch}", k3s(arch, version))
        self.inventory(
            driver="k3s",
            release=version,
            role={n.name: "agent" if i >= self.servers else "server" for i, n in enumerate(self.nodes)},
            artifacts={"k3s": ["binaries/k3s-*"]},
            hosts={n.name: {"ignore": ACCEPTED} for n in self.nodes},
            extra={"options": {**_TIMES, **options}},
        )

    def applied(self, *arguments: str) -> dict[str, str]:
        """Apply, which must succeed; the outcome of each host."""
        ran = self.run("apply", "--yes", *arguments)
        assert ran.code == 0, ran.told
        return {row["host"]: row["outcome"] for row in ran.document["hosts"]}

    def rows(self, server: Node) -> dict[str, list[str]]:
        """What the cluster says of its nodes: name to role, architecture, version and readiness."""
        lines = self.on(server, "k3s kubectl get nodes").splitlines()
        return {words[0]: words[1:] for words in (line.split() for line in lines)}


def essence(listing: str) -> set[str]:
    """A listing without what sealboot remembers, and without the times of directories: things came and went."""
    rows = [line.rsplit(" ", 4) for line in listing.splitlines()]
    return {
        " ".join(row[:4] if row[3] == "-" else row)
        for row in rows
        if not row[0].startswith("./var/lib/sealboot")
    }


def order(ran: Ran, *labels: str) -> list[tuple[str, str, str]]:
    """Of a run in events: (event, host, label) of the steps `start/HOST/LABEL`, in their order."""
    told = [
        (e["event"], e["step"].split("/"))
        for e in ran.events
        if e["event"] in {"StepStarted", "StepFinished"}
    ]
    return [(event, step[1], step[2]) for event, step in told if step[0] == "start" and step[2] in labels]
