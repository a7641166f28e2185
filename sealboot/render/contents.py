"""What a step writes or runs, as a plan shows it: new files, changes as a unified diff, scripts.

A secret stands in a content as `{{ secret.NAME }}`; its value is not known here.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterator

from sealboot.model.plan import Action, Before, PlannedStep
from sealboot.model.steps import ReadSecret, Run, Upload, WaitFor, WriteFile
from sealboot.model.words import plural
from sealboot.render.text import human_bytes

#: Lines of one file that are shown unless everything was asked for.
LINES = 40
#: What is longer is told by size and hash: nobody reads it in a plan, and comparing takes long.
_MOST_BYTES, _MOST_LINES = 64 << 10, 2000
#: Digits of a hash that people compare.
SHORT = 12
_SHA256 = re.compile(r"sha256 ([0-9a-f]{64})")


def old_hash(detail: str) -> str:
    """The SHA-256 of what is on the host, where the detail of a planned step is just that."""
    match = _SHA256.fullmatch(detail)
    return match[1] if match else ""


def new_hash(step: Upload | WriteFile) -> str:
    """The SHA-256 of what will be there; empty where secrets are part of it."""
    if isinstance(step, Upload):
        return step.sha256
    return "" if step.secrets else hashlib.sha256(step.content.encode("utf-8", "surrogateescape")).hexdigest()


def hashes(planned: PlannedStep) -> str:
    """`sha256 OLD -> NEW`, as many digits as people compare; empty where the old one is not known."""
    old = old_hash(planned.detail)
    if not old or not isinstance(planned.step, (Upload, WriteFile)):
        return ""
    new = new_hash(planned.step)
    return f"sha256 {old[:SHORT]}" + (f" -> {new[:SHORT]}" if new else "")


def diff(old: str, new: str) -> list[str]:
    """A unified diff without its head, three lines around each change."""
    lines = difflib.unified_diff(_lines(old), _lines(new), lineterm="", n=3)
    return [line for number, line in enumerate(lines) if number > 1]


_NO_NEWLINE = "\\ no newline at the end"


def _lines(text: str) -> list[str]:
    """The lines; a last one that does not end is told apart from one that does."""
    if not text:
        return []
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else [*lines[:-1], f"{lines[-1]}\n{_NO_NEWLINE}"]


def change(planned: PlannedStep, before: Before | None) -> list[str] | None:
    """How the file changes: `+`, `-` and context lines; `None` where that is not known or too long."""
    step = planned.step
    if not isinstance(step, WriteFile) or _long(step.content):
        return None
    if planned.action is Action.CREATE:
        return _split(f"+{line}" for line in _lines(step.content))
    if planned.action is not Action.CHANGE or before is None or before.text is None or _long(before.text):
        return None
    return _split(diff(before.text, step.content))


def _split(lines: Iterator[str] | list[str]) -> list[str]:
    return [part for line in lines for part in line.split("\n")]


def _long(text: str) -> bool:
    return len(text) > _MOST_BYTES or text.count("\n") > _MOST_LINES


def shown(planned: PlannedStep, before: Before | None, *, full: bool) -> Iterator[str]:
    """The lines under a step of the plan."""
    lines = list(_all(planned, before, full=full))
    yield from lines if full else lines[:LINES]
    if not full and len(lines) > LINES:
        yield f"... {plural(len(lines) - LINES, 'more line')}: --full"


def _all(planned: PlannedStep, before: Before | None, *, full: bool) -> Iterator[str]:
    step = planned.step
    if planned.action in {Action.NONE, Action.REMOVE}:
        return
    if isinstance(step, WriteFile):
        changed = change(planned, before)
        if changed is not None:
            yield from changed
        elif planned.action is not Action.DEPENDS:
            yield from _instead(planned, step, before)
    elif full and (script := script_of(planned)):
        yield from (f"| {line}" for line in script.strip("\n").split("\n") if line != "set -eu")


def _instead(planned: PlannedStep, step: WriteFile, before: Before | None) -> Iterator[str]:
    """What stands in the place of a file that is not shown."""
    words = [told] if (told := hashes(planned)) else []
    if _long(step.content):
        size = human_bytes(len(step.content.encode("utf-8", "surrogateescape")))
        words.append(f"the new file has {size} and is not shown")
    if before is not None and before.why:
        words.append(f"what is there is not shown: {before.why}")
    if words:
        yield f"({'; '.join(words)})"


def script_of(planned: PlannedStep) -> str:
    """The script that a step runs, if it runs one."""
    match planned.step:
        case Run(script=script) | ReadSecret(script=script):
            return script
        case WaitFor(kind="script", target=script):
            return script
        case Upload(smoke=script):
            return script
        case _:
            return ""
