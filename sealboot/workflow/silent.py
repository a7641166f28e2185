"""Hosts that have no SSH any more because they run the driver's own system: asked on its port, and not believed.

What is learnt there decides nothing by itself. Nobody vouches for the
certificate, so what follows from it is called an assumption wherever it is
shown. So is the key: it is shown to be compared with the machine's console,
and nothing depends on it, because an honest machine takes another one at each
new address.
"""

from __future__ import annotations

from dataclasses import replace

from sealboot.drivers.base import AnswersWithoutSsh, Api
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.facts import Facts
from sealboot.model.host import Host
from sealboot.transport.base import Connector, Greeting
from sealboot.workflow.prepare import Prepared

#: The one reason for which a host is asked elsewhere: nobody spoke SSH there. Whoever shows another key
#: or refuses the login is no host without SSH.
UNREACHABLE = "SB201"


async def ask(
    prepared: Prepared, connector: Connector, host: Host, refused: Diagnostic
) -> tuple[Facts | None, Diagnostic]:
    """What a host without SSH is, as far as it shows, and what is to be said about that."""
    driver = prepared.driver
    if refused.code != UNREACHABLE or not isinstance(driver, AnswersWithoutSsh):
        return None, refused
    api = driver.api(host, prepared.options)
    seen = await connector.knock(host.name, api.port, api.alpn)
    if isinstance(seen, Greeting) and api.alpn and seen.alpn not in api.alpn and not seen.wants_certificate:
        seen = "what answers there is not the API"
    if isinstance(seen, str):
        row = (f"port {api.port}", seen)
        return None, replace(refused, evidence=(*refused.evidence, row))
    if host.arch is None:
        return None, _no_arch(host, api, seen)
    return _assumed(host, seen), _told(host, api, seen)


def _state(seen: Greeting) -> str:
    return "configured" if seen.wants_certificate else "maintenance"


def _assumed(host: Host, seen: Greeting) -> Facts:
    return Facts(
        host=host.name,
        kernel_machine="",
        kernel_arch=host.arch,
        userland_arch=None,
        userland_bits=None,
        endian=host.arch.info.endian if host.arch else None,
        assumed=True,
        observed={"api": _state(seen), "api.key": seen.key, "api.alpn": seen.alpn},
    )


def _evidence(api: Api, seen: Greeting) -> tuple[tuple[str, str], ...]:
    key = (("key", f"SHA256:{seen.key}"),) if seen.key else ()
    return ((f"port {api.port}", _state(seen)), *key)


def _told(host: Host, api: Api, seen: Greeting) -> Diagnostic:
    arch = host.arch.both_names if host.arch else ""
    return Diagnostic(
        "SB210",
        f"{host.name} has no SSH; it answers on port {api.port} ({_state(seen)})",
        severity=Severity.NOTE,
        host=host.name,
        evidence=_evidence(api, seen),
        notes=(
            f"its architecture, {arch}, is an assumption: the inventory says so, and nobody asked the machine",
            "its certificate was looked at and not verified: nobody vouches for it",
        ),
    )


def _no_arch(host: Host, api: Api, seen: Greeting) -> Diagnostic:
    return Diagnostic(
        "SB211",
        f"{host.name} answers on port {api.port} and has no SSH, so nobody can ask for its architecture",
        host=host.name,
        evidence=_evidence(api, seen),
        hints=("say `arch:` for this host in the inventory",),
    )
