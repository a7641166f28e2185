"""SB519: a step that waits for a port or a URL needs a tool on the host that can ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sealboot.model.diagnostic import Diagnostic, Location
from sealboot.model.facts import Facts
from sealboot.model.host import Host

#: One of each row asks; the engine takes the first that is there (`engine/waiting.py`).
ASKING: Final[Mapping[str, tuple[str, ...]]] = {
    "tcp": ("bash", "python3", "nc", "busybox", "curl"),
    "http": ("curl", "wget", "busybox", "python3"),
}
#: Ports of the host itself are looked up in /proc, without any tool.
_LOCAL: Final = ("localhost:", "127.", "[::1]:", "0.0.0.0:", "[::]:")


def cannot_wait(
    host: Host, facts: Facts, kind: str, target: str, at: Location | None = None
) -> tuple[Diagnostic, ...]:
    """SB519 where no tool of the host can ask for `target`; nothing where its tools are not known."""
    asking = ASKING.get(kind, ())
    if not facts.tools or not asking or facts.tools & set(asking):
        return ()
    if kind == "tcp" and target.startswith(_LOCAL):
        return ()
    return (
        Diagnostic(
            "SB519",
            f"{host.name} has no tool that can wait for {target}",
            host=host.name,
            at=at or host.origin(),
            evidence=(("one of", ", ".join(asking)),),
            hints=("install one of them on the host, or wait with a script: `wait: {run: ...}`",),
        ),
    )
