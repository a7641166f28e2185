"""The place where one step of a phase is compiled: its host, its scope, and what goes wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sealboot.drivers.base import Context
from sealboot.drivers.options import origin_of
from sealboot.drivers.phases_schema import PhasePart, StepPart, slug
from sealboot.drivers.template import Scope, TemplateError, render
from sealboot.model.diagnostic import Location
from sealboot.model.host import Host

#: Seconds that a step may take when the operator does not say: an upload is bounded by its stall time.
TIMEOUTS: Final[Mapping[str, float]] = {
    "upload": 3600.0,
    "run": 600.0,
    "service": 300.0,
    "wait": 300.0,
    "capture": 60.0,
}
_DEFAULT_TIMEOUT: Final = 60.0


@dataclass(frozen=True, slots=True)
class Problem:
    """What cannot be compiled: the path of the option (from `phases`), and why."""

    path: str
    text: str


@dataclass(slots=True)
class Site:
    """One host while its phases are compiled in order.

    `files` maps each destination that earlier steps fill to a digest of what
    they put there: what a service's stamp is made of.
    """

    ctx: Context
    host: Host
    files: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


@dataclass(slots=True)
class Desk:
    """One step at work: where it stands, and what may be said in it.

    `ids` maps the names (as slugs) of this phase's earlier steps to their ids;
    `placed` are the destinations that they filled.
    """

    site: Site
    phase: PhasePart
    scope: Scope
    path: str
    index: int
    part: StepPart
    ids: dict[str, str]
    placed: list[str]

    @property
    def id(self) -> str:
        """The step's id: stable while the phase and the step keep their names."""
        label = slug(self.part.name) if self.part.name else f"{self.index + 1}-{self.part.action}"
        return f"{self.phase.slug}/{self.site.host.name}/{label}"

    @property
    def timeout(self) -> float:
        """Seconds: the operator's, or what the kind of step has by default."""
        waiting = self.part.wait.timeout if self.part.wait else None
        return self.part.timeout or waiting or TIMEOUTS.get(self.part.action, _DEFAULT_TIMEOUT)

    @property
    def after(self) -> tuple[str, ...]:
        """The ids of the steps that this one comes after."""
        return tuple(self.ids[slug(name)] for name in self.part.after if slug(name) in self.ids)

    def title(self, deed: str) -> str:
        """What the step does, led by the operator's name for it where it has one."""
        return f"{self.part.name}: {deed}" if self.part.name else deed

    @property
    def at(self) -> Location | None:
        """Where the operator wrote the step."""
        return origin_of(self.site.ctx.inventory, f"options.{self.path}.{self.part.action}")

    def fail(self, where: str, text: str) -> str:
        """Note a problem of the setting `where`; returns the empty text to go on with."""
        self.site.problems.append(Problem(f"{self.path}.{where}", text))
        return ""

    def text(self, where: str, source: str) -> str:
        """A template in which no secret may stand."""
        text, secrets = self.secret_text(where, source)
        if secrets:
            return self.fail(where, "a secret may stand in `write.content` and in `run.env` only")
        return text

    def secret_text(self, where: str, source: str) -> tuple[str, tuple[str, ...]]:
        """A template in which secrets may stand, and the names of those that do."""
        try:
            rendered = render(source, self.scope)
        except TemplateError as error:
            return self.fail(where, str(error)), ()
        if "\0" in rendered.text:
            return self.fail(where, "a text holds no NUL"), ()
        return rendered.text, rendered.secrets

    def place(self, where: str, source: str) -> str:
        """An absolute, normal path."""
        path = self.text(where, source)
        if not path:
            return path
        parts = path.split("/")
        if not path.startswith("/") or ".." in parts or "." in parts or "\n" in path:
            return self.fail(where, "expected an absolute path without `.` and `..`")
        return path.rstrip("/") or "/"
