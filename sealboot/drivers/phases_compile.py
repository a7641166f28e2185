"""One phase on one host: from what the operator wrote to steps with checks.

Every step asks the host a read-only question first, so that a second apply
finds nothing to do. A file with secrets is compared by its shape (everything
but the secrets), because its secrets are not known before an apply.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import TypeAlias

from sealboot.drivers.phases_desk import Desk, Site
from sealboot.drivers.phases_schema import PhasePart, slug
from sealboot.drivers.shape import shape_check
from sealboot.drivers.template import Scope
from sealboot.model.paths import SYSTEM_DIRECTORIES
from sealboot.model.steps import (
    ABSENT,
    Check,
    FileIs,
    PathExists,
    ReadSecret,
    Remove,
    Run,
    Service,
    ServiceIs,
    Step,
    Succeeds,
    Upload,
    WaitFor,
    WriteFile,
)
from sealboot.plan.fingerprint import digest

#: Stands for an upload for which there is no file: what names its destination is right all the same.
_NO_FILE = "none"
#: Characters of a script's first line that a title quotes.
_TITLE_WIDTH = 48
#: Lines that only prepare what a script does.
_SETTING = re.compile(r"(set|umask|cd|export|trap)\b[^;&|]*|\w+=\S*")
_ONLY_SECRET = re.compile(r"\s*\{\{\s*secret\.(\w+)\s*\}\}\s*")


def compile_phase(site: Site, phase: PhasePart, scope: Scope, path: str) -> tuple[Step, ...]:
    """The steps of one phase on one host; what cannot be compiled is added to `site.problems`."""
    ids: dict[str, str] = {}
    placed: list[str] = []
    steps: list[Step] = []
    for index, part in enumerate(phase.steps):
        desk = Desk(site, phase, scope, f"{path}.steps[{index}]", index, part, ids, placed)
        before = len(site.problems)
        step = _MAKERS[part.action](desk)
        if part.name:
            ids[slug(part.name)] = desk.id
        if step is not None and len(site.problems) == before:
            steps.append(step)
    return tuple(steps)


_Maker: TypeAlias = Callable[[Desk], Step | None]


def _upload(desk: Desk) -> Step | None:
    part = desk.part.upload
    assert part is not None  # noqa: S101 (the schema chose the maker)
    artifact = desk.site.ctx.chosen.get((desk.site.host.name, part.artifact))
    dest = desk.place("upload.dest", part.dest)
    smoke = desk.text("upload.smoke", part.smoke)
    expects = tuple(desk.text(f"upload.expects[{i}]", text) for i, text in enumerate(part.expects))
    if artifact is None or not dest:
        if dest:
            desk.site.files[dest] = _NO_FILE
        return None  # that no file fits is the selection's finding
    desk.site.files[dest] = f"{artifact.sha256}:{part.mode:o}"
    desk.placed.append(dest)
    return Upload(
        id=desk.id,
        host=desk.site.host.name,
        title=desk.title(f"upload {part.artifact} to {dest}"),
        timeout=desk.timeout,
        become=desk.part.become,
        check=FileIs(dest, artifact.sha256, part.mode),
        only_after=desk.after,
        at=desk.at,
        source=artifact.path,
        sha256=artifact.sha256,
        size=artifact.size,
        dest=dest,
        mode=part.mode,
        smoke=smoke,
        smoke_expects=expects,
        keep_previous=part.keep_previous,
        slot=part.artifact,
    )


def _write(desk: Desk) -> Step | None:
    part = desk.part.write
    assert part is not None  # noqa: S101
    dest = desk.place("write.dest", part.dest)
    content, secrets = desk.secret_text("write.content", part.content)
    mode = part.mode if part.mode is not None else (0o600 if secrets else 0o644)
    if secrets and mode & 0o177:
        desk.fail("write.mode", "a file with a secret is 0600 or less")
    if not dest:
        return None
    content_hash = sha256(content.encode()).hexdigest()
    desk.site.files[dest] = f"{content_hash}:{mode:o}"
    desk.placed.append(dest)
    check: Check = (
        Succeeds(shape_check(dest, content, mode, secrets), desk.part.become)
        if secrets
        else FileIs(dest, content_hash, mode)
    )
    return WriteFile(
        id=desk.id,
        host=desk.site.host.name,
        title=desk.title(f"write {dest}"),
        timeout=desk.timeout,
        become=desk.part.become,
        check=check,
        only_after=desk.after,
        at=desk.at,
        dest=dest,
        content=content,
        mode=mode,
        secrets=secrets,
    )


def _directory(desk: Desk) -> Step | None:
    part = desk.part.directory
    assert part is not None  # noqa: S101
    path = desk.place("directory.path", part.path)
    if not path:
        return None
    quoted, owner = shlex.quote(path), part.owner
    form = "%U:%G" if ":" in owner else "%U"
    check = f"[ -e {quoted} ] || [ -L {quoted} ] || exit {ABSENT}\n"
    check += f"[ -d {quoted} ] && [ \"$(stat -c '%a {form}' {quoted})\" = '{part.mode:o} {owner}' ]\n"
    script = f"set -eu\nmkdir -p {quoted}\nchown {owner} {quoted}\nchmod {part.mode:o} {quoted}\n"
    return _plain_run(desk, f"make the directory {path}", script, Succeeds(check, desk.part.become))


def _plain_run(desk: Desk, title: str, script: str, check: Check) -> Run:
    return Run(
        id=desk.id,
        host=desk.site.host.name,
        title=desk.title(title),
        timeout=desk.timeout,
        become=desk.part.become,
        check=check,
        only_after=desk.after,
        at=desk.at,
        script=script,
    )


def _run(desk: Desk) -> Step | None:
    part = desk.part.run
    assert part is not None  # noqa: S101
    script = desk.text("run.script", part.script)
    env: dict[str, str] = {}
    env_secrets: dict[str, str] = {}
    for variable, value in part.env.items():
        where = f"run.env.{variable}"
        text, secrets = desk.secret_text(where, value)
        if secrets and not _ONLY_SECRET.fullmatch(value):
            desk.fail(where, "a variable is a secret as a whole, or holds none")
        elif secrets:
            env_secrets[variable] = secrets[0]
        else:
            env[variable] = text
    return Run(
        id=desk.id,
        host=desk.site.host.name,
        title=desk.title(f"run {quoted_script(script)}"),
        timeout=desk.timeout,
        become=desk.part.become,
        check=_question(desk),
        only_after=desk.after,
        at=desk.at,
        script=f"set -eu\n{script}" if script.endswith("\n") else f"set -eu\n{script}\n",
        env=env,
        env_secrets=env_secrets,
        detached=part.detached,
        ok_codes=part.ok_codes,
        expects=tuple(desk.text(f"run.expects[{i}]", text) for i, text in enumerate(part.expects)),
    )


def quoted_script(script: str) -> str:
    """A script by its first line that does something, as a title holds it."""
    lines = [" ".join(line.split()) for line in script.splitlines()]
    deeds = [line for line in lines if line and not line.startswith("#") and not _SETTING.fullmatch(line)]
    if not deeds:
        return "a script"
    first = deeds[0]
    if len(first) > _TITLE_WIDTH:
        return f"`{first[:_TITLE_WIDTH].rstrip()}...`"
    return f"`{first}`" + (" ..." if len(deeds) > 1 else "")


def _question(desk: Desk) -> Check | None:
    """What `unless` and `creates` ask; with both, either of them is enough."""
    unless = desk.text("unless", desk.part.unless) if desk.part.unless else ""
    creates = desk.place("creates", desk.part.creates) if desk.part.creates else ""
    if unless and creates:
        script = f"[ -e {shlex.quote(creates)} ] && exit 0\n{unless}"
        return Succeeds(script, desk.part.become)
    if unless:
        return Succeeds(unless, desk.part.become)
    return PathExists(creates) if creates else None


def _service(desk: Desk) -> Step | None:
    part = desk.part.service
    assert part is not None  # noqa: S101
    started = part.state == "started"
    enabled = part.enabled if part.enabled is not None else started
    watched = list(desk.placed)
    if part.restart_on is not None:
        watched = [desk.place(f"service.restart_on[{i}]", t) for i, t in enumerate(part.restart_on)]
        for i, path in enumerate(watched):
            # Where a destination has no value its own finding says so, and this would only follow from it.
            named = not any(problem.path.endswith(".dest") for problem in desk.site.problems)
            if path and named and path not in desk.site.files:
                desk.fail(f"service.restart_on[{i}]", "no earlier step puts a file there")
    known = {path: desk.site.files[path] for path in watched if path in desk.site.files}
    stamp = digest(known) if known and started else ""
    return Service(
        id=desk.id,
        host=desk.site.host.name,
        title=desk.title(f"{'start' if started else 'stop'} {part.name}"),
        timeout=desk.timeout,
        become=desk.part.become,
        check=ServiceIs(part.name, active=started, enabled=enabled, stamp=stamp),
        only_after=desk.after,
        at=desk.at,
        name=part.name,
        state=part.state,
        enabled=enabled,
        stamp=stamp,
    )


def _wait(desk: Desk) -> Step | None:
    part = desk.part.wait
    assert part is not None  # noqa: S101
    kinds = {"tcp": part.tcp, "http": part.http, "file": part.file, "run": part.run, "service": part.service}
    key, source = next((key, value) for key, value in kinds.items() if value is not None)
    target = desk.place("wait.file", source) if key == "file" else desk.text(f"wait.{key}", source)
    return WaitFor(
        id=desk.id,
        host=desk.site.host.name,
        title=desk.title(
            f"wait until {quoted_script(target)} succeeds" if key == "run" else f"wait for {target}"
        ),
        timeout=desk.timeout,
        become=desk.part.become,
        only_after=desk.after,
        at=desk.at,
        kind="script" if key == "run" else key,  # type: ignore[arg-type]
        target=target,
        interval=part.interval,
        status=part.status,
    )


def _capture(desk: Desk) -> Step | None:
    part = desk.part.capture
    assert part is not None  # noqa: S101
    return ReadSecret(
        id=desk.id,
        host=desk.site.host.name,
        title=desk.title(f"read the secret {part.into}"),
        timeout=desk.timeout,
        become=desk.part.become,
        only_after=desk.after,
        at=desk.at,
        script=desk.text("capture.run", part.run),
        into=part.into,
        pattern=part.pattern,
    )


def _remove(desk: Desk) -> Step | None:
    part = desk.part.remove
    assert part is not None  # noqa: S101
    path = desk.place("remove.path", part.path)
    if path in SYSTEM_DIRECTORIES:
        desk.fail("remove.path", "that directory belongs to the system")
    if not path:
        return None
    desk.site.files.pop(path, None)
    return Remove(
        id=desk.id,
        host=desk.site.host.name,
        title=desk.title(f"remove {path}"),
        timeout=desk.timeout,
        become=desk.part.become,
        check=PathExists(path, present=False),
        only_after=desk.after,
        at=desk.at,
        path=path,
        recursive=part.recursive,
    )


_MAKERS: Mapping[str, _Maker] = {
    "upload": _upload,
    "write": _write,
    "directory": _directory,
    "run": _run,
    "service": _service,
    "wait": _wait,
    "capture": _capture,
    "remove": _remove,
}
