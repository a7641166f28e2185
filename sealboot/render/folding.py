"""Findings that say the same of several hosts are told once: forty dead hosts are one block, not forty.

Two findings are the same where they differ in nothing but the host's name and
its address. Both are replaced by marks before findings are compared; in the
one that is told, each mark stands for all names or addresses, folded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from sealboot.model.diagnostic import Diagnostic
from sealboot.model.names import fold

#: Further places that are named where equal findings are told once.
_PLACES = 3

_HOST, _ADDRESS = "\0", "\1"
#: What may be an address; `ipaddress` decides.
_MAYBE = r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\.\d)|[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7})"
#: `user@ADDRESS:port`, as an endpoint is shown.
_ENDPOINT = re.compile(r"(?:[^@\s]*@)?(.+?)(?::\d{1,5})?")


@dataclass(slots=True)
class _Marker:
    """Replaces one finding's own names by marks, and remembers the addresses in the order of their marks."""

    host: re.Pattern[str]
    address: re.Pattern[str]
    seen: list[str] = field(default_factory=list)

    def __call__(self, text: str) -> str:
        return self.host.sub(_HOST, self.address.sub(self._marked, text))

    def _marked(self, match: re.Match[str]) -> str:
        if match["own"] is None:
            try:
                ip_address(match[0])
            except ValueError:
                return match[0]
        self.seen.append(match[0])
        return _ADDRESS


def _marker(finding: Diagnostic, host: str) -> _Marker:
    shown = next((value for label, value in finding.evidence if label == "address"), "")
    endpoint = _ENDPOINT.fullmatch(shown)
    own = endpoint[1] if endpoint is not None and endpoint[1] != host else ""
    named = _whole(own).pattern if own else r"(?!)"
    return _Marker(_whole(host), re.compile(f"(?P<own>{named})|{_MAYBE}"))


def _whole(name: str) -> re.Pattern[str]:
    """The name where it is no part of a longer one; `pi01` in `pi01.lan` counts."""
    return re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w-])")


def names_host(text: str, host: str) -> bool:
    """Whether a text names the host."""
    return _whole(host).search(text) is not None


def together(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """The same findings in the same order, those that differ only in host and address told once."""
    groups: dict[Diagnostic, list[tuple[Diagnostic, list[str]]]] = {}
    for finding in diagnostics:
        alike, addresses = _alike(finding)
        groups.setdefault(alike, []).append((finding, addresses))
    return [_told(alike, members) for alike, members in groups.items()]


def _alike(finding: Diagnostic) -> tuple[Diagnostic, list[str]]:
    said = (finding.summary, *(v for _, v in finding.evidence), *finding.notes, *finding.hints)
    if (
        finding.host is None
        or finding.also
        or any(mark in text for text in said for mark in (_HOST, _ADDRESS))
    ):
        return finding, []
    mark = _marker(finding, finding.host)
    shape = _each_text(replace(finding, host=None, at=None), mark)
    return shape, mark.seen


def _each_text(finding: Diagnostic, change: Callable[[str], str]) -> Diagnostic:
    """The finding with every text changed, always in the same order."""
    return replace(
        finding,
        summary=change(finding.summary),
        evidence=tuple((label, change(value)) for label, value in finding.evidence),
        notes=tuple(change(note) for note in finding.notes),
        hints=tuple(change(hint) for hint in finding.hints),
    )


def _told(alike: Diagnostic, members: list[tuple[Diagnostic, list[str]]]) -> Diagnostic:
    first = members[0][0]
    if len(members) == 1:
        return first
    hosts = fold([d.host for d, _ in members if d.host is not None])
    columns = iter(
        [fold(dict.fromkeys(column)) for column in zip(*(seen for _, seen in members), strict=True)]
    )

    def filled(text: str) -> str:
        return re.sub(_ADDRESS, lambda _: next(columns), text).replace(_HOST, hosts)

    told = _each_text(replace(alike, host=first.host, at=first.at), filled)
    # What is to be typed is shown for one of them.
    return replace(told, hints=first.hints, notes=(*told.notes, *_other_places([d for d, _ in members])))


def _other_places(members: list[Diagnostic]) -> tuple[str, ...]:
    """Where the others stand, as far as that can be read at a glance."""
    places = [str(at) for at in dict.fromkeys(d.at for d in members) if at is not None][1:]
    if not places:
        return ()
    more = f" and {len(places) - _PLACES} more" if len(places) > _PLACES else ""
    return (f"also at {', '.join(places[:_PLACES])}{more}",)
