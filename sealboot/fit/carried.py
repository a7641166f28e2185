"""What a self-extracting program carries: it starts here, but what it unpacks may not."""

from __future__ import annotations

from sealboot.fit.case import Case, Reason, describe_file, describe_host, native_of
from sealboot.model.diagnostic import Severity
from sealboot.model.payload import Component, Payload

_SHOWN = 3


def carried(case: Case) -> Reason | None:
    """SB410: programs in the payload that this host does not run, or runs through an emulator only.

    A file that is emulated as a whole was judged for that already.
    """
    facts = case.facts
    inside = [c for layer in case.artifact.layers if isinstance(layer, Payload) for c in layer.components]
    strange = [c for c in inside if c.arch not in {None, case.arch} and c.arch not in native_of(facts)]
    refused = [c for c in strange if c.arch not in facts.emulates]
    if not strange:
        return None
    wrong = refused or strange
    names = ", ".join(sorted({c.arch.both_names for c in wrong if c.arch}))
    return Reason(
        "SB410",
        f"binary starts on {facts.host}, but carries programs for {names}"
        if refused
        else f"programs inside the binary run on {facts.host} only through an emulator",
        f"{describe_file(case.artifact)}, inside: {_named(wrong)} for {names}",
        describe_host(facts),
        ("the file was put together wrongly: use the publisher's own build",),
        Severity.ERROR if refused else Severity.WARNING,
    )


def _named(components: list[Component]) -> str:
    more = ", ..." if len(components) > _SHOWN else ""
    return ", ".join(c.shown for c in components[:_SHOWN]) + more
