"""Plans as files: written with the owner's eyes only, read as the untrusted text they are.

A plan file holds no secret: captured and inventory secrets stand in it as
`{{ secret.NAME }}`. Whoever applies a saved plan first makes the plan anew and
asks `stale`; what runs are the steps made anew, so that an edited file can
stop an apply and can do nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sealboot.model.diagnostic import Diagnostic
from sealboot.model.plan import Plan, PlannedStep
from sealboot.model.words import agree

#: The version of the format that this release writes and reads.
FORMAT = 1
#: Larger files are refused unread; 10,000 hosts with 20 steps each take about 100 MB.
SIZE_LIMIT = 256 << 20
#: Findings of one kind that are spelt out; more are counted.
_SHOWN = 8


@cache
def _adapter() -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)


def dumps(plan: Plan) -> bytes:
    """The plan as versioned JSON; the same plan gives the same bytes."""
    return _adapter().dump_json(plan, indent=1) + b"\n"


def save(plan: Plan, path: Path) -> Diagnostic | None:
    """Write the plan atomically with mode 0600; a failure is SB611."""
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600, exclusive
        with os.fdopen(handle, "wb") as file:
            file.write(dumps(plan))
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except (OSError, ValueError) as error:  # ValueError: text that is no Unicode
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        why = error.strerror if isinstance(error, OSError) else type(error).__name__
        return Diagnostic(
            "SB611",
            f"the plan cannot be written to {path}: {why}",
            hints=("make room there or choose another place with -o; no host was changed",),
        )
    return None


def load(path: Path) -> Plan | Diagnostic:
    """Read a plan file; anything but a whole, unknown-key-free file of this format is SB610."""
    try:
        data = _read(path)
    except OSError as error:
        return _refused(path, error.strerror or str(error))
    return _refused(path, data) if isinstance(data, str) else loads(data, path)


def loads(data: bytes, path: Path) -> Plan | Diagnostic:
    """Read a plan from bytes that came from `path`."""
    try:
        tree: object = json.loads(data)
        if not isinstance(tree, dict) or "format" not in tree or "waves" not in tree:
            return _refused(path, "it is no plan: the keys `format` and `waves` are missing")
        if tree["format"] != FORMAT or isinstance(tree["format"], bool):
            return _refused(path, f"its format is not {FORMAT}, the one this release reads")
        plan = _adapter().validate_json(data, strict=True)
        # Keys that no field has would be dropped silently: only what is written back equal was understood.
        if not _understood(tree, _adapter().dump_python(plan, mode="json")):
            return _refused(path, "it has keys that this release does not know")
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return _refused(path, f"{first['msg']} at {where}" if where else first["msg"])
    except (ValueError, RecursionError) as error:
        return _refused(path, f"it is no JSON: {type(error).__name__}")
    return plan


def _understood(read: object, back: object) -> bool:
    """Whether all that was read is written back; fields that an earlier release did not write may be added."""
    if isinstance(read, dict) and isinstance(back, dict):
        return all(key in back and _understood(value, back[key]) for key, value in read.items())
    if isinstance(read, list) and isinstance(back, list):
        return len(read) == len(back) and all(map(_understood, read, back))
    return read == back


def _read(path: Path) -> bytes | str:
    """The bytes of a regular file of bearable size, or why not; never blocks on a FIFO."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            return "it is not a regular file"
        if about.st_size > SIZE_LIMIT:
            return f"it is larger than {SIZE_LIMIT >> 20} MiB"
        return file.read(SIZE_LIMIT + 1)


def _refused(path: Path, why: str) -> Diagnostic:
    return Diagnostic(
        "SB610",
        f"{path} cannot be used as a plan: {why}",
        hints=("make a new one with `sealboot plan -o FILE`",),
    )


def schema() -> dict[str, Any]:
    """The JSON schema of a plan file (2020-12)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "sealboot plan",
        **_adapter().json_schema(mode="serialization"),
    }


def stale(saved: Plan, now: Plan) -> tuple[Diagnostic, ...]:
    """Everything that moved between a saved plan and the one made now, as SB504; empty when nothing did."""
    found: list[Diagnostic] = [*_cluster_moves(saved, now)]
    found += _limited(list(_host_moves(saved, now)))
    found += _limited(list(_artifact_moves(saved, now)))
    if not found:
        found += _limited(list(_step_moves(saved, now)))
    if not found and saved != now:
        found.append(_drift("the order of waves or hosts changed"))
    return tuple(found)


def _drift(
    summary: str, *, host: str | None = None, artifact: str | None = None, was: str = "", now: str = ""
) -> Diagnostic:
    evidence = (("planned", was or "-"), ("now", now or "-")) if was or now else ()
    return Diagnostic(
        "SB504",
        f"the plan is stale: {summary}",
        host=host,
        artifact=artifact,
        evidence=evidence,
        hints=("make the plan anew with `sealboot plan -o FILE` and read it again",),
    )


def _cluster_moves(saved: Plan, now: Plan) -> Iterator[Diagnostic]:
    if (saved.cluster, saved.driver) != (now.cluster, now.driver):
        yield _drift(
            "it was made for another cluster or driver",
            was=f"{saved.cluster} ({saved.driver})",
            now=f"{now.cluster} ({now.driver})",
        )
    elif saved.inventory_sha256 != now.inventory_sha256:
        yield _drift(
            "the inventory says something else now",
            was=saved.inventory_sha256[:12],
            now=now.inventory_sha256[:12],
        )


def _host_moves(saved: Plan, now: Plan) -> Iterator[Diagnostic]:
    for name in dict.fromkeys((*saved.hosts, *now.hosts)):
        if name not in now.hosts:
            yield _drift(f"{name} is not selected any more", host=name)
        elif name not in saved.hosts:
            yield _drift(f"{name} was not part of it", host=name)
        elif saved.fingerprints.get(name) != now.fingerprints.get(name):
            yield _drift(
                f"{name} is not the machine it was (architecture, kernel, page size or machine id)",
                host=name,
                was=saved.fingerprints.get(name, "")[:12],
                now=now.fingerprints.get(name, "")[:12],
            )


def _artifact_moves(saved: Plan, now: Plan) -> Iterator[Diagnostic]:
    for path in sorted({*saved.artifacts, *now.artifacts}):
        was, is_now = saved.artifacts.get(path, ""), now.artifacts.get(path, "")
        if was != is_now:
            yield _drift(f"{path} has other bytes", artifact=path, was=was[:12], now=is_now[:12])


def _step_moves(saved: Plan, now: Plan) -> Iterator[Diagnostic]:
    before, after = _steps(saved), _steps(now)
    for name in dict.fromkeys((*before, *after)):
        was, is_now = before.get(name), after.get(name)
        if was == is_now:
            continue
        host = (was or is_now or after[name]).step.host
        if was is None or is_now is None:
            yield _drift(f"the step {name} {'is new' if was is None else 'is gone'}", host=host)
        elif was.step != is_now.step:
            yield _drift(f"the step {name} would do something else", host=host)
        else:
            yield _drift(
                f"{host} changed: {was.step.title}", host=host, was=was.action.value, now=is_now.action.value
            )


def _steps(plan: Plan) -> Mapping[str, PlannedStep]:
    return {planned.step.id: planned for wave in plan.waves for planned in wave.steps}


def _limited(found: list[Diagnostic]) -> list[Diagnostic]:
    """The first few findings, and one that counts the rest."""
    if len(found) <= _SHOWN:
        return found
    return [
        *found[:_SHOWN],
        _drift(agree(len(found) - _SHOWN, "{} more such difference", "{} more such differences")),
    ]


def main() -> None:
    """Print the schema, as schemas/plan.schema.json holds it."""
    sys.stdout.write(json.dumps(schema(), indent=2) + "\n")


if __name__ == "__main__":
    main()
