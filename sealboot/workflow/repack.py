"""`repack`: what a file could save, and the smaller (or restored) file, kept only where it is proven the same."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sealboot.artifacts import inspect
from sealboot.artifacts.reader import Refusal, open_file
from sealboot.artifacts.repack_plan import assess, refusal
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.repack import Part, RepackReport
from sealboot.workflow.newfile import NewFile, refused
from sealboot.workflow.repack_job import (
    Job,
    Wish,
    moved,
    not_the_same,
    not_written,
    nothing_to_save,
    upx_missing,
)
from sealboot.workflow.repack_make import make, restore, upx_of, wire_size
from sealboot.workflow.repack_prove import Proven, prove, prove_restored
from sealboot.workflow.upxtool import Tool

#: A file that saves less than this part of its size is not worth a digest that nobody published.
WORTH = 0.01


def repack(path: Path, label: str, wish: Wish, tool: Tool | None) -> RepackReport:
    """Say what can be saved in the file at `path`, and write `wish.output` if there is one.

    `tool` is the UPX found here, if any. Everything is tried and proven either
    way; without an output what was made is dropped. Never raises. What goes
    wrong is in the report: SB415 (left as it is), SB416 (UPX is missing or
    failed), SB417 (what was made is not the same program: it is gone), SB418
    (the output cannot be written), SB419 (not worth it), and what inspecting found.
    """
    why = refused(path, Path(wish.output), force=wish.force) if wish.output else ""
    before = inspect(path, label, deep=True)
    if why:
        return RepackReport(before, diagnostics=(not_written(wish.output, why),))
    opened = open_file(path) if before.sha256 else None
    if opened is None:
        told = before.diagnostics or (refusal(label, f"it is no file (kind {before.kind.value})"),)
        return RepackReport(before, diagnostics=told)
    if isinstance(opened, Refusal):
        return RepackReport(before, diagnostics=(moved(label),))
    with opened:
        try:
            if opened.sha256() != before.sha256:
                return RepackReport(before, diagnostics=(moved(label),))
            job = Job(opened, before, wish, tool)
            return _unpacked(job) if before.packed else _smaller(job)
        except OSError as error:
            said = (error.strerror or type(error).__name__).lower()
            return RepackReport(before, diagnostics=(not_written(wish.output or "the copy", said),))


def _smaller(job: Job) -> RepackReport:
    plan = assess(job.reader, job.before)
    if isinstance(plan, Diagnostic):
        return _with(RepackReport(job.before), plan)
    if job.wish.pack and job.tool is None:
        return _with(RepackReport(job.before), upx_missing(job, "packed"))
    with _room(job) as (private, new):
        deflated, wire = wire_size(job, plan)
        report = RepackReport(job.before, upx=upx_of(job, plan, deflated, private), wire=wire)
        parts = make(job, plan, new, private)
        if isinstance(parts, Diagnostic):
            return _with(report, parts)
        report = replace(report, parts=parts)
        if report.saved < job.reader.size * WORTH:
            return _with(report, nothing_to_save(job, report.saved))
        new.settle(job.reader.info.st_mode)
        return _kept(job, report, new, prove(job, plan, new))


def _unpacked(job: Job) -> RepackReport:
    if job.wish.pack:
        return _with(RepackReport(job.before), refusal(job.label, "it is packed already"))
    report = RepackReport(job.before)
    if job.tool is None:
        return _with(report, upx_missing(job, "restored"))
    with _room(job) as (private, new):
        parts: tuple[Part, ...] | Diagnostic = restore(job, new, private)
        if isinstance(parts, Diagnostic):
            return _with(report, parts)
        new.settle(job.reader.info.st_mode)
        return _kept(job, replace(report, parts=parts), new, prove_restored(job, new))


@contextmanager
def _room(job: Job) -> Iterator[tuple[Path, NewFile]]:
    """A folder of our own for copies, and the file to be: beside its target, or in that folder."""
    with tempfile.TemporaryDirectory(prefix="sealboot-") as folder:
        private = Path(folder)
        with NewFile(Path(job.wish.output) if job.wish.output else private / "made") as new:
            yield private, new


def _kept(job: Job, report: RepackReport, new: NewFile, proven: Proven) -> RepackReport:
    """Publish what is proven; without an output, only say what was proven."""
    if proven.differs:
        return _with(replace(report, parts=()), not_the_same(job, proven.differs))
    if not job.wish.output:
        return _with(replace(report, proofs=proven.proofs))
    try:
        new.publish(force=job.wish.force)
    except FileExistsError:
        return _with(report, not_written(job.wish.output, "it exists"))
    return replace(report, output=job.wish.output, result=proven.result, proofs=proven.proofs)


def _with(report: RepackReport, *more: Diagnostic) -> RepackReport:
    """The report with what inspecting found, and what came after."""
    return replace(report, diagnostics=(*report.source.diagnostics, *more))
