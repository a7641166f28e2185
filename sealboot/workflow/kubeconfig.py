"""Get the administrator's kubeconfig from the first server that has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sealboot.drivers.access import NO_KUBECONFIG
from sealboot.drivers.base import HasKubeconfig, KubeconfigWay
from sealboot.engine.failures import ending_words, tail
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.secret import Redactor, Secret
from sealboot.transport.base import Connector, Result
from sealboot.workflow.kubeconfig_text import Access, read
from sealboot.workflow.prepare import Prepared

#: Seconds for printing a file of a few kilobytes; `k0s kubeconfig admin` starts a large program for it.
PRINT_TIMEOUT = 60.0
#: Bytes that are read: an administrator's kubeconfig has about six thousand.
READ_LIMIT = 256 * 1024

#: After these nothing else is tried: a host that is not who it was is the operator's business first.
_FINAL = frozenset({"SB202", "SB203", "SB206", "SB207"})


@dataclass(frozen=True, slots=True)
class Fetched:
    """The access, the host that gave it, the URL that reaches its API; and why others did not give it."""

    access: Access
    host: str
    server: str
    diagnostics: tuple[Diagnostic, ...] = ()


def ways_of(prepared: Prepared) -> tuple[KubeconfigWay, ...] | Diagnostic:
    """The selected hosts that have one, first one first; SB683 or SB680 where there are none."""
    driver, inventory = prepared.driver, prepared.inventory
    if not isinstance(driver, HasKubeconfig):
        return Diagnostic(
            "SB683",
            f"the driver `{inventory.driver}` knows of no kubeconfig",
            at=inventory.origins.get("cluster.driver"),
            hints=("Talos gives it to `talosctl kubeconfig`; what your phases set up keeps its own",),
        )
    selected = {host.name for host in prepared.selected}
    every = driver.kubeconfig(inventory, prepared.options)
    ways = tuple(way for way in every if way.host in selected)
    if ways:
        return ways
    names = ", ".join(way.host for way in every)
    hint = f"these have one: {names}" if names else "the inventory has no host that runs the API server"
    return Diagnostic("SB680", "no selected host has the administrator's kubeconfig", hints=(hint,))


async def fetch(
    connector: Connector, ways: Sequence[KubeconfigWay], redactor: Redactor
) -> Fetched | tuple[Diagnostic, ...]:
    """Ask one host after the other until one gives a usable file.

    A host that is down or has none is passed over, and told as a warning if another answers. One whose
    key changed, or whose file is refused (SB681), ends the search: what it says is not to be outvoted.
    """
    found: list[Diagnostic] = []
    for way in ways:
        got = await _ask(connector, way, redactor)
        if isinstance(got, Access):
            told = tuple(replace(d, severity=Severity.WARNING) for d in found)
            return Fetched(got, way.host, way.server, told)
        found.append(got)
        if got.code in _FINAL or got.code == "SB681":
            break
    return tuple(found)


async def _ask(connector: Connector, way: KubeconfigWay, redactor: Redactor) -> Access | Diagnostic:
    session = await connector.connect(way.host)
    if isinstance(session, Diagnostic):
        return session
    result = await session.run(way.script, become=True, timeout=PRINT_TIMEOUT, limit=READ_LIMIT)
    if not result.ok:
        return _none(way.host, result)
    access = read(result.stdout)
    if isinstance(access, str):
        return Diagnostic(
            "SB681",
            f"the kubeconfig of {way.host} is not used: {access}",
            host=way.host,
            notes=("nothing of it was written or shown",),
        )
    redactor.learn(access.key)
    redactor.learn(Secret(access.pem_key()))
    return access


def _none(host: str, result: Result) -> Diagnostic:
    """SB680; standard output is never quoted: it may hold half of the key."""
    if result.diagnostic is not None:
        return result.diagnostic
    missing = result.ending == "exited" and result.exit_status == NO_KUBECONFIG
    why = "there is none" if missing else ending_words(result)
    said = tail(result.error_text, 5)
    return Diagnostic(
        "SB680",
        f"{host} gives no kubeconfig: {why}",
        host=host,
        evidence=(("error", said),) if said else (),
        hints=("the cluster is brought up by: sealboot apply",) if missing else (),
    )
