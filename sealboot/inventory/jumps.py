"""Jump hosts: what each hop names, and chains that come back to where they began."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sealboot.inventory.hygiene import UnsafeError, hop
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Host
from sealboot.model.names import closest

_FORMS = "write a host of this inventory, `user@host:port`, or an alias of ~/.ssh/config with `ssh: {config: true}`"


def check_jumps(hosts: Mapping[str, Host]) -> Iterator[Diagnostic]:
    """Hops that name nothing (SB014), unsafe ones (SB013), and cycles (SB015); each place once."""
    seen: set[tuple[object, str]] = set()
    for host in hosts.values():
        for name in host.ssh.jump:
            key = (host.origin("ssh.jump"), name)
            if name not in hosts and key not in seen:
                seen.add(key)
                yield from _check_hop(host, name, hosts)
    yield from _cycles(hosts)


def _check_hop(host: Host, name: str, hosts: Mapping[str, Host]) -> Iterator[Diagnostic]:
    at = host.origin("ssh.jump")
    try:
        user, address, port = hop(name)
    except UnsafeError as error:
        shown = "a jump host" if "@" in name else f"the jump host {name!r}"
        code = "SB011" if "password" in str(error) else "SB013"
        yield Diagnostic(code, f"{shown} {error}", host=host.name, at=at, hints=(error.hint or _FORMS,))
        return
    bare = user is None and port is None and not any(c in address for c in ".:")
    if bare and not host.ssh.config:
        near = closest(name, hosts)
        hint = f"did you mean `{near}`?" if near else _FORMS
        yield Diagnostic(
            "SB014", f"the jump host `{name}` is not in this inventory", host=host.name, at=at, hints=(hint,)
        )


def _cycles(hosts: Mapping[str, Host]) -> Iterator[Diagnostic]:
    """Depth first with an explicit stack: a chain may be as long as the inventory."""
    done: set[str] = set()
    for start in hosts:
        if start in done or not hosts[start].ssh.jump:
            continue
        path = [start]
        pending = [_hops(hosts, start)]
        on_path = {start}
        while path:
            following = next(pending[-1], None)
            if following is None:
                pending.pop()
                done.add(path[-1])
                on_path.discard(path.pop())
            elif following in on_path:
                yield _cycle(hosts[path[-1]], path[path.index(following) :])
            elif following not in done:
                path.append(following)
                on_path.add(following)
                pending.append(_hops(hosts, following))


def _hops(hosts: Mapping[str, Host], name: str) -> Iterator[str]:
    return iter([jump for jump in hosts[name].ssh.jump if jump in hosts])


def _cycle(host: Host, names: list[str]) -> Diagnostic:
    first = names[0]
    chain = " -> ".join([*names, first])
    return Diagnostic(
        "SB015",
        f"{host.name} is reached through itself",
        host=host.name,
        at=host.origin("ssh.jump"),
        evidence=(("chain", chain),),
        hints=(f"give the host that is reached directly `ssh: {{jump: none}}`, perhaps `{first}`",),
    )
