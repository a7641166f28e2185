"""What commands share while they run: the view, the secrets, the connections, signals, and the way out."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import signal
import sys
import termios
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from sealboot.cli.asking import interruptible
from sealboot.cli.caching import results
from sealboot.cli.exits import Exit
from sealboot.cli.ignoring import accepted, unknown_codes
from sealboot.cli.options import Common, Reading, Remote
from sealboot.cli.prompting import questions
from sealboot.cli.showing import leave as leave  # noqa: PLC0414 (commands find all of it here)
from sealboot.cli.showing import refuse as refuse  # noqa: PLC0414
from sealboot.cli.showing import view_of as view_of  # noqa: PLC0414
from sealboot.engine.context import SecretStore
from sealboot.inventory.secrets import SecretResolver, unavailable
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.events import Event, RunFinished, RunStarted
from sealboot.model.secret import Redactor, Secret, SecretRef
from sealboot.render.masked import MaskedView
from sealboot.render.view import View
from sealboot.transport.base import Connector
from sealboot.workflow.planning import in_place
from sealboot.workflow.preflight import Candidates, Preflight, candidates, preflight
from sealboot.workflow.prepare import Prepared, prepare
from sealboot.workflow.survey import Survey, survey

if TYPE_CHECKING:
    from sealboot.transport.connect import SshConnector

T = TypeVar("T")

#: Seconds in which an interrupted command ends in any case (promise P7 says 5).
INTERRUPT_LIMIT = 4.5


def prepared_or_leave(options: Common, view: View, command: str) -> Prepared:
    """The validated cluster; an invalid inventory is shown whole and ends the command with 2."""
    stdin = sys.stdin.buffer.read() if "-" in options.sources else None
    made = prepare(options.sources, stdin=stdin, limit=options.limit)
    if not isinstance(made, Prepared):
        refuse(view, command, made, Exit.USAGE)
    return made


def accepted_codes(given: Sequence[str] | None) -> tuple[str, ...]:
    """The codes of `--ignore`; one that there is not, or that is never ignored, ends the command with 2."""
    wrong = unknown_codes(given or ())
    if wrong:
        raise typer.BadParameter(wrong, param_hint="--ignore")
    return tuple(given or ())


class Secrets:
    """Resolves references for the transport, teaches every value to the redactor, asks a person once."""

    def __init__(
        self, base: Path, redactor: Redactor, *, may_ask: bool, asked: Mapping[SecretRef, str] | None = None
    ) -> None:
        self._resolver = SecretResolver(prompt=self._ask if may_ask else None, base=base)
        self._redactor = redactor
        self._asked = asked or {}

    def _ask(self, label: str) -> str:
        question = self._asked.get(SecretRef("prompt", label), label)
        with interruptible():
            return getpass.getpass(f"{question}: ", stream=sys.stderr)

    def __call__(self, ref: SecretRef) -> Secret:
        """The secret; raises `LookupError` that says why it cannot be had."""
        secret = self._resolver(ref)
        self._redactor.learn(secret)
        return secret

    def ask_all(self) -> None:
        """Ask for everything that is to be typed, before anything is drawn on the screen."""
        for ref in self._asked:
            with contextlib.suppress(LookupError):  # said again, with the host, when it is needed
                self(ref)

    def all_of(self, refs: Mapping[str, SecretRef]) -> dict[str, Secret] | tuple[Diagnostic, ...]:
        """The secrets by name; or SB012 for every one that cannot be had."""
        found: dict[str, Secret] = {}
        missing: list[Diagnostic] = []
        for name, ref in refs.items():
            try:
                found[name] = self(ref)
            except LookupError as error:
                missing.append(unavailable(ref, error))
        return tuple(missing) or found


@dataclass(slots=True)
class Looked:
    """What one look at the cluster gave: all that `check`, `plan` and `apply` start from."""

    prepared: Prepared
    survey: Survey
    preflight: Preflight
    connector: Connector
    redactor: Redactor
    secrets: Secrets
    started: float
    sink: Callable[[Event], None]

    @property
    def seconds(self) -> float:
        """Since the command began."""
        return time.monotonic() - self.started

    def store(self) -> SecretStore | tuple[Diagnostic, ...]:
        """The operator's secrets that steps use, taught to the redactor; SB012 for those that cannot be had."""
        known = self.secrets.all_of(self.prepared.secrets)
        return known if isinstance(known, tuple) else SecretStore(self.redactor, known)

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The findings that stop a plan."""
        return tuple(d for d in self.preflight.report.diagnostics if d.severity is Severity.ERROR)


def make_connector(
    options: Remote,
    prepared: Prepared,
    secrets: Secrets,
    view: View,
    *,
    started: float,
    accept_new: bool = False,
) -> SshConnector:
    """The connector for the hosts of this inventory; asyncssh is imported here and not before."""
    from sealboot.transport.libraries import from_cache

    with from_cache():
        from sealboot.transport.connect import SshConnector

    return SshConnector(
        {host.name: host for host in prepared.inventory.hosts},
        known_hosts=Path(options.known_hosts),
        secrets=secrets,
        accept_new=accept_new,
        sink=view.event,
        clock=lambda: time.monotonic() - started,
        jobs=options.jobs,
        base=Path(prepared.inventory.base),
    )


@contextlib.asynccontextmanager
async def connected(
    options: Remote, prepared: Prepared, view: View, *, accept_new: bool = False
) -> AsyncIterator[tuple[SshConnector, Secrets, Redactor]]:
    """A connector for the time of a block; whatever is to be typed is asked for first."""
    redactor = view.redactor if isinstance(view, MaskedView) else Redactor()
    asked = questions(prepared)
    secrets = Secrets(Path(prepared.inventory.base), redactor, may_ask=may_ask(options), asked=asked)
    secrets.ask_all()
    connector = make_connector(
        options, prepared, secrets, view, started=time.monotonic(), accept_new=accept_new
    )
    try:
        yield connector, secrets, redactor
    finally:
        await connector.close()


def _candidates(prepared: Prepared, *, no_cache: bool) -> Candidates:
    with results(no_cache=no_cache) as cache:
        return candidates(prepared, cache)


@contextlib.asynccontextmanager
async def look(
    options: Reading,
    prepared: Prepared,
    view: View,
    *,
    command: str,
    matrix: bool = False,
    accept_new: bool = False,
    ignore: Sequence[str] = (),
) -> AsyncIterator[Looked]:
    """Reach, probe and match everything; connections stay open until the block ends.

    Findings of the codes in `ignore` are notes.
    """
    started = time.monotonic()

    def sink(event: Event) -> None:
        # Every part of a run counts from its own beginning; the operator sees one clock.
        view.event(replace(event, at=time.monotonic() - started))

    begun = RunStarted(
        at=0.0,
        command=command,
        cluster=prepared.inventory.name,
        hosts=tuple(h.name for h in prepared.selected),
    )
    async with connected(options, prepared, view, accept_new=accept_new) as (connector, secrets, redactor):
        view.event(begun)  # only now is anything drawn: whatever was to be typed has been
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(asyncio.to_thread(_candidates, prepared, no_cache=options.no_cache))
            looking = group.create_task(
                survey(prepared, connector, jobs=options.jobs, timeout=options.timeout, sink=sink)
            )
        seen = looking.result()
        seen = replace(seen, diagnostics=(*seen.diagnostics, *connector.findings))
        files = reading.result()
        found = preflight(prepared, seen, files, matrix=matrix, command=command)
        present = await in_place(prepared, seen, found)
        if present:
            found = preflight(prepared, seen, files, matrix=matrix, command=command, present=present)
        found = accepted(found, ignore)
        found = replace(found, report=replace(found.report, seconds=time.monotonic() - started))
        yield Looked(prepared, seen, found, connector, redactor, secrets, started, sink)


def finish(view: View, looked: Looked, code: Exit) -> Exit:
    """Tell the sink that the run is over; the code is passed through."""
    view.event(RunFinished(at=looked.seconds, exit_code=int(code)))
    return code


def may_ask(options: Common) -> bool:
    """Whether a person is there to answer."""
    return not options.no_input and sys.stdin.isatty() and sys.stderr.isatty() and "-" not in options.sources


def confirm(question: str) -> bool:
    """Ask on the terminal; anything but y or yes is no."""
    return typed(f"{question} [y/N]").lower() in {"y", "yes"}


def typed(question: str) -> str:
    """Ask on the terminal for a line; what was typed before the question is no answer."""
    termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
    with interruptible():  # before the question is seen: who answers it with Ctrl-C at once is heard
        sys.stderr.write(f"{question} ")
        sys.stderr.flush()
        return sys.stdin.readline().strip()


def run_async(
    main: Coroutine[Any, Any, T], view: View, *, interrupted: str = "Interrupted. Nothing was changed."
) -> T:
    """Run to the end; SIGINT and SIGTERM cancel what is under way, say `interrupted`, leave with 130 or 143."""
    caught: list[signal.Signals] = []
    timers: list[threading.Timer] = []

    async def guarded() -> T:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_quiet)
        task = asyncio.ensure_future(main)

        def stop(number: signal.Signals) -> None:
            caught.append(number)
            if len(caught) == 1:
                code = Exit.SIGTERM if number is signal.SIGTERM else Exit.SIGINT
                timers.append(last_resort(code, INTERRUPT_LIMIT))
            task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop, number)
        return await task

    try:
        return asyncio.run(guarded())
    except (asyncio.CancelledError, KeyboardInterrupt, SystemExit) as error:
        view.close()
        view.message(interrupted)
        ended = signal.SIGTERM in caught or isinstance(error, SystemExit)
        leave(Exit.SIGTERM if ended else Exit.SIGINT)
    finally:
        view.close()
        for timer in timers:
            timer.cancel()


def last_resort(code: Exit, seconds: float) -> threading.Timer:
    """Leave in `seconds`, unless cancelled, whatever happens: a thread that reads a dead disk cannot be cancelled.

    Nothing on a host depends on how this process ends: that is promised for SIGKILL too.
    """

    def leave_now() -> None:
        with contextlib.suppress(OSError):
            if sys.stderr.isatty():
                sys.stderr.write("\x1b[?25h")  # the live table hides the cursor
            sys.stderr.write("\nStill waiting for something that does not answer; leaving it behind.\n")
            sys.stderr.flush()
        os._exit(int(code))

    timer = threading.Timer(seconds, leave_now)
    timer.daemon = True
    timer.start()
    return timer


def _quiet(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say nothing of exceptions that no task waited for.

    A connection that breaks during a transfer leaves dozens of them behind in
    the SSH library; the call that used the connection reports the loss.
    """
    del loop, context
