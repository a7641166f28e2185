"""What a person is asked to type, and for whom: a password goes only where its owner knows that it goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sealboot.model.host import Host
from sealboot.model.names import expand, fold, split
from sealboot.model.secret import SecretRef
from sealboot.render.text import safe
from sealboot.workflow.prepare import Prepared

#: Names in a question; of more hosts the number is told.
_NAMED: Final = 3


def questions(prepared: Prepared) -> dict[SecretRef, str]:
    """Each secret that is to be typed for this run, in the order of asking, with the question that names its hosts.

    Hosts on the way to the selected ones are reached first, and have their own passwords.
    """
    asked: dict[SecretRef, dict[str, Host]] = {}
    for host in _reached(prepared):
        for ref in (host.ssh.password_from, host.ssh.passphrase_from, host.become.password_from):
            if ref is not None and ref.kind == "prompt":
                asked.setdefault(ref, {})[host.name] = host
    return {ref: _question(ref, tuple(hosts.values())) for ref, hosts in asked.items()}


def _reached(prepared: Prepared) -> Iterator[Host]:
    """The selected hosts, and those of the inventory that they are reached through; each once."""
    known = {host.name: host for host in prepared.inventory.hosts}
    seen: set[str] = set()
    queue = list(prepared.selected)
    while queue:
        host = queue.pop(0)
        if host.name not in seen:
            seen.add(host.name)
            yield host
            queue += [known[name] for name in host.ssh.jump if name in known]


def _question(ref: SecretRef, hosts: Sequence[Host]) -> str:
    """`Password for sudo on m1, m3 and 4 more`."""
    about = ref.name or "Password"
    if all(ref == host.become.password_from for host in hosts):
        methods = " or ".join(sorted({host.become.method for host in hosts}))
        return f"Password for {methods} on {_several(hosts)}"
    keys = {host.ssh.identity_files for host in hosts}
    if all(ref == host.ssh.passphrase_from for host in hosts) and len(keys) == 1 and len(min(keys)) == 1:
        about = f"Passphrase of {safe(min(keys)[0])}"
    return f"{about}, for {_several(hosts)}"


def _several(hosts: Sequence[Host]) -> str:
    names = [host.name for host in hosts]
    folded = fold(names)
    parts = split(folded)
    if len(parts) <= _NAMED:
        return ", ".join(parts)
    shown = parts[:_NAMED]
    rest = len(names) - sum(len(expand(part)) for part in shown)
    return f"{', '.join(shown)} and {rest} more"
