"""Ship one file and prove it before it goes live (promises P2 and P3)."""

from __future__ import annotations

from sealboot.engine.context import StepEnd, Work
from sealboot.engine.failures import quotes, status_words
from sealboot.engine.golive import discard, go_live, prepare, transfer_failed
from sealboot.engine.shell import nonce, staged_name
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.feed import Feed
from sealboot.model.steps import Upload, WriteDisk
from sealboot.plan.diagnose import diagnose
from sealboot.transport.base import PutResult, Result

#: Seconds that a program gets to answer its smoke test.
SMOKE_TIMEOUT = 60.0
#: How often a file is sent when what arrives is not what was sent.
ATTEMPTS = 2


async def upload(work: Work, step: Upload) -> StepEnd:
    """Send the file to a temporary name beside its target, prove it there, and rename it.

    The temporary file belongs to the user that runs it later (root), from its
    first byte: nobody else can swap it between the hash and the rename.
    Failures: SB504 (the file here changed since the plan), SB301, SB302,
    SB502 (damaged on the way, twice), SB503 (the smoke test), SB501.
    """
    moved = await source_moved(work, step)
    if moved is not None:
        return StepEnd("failed", moved)
    staged = staged_name(step.dest, nonce())
    async with work.uploads:
        refused = await prepare(work, step, staged, step.size)
        if refused is not None:
            return refused
        problem = await _send(work, step, staged)
    problem = problem or await _smoke(work, step, staged)
    problem = problem or await go_live(work, step, staged, step.sha256, step.mode, keep=step.keep_previous)
    return problem or StepEnd("changed")


async def source_moved(work: Work, step: Upload | WriteDisk | Feed) -> Diagnostic | None:
    """SB504 when the file on the controller is no longer the one that was planned."""
    now = await work.sources.digest(step.source)
    if now == step.sha256:
        return None
    seen = f"cannot be read: {now.strerror}" if isinstance(now, OSError) else f"sha256 {now}"
    return Diagnostic(
        "SB504",
        f"{step.source} changed since the plan was made",
        host=work.host,
        artifact=step.source,
        evidence=(("planned", f"sha256 {step.sha256}"), ("now", seen)),
        hints=("plan again",),
    )


async def _send(work: Work, step: Upload, staged: str) -> StepEnd | None:
    """Transfer and compare hashes; a damaged copy is sent once more. Returns a problem."""
    seen = ""
    for _ in range(ATTEMPTS):
        put = await work.session.put(
            work.sources.path(step.source),
            staged,
            mode=0o700,
            become=step.become,
            progress=work.counted(step, step.size),
        )
        if not put.result.ok:
            return await _broken(work, step, staged, put)
        if put.sha256 == step.sha256:
            return None
        seen = put.sha256
        await discard(work, step, staged)
        moved = await source_moved(work, step)
        if moved is not None:
            return StepEnd("failed", moved)
    return StepEnd("failed", _damaged(work.host, step, seen))


async def _broken(work: Work, step: Upload, staged: str, put: PutResult) -> StepEnd:
    if put.result.ending == "lost":
        return work.ended(step, put.result)
    told = await discard(work, step, staged)
    return transfer_failed(work, step, put.result, told, step.size)


def _damaged(host: str, step: Upload, seen: str) -> Diagnostic:
    return Diagnostic(
        "SB502",
        f"{step.title}: what arrived is not what was sent, {ATTEMPTS} times",
        host=host,
        artifact=step.source,
        evidence=(("sent", f"sha256 {step.sha256}"), ("on the host", f"sha256 {seen or 'unknown'}")),
        notes=("nothing was made live and the copy was removed",),
        hints=("look for failing memory or storage on the host",),
    )


async def _smoke(work: Work, step: Upload, staged: str) -> StepEnd | None:
    """Run the smoke test on the staged file; SB503 with the reason in words when it does not answer."""
    if not step.smoke:
        return None
    limit = min(SMOKE_TIMEOUT, step.timeout)
    result = await work.session.run(step.smoke, args=(staged,), become=step.become, timeout=limit)
    why = smoke_problem(result, step.smoke_expects)
    if why is None:
        return None
    if result.ending == "lost":
        return work.ended(step, result)
    told = await discard(work, step, staged)
    if "noexec" in told.get("options", "").split(","):
        why = f"{told.get('mount', 'its file system')} is mounted noexec, so nothing there may be executed"
    known = _known_cause(work, step, result)
    failed = Diagnostic(
        "SB503",
        f"{step.title}: the file did not pass its smoke test: {why}",
        host=work.host,
        artifact=step.source,
        evidence=(("test", step.smoke), *quotes(result)),
        notes=(
            *((f"{known.code}: {known.summary}",) if known else ()),
            "it was not made live; what was there before still is",
        ),
        hints=known.hints if known else (),
    )
    return StepEnd("failed", failed)


def _known_cause(work: Work, step: Upload, result: Result) -> Diagnostic | None:
    """What an exit status means on this host, told apart by facts: shells word it in many ways."""
    if result.ending != "exited" or result.exit_status is None:
        return None
    return diagnose(
        result.exit_status,
        result.text,
        result.error_text,
        work.facts,
        answer_expected=bool(step.smoke_expects),
    )


def smoke_problem(result: Result, expects: tuple[str, ...]) -> str | None:
    """Why a smoke test does not count as passed; `None` when it does."""
    if result.ending == "timeout":
        return f"no answer within {result.seconds:.0f} s"
    if result.ending != "exited":
        return result.ending
    if result.exit_status != 0:
        return status_words(result.exit_status, result.error_text)
    said = result.text + result.error_text
    missing = [text for text in expects if text not in said]
    if missing and not said.strip():
        return "it ended well but said nothing"
    if missing:
        return "its answer lacks " + ", ".join(repr(text) for text in missing)
    return None
