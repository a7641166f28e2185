"""Reading the file that was written, and comparing it with the one that it was made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sealboot.artifacts import inspect
from sealboot.artifacts.reader import Reader, Refusal, Source, open_file
from sealboot.artifacts.repack_plan import Plan
from sealboot.artifacts.repack_proof import (
    Proof,
    packed_well,
    same_contents,
    same_end,
    same_headers,
    same_machine,
    same_memory,
    same_payload,
)
from sealboot.artifacts.upx import original_size
from sealboot.artifacts.zipend import find_archive
from sealboot.model.artifact import Artifact
from sealboot.model.payload import Payload
from sealboot.workflow.newfile import NewFile
from sealboot.workflow.repack_job import Job


@dataclass(frozen=True, slots=True)
class Proven:
    """The new file read again, and what was found equal; `differs` says what was not."""

    result: Artifact
    proofs: tuple[str, ...] = ()
    differs: str = ""


def prove(job: Job, plan: Plan, new: NewFile) -> Proven:
    """The smaller file is the same program with the same payload, where that is looked for."""

    def compare(after: Artifact, source: Source) -> list[Callable[[], Proof]]:
        def carried() -> Proof:
            if plan.found not in {"end", "record"}:
                return Proof()
            copied = same_end(job.reader, source, plan.carried)
            if copied.proven or plan.archive is None or after.elf is None:
                return copied
            return same_contents(job.reader, plan.archive, source, find_archive(source, after.elf.end))

        if job.wish.pack:
            known = Proof(("UPX unpacks the program to the same bytes",))
            return [
                lambda: same_machine(job.before, after),
                lambda: packed_well(after),
                lambda: known,
                carried,
            ]
        return [
            lambda: same_headers(job.before, after),
            lambda: same_memory(job.reader, source, plan.elf),
            carried,
        ]

    return _proven(job, new, compare)


def prove_restored(job: Job, new: NewFile) -> Proven:
    """The unpacked file is whole, and carries what the packed one does, where the program looks for it."""

    def compare(after: Artifact, source: Source) -> list[Callable[[], Proof]]:
        told = original_size(job.reader)
        size = Proof(("it is as long as UPX recorded when it packed it",) if told else ())
        if told and source.size & 0xFFFFFFFF != told:
            size = Proof(differs=f"it has {source.size} bytes, before packing it had {told}")
        if after.packed:
            size = Proof(differs="it is still packed")
        old, now = (_payload(a) for a in (job.before, after))
        return [
            lambda: same_machine(job.before, after),
            lambda: size,
            lambda: same_payload(job.reader, old, source, now),
        ]

    return _proven(job, new, compare)


def _payload(artifact: Artifact) -> Payload | None:
    return next((p for p in artifact.layers if isinstance(p, Payload)), None)


def _proven(
    job: Job, new: NewFile, compare: Callable[[Artifact, Source], list[Callable[[], Proof]]]
) -> Proven:
    after = inspect(new.path, job.wish.output or job.label, deep=True)
    opened = open_file(new.path)
    if isinstance(opened, Refusal) or not isinstance(opened, Reader):
        return Proven(after, differs="it cannot be read again")
    proofs: list[str] = []
    with opened:
        for comparison in compare(after, opened):
            proof = comparison()
            if proof.differs:
                return Proven(after, differs=proof.differs)
            proofs += proof.proven
    if job.reader.changed:
        return Proven(after, differs=f"{job.label} changed meanwhile")
    return Proven(after, tuple(proofs))
