"""One round trip: the composed script out, `Facts` back."""

from __future__ import annotations

import secrets
import time

from sealboot.model.diagnostic import Diagnostic
from sealboot.model.facts import Facts
from sealboot.model.host import BecomeMethod
from sealboot.probe.compose import Wanted, compose
from sealboot.probe.parse import parse, unreadable
from sealboot.probe.transcript import LIMIT
from sealboot.transport.base import Result, Session


async def gather(
    session: Session,
    wants: Wanted,
    *,
    timeout: float = 30.0,  # noqa: ASYNC109 (the session's own deadline, not one around it)
    become: BecomeMethod = "sudo",
) -> Facts | Diagnostic:
    """Probe one host as its login user; nothing is written there.

    `timeout` is in seconds; `become` says whose answer counts for
    `Facts.become`. Returns the session's own diagnostic when the connection is
    lost, SB205 when what answers is no shell, SB310 for everything else that
    is no whole transcript.
    """
    nonce = f"sb-{secrets.token_hex(12)}"
    sent = time.time()
    result = await session.run(compose(wants), args=(nonce,), timeout=timeout, limit=LIMIT)
    received = time.time()
    if result.ending != "exited":
        return _ended(session, result, timeout)
    return parse(
        result.stdout,
        host=session.host,
        nonce=nonce,
        sent=sent,
        received=received,
        become=become,
    )


def _ended(session: Session, result: Result, timeout: float) -> Diagnostic:
    host = session.host
    why = result.diagnostic or (session.lost if result.ending == "lost" else None)
    if why is not None:
        return why
    if result.ending == "no-shell":
        return Diagnostic(
            "SB205",
            f"the account on {host} gives no usable shell",
            host=host,
            evidence=(("it answered", result.text[:200]),),
            hints=("sealboot needs an account whose commands reach /bin/sh",),
        )
    if result.ending == "timeout":
        return Diagnostic(
            "SB310",
            f"{host} did not finish telling about itself within {timeout:g} s",
            host=host,
            evidence=(("after", f"{result.seconds:.1f} s"), ("received", f"{len(result.stdout)} bytes")),
            hints=(
                "a hung network file system or a very slow disk does this; raise --timeout if it is only slow",
                "without a byte received, look at what the login shell runs first: ~/.bashrc waits for a lock or the network",
            ),
        )
    return unreadable(host, result.stdout, None)
