"""Which parts of a file may become smaller without anybody noticing at run time, and why the others may not.

The one question is how the program finds what it carries:

- k0s up to 1.35 counts from the *end* of the file, with offsets and lengths that are immediates in its
  code: its gzip members must keep every byte and their distance from the end; what stands in front of
  them may shrink.
- k0s from 1.36 looks for the ZIP end record from the end and works out where the archive begins: the
  program may shrink and the archive may be deflated anew.
- k3s has its archive among its constants, addressed by its code: none of it may change.
- Of anything else behind a program nobody knows how it is found (an AppImage counts from its section
  table): such a file is left alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sealboot.artifacts import gzchain, zipend
from sealboot.artifacts.gobuild import read_gobuild
from sealboot.artifacts.k0s_marks import Marks, may_be_k0s, read_marks, told_length
from sealboot.artifacts.reader import Source
from sealboot.artifacts.repack_elf import Slim, slim
from sealboot.artifacts.zipend import Archive
from sealboot.model.artifact import Artifact, Elf, Kind
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.payload import Payload
from sealboot.model.repack import Part, Upx

#: How the program finds its payload: `end` by counting from the end of the file, `record` by the ZIP end
#: record, `constants` as part of itself; `none` where it carries nothing.
Found: TypeAlias = Literal["none", "end", "record", "constants"]

_EXEC, _DYN = 2, 3


@dataclass(frozen=True, slots=True)
class Plan:
    """A file that can be written anew: the program, then (for `end` and `record`) what begins at `behind`."""

    elf: Elf
    slim: Slim
    found: Found
    behind: int
    size: int
    archive: Archive | None
    program_note: str
    payload_note: str

    @property
    def carried(self) -> int:
        """Bytes of the payload behind the program."""
        return self.size - self.behind

    def parts(
        self, *, program: int, payload: int, payload_note: str = "", packed: bool = False
    ) -> tuple[Part, ...]:
        """The parts before and after; `program` and `payload` are the lengths that they became."""
        note = f"{self.program_note}, packed with UPX" if packed else self.program_note
        made = [Part("program", self.elf.end, program, note)]
        if self.behind > self.elf.end:
            made.append(Part("padding", self.behind - self.elf.end, 0, "zeros that nothing points to"))
        if self.found in {"end", "record"}:
            made.append(Part("payload", self.carried, payload, payload_note or self.payload_note))
        return tuple(made)


def refusal(label: str, why: str, *hints: str) -> Diagnostic:
    """SB415: why the file is left as it is."""
    return Diagnostic(
        "SB415", f"{label} is left as it is: {why}", artifact=label, hints=hints, severity=Severity.ERROR
    )


def assess(source: Source, artifact: Artifact) -> Plan | Diagnostic:
    """What may be done to a file that was inspected deeply and is not packed; SB415 where nothing may be.

    Reads headers and texts only. May raise `OSError` when the medium fails.
    """
    label, elf = artifact.path, artifact.elf
    if artifact.kind is not Kind.ELF or elf is None:
        return refusal(label, f"it is no program (kind {artifact.kind.value})")
    wrong = next((d for d in artifact.diagnostics if d.severity is Severity.ERROR), None)
    if wrong is not None or elf.defect:
        said = wrong.summary if wrong else elf.defect
        return refusal(
            label, f"it is not sound ({wrong.code if wrong else 'SB401'}: {said})", "repair it first"
        )
    why = _no_program(elf)
    if why:
        return refusal(label, why)
    located = _locate(source, elf, next((p for p in artifact.layers if isinstance(p, Payload)), None))
    if isinstance(located, str):
        return refusal(label, located, "ship it as it is: on the wire it is worth compressing only once")
    found, behind, archive = located
    made = slim(source, elf)
    if isinstance(made, str):
        note, made = f"left as it is: {made}", Slim(source.at(0, 64), elf.end)
    else:
        left_out = ", ".join(made.dropped[:4]) + (", ..." if len(made.dropped) > 4 else "")
        note = f"without {left_out}" if made.dropped else "stripped already"
    if found == "constants":
        note += "; its archive is part of its memory and cannot change without linking it anew"
    return Plan(elf, made, found, behind, source.size, archive, note, _PAYLOAD_NOTES[found])


_PAYLOAD_NOTES: dict[Found, str] = {
    "none": "",
    "end": "every byte stays: the program counts from the end of the file, by numbers in its code",
    "record": "deflated anew where that is smaller",
    "constants": "",
}


def _no_program(elf: Elf) -> str:
    """Why an ELF file is none that a kernel starts on its own; empty when it is one."""
    if elf.type not in {_EXEC, _DYN}:
        return "it is an object file or a core dump"
    if elf.type == _DYN and elf.interpreter is None and not elf.entry:
        return "it is a library: linkers read the tables that would go"
    if elf.laid_out_as is not None or elf.arch is None:
        return "its header contradicts itself, or is for an unknown machine"
    return ""


def _locate(source: Source, elf: Elf, payload: Payload | None) -> tuple[Found, int, Archive | None] | str:
    """How the program finds what it carries, and where that begins; a text when nobody knows."""
    if source.size == elf.end:
        embedded = payload is not None and payload.offset < elf.end
        return ("constants" if embedded else "none"), elf.end, None
    if payload is None or payload.offset < elf.end:
        return f"{source.size - elf.end} bytes follow the program, and how it finds them is not known"
    build = read_gobuild(source, elf)
    marks = read_marks(source, elf) if may_be_k0s(build) else Marks()
    if payload.format == "gzip chain":
        chain = gzchain.find_chain(source, payload.offset)
        if chain is not None and told_length(source, elf, chain.length):
            return "end", chain.start, None
        return "a chain of gzip members follows it, and how it finds them is not known"
    archive = zipend.find_archive(source, elf.end)
    if archive is None or not marks.k0s:
        return "a ZIP archive follows it, and whether it finds that from the end is not known"
    if archive.end != source.size:
        return f"{source.size - archive.end} bytes follow its ZIP archive, and what they are for is not known"
    return "record", archive.start, archive


def deflated_size(pieces: Iterable[bytes]) -> int:
    """Bytes that a program deflates to: what UPX's own method makes of it, within some per cent."""
    engine = zlib.compressobj(6, zlib.DEFLATED, -15)
    return sum(len(engine.compress(piece)) for piece in pieces) + len(engine.flush())


_COST = (
    "but is unpacked into memory at each start, shares none of it with other processes, and dies where "
    "memory that was written may not be executed (SELinux execmem, MemoryDenyWriteExecute)"
)
_EFFECTS: dict[Found, str] = {
    "none": f"it runs, {_COST}",
    "end": "breaks it: UPX writes 48 to 51 bytes behind the payload, which the program finds by counting from "
    "the end of the file: `gzip: invalid header` (`--pack` packs the program alone and puts the payload behind it)",
    "record": f"does not break it: its ZIP archive is found all the same, {_COST}",
    "constants": f"does not break it: its archive is part of the program, and hardly compresses, {_COST}",
}


def upx_effect(found: Found, size: int | None, how: str) -> Upx:
    """What packing the whole file would do."""
    return Upx(size, how, _EFFECTS[found])
