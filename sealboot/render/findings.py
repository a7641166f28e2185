"""How a diagnostic looks: code and summary, place, evidence behind a rule, notes, hints last.

The rule on the left is there so that a pasted error is seen to be whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.text import Text

from sealboot.diagnostics import name_of
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.render.text import safe, wrapped

_RANK = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}


def title_of(code: str) -> str:
    """The name of a code in words: `arch mismatch`."""
    return name_of(code).replace("-", " ")


def in_order(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Errors first, then warnings, then notes; otherwise as they came, each once."""
    return sorted(dict.fromkeys(diagnostics), key=lambda d: _RANK[d.severity])


def _evidence(diagnostic: Diagnostic, width: int) -> Iterator[Text]:
    label_width = max((len(safe(label)) for label, _ in diagnostic.evidence), default=0)
    for label, value in diagnostic.evidence:
        shown = safe(value, limit=2000, lines=True).splitlines() or [""]
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


def block(diagnostics: Iterable[Diagnostic], width: int) -> Text:
    """All of them, an empty line between two."""
    parts = [Text("\n").join(lines(d, width)) for d in in_order(diagnostics)]
    return Text("\n\n").join(parts)
