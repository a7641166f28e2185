"""Writing the file anew: the program, then what it carries, in the order in which it will look for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from sealboot.artifacts.reader import Refusal, Window, chunks, open_file
from sealboot.artifacts.repack_plan import Plan, deflated_size, upx_effect
from sealboot.artifacts.repack_zip import rewrite
from sealboot.artifacts.upx import ends_packed
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.payload import Payload
from sealboot.model.repack import Part, Upx
from sealboot.workflow.newfile import NewFile
from sealboot.workflow.repack_job import Job, not_the_same, upx_failed

#: Larger files are not packed to see what comes out: UPX would take a minute and more. Deflating tells.
MEASURED = 64 << 20


def make(job: Job, plan: Plan, new: NewFile, private: Path) -> tuple[Part, ...] | Diagnostic:
    """Write the smaller file; the parts as they became. SB416 where UPX was wished for and fails."""
    if job.wish.pack:
        packed = pack_program(job, plan, private)
        if isinstance(packed, Diagnostic):
            return packed
        program = new.write(_file(packed))
    else:
        program = new.write(plan.slim.pieces(job.reader))
    if plan.archive is None:
        carried = new.write(chunks(Window(job.reader, plan.behind, plan.carried)))
        return plan.parts(packed=job.wish.pack, program=program, payload=carried)
    written = rewrite(job.reader, plan.archive, cast("BinaryIO", new.file))
    if written.why_not:  # as it is, then: its places are told from its own beginning
        new.cut(program)
        carried = new.write(chunks(Window(job.reader, plan.behind, plan.carried)))
        return plan.parts(
            packed=job.wish.pack,
            program=program,
            payload=carried,
            payload_note=f"as it was: {written.why_not}",
        )
    note = f"{written.smaller} of {len(plan.archive.entries)} files in it deflated better than before"
    return plan.parts(packed=job.wish.pack, program=program, payload=written.length, payload_note=note)


def pack_program(job: Job, plan: Plan, private: Path) -> Path | Diagnostic:
    """The program alone, packed, and proven to unpack to what it was: then its payload can follow it."""
    if job.tool is None:
        raise ValueError("asked for before it was known that UPX is here")
    plain, packed, again = (private / name for name in ("plain", "packed", "again"))
    _save(plain, plan.slim.pieces(job.reader))
    why = job.tool.pack(plain, packed) or job.tool.unpack(packed, again)
    if why:
        return upx_failed(job, "packed", why)
    if any(a != b for a, b in zip(_file(plain), _file(again), strict=False)) or not same_size(plain, again):
        return not_the_same(job, "unpacked again, the program is another one")
    return packed


def same_size(one: Path, two: Path) -> bool:
    """Whether both have as many bytes."""
    return one.stat().st_size == two.stat().st_size


def restore(job: Job, new: NewFile, private: Path) -> tuple[Part, ...] | Diagnostic:
    """Unpack with UPX: the whole file, or its program alone where a payload was appended after packing."""
    if job.tool is None:
        raise ValueError("asked for before it was known that UPX is here")
    payload = next((p for p in job.before.layers if isinstance(p, Payload)), None)
    end = job.reader.size
    if payload is not None and not ends_packed(job.reader):
        end = payload.offset
    packed, plain = private / "packed", private / "plain"
    _save(packed, chunks(Window(job.reader, 0, end)))
    why = job.tool.unpack(packed, plain)
    if why:
        return upx_failed(job, "unpacked", why)
    program = new.write(_file(plain))
    if end == job.reader.size:
        return (Part("file", end, program, "restored byte for byte by `upx -d`"),)
    carried = new.write(chunks(Window(job.reader, end, job.reader.size - end)))
    return (
        Part("program", end, program, "restored byte for byte by `upx -d`"),
        Part("payload", carried, carried, "every byte stays: it was appended after packing"),
    )


def upx_of(job: Job, plan: Plan, deflated: int, private: Path) -> Upx:
    """What packing all of it would make: measured where UPX is installed and the file is not large."""
    if job.tool is None or job.reader.size > MEASURED:
        how = "estimated by deflating the program"
        return upx_effect(plan.found, deflated + plan.size - plan.behind, how)
    whole, packed = private / "whole", private / "whole.upx"
    _save(whole, chunks(job.reader))
    why = job.tool.pack(whole, packed)
    if why:
        return upx_effect(plan.found, None, f"UPX {job.tool.version} refuses it: {why}")
    return upx_effect(plan.found, packed.stat().st_size, f"measured with UPX {job.tool.version}, on a copy")


def wire_size(job: Job, plan: Plan) -> tuple[int, int]:
    """Bytes that the program deflates to, and the whole file with it: what it carries is compressed already."""
    deflated = deflated_size(chunks(Window(job.reader, 0, plan.behind)))
    return deflated, deflated + plan.size - plan.behind


def _save(path: Path, pieces: Iterator[bytes]) -> None:
    with path.open("xb") as file:
        file.writelines(pieces)
    path.chmod(0o700)  # UPX packs nothing that cannot be executed


def _file(path: Path) -> Iterator[bytes]:
    opened = open_file(path)
    if isinstance(opened, Refusal):
        raise OSError(0, opened.reason)
    with opened:
        yield from chunks(opened)
