"""What repacking saves, part by part, and what was proven of the new file."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from sealboot.model.repack import RepackReport
from sealboot.render.findings import block
from sealboot.render.table import table
from sealboot.render.text import human_bytes, safe, wrapped


def document(report: RepackReport, width: int) -> Iterator[RenderableType]:
    """The file, its parts before and after, UPX and the wire beside it, the outcome last."""
    source = report.source
    title = Text(safe(source.path), style="sb.head")
    told = ", ".join((source.kind.value, human_bytes(source.size), *source.platforms))
    title.append(f"  {safe(told)}", style="sb.dim")
    yield title
    if report.parts:
        yield Text()
        rows = [
            (p.name, human_bytes(p.before), human_bytes(p.after), safe(p.note, limit=2000))
            for p in report.parts
        ]
        yield table(("PART", "BEFORE", "AFTER", "WHY"), rows)
        yield Text()
    yield from _lines("upx", _upx(report), width)
    if report.wire is not None:
        share = _fewer(source.size, report.wire)
        text = f"about {human_bytes(report.wire)} when compressed on its way ({share}), which changes no file"
        yield from _lines("wire", text, width)
    for proof in report.proofs:
        yield from _lines("same", safe(proof), width)
    yield from _lines("sum", _outcome(report), width)
    if report.diagnostics:
        yield Text()
        yield block(report.diagnostics, width)


def _lines(label: str, text: str, width: int) -> Iterator[Text]:
    if text:
        for line in wrapped(text, first=f"  {label:<5} ", rest=" " * 8, width=width):
            yield Text(line)


def _upx(report: RepackReport) -> str:
    if report.upx is None:
        return ""
    effect, how = safe(report.upx.effect, limit=1000), safe(report.upx.how)
    if report.upx.size is None:
        return how
    share = _fewer(report.source.size, report.upx.size)
    return f"{human_bytes(report.upx.size)} when all of it is packed ({share}; {how}): {effect}"


def _fewer(before: int, after: int) -> str:
    part = (before - after) * 100 / before if before else 0
    return f"{part:.0f} % fewer" if part >= 0 else f"{-part:.0f} % more"


#: With one of these, --output would write (or wrote) nothing either.
_REFUSALS = {"SB415", "SB416", "SB417", "SB418", "SB419"}


def _outcome(report: RepackReport) -> str:
    if not report.parts:
        return ""
    verb = "nothing was written"
    if report.output:
        verb = f"written to {safe(report.output)}"
    elif not _REFUSALS & {found.code for found in report.diagnostics}:
        verb += "; --output writes it"
    amount = human_bytes(abs(report.saved))
    word = "fewer" if report.saved >= 0 else "more"
    return f"{human_bytes(report.after)}, {amount} {word}: {verb}"
