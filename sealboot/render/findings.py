"""How a diagnostic looks: code and summary, place, evidence behind a rule, notes, hints last.

The rule on the left is there so that a pasted error is seen to be whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from rich.text import Text

from sealboot.diagnostics import name_of
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.render.folding import names_host, together
from sealboot.render.text import ending, safe, wrapped

#: Characters of one piece of evidence that are shown, from its end.
_QUOTED = 2000

_RANK = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}


def title_of(code: str) -> str:
    """The name of a code in words: `arch mismatch`."""
    return name_of(code).replace("-", " ")


def in_order(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Errors first, then warnings, then notes; otherwise as they came, each once."""
    return sorted(dict.fromkeys(diagnostics), key=lambda d: _RANK[d.severity])


def _rows(diagnostic: Diagnostic) -> tuple[tuple[str, str], ...]:
    """The evidence, led by the file it is about where nothing else names it."""
    said = (diagnostic.summary, *(value for _, value in diagnostic.evidence))
    if diagnostic.artifact is None or any(diagnostic.artifact in text for text in said):
        return diagnostic.evidence
    if diagnostic.evidence and diagnostic.evidence[0][0] == "file":
        return (("file", f"{diagnostic.artifact}  {diagnostic.evidence[0][1]}"), *diagnostic.evidence[1:])
    return (("file", diagnostic.artifact), *diagnostic.evidence)


def _evidence(diagnostic: Diagnostic, width: int) -> Iterator[Text]:
    rows = _rows(diagnostic)
    label_width = max((len(safe(label)) for label, _ in rows), default=0)
    for label, value in rows:
        told = ending(value, _QUOTED)
        shown = safe(told, limit=len(told), lines=True).splitlines() or [""]
        for number, line in enumerate(shown):
            head = f"   | {safe(label) if number == 0 else '':<{label_width}}  "
            rest = f"   | {'':<{label_width}}  "
            for text in wrapped(line, first=head, rest=rest, width=width):
                yield Text(text).copy()


def lines(diagnostic: Diagnostic, width: int) -> Iterator[Text]:
    """The diagnostic as lines that fit `width` columns where words allow it."""
    style = f"sb.{diagnostic.severity.value}"
    head = f"{diagnostic.severity.value}[{diagnostic.code}]"
    for number, line in enumerate(
        wrapped(safe(diagnostic.summary), first=f"{head}: ", rest="    ", width=width)
    ):
        text = Text(line, style="sb.head")
        if number == 0:
            text.stylize(style, 0, len(head))
        yield text
    if diagnostic.at is not None:
        yield Text(f"  --> {safe(str(diagnostic.at))}", style="sb.dim")
    yield from _evidence(diagnostic, width)
    for note in diagnostic.notes:
        for line in wrapped(safe(note), first="  note: ", rest="        ", width=width):
            yield Text(line)
    for hint in diagnostic.hints:
        for number, line in enumerate(wrapped(safe(hint), first="  hint: ", rest="        ", width=width)):
            text = Text(line)
            if number == 0:
                text.stylize("sb.hint", 2, 7)
            yield text


def folded(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """In order, each led by its host; findings that differ only in host and address are told once for all."""
    return together(map(_named, in_order(diagnostics)))


def _named(diagnostic: Diagnostic) -> Diagnostic:
    """The same finding, led by its host where neither summary nor evidence says whom it is about."""
    host = diagnostic.host
    said = (diagnostic.summary, *(value for _, value in diagnostic.evidence))
    if host is None or any(names_host(text, host) for text in said):
        return diagnostic
    return replace(diagnostic, summary=f"{host}: {diagnostic.summary}")


def block(diagnostics: Iterable[Diagnostic], width: int) -> Text:
    """All of them, an empty line between two."""
    parts = [Text("\n").join(lines(d, width)) for d in folded(diagnostics)]
    return Text("\n\n").join(parts)
