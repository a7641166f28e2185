"""One file under repacking, and what can be said against it."""

from __future__ import annotations

from dataclasses import dataclass

from sealboot.artifacts.reader import Reader
from sealboot.model.artifact import Artifact
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.workflow.upxtool import Tool


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator asked for: `output` empty to only say what would be; `pack` the program with UPX."""

    output: str = ""
    force: bool = False
    pack: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """The open file, what was found in it, what is wished, and the UPX that is installed here, if one is."""

    reader: Reader
    before: Artifact
    wish: Wish
    tool: Tool | None

    @property
    def label(self) -> str:
        """The file as the operator wrote it."""
        return self.before.path


def moved(label: str) -> Diagnostic:
    """SB408: somebody writes to it."""
    return Diagnostic("SB408", f"{label} changed while it was read", artifact=label)


def upx_missing(job: Job, task: str) -> Diagnostic:
    """SB416: what is needed, where it comes from; only a note where no output was asked for."""
    wanted = bool(job.wish.output) or job.wish.pack
    return Diagnostic(
        "SB416",
        f"{job.label} can be {task} by UPX only, and there is no `upx` on the PATH here",
        Severity.ERROR if wanted else Severity.NOTE,
        artifact=job.label,
        hints=("install it: `apt install upx-ucl` (Debian calls it so), or https://upx.github.io", "run the same command again"),
    )  # fmt: skip


def upx_failed(job: Job, task: str, why: str) -> Diagnostic:
    """SB416: it is there, and did not do it."""
    version = job.tool.version if job.tool else "?"
    return Diagnostic(
        "SB416",
        f"{job.label} could not be {task}: UPX {version} says {why}",
        artifact=job.label,
        evidence=(("upx", job.tool.path if job.tool else "none"),),
        hints=("try the newest UPX: an old one does not know files of a newer one", "or get the file that was not packed"),
    )  # fmt: skip


def not_written(output: str, why: str) -> Diagnostic:
    """SB418: nothing is under this name that was not there before."""
    hints = ("name another file, or say --force",) if why == "it exists" else ()
    return Diagnostic("SB418", f"{output} is not written: {why}", artifact=output, hints=hints)


def not_the_same(job: Job, why: str) -> Diagnostic:
    """SB417: a proof failed; the file is gone."""
    return Diagnostic(
        "SB417",
        f"what was made of {job.label} is not the same program, and was removed: {why}",
        artifact=job.label,
        hints=("this should never happen: please report it, with where the file comes from",),
    )


def nothing_to_save(job: Job, saved: int) -> Diagnostic:
    """SB419: an error only for who waits for the output."""
    few = f"only {saved} bytes could be saved" if saved > 0 else "no byte can be saved"
    return Diagnostic(
        "SB419",
        f"{job.label} is left as it is: {few}",
        Severity.ERROR if job.wish.output else Severity.NOTE,
        artifact=job.label,
        notes=("another file would no longer have the SHA-256 that its publisher tells",),
        hints=("to send less, compress it for its way: no file changes for that",),
    )
