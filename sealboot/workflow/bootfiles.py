"""What a slot's form asks for: kernel and initrd taken out, disk images measured, configurations read.

All of it happens before anything is matched to hosts, so that a file which
cannot be used is told with the hosts it was for, and nothing of it is shipped.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import MappingProxyType

from sealboot.artifacts.diskimage import ImageError
from sealboot.artifacts.findings import Finding
from sealboot.artifacts.initrd_content import unpack
from sealboot.artifacts.reader import Reader, Refusal, open_file
from sealboot.artifacts.talos_files import MAX_BYTES, read_machine_config, read_talosconfig
from sealboot.artifacts.uki import extract
from sealboot.artifacts.zboot import read_zboot, unwrap
from sealboot.model.artifact import Artifact, Kernel, Kind, Layer
from sealboot.model.bootfiles import BootFiles, MachineConfig, OnController, TalosConfig
from sealboot.model.diagnostic import Diagnostic, Severity, has_errors
from sealboot.model.tree import Packed
from sealboot.workflow.diskfiles import measured
from sealboot.workflow.keeping import NEW, forget_old, keep, kept_folder, not_ours, open_to_others

_SUFFIX = ".boot"


def boot_cache() -> Path:
    """Where kernels and initrds that were taken out are kept."""
    return kept_folder("boot")


def made_ready(artifacts: Sequence[Artifact], form: str, base: Path) -> tuple[Artifact, ...]:
    """The same files, each with what its slot's form asks for as a further layer.

    What is not of that form, or is damaged in a way that only this shows,
    gets the reason: SB401, SB405, SB408, SB705, SB706, SB712. A file that has
    an error already is not looked at any further.
    """
    make = _FORMS.get(form)
    if make is None:
        return tuple(artifacts)
    return tuple(_guarded(make, artifact, base) for artifact in artifacts)


def on_controller(artifacts: Sequence[Artifact], base: Path) -> tuple[Artifact, ...]:
    """The same files, each with its absolute path: a program that is run here is run from anywhere."""
    return tuple(
        _with(artifact, OnController("on the controller", file=_place(artifact, base / artifact.path)))
        for artifact in artifacts
    )


def _guarded(make: Callable[[Artifact, Path], Artifact], artifact: Artifact, base: Path) -> Artifact:
    path = base / artifact.path
    if artifact.kind in {Kind.MISSING, Kind.SPECIAL, Kind.DIRECTORY, Kind.EMPTY}:
        return artifact
    try:
        return make(artifact, path)
    except OSError as error:
        why = (error.strerror or "the medium failed").lower()
        where = f" ({error.filename})" if error.filename and str(error.filename) != str(path) else ""
        return _refused(artifact, "SB408", f"{artifact.path} cannot be made ready: {why}{where}")


def _boot(artifact: Artifact, path: Path) -> Artifact:
    if artifact.kind not in {Kind.UKI, Kind.KERNEL} or has_errors(artifact.diagnostics):
        return artifact
    folder = boot_cache()
    foreign = open_to_others(folder)
    if foreign is not None:
        return _with_finding(artifact, not_ours(artifact.path, foreign))
    forget_old(folder, _SUFFIX)
    opened = open_file(path)
    if isinstance(opened, Refusal):
        return _refused(artifact, "SB408", f"{artifact.path} cannot be read: {opened.reason}")
    with opened:
        same = opened.sha256() == artifact.sha256
        if artifact.kind is Kind.UKI:
            made = _unpacked_uki(artifact, opened, folder)
        else:
            made = _bare_kernel(artifact, opened, path, folder)
        # What vouches for the file vouches for these bytes and no others.
        same = same and not opened.changed
    return made if same else _refused(artifact, "SB408", f"{artifact.path} changed while it was read")


def _unpacked_uki(artifact: Artifact, opened: Reader, folder: Path) -> Artifact:
    """Kernel and initrd of the base profile, as a boot loader that knows nothing of UKIs takes them."""
    kernel = _kept(extract(opened, ".linux", unwrapped=True), folder)
    if isinstance(kernel, Finding):
        return _found(artifact, kernel)
    wrapped = sum(isinstance(layer, Kernel) for layer in artifact.layers) > 1
    content = extract(opened, ".initrd")
    if isinstance(content, Finding):  # told by the driver that needs one: not every image does
        return _with(
            artifact, BootFiles("boot files", {"kernel": str(kernel.size)}, kernel=kernel, wrapped=wrapped)
        )
    initrd = _kept(content, folder)
    if isinstance(initrd, Finding):
        return _found(artifact, initrd)
    inside = _initrd(artifact, Path(initrd.path))
    if isinstance(inside, Artifact):
        return inside
    facts = {"kernel": f"{kernel.size} bytes", "initrd": f"{initrd.size} bytes"}
    return _with(artifact, replace(inside, facts=facts, kernel=kernel, initrd=initrd, wrapped=wrapped))


def _bare_kernel(artifact: Artifact, opened: Reader, path: Path, folder: Path) -> Artifact:
    zboot = read_zboot(opened)
    kernel: Packed | Finding = _place(artifact, path)
    if zboot is not None:
        kernel = _kept(unwrap(zboot), folder)
    if isinstance(kernel, Finding):
        return _found(artifact, kernel)
    facts = {"kernel": f"{kernel.size} bytes"}
    return _with(artifact, BootFiles("boot files", facts, kernel=kernel, wrapped=zboot is not None))


def _initrd(artifact: Artifact, path: Path) -> BootFiles | Artifact:
    """What the initrd unpacks to; or the artifact with the reason why it must not be booted."""
    opened = open_file(path)
    if isinstance(opened, Refusal):
        return _refused(artifact, "SB408", f"{artifact.path} cannot be read: {opened.reason}")
    with opened:
        content = unpack(opened)
    if isinstance(content, Finding):
        return _found(artifact, content)
    if content is None:
        return BootFiles("boot files")
    kernel = artifact.kernel
    arch = kernel.arch if kernel is not None else None
    if content.programs is not None and arch is not None and content.programs is not arch:
        what = (
            f"its kernel is {arch.field_name}, the programs in its initrd are {content.programs.field_name}"
        )
        return _refused(artifact, "SB405", f"{artifact.path}: {what}")
    return BootFiles("boot files", unpacked=content.size)


def _initrd_alone(artifact: Artifact, path: Path) -> Artifact:
    """An initrd beside a kernel: its platform is that of its programs, so that names play no part."""
    opened = open_file(path)
    if isinstance(opened, Refusal):
        return _refused(artifact, "SB408", f"{artifact.path} cannot be read: {opened.reason}")
    with opened:
        content = unpack(opened)
    # What was told of it as an archive (SB401, SB404) is nothing to an initrd.
    plain = replace(
        artifact, diagnostics=tuple(d for d in artifact.diagnostics if d.code not in {"SB401", "SB404"})
    )
    if isinstance(content, Finding):
        return _found(plain, content)
    if content is None:
        return plain
    platforms = (f"linux/{content.programs}",) if content.programs is not None else ()
    facts = {"unpacked": f"{content.size} bytes"}
    made = BootFiles("boot files", facts, initrd=_place(artifact, path), unpacked=content.size)
    return _with(replace(plain, platforms=platforms), made)


def _disk(artifact: Artifact, path: Path) -> Artifact:
    """A disk image, inflated once for good: measured, digested, and its first part looked at."""
    plain = replace(artifact, diagnostics=tuple(d for d in artifact.diagnostics if d.code == "SB408"))
    try:
        made = measured(path, artifact.sha256, boot_cache())
    except ImageError as error:
        return _refused(plain, "SB401", f"{artifact.path}: {error}")
    if made is None:
        return _refused(
            plain, "SB705", f"{artifact.path} is no disk image: there is no partition table in it"
        )
    platforms = tuple(f"linux/{arch}" for arch in made.loaders)
    return replace(plain, layers=(replace(made, file=_place(artifact, path)),), platforms=platforms)


def _machine_config(artifact: Artifact, path: Path) -> Artifact:
    return _talos(artifact, path, read_machine_config, "SB706", "machine configuration")


def _talosconfig(artifact: Artifact, path: Path) -> Artifact:
    return _talos(artifact, path, read_talosconfig, "SB712", "talosconfig with a key for its context")


def _talos(
    artifact: Artifact,
    path: Path,
    read: Callable[[bytes], MachineConfig | TalosConfig | None],
    code: str,
    what: str,
) -> Artifact:
    """One of Talos' own files; a warning where everybody on the controller may read the keys in it."""
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
        mode = os.fstat(file.fileno()).st_mode
    made = read(data)
    if made is None or hashlib.sha256(data).hexdigest() != artifact.sha256:
        return _refused(artifact, code, f"{artifact.path} is no {what}")
    told = _with(artifact, replace(made, file=_place(artifact, path)))
    if not mode & 0o077:
        return told
    hint = f"chmod 600 {artifact.path}"
    why = f"{artifact.path} holds the cluster's keys, and others on this machine may read it"
    warning = Diagnostic("SB713", why, Severity.WARNING, artifact=artifact.path, hints=(hint,))
    return _with_finding(told, warning)


def _place(artifact: Artifact, path: Path) -> Packed:
    return Packed(str(path.absolute()), artifact.sha256, artifact.size)


def _kept(content: Iterator[bytes] | Finding, folder: Path) -> Packed | Finding:
    """Write content into the folder under its digest; a finding passes."""
    if isinstance(content, Finding):
        return content
    digest, size = hashlib.sha256(), 0
    with ExitStack() as stack:
        file = stack.enter_context(NamedTemporaryFile(dir=folder, prefix=NEW, delete=False))
        stack.callback(Path(file.name).unlink, missing_ok=True)
        for piece in content:
            file.write(piece)
            digest.update(piece)
            size += len(piece)
        return keep(file, digest.hexdigest(), size, folder, _SUFFIX)


def _with(artifact: Artifact, layer: Layer) -> Artifact:
    return replace(artifact, layers=(*artifact.layers, layer))


def _with_finding(artifact: Artifact, finding: Diagnostic) -> Artifact:
    return replace(artifact, diagnostics=(*artifact.diagnostics, finding))


def _refused(artifact: Artifact, code: str, why: str) -> Artifact:
    return _with_finding(artifact, Diagnostic(code, why, artifact=artifact.path))


def _found(artifact: Artifact, finding: Finding) -> Artifact:
    return _refused(artifact, finding.code, f"{artifact.path}: {finding.what}")


_FORMS: Mapping[str, Callable[[Artifact, Path], Artifact]] = MappingProxyType(
    {
        "boot": _boot,
        "initrd": _initrd_alone,
        "disk": _disk,
        "machine-config": _machine_config,
        "talosconfig": _talosconfig,
    }
)
