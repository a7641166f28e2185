"""Artifacts as small trees of layers, and facts as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from sealboot.model.archive import ImageArchive, Rootfs
from sealboot.model.artifact import Artifact, Elf, Initrd, Kernel, Layer, Other, Pe, Uki
from sealboot.model.facts import Facts, Space
from sealboot.render.archive import images_lines, rootfs_lines
from sealboot.render.boot import initrd_lines, kernel_lines, pe_lines, uki_lines
from sealboot.render.findings import block
from sealboot.render.table import table
from sealboot.render.text import human_bytes, human_seconds, safe

_TYPES = {1: "relocatable", 2: "executable", 3: "position-independent or shared object", 4: "core dump"}


def _newest(versions: Sequence[str]) -> list[str]:
    """The highest version of each library (`GLIBC_2.34`): what decides whether a host is new enough."""
    best: dict[str, tuple[tuple[int, ...], str]] = {}
    for version in versions:
        library, _, number = version.rpartition("_")
        rank = tuple(int(part) for part in number.split(".") if part.isascii() and part.isdigit())
        best[library] = max(best.get(library, ((), version)), (rank, version))
    return [version for _, version in best.values()]


def _elf_lines(elf: Elf) -> Iterator[str]:
    name = elf.arch.both_names if elf.arch else f"machine {elf.machine:#x}, no known architecture"
    yield f"ELF{elf.bits} {elf.endian}-endian, {name}"
    yield f"type      {_TYPES.get(elf.type, f'{elf.type:#x}')}"
    yield f"loader    {safe(elf.interpreter) if elf.interpreter else 'none (static)'}"
    if elf.needed:
        yield f"needs     {safe(', '.join(elf.needed))}"
    if elf.symbol_versions:
        yield f"symbols   {safe(', '.join(_newest(elf.symbol_versions)))}"
    if elf.min_kernel:
        yield f"kernel    {'.'.join(map(str, elf.min_kernel))} or newer"
    loads = [s for s in elf.segments if s.type == 1]
    if loads:
        yield f"segments  {len(loads)} loaded, aligned to {max(s.align for s in loads):#x}"


def _layer_lines(layer: Layer) -> Iterator[str]:
    match layer:
        case Elf():
            yield from _elf_lines(layer)
        case Pe():
            yield from pe_lines(layer)
        case Uki():
            yield from uki_lines(layer)
        case Kernel():
            yield from kernel_lines(layer)
        case Initrd():
            yield from initrd_lines(layer)
        case ImageArchive():
            yield from images_lines(layer)
        case Rootfs():
            yield from rootfs_lines(layer)
        case Other():
            yield safe(layer.name)
            for key, value in layer.facts.items():
                yield f"{safe(key):<9} {safe(value)}"


def artifact_document(artifact: Artifact, width: int) -> Iterator[RenderableType]:
    """One file as a tree; one text, because what rich does for each text takes longer than reading a program."""
    yield Text("\n").join(_artifact_lines(artifact))
    if artifact.diagnostics:
        yield block(artifact.diagnostics, width)


def _artifact_lines(artifact: Artifact) -> Iterator[Text]:
    title = Text(safe(artifact.path), style="sb.head")
    title.append(f"  {artifact.kind.value}, {human_bytes(artifact.size)}", style="sb.dim")
    yield title
    for number, layer in enumerate(artifact.layers):
        last_layer = number == len(artifact.layers) - 1 and not artifact.sha256
        shown = list(_layer_lines(layer))
        lines = [f"  {'└' if last_layer else '├'}─ {shown[0]}"]
        lines += [f"  {' ' if last_layer else '│'}    {line}" for line in shown[1:]]
        yield Text("\n".join(lines))
    if artifact.verified:
        yield Text(f"  ├─ verified by {safe(artifact.verified)}", style="sb.ok")
    if artifact.sha256:
        yield Text(f"  └─ sha256 {safe(artifact.sha256)}", style="sb.dim")


def facts_table(facts: Sequence[Facts]) -> RenderableType:
    """The facts that decide most, a row for each host."""
    rows = []
    for f in facts:
        arch = f.kernel_arch.value if f.kernel_arch else f"? ({safe(f.kernel_machine)})"
        if f.assumed:
            arch += " (assumed)"
        userland = f.userland_arch.value if f.userland_arch else "?"
        libc = f"{f.libc.kind} {'.'.join(map(str, f.libc.version))}" if f.libc.version else f.libc.kind
        rows.append(
            (
                safe(f.host),
                arch,
                userland,
                f"{f.page_size // 1024}K" if f.page_size else "?",
                libc,
                safe(f.kernel_release, limit=24),
                safe(f.os_name or f.os_id or "?", limit=32),
                safe(f.init or "?"),
                f.become,
                ", ".join(sorted(f.emulates)) or "-",
            )
        )
    return table(
        ("HOST", "ARCH", "USERLAND", "PAGE", "LIBC", "KERNEL", "OS", "INIT", "ROOT", "EMULATES"), rows
    )


def _space(s: Space) -> str:
    free = human_bytes(s.free) if s.free is not None else "?"
    return f"{s.path}: {free} free on {s.mount} ({s.fstype}{'' if s.executable else ', noexec'})"


def facts_details(f: Facts) -> Iterator[RenderableType]:
    """Everything known about one host, a line for each fact."""
    cpu = f.cpu
    level = f"x86-64-v{cpu.x86_level}" if cpu.x86_level else (f"armv{cpu.arm_level}" if cpu.arm_level else "")
    lines = (
        ("kernel", f"{f.kernel_machine} {f.kernel_release}"),
        ("runs", ", ".join(sorted(f.native)) or "unknown"),
        ("emulates", ", ".join(sorted(f.emulates)) or "nothing"),
        ("loaders", ", ".join(sorted(f.libc.loaders)) or "none seen"),
        ("cpu", " ".join(x for x in (f"{cpu.count or '?'} x", cpu.model, level) if x)),
        ("memory", human_bytes(f.memory) if f.memory else "unknown"),
        ("user", f"{f.user} (uid {f.uid}), root: {f.become}"),
        (
            "clock",
            "unknown"
            if f.clock_offset is None
            else f"{f.clock_offset:+.2f}s against this machine (±{human_seconds(f.clock_error or 0)})",
        ),
        ("tools", ", ".join(sorted(f.tools)) or "none of those asked for"),
        *(("conflict", c) for c in f.conflicts),
        *(
            (
                "space",
                _space(s),
            )
            for s in f.spaces
        ),
    )
    yield Text(safe(f.host), style="sb.head")
    for label, value in lines:
        yield Text(f"  {label:<9} {safe(value, limit=2000)}")
