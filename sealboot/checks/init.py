"""SB511: a service is managed by systemd or OpenRC; a host that runs neither is told before anything is sent."""

from __future__ import annotations

from typing import Final

from sealboot.model.diagnostic import Diagnostic, Location
from sealboot.model.facts import Facts
from sealboot.model.host import Host

#: The init systems that steps can talk to, as `Facts.init` calls them.
MANAGED: Final = frozenset({"systemd", "openrc"})


def no_init(host: Host, facts: Facts, what: str, at: Location | None = None) -> tuple[Diagnostic, ...]:
    """SB511 where `what` needs a service manager and the host is known to run neither systemd nor OpenRC.

    Nothing is said where the probe could not tell.
    """
    if not facts.init or facts.init in MANAGED:
        return ()
    other = (("init", facts.init),) if facts.init != "other" else ()
    return (
        Diagnostic(
            "SB511",
            f"{what} needs systemd or OpenRC, and {host.name} runs neither",
            host=host.name,
            at=at or host.origin(),
            evidence=other,
            hints=("use a system that runs one of the two; a container needs an image with an init system",),
        ),
    )
