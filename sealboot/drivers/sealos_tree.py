"""The root filesystem of a sealos node: which one, whether it runs there, and how it comes to lie there.

sealos sends the tree of one architecture to every node, file by file, and
learns from the first program that fails. Here each host gets the tree of its
own architecture as one archive; every program in it, those in `cri/*.tar.gz`
too, was judged against the host before; the control program has to answer
from the staged archive; and the tree is swapped in whole.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace

from sealboot.drivers import sealos_tree_scripts as scripts
from sealboot.drivers.base import Context, Slot
from sealboot.fit import judge
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Elf, Kind
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.facts import Facts
from sealboot.model.host import Host, Inventory
from sealboot.model.steps import Run, Step, Succeeds, Upload
from sealboot.model.tree import Program, Tree, tree_of

SLOT = "rootfs"
_KINDS = (Kind.DIRECTORY, Kind.TAR, Kind.GZIP, Kind.ZSTD, Kind.XZ, Kind.BZIP2)
_SHOWN = 4
_ET_DYN = 3


def slot(get: tuple[tuple[Arch, str], ...] = ()) -> Slot:
    """The tree: one for each architecture among the hosts, matched by what is in it."""
    return Slot(SLOT, patterns=("rootfs/*",), kinds=_KINDS, executable=False, tree=True, get=get)


def has_tree(inventory: Inventory) -> bool:
    """Whether the operator gives root filesystems; else sealctl alone is shipped."""
    return SLOT in inventory.artifacts or any(SLOT in host.artifacts for host in inventory.hosts)


def chosen_tree(ctx: Context, host: Host) -> Tree | None:
    """The packed tree for this host; `None` when the selection found none."""
    artifact = ctx.chosen.get((host.name, SLOT))
    return tree_of(artifact) if artifact is not None else None


def unfit(ctx: Context) -> Iterator[Diagnostic]:
    """Every program of a chosen tree that its host would not run: one finding for each reason and host."""
    for host in ctx.reached:
        artifact, tree = ctx.chosen.get((host.name, SLOT)), chosen_tree(ctx, host)
        if artifact is None:
            continue
        if tree is None or not tree.programs:
            yield _no_tree(host, artifact)
            continue
        yield from _misfits(host, ctx.facts[host.name], artifact, tree.programs)


def _no_tree(host: Host, artifact: Artifact) -> Diagnostic:
    return Diagnostic(
        "SB112",
        f"{artifact.path} is no root filesystem that {host.name} could use",
        host=host.name,
        artifact=artifact.path,
        at=host.origin(f"artifacts.{SLOT}"),
        evidence=(("file", artifact.kind.value), ("wanted", "a tree with programs in it")),
    )


def _misfits(
    host: Host, facts: Facts, artifact: Artifact, programs: tuple[Program, ...]
) -> Iterator[Diagnostic]:
    allowed = host.emulation == "allow"
    reasons: dict[tuple[str, Severity], list[tuple[Program, Diagnostic]]] = {}
    for program in programs:
        elf = _as_started(program.elf)
        member = Artifact(f"{artifact.path}!{program.path}", Kind.ELF, elf.end, layers=(elf,))
        for found in judge(member, facts, emulation_allowed=allowed).diagnostics:
            reasons.setdefault((found.code, found.severity), []).append((program, found))
    for (code, severity), each in reasons.items():
        first = each[0][1]
        names = ", ".join(program.path for program, _ in each[:_SHOWN])
        count = sum(program.count for program, _ in each)
        more = f", {count} programs in all" if count > len(each[:_SHOWN]) else ""
        yield Diagnostic(
            code,
            f"{artifact.path}: {each[0][0].path}: {first.summary}",
            severity,
            host=host.name,
            artifact=artifact.path,
            at=host.origin(f"artifacts.{SLOT}"),
            evidence=(("members", names + more), *first.evidence),
            notes=first.notes,
            hints=first.hints,
        )


def _as_started(elf: Elf) -> Elf:
    """A library has no entry point, and needs none; all the rest that it asks of a host counts."""
    library = elf.type == _ET_DYN and not elf.entry and elf.interpreter is None
    return replace(elf, entry=1) if library else elf


def stamp_of(tree: Tree, env: Mapping[str, str]) -> str:
    """What the rendered tree was made of: its bytes and the variables of its templates."""
    digest = hashlib.sha256(tree.packed.sha256.encode() if tree.packed else b"")
    for name, value in sorted(env.items()):
        digest.update(f"\n{name}={value}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def mount(host: Host, facts: Facts, tree: Tree, root: str, stamp: str, *, keep: str = "") -> Iterator[Step]:
    """Send the archive, try its control program from there, and swap the tree in.

    `keep` is where the tree that lay there stays, without its images; it is removed where that is empty.
    """
    if tree.packed is None:
        return
    archive = f"{root}.tar"
    arch = facts.kernel_arch
    holds = scripts.mounted(root, stamp)
    yield Upload(
        id=f"mount/{host.name}/archive",
        host=host.name,
        title="send the root filesystem",
        timeout=7200.0,
        check=Succeeds(scripts.mounted_or_sent(root, stamp, archive, tree.packed.sha256), timeout=300.0),
        source=tree.packed.path,
        sha256=tree.packed.sha256,
        size=tree.packed.size,
        dest=archive,
        mode=0o600,
        smoke=scripts.TRY_SEALCTL,
        smoke_expects=(f'"linux/{arch}"',) if arch else (),
        keep_previous=False,
        slot=SLOT,
    )
    yield Run(
        id=f"mount/{host.name}/tree",
        host=host.name,
        title=f"unpack it to {root}" + (f", keep the old one as {keep}" if keep else ""),
        timeout=1800.0,
        check=Succeeds(holds, timeout=300.0),
        script=scripts.UNPACK,
        env={"ROOT": root, "ARCHIVE": archive, "STAMP": stamp, "KEEP": keep},
        detached=True,
    )


def quoted(*words: str) -> str:
    """Words of a POSIX shell command."""
    return " ".join(shlex.quote(word) for word in words)
