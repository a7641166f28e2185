"""SB303 and SB313: whether the login user may do what a bootstrap does, and whether sudo is quick about it.

A wrong password shows only when it is tried.
"""

from __future__ import annotations

from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.facts import Become, Facts
from sealboot.model.host import Host


def no_privilege(host: Host, facts: Facts) -> tuple[Diagnostic, ...]:
    """SB303, in one of three wordings: password needed, not allowed, or no such tool.

    Nothing is said where `become.method` is `none`: the operator chose to
    work as the login user.
    """
    method = host.become.method
    if method == "none" or facts.uid == 0 or facts.become == "root":
        return ()
    state: Become = facts.become
    if facts.tools and method not in facts.tools:
        state = "missing"
    user = facts.user or "the login user"
    if state == "password" and host.become.password_from is None:
        summary = f"{method} on {host.name} asks {user} for a password, and none is configured"
        hints: tuple[str, ...] = (
            "set `become.password_from: prompt` (or env:, file:, fd:, keyring:) for this host",
        )
    elif state == "denied":
        summary = f"{method} on {host.name} does not let {user} become {host.become.user}"
        hints = (f"allow it in the configuration of {method} on the host, or log in as another user",)
    elif state == "missing":
        other = next((t for t in ("sudo", "doas") if t != method and t in facts.tools), None)
        summary = f"{user} on {host.name} is not root, and there is no {method}"
        hints = (
            (f"the host has {other}: set `become.method: {other}`",)
            if other
            else ("log in as root, or install sudo",)
        )
    else:
        return ()
    said = ((f"{method} says", facts.become_detail),) if facts.become_detail and state != "missing" else ()
    uid = "unknown" if facts.uid is None else str(facts.uid)
    return (
        Diagnostic(
            "SB303",
            summary,
            host=host.name,
            at=host.origin("become"),
            evidence=(("user", f"{user} (uid {uid})"), *said),
            hints=hints,
        ),
    )


def own_name(host: Host, facts: Facts) -> tuple[Diagnostic, ...]:
    """SB313: the host does not know its own name, and every sudo waits for the resolver's answer."""
    if not facts.own_name_unknown:
        return ()
    return (
        Diagnostic(
            "SB313",
            f"{host.name} cannot resolve its own host name, and sudo asks for it each time",
            Severity.WARNING,
            host=host.name,
            at=host.origin(),
            hints=("name it in /etc/hosts of the host: `127.0.1.1` and what `hostname` prints",),
        ),
    )
