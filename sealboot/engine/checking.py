"""The check that decides whether a step still has to be done."""

from __future__ import annotations

import hashlib

from sealboot.model.steps import (
    Check,
    FileIs,
    PathExists,
    Remove,
    Service,
    ServiceIs,
    Step,
    Upload,
    WriteFile,
)


def effective_check(step: Step) -> Check | None:
    """The step's own check, or the one that follows from what the step is.

    A file that already has its content needs no second writing, whether or
    not the driver said so. A file with secrets has no check before they are
    known (`rendered_check`), and a restart is never implied.
    """
    if step.check is not None:
        return step.check
    match step:
        case Upload():
            return FileIs(step.dest, step.sha256, step.mode)
        case WriteFile() if not step.secrets:
            return rendered_check(step, step.content)
        case Remove():
            return PathExists(step.path, present=False)
        case Service():
            return _service_check(step)
        case _:
            return None


def _service_check(step: Service) -> ServiceIs | None:
    if step.state == "restarted" and not step.stamp:
        return None
    active = step.state != "stopped"
    return ServiceIs(step.name, active, step.enabled, step.stamp if active else "")


def rendered_check(step: WriteFile, content: str) -> FileIs:
    """Whether the file holds `content`, the step's own with its secrets filled in."""
    digest = hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()
    return FileIs(step.dest, digest, file_mode(step))


def file_mode(step: WriteFile) -> int:
    """The mode the file gets: with secrets, nothing for group and others."""
    return step.mode & 0o600 if step.secrets else step.mode
