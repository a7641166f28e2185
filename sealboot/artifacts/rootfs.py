"""A Sealos root filesystem as a folder: every program in it, also those in archives inside it.

Links are never followed, so nothing outside the folder is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sealboot.artifacts.archive_words import tree_findings
from sealboot.artifacts.compress import COMPRESSED, Limits, Meter, StreamError, inflate
from sealboot.artifacts.name import arch_in_name
from sealboot.artifacts.programs import Tree, add_inner, is_inner_archive
from sealboot.artifacts.reader import Refusal, chunks, open_file
from sealboot.artifacts.sniff import HEAD, sniff
from sealboot.artifacts.tarwalk import MAX_MEMBERS
from sealboot.model.artifact import Artifact, Kind
from sealboot.model.diagnostic import Diagnostic

_MAX_TROUBLE = 8
_MAX_DEPTH = 256
_ARCHIVES = COMPRESSED | {Kind.TAR}


def read_folder(path: Path, label: str, limits: Limits | None = None) -> Artifact:
    """The folder as one artifact of kind DIRECTORY, without a digest of its own; never raises.

    Findings: SB401 for archives inside that are damaged, SB409 for those that
    break a bound or a tree of too many files, SB411 for programs of several machines.
    """
    tree = Tree()
    meter = Meter(limits or Limits())
    trouble: list[str] = []
    excess: StreamError | None = None
    try:
        _walk(path, tree, meter, trouble)
    except StreamError as error:
        excess = error
    found = tree.rootfs()
    diagnostics: tuple[Diagnostic, ...] = tree_findings(label, found, trouble, excess)
    known = [p.platform for p in found.programs if "/" in p.platform] if found and excess is None else []
    return Artifact(
        path=label,
        kind=Kind.DIRECTORY,
        size=tree.bytes,
        platforms=tuple(known[:1]),
        layers=(found,) if found is not None else (),
        named_arch=arch_in_name(label),
        diagnostics=diagnostics,
    )


def _walk(root: Path, tree: Tree, meter: Meter, trouble: list[str]) -> None:
    for count, (name, file) in enumerate(_files(root, trouble)):
        if count >= MAX_MEMBERS:
            raise StreamError(f"a tree of more than {MAX_MEMBERS} files", excess=True)
        problem = _add(tree, name, file, meter)
        if problem and len(trouble) < _MAX_TROUBLE:
            trouble.append(problem)


def _files(root: Path, trouble: list[str]) -> Iterator[tuple[str, Path]]:
    """Regular files and what may turn out to be none, in a stable order; folders behind links are left out.

    Those that cannot be read are trouble. Raises `StreamError` for one that nests deeper than any tree does.
    """

    def closed(error: OSError) -> None:
        if len(trouble) < _MAX_TROUBLE:
            where = os.path.relpath(error.filename, root)
            trouble.append(f"{where}: {(error.strerror or 'cannot be read').lower()}")

    own = str(root).count("/")
    for folder, folders, names in os.walk(root, followlinks=False, onerror=closed):
        if folder.count("/") - own > _MAX_DEPTH:  # the walk itself ends at the interpreter's depth
            raise StreamError(f"a tree that nests deeper than {_MAX_DEPTH} folders", excess=True)
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if not path.is_symlink():
                yield str(path.relative_to(root)), path


def _add(tree: Tree, name: str, path: Path, meter: Meter) -> str:
    """Count one file; what is wrong with it, in words. Raises `StreamError` when a bound breaks."""
    opened = open_file(path)
    if isinstance(opened, Refusal):
        return f"{name}: {opened.reason}" if opened.code else ""
    with opened:
        try:
            head = opened.at(0, HEAD)
            tree.add(name, opened.size, head)
            kind = sniff(head)
            if is_inner_archive(name) and kind in _ARCHIVES:
                add_inner(tree, name, inflate(chunks(opened), kind, meter.inner()))
        except OSError as error:
            return f"{name}: {(error.strerror or 'cannot be read').lower()}"
        except StreamError as error:
            if error.excess:
                raise
            return f"{name}: {error}"
    return ""
