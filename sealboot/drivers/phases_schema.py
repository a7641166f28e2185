"""What an operator may write under `phases:`; docs/phases.md is the guide to it.

The tree that arrives is text all the way down (YAML's own ideas of numbers
and booleans are switched off), so every type here is read from text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|)")
_UNITS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_NAME = r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
_DAY = 86400.0

#: The keys of a step of which exactly one must be given: what the step does.
ACTIONS = ("upload", "write", "directory", "run", "service", "wait", "capture", "remove")


def _seconds(value: object) -> object:
    """`90`, `90s`, `1.5m`, `2h`, `500ms` as seconds."""
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if match is None:
        raise ValueError("expected a duration such as `90s`, `5m` or `2h`")
    seconds = float(match[1]) * _UNITS[match[2]]
    if not 0 < seconds <= _DAY:
        raise ValueError("expected a duration above 0 and up to 24h")
    return seconds


def _mode(value: object) -> object:
    """`0644`, `644` or `0o644` as permission bits."""
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"(?:0o)?[0-7]{3,4}", value):
        raise ValueError("expected an octal mode such as `0644`")
    bits = int(value.removeprefix("0o"), 8)
    if bits & 0o7000:
        raise ValueError("set-user-id, set-group-id and sticky bits are not set through a mode")
    return bits


def _several(value: object) -> object:
    """One text where a list of texts is expected."""
    return (value,) if isinstance(value, str) else value


Seconds: TypeAlias = Annotated[
    float,
    BeforeValidator(_seconds),
    WithJsonSchema({"type": ["string", "number"], "pattern": rf"^\s*{_DURATION.pattern}\s*$"}),
]
Mode: TypeAlias = Annotated[
    int,
    BeforeValidator(_mode),
    WithJsonSchema({"type": ["string", "integer"], "pattern": "^(0o)?[0-7]{3,4}$"}),
]
Texts: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_several)]
Text: TypeAlias = Annotated[str, Field(min_length=1)]


class Part(BaseModel):
    """The settings that every part of the schema shares."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)


class UploadPart(Part):
    """Ship the file that fits the host from the slot `artifact` to `dest`."""

    artifact: Text
    dest: Text
    mode: Mode = 0o755
    executable: bool = True  # false: data, which is not matched against the host's processor
    smoke: str = ""  # a POSIX script; `$1` is the staged file, before it goes live
    expects: Texts = ()  # texts that the smoke test's output must contain
    keep_previous: bool = True

    @model_validator(mode="after")
    def _smoked(self) -> UploadPart:
        if self.executable and not self.smoke:
            raise ValueError(
                "a program needs `smoke`, a script that tries it before it goes live, such as '\"$1\" --version'"
                " (or `executable: false`, if it is data)"
            )
        if self.expects and not self.smoke:
            raise ValueError("`expects` looks at the output of `smoke`, which is missing")
        return self


class WritePart(Part):
    """Write a small file."""

    dest: Text
    content: str
    mode: Mode | None = None  # 0644, or 0600 when the content has a secret


class DirectoryPart(Part):
    """Make a directory, with its parents."""

    path: Text
    mode: Mode = 0o755
    owner: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_.-]*(:[a-z_][a-z0-9_.-]*)?$")] = "root"


class RunPart(Part):
    """Run a POSIX shell script (with `set -eu`)."""

    script: Text
    env: Mapping[Annotated[str, Field(pattern=_VARIABLE)], str] = Field(default_factory=dict)
    detached: bool = False
    ok_codes: tuple[Annotated[int, Field(ge=0, le=255)], ...] = (0,)
    expects: Texts = ()


class ServicePart(Part):
    """Bring a service into a state, and restart it when what it was started from changed."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9:_.@-]*$")]
    state: Literal["started", "stopped"] = "started"
    enabled: bool | None = None  # as the state, when not given
    restart_on: Texts | None = None  # dests; not given: every file that the phase put there before


class WaitPart(Part):
    """Wait until something answers on the host: exactly one of the five."""

    tcp: Annotated[str, Field(pattern=r"^.+:.+$")] | None = None
    http: Annotated[str, Field(pattern=r"^(https?://|\{\{)")] | None = None
    file: Text | None = None
    run: Text | None = None
    service: Text | None = None
    status: Annotated[int, Field(ge=100, le=599)] | None = None
    interval: Seconds = 1.0
    timeout: Seconds | None = None  # the same as the step's own

    @model_validator(mode="after")
    def _one(self) -> WaitPart:
        given = [k for k in ("tcp", "http", "file", "run", "service") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError("wait for exactly one of `tcp`, `http`, `file`, `run` and `service`")
        if self.status is not None and self.http is None:
            raise ValueError("`status` belongs to `http`")
        return self


class CapturePart(Part):
    """Keep a script's trimmed output as a secret for later phases, in memory only."""

    run: Text
    into: Annotated[str, Field(pattern=_VARIABLE)]
    pattern: str = ""

    @model_validator(mode="after")
    def _compiles(self) -> CapturePart:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"`pattern` is no regular expression: {error.msg}") from None
        return self


class RemovePart(Part):
    """Remove a file, or a whole directory."""

    path: Text
    recursive: bool = False


def _short(key: str, part: type[Part]) -> BeforeValidator:
    """A bare text stands for the part with only `key`: `run: echo` is `run: {script: echo}`."""

    def expand(value: Any) -> Any:
        return {key: value} if isinstance(value, str) else value

    return BeforeValidator(expand, json_schema_input_type=Text | part | None)


class StepPart(Part):
    """One step: exactly one action, and what is true for all of them."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": [action]} for action in ACTIONS]})

    name: Annotated[str, Field(pattern=_NAME)] | None = None
    upload: UploadPart | None = None
    write: WritePart | None = None
    directory: Annotated[DirectoryPart | None, _short("path", DirectoryPart)] = None
    run: Annotated[RunPart | None, _short("script", RunPart)] = None
    service: Annotated[ServicePart | None, _short("name", ServicePart)] = None
    wait: WaitPart | None = None
    capture: CapturePart | None = None
    remove: Annotated[RemovePart | None, _short("path", RemovePart)] = None
    unless: Text | None = None  # a read-only script: when it exits 0 there is nothing to do
    creates: Text | None = None  # a path: when it exists there is nothing to do
    after: Texts = ()  # names of earlier steps of the phase: run again when one of them acts
    timeout: Seconds | None = None
    become: bool = True

    @property
    def action(self) -> str:
        """Which of `ACTIONS` it is."""
        return next(key for key in ACTIONS if getattr(self, key) is not None)

    @model_validator(mode="after")
    def _one(self) -> StepPart:
        given = [key for key in ACTIONS if getattr(self, key) is not None]
        if len(given) != 1:
            listed = ", ".join(f"`{key}`" for key in ACTIONS)
            raise ValueError(f"a step does exactly one of {listed}; this one has {len(given)}")
        if self.wait is not None and self.wait.timeout is not None and self.timeout is not None:
            raise ValueError("give `timeout` once: in the step or in its `wait`")
        if self.run is None and (self.unless or self.creates):
            raise ValueError("`unless` and `creates` belong to `run`; other steps know themselves")
        return self


class PhasePart(Part):
    """Steps for some hosts; the next phase begins when all of them are through."""

    name: Annotated[str, Field(pattern=_NAME)]
    title: str = ""
    roles: Texts = ()
    hosts: Texts = ()  # shell patterns on names; `!pattern` takes away
    once: bool = False  # only on the first host that matches
    serial: bool = False  # one host after the other
    parallel: Annotated[int, Field(ge=1)] | None = None  # at most so many hosts at once
    steps: Annotated[tuple[StepPart, ...], Field(min_length=1, max_length=500)]

    @property
    def slug(self) -> str:
        """The name as part of a step's id."""
        return slug(self.name)

    @model_validator(mode="after")
    def _consistent(self) -> PhasePart:
        if self.serial and self.parallel is not None:
            raise ValueError("`serial` is `parallel: 1`; give one of them")
        names = [slug(step.name) for step in self.steps if step.name]
        if len(set(names)) != len(names):
            raise ValueError("two steps of the phase have the same name")
        seen: set[str] = set()
        for step in self.steps:
            for earlier in step.after:
                if slug(earlier) not in seen:
                    raise ValueError(f"`after` names {earlier!r}, which is no earlier step of the phase")
            seen |= {slug(step.name)} if step.name else set()
        return self


class PhasesOptions(Part):
    """The options of the `phases` driver."""

    phases: Annotated[tuple[PhasePart, ...], Field(min_length=1, max_length=200)]

    @model_validator(mode="after")
    def _unique(self) -> PhasesOptions:
        slugs = [phase.slug for phase in self.phases]
        for phase in self.phases:
            if slugs.count(phase.slug) > 1:
                raise ValueError(f"two phases are called {phase.name!r}")
        return self


def slug(name: str) -> str:
    """A name in lower case, with every run of other characters turned into one dash."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "x"
