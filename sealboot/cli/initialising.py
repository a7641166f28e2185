"""What `sealboot init` does: ask where a person is there, refuse what would not be read again, write."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import typer

from sealboot.cli import runtime
from sealboot.cli.exits import Exit
from sealboot.cli.options import Output
from sealboot.drivers.base import Driver
from sealboot.drivers.registry import driver_names, load_driver
from sealboot.inventory.hygiene import UnsafeError
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.names import closest
from sealboot.render.text import safe
from sealboot.workflow import schema as schemas
from sealboot.workflow.newfile import NewFile
from sealboot.workflow.schemafile import refusal, write_schema
from sealboot.workflow.starting import Said, fault, machines, written

#: Where nobody says and nobody can be asked.
DEFAULT_DRIVER = "sealos"
SCHEMA_NAME = "inventory.schema.json"
_OPTIONS = {"name": "--cluster-name", "release": "--release", "user": "--user", "key": "--key"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the inventory goes (`-`: standard output), and whether the schema goes beside it."""

    output: Path
    schema: bool


def completed(name: str | None, said: Said, *, ask: bool) -> tuple[Driver, Said]:
    """The driver and all that is said, by the command line or by whoever sits at the terminal.

    A wrong word on the command line is a wrong command line; a wrong answer is asked for again.
    """
    ask = ask and sys.stdin.isatty() and sys.stderr.isatty()
    for what, option in _OPTIONS.items():
        value = getattr(said, what)
        why = fault(what, value) if value is not None else ""
        if why:
            raise typer.BadParameter(f"it {why}", param_hint=option)
    if name is None and ask:
        name = _answer(f"Driver ({', '.join(driver_names())})", DEFAULT_DRIVER, _no_driver)
    driver = _driver(name or DEFAULT_DRIVER)
    if ask and not said.hosts:
        said = _asked(driver, said)
    return driver, said


def _asked(driver: Driver, said: Said) -> Said:
    def no_hosts(answer: str) -> str:
        return _fault_of(replace(said, hosts=tuple(answer.split()), servers=None), driver)

    typed = _answer("Hosts, [user@]address[:port], ranges as pi[01-04]", "two examples", no_hosts, empty=True)
    said = replace(said, hosts=tuple(typed.split()))
    several = len(machines(replace(said, servers=None), driver)) > 1
    if driver.roles and said.hosts and several and said.servers is None:
        count = _answer(f"How many of them are {driver.roles[0]}s", "1", lambda n: _no_count(said, driver, n))
        said = replace(said, servers=int(count))
    if said.user is None:
        said = replace(said, user=_answer("Login user", "root", lambda text: fault("user", text)))
    if said.release is None and driver.name != "phases":
        release = _answer("Release, such as v1.36.3", "none", lambda text: fault("release", text), empty=True)
        said = replace(said, release=release or None)
    return said


def _answer(question: str, default: str, wrong: Callable[[str], str], *, empty: bool = False) -> str:
    """An answer that is not wrong; Enter means the default, or nothing where that may be."""
    while True:
        typed = runtime.typed(f"{question} [{default}]:") or ("" if empty else default)
        why = wrong(typed) if typed else ""
        if not why:
            return typed
        sys.stderr.write(f"  that {safe(why)}\n")


def _no_count(said: Said, driver: Driver, answer: str) -> str:
    if not answer.isascii() or not answer.isdigit() or not 0 < int(answer[:6]) < 100_000:
        return "is no number of hosts"
    return _fault_of(replace(said, servers=int(answer)), driver)


def _fault_of(said: Said, driver: Driver) -> str:
    try:
        machines(said, driver)
    except ValueError as error:
        return f"will not do: {error}"
    return ""


def _no_driver(name: str) -> str:
    if name not in driver_names():
        close = closest(name, driver_names())
        return "is no driver" + (f"; did you mean {close}?" if close else "")
    loaded = load_driver(name)
    return f"will not do: {loaded.summary}" if isinstance(loaded, Diagnostic) else ""


def _driver(name: str) -> Driver:
    if name not in driver_names():
        near = closest(name, driver_names())
        more = f"did you mean {near}?" if near else f"there are {', '.join(driver_names())}"
        raise typer.BadParameter(f"there is no driver {name!r}; {more}", param_hint="--driver")
    loaded = load_driver(name)
    if isinstance(loaded, Diagnostic):
        raise typer.BadParameter(loaded.summary, param_hint="--driver")
    return loaded


def begin(options: Output, driver: Driver, said: Said, place: Place) -> None:
    """Write the inventory and the schema, and say what comes next; ends the command where that cannot be."""
    view = runtime.view_of(options)
    to_stdout = str(place.output) == "-"
    beside = place.output.parent / SCHEMA_NAME
    kept = refusal(beside) if place.schema and not to_stdout else ""
    with_schema = place.schema and not to_stdout and not kept
    try:
        text = written(said, driver, schema=f"./{SCHEMA_NAME}" if with_schema else _schema_url())
    except UnsafeError as error:
        raise typer.BadParameter(str(error), param_hint="HOST") from None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--servers") from None
    if isinstance(text, tuple):
        # The places are those of a file that is not written: what is wrong stands in the command line.
        runtime.refuse(view, "init", [replace(d, at=None) for d in text], Exit.USAGE)
    if to_stdout:
        sys.stdout.write(text)
        return
    try:
        _new_file(place.output, text)
    except OSError as error:
        view.message(
            f"error: {place.output} cannot be written: {_why(error)}\n"
            "  note: nothing was written; what is there is never replaced\n"
            "  hint: choose another place with -o FILE",
            always=True,
        )
        runtime.leave(Exit.USAGE)
    view.message(f"Wrote {place.output}: driver {driver.name}, {_count(said, driver)}.")
    if with_schema:
        try:
            write_schema(beside, schemas.text())
            kept = f"Wrote {beside}, with which editors complete and check it."
        except OSError as error:
            kept = f"{beside} cannot be written: {_why(error)}. `sealboot inventory schema` prints it."
    if kept:
        view.message(kept)
    view.message(
        "Next: edit it (it says where the files are to be had), then\n  sealboot trust\n  sealboot check"
    )


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _count(said: Said, driver: Driver) -> str:
    number = len(machines(said, driver))
    word = "example host" if not said.hosts else "host"
    return f"{number} {word}{'' if number == 1 else 's'}"


def _new_file(path: Path, text: str) -> None:
    """Write a file that was not there, whole or not at all. Raises `OSError`."""
    with NewFile(path) as new:
        new.write(iter([text.encode()]))
        new.settle(0o644)
        new.publish(force=False)


def _schema_url() -> str:
    """Where the schema is published, if this distribution says so in its metadata (`Project-URL: Schema, ...`)."""
    try:
        urls = metadata("sealboot").get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    named = dict(url.split(", ", 1) for url in urls if ", " in url)
    return str(named.get("Schema", ""))
