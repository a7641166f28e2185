"""What a command shows, behind one protocol: the human views and the machine ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal, Protocol, TypeAlias

from rich.console import RenderableType
from rich.text import Text

from sealboot.model.diagnostic import Diagnostic
from sealboot.model.events import Event, RunStopping
from sealboot.model.facts import Facts
from sealboot.model.repack import RepackReport
from sealboot.model.report import ApplyReport, CheckReport, InspectReport, KubeconfigReport, PlanReport
from sealboot.render import apply as apply_text
from sealboot.render import check as check_text
from sealboot.render import inspect as inspect_text
from sealboot.render import jsondoc, page
from sealboot.render import kubeconfig as kubeconfig_text
from sealboot.render import plan as plan_text
from sealboot.render import repack as repack_text
from sealboot.render.board import stopping_words
from sealboot.render.console import ColorChoice, Consoles, make_consoles
from sealboot.render.findings import block
from sealboot.render.lines import LineProgress
from sealboot.render.live import LiveProgress
from sealboot.render.shapes import Document
from sealboot.render.table import table
from sealboot.render.text import safe

Format: TypeAlias = Literal["auto", "rich", "plain", "json", "jsonl"]


class View(Protocol):
    """Everything a command can show. `event` is the sink of a run."""

    def event(self, event: Event) -> None:
        """Something happened."""

    def check(self, report: CheckReport, *, final: bool = True) -> None:
        """The end of `check`, or the findings that stopped `plan` and `apply`; not final: they go on."""

    def plan(self, report: PlanReport, *, full: bool = False, final: bool = True) -> None:
        """A plan; `final` is false where `apply` shows it before it asks."""

    def applied(self, report: ApplyReport, *, told: Sequence[Diagnostic] = ()) -> None:
        """The end of `apply`; `told` are findings that were shown before it began."""

    def inspected(self, report: InspectReport) -> None:
        """The end of `inspect`."""

    def repacked(self, report: RepackReport) -> None:
        """The end of `repack`."""

    def kubeconfig(self, report: KubeconfigReport) -> None:
        """The end of `kubeconfig`."""

    def facts(self, facts: Sequence[Facts], diagnostics: Sequence[Diagnostic], *, details: bool) -> None:
        """The end of `facts`."""

    def diagnostics(self, command: str, diagnostics: Sequence[Diagnostic], *, final: bool = True) -> None:
        """Findings and nothing else: an invalid inventory, a refusal; not final: they will be told again."""

    def rows(
        self,
        command: str,
        headers: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        diagnostics: Sequence[Diagnostic] = (),
    ) -> None:
        """A plain table, and what was found on the way to it."""

    def page(self, command: str, text: str) -> None:
        """A page of our own Markdown."""

    def message(self, text: str, *, always: bool = False) -> None:
        """One sentence for a person, never part of the result; `always`: said to who asked for quiet, too."""

    def close(self) -> None:
        """Take down whatever is on the screen."""


class HumanView:
    """Text for people: results on stdout, progress on stderr."""

    def __init__(self, consoles: Consoles, *, verbosity: int = 0) -> None:
        self._out = consoles.out
        self._err = consoles.err
        self._verbosity = verbosity
        self._shown: set[Diagnostic] = set()
        self._progress: LiveProgress | LineProgress | None = None
        if verbosity >= 0:
            self._progress = (
                LiveProgress(consoles.err, verbose=verbosity > 0)
                if consoles.live
                else LineProgress(consoles.err, verbose=verbosity > 0)
            )

    def _print(self, parts: Iterable[RenderableType]) -> None:
        self.close()
        for part in parts:
            self._out.print(part)

    def event(self, event: Event) -> None:
        """Hand it to whatever draws progress; who asked for quiet still hears what Ctrl-C does."""
        if self._progress is not None:
            self._progress(event)
        elif isinstance(event, RunStopping):
            self.message(stopping_words(event), always=True)

    def check(self, report: CheckReport, *, final: bool = True) -> None:
        """Print the report."""
        del final
        self._print(check_text.document(report, self._out.width))

    def plan(self, report: PlanReport, *, full: bool = False, final: bool = True) -> None:
        """Print the plan and what was found on the way."""
        del final
        self._print(plan_text.document(report, self._out.width, full=full or self._verbosity > 0))
        if report.diagnostics:
            self._print((Text(), block(report.diagnostics, self._out.width)))

    def applied(self, report: ApplyReport, *, told: Sequence[Diagnostic] = ()) -> None:
        """Print the report; nothing is told twice."""
        del told
        left = tuple(d for d in report.diagnostics if d not in self._shown)
        self._print(apply_text.document(replace(report, diagnostics=left), self._out.width))

    def inspected(self, report: InspectReport) -> None:
        """Print a tree for each file."""
        for number, artifact in enumerate(report.artifacts):
            if number:
                self._print((Text(),))
            self._print(inspect_text.artifact_document(artifact, self._out.width))
        if report.diagnostics:
            self.diagnostics("inspect", report.diagnostics)

    def repacked(self, report: RepackReport) -> None:
        """Print the parts and what came of them."""
        self._print(repack_text.document(report, self._out.width))

    def kubeconfig(self, report: KubeconfigReport) -> None:
        """Print where it is and how to use it."""
        self._print(kubeconfig_text.document(report, self._out.width))

    def facts(self, facts: Sequence[Facts], diagnostics: Sequence[Diagnostic], *, details: bool) -> None:
        """Print the table, or everything known."""
        if details:
            for fact in facts:
                self._print(inspect_text.facts_details(fact))
        elif facts:
            self._print((inspect_text.facts_table(facts),))
        if diagnostics:
            self._print((Text(), block(diagnostics, self._out.width)))

    def diagnostics(self, command: str, diagnostics: Sequence[Diagnostic], *, final: bool = True) -> None:
        """Print the findings on stderr: they are why there is no result."""
        del command
        self._shown |= set() if final else set(diagnostics)
        self.close()
        self._err.print(block(diagnostics, self._err.width))

    def rows(
        self,
        command: str,
        headers: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        diagnostics: Sequence[Diagnostic] = (),
    ) -> None:
        """Print the table, and the findings on stderr; without rows there is none, and its headers say nothing."""
        shown = [[safe(c, limit=2000) for c in row] for row in rows]
        if shown:
            self._print((table(headers, shown, indent=0),))
        if diagnostics:
            self.diagnostics(command, diagnostics)

    def page(self, command: str, text: str) -> None:
        """Print it: set for reading on a terminal, as it is written elsewhere."""
        del command
        self.close()
        page.show(self._out, text)

    def message(self, text: str, *, always: bool = False) -> None:
        """Print it on stderr."""
        self.close()
        if always or self._verbosity >= 0:
            self._err.print(Text(safe(text, limit=4000, lines=True)))

    def close(self) -> None:
        """Take the live table down."""
        if isinstance(self._progress, LiveProgress):
            self._progress.close()


class MachineView:
    """JSON: one document at the end, or (`lines`) every event as it comes and the document last."""

    def __init__(self, consoles: Consoles, *, lines: bool) -> None:
        self._file = consoles.out.file
        self._err = consoles.err
        self._lines = lines

    def _write(self, document: Document) -> None:
        if self._lines:
            print(jsondoc.dump(jsondoc.as_event(document), pretty=False), file=self._file, flush=True)
        else:
            print(jsondoc.dump(document), file=self._file, flush=True)

    def event(self, event: Event) -> None:
        """Print it at once in the stream format. What Ctrl-C does is told on stderr where a person looks at that."""
        if self._lines:
            print(jsondoc.dump(jsondoc.event(event), pretty=False), file=self._file, flush=True)
        if isinstance(event, RunStopping) and self._err.file.isatty():
            self.message(stopping_words(event))

    def check(self, report: CheckReport, *, final: bool = True) -> None:
        """Print the document, unless another will follow."""
        if final or self._lines:
            self._write(jsondoc.check(report))

    def plan(self, report: PlanReport, *, full: bool = False, final: bool = True) -> None:
        """Print the document, unless `apply` will print its own."""
        del full
        if final or self._lines:
            self._write(jsondoc.plan(report))

    def applied(self, report: ApplyReport, *, told: Sequence[Diagnostic] = ()) -> None:
        """Print the document, which holds all findings."""
        self._write(jsondoc.applied(replace(report, diagnostics=(*told, *report.diagnostics))))

    def inspected(self, report: InspectReport) -> None:
        """Print the document."""
        self._write(jsondoc.inspected(report))

    def repacked(self, report: RepackReport) -> None:
        """Print the document."""
        self._write(jsondoc.repacked(report))

    def kubeconfig(self, report: KubeconfigReport) -> None:
        """Print the document."""
        self._write(jsondoc.kubeconfig(report))

    def facts(self, facts: Sequence[Facts], diagnostics: Sequence[Diagnostic], *, details: bool) -> None:
        """Print the document, which always has the details."""
        del details
        self._write(jsondoc.facts(list(facts), list(diagnostics)))

    def diagnostics(self, command: str, diagnostics: Sequence[Diagnostic], *, final: bool = True) -> None:
        """Print a document that has nothing else, unless another will follow."""
        if not final and not self._lines:
            return
        self._write(jsondoc.findings(command, diagnostics))

    def rows(
        self,
        command: str,
        headers: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        diagnostics: Sequence[Diagnostic] = (),
    ) -> None:
        """Print one document: the rows as objects whose keys are the headers in lower case, and the findings."""
        self._write(jsondoc.rows(command, headers, rows, diagnostics))

    def page(self, command: str, text: str) -> None:
        """Print it as one string."""
        self._write(jsondoc.text(command, text))

    def message(self, text: str, *, always: bool = False) -> None:
        """Print it on stderr: stdout holds documents only."""
        del always
        self._err.print(Text(safe(text, limit=4000, lines=True)))

    def close(self) -> None:
        """Nothing is on the screen."""


def make_view(format_: Format, *, color: ColorChoice = "auto", verbosity: int = 0) -> View:
    """The view for this process's streams; `auto` is rich on a terminal and plain elsewhere."""
    if format_ in {"json", "jsonl"}:
        return MachineView(make_consoles(plain=True), lines=format_ == "jsonl")
    consoles = make_consoles(color=color)
    if format_ == "plain" or (format_ == "auto" and not consoles.out.is_terminal):
        consoles = make_consoles(color=color, plain=True)
    return HumanView(consoles, verbosity=verbosity)
