"""Scripts: a kernel starts one whose interpreter is there; only some places for a program take one."""

from __future__ import annotations

from sealboot.fit.case import Reason, describe_host, describe_kind
from sealboot.model.artifact import Artifact, Kind, Other
from sealboot.model.diagnostic import Severity
from sealboot.model.facts import INTERPRETERS, Facts

_PLACE = "this place wants a program; ship scripts with a `write` or `run` step"


def script_starts(artifact: Artifact, facts: Facts) -> bool:
    """Whether the interpreter that a script names is known to be on the host.

    Linux `fs/binfmt_script.c`: the first line names a file, which is executed
    in the script's place. What was not looked for counts as absent.
    """
    return artifact.kind is Kind.SCRIPT and _interpreter(artifact) in facts.interpreters


def no_place(artifact: Artifact, facts: Facts) -> Reason:
    """SB112 for a script, whether or not it would start."""
    hints: tuple[str, ...] = (_PLACE,)
    if _interpreter(artifact).endswith("\r"):
        hints = (
            "its lines end as Windows writes them: no kernel finds such an interpreter; `dos2unix`",
            _PLACE,
        )
    return Reason(
        "SB112",
        f"{artifact.path} is not a program",
        describe_kind(artifact),
        f"{describe_host(facts)}, {_found(artifact, facts)}",
        hints,
    )


def not_startable(artifact: Artifact, facts: Facts) -> Reason | None:
    """SB112 for a script in a place that takes scripts, unless its interpreter is on the host.

    A warning where nobody looked for that interpreter: its smoke test will tell.
    """
    if script_starts(artifact, facts):
        return None
    interpreter = _interpreter(artifact)
    looked = bool(facts.interpreters) and interpreter in INTERPRETERS
    if not interpreter or interpreter.endswith("\r") or looked:
        lacks = f"needs {interpreter.rstrip()}" if interpreter else "names no interpreter"
        refused = no_place(artifact, facts)
        install = f"install {interpreter} on the host, or name another interpreter in the script"
        hints = refused.hints[:1] if interpreter.endswith("\r") else (install,) if interpreter else ()
        return Reason("SB112", f"{artifact.path} {lacks} and cannot start", refused.file, refused.host, hints)
    return Reason(
        "SB112",
        f"{artifact.path} starts only where {interpreter} is",
        describe_kind(artifact),
        f"{describe_host(facts)}, not asked for it",
        severity=Severity.WARNING,
    )


def _interpreter(artifact: Artifact) -> str:
    first = artifact.layers[0] if artifact.layers else None
    return first.facts.get("interpreter", "") if isinstance(first, Other) else ""


def _found(artifact: Artifact, facts: Facts) -> str:
    if script_starts(artifact, facts):
        return f"has {_interpreter(artifact)}"
    return "the interpreter was not found" if facts.interpreters else "no interpreter known"
