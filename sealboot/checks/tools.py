"""SB308: programs that a bootstrap cannot do without."""

from __future__ import annotations

from collections.abc import Collection

from sealboot.model.diagnostic import Diagnostic
from sealboot.model.facts import Facts
from sealboot.model.host import Host

#: One of each row must be there: what it is for, and the tools that can do it.
NEEDED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("hash what was uploaded", ("sha256sum", "busybox", "openssl", "shasum")),
    ("move a file into place", ("mv", "busybox")),
)

#: Looked for because they help, while something else does where they are missing.
REPLACEABLE = frozenset(
    {
        *(tool for _, tools in NEEDED for tool in tools),
        "flock",
        "setsid",
        "systemctl",
        "rc-service",
        "sync",
        "stat",
        "timeout",
    }
)


def missing_tools(host: Host, facts: Facts, wanted: Collection[str]) -> tuple[Diagnostic, ...]:
    """SB308, one finding with everything that is missing; nothing where the host's tools are not known.

    `wanted` are the names the driver looks for; those with a replacement are not missed.
    """
    if not facts.tools:
        return ()
    lines = [
        (f"{' or '.join(tools)}", f"to {purpose}")
        for purpose, tools in NEEDED
        if not facts.tools & set(tools)
    ]
    lines += [(tool, "for this distribution") for tool in sorted(set(wanted) - REPLACEABLE - facts.tools)]
    if not lines:
        return ()
    return (
        Diagnostic(
            "SB308",
            f"{host.name} lacks {', '.join(tool for tool, _ in lines)}",
            host=host.name,
            at=host.origin(),
            evidence=tuple(lines),
            hints=("install them on the host; its PATH and the sbin directories were searched",),
        ),
    )
