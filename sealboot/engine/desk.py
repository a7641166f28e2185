"""Steps on the controller: in a private folder of the moment that holds their files and nothing else.

What such a step needs (a machine's configuration, a client's key) is secret
more often than not, and the programs that want it take files. So the folder is
0700, its files are 0600, the script is fed to a shell through standard input,
and nothing of it is in any argument list. The folder is gone when the step
ends; one that a killed run left behind is removed by the next.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sealboot.engine.actions import secret_missing
from sealboot.engine.checking import effective_check
from sealboot.engine.context import SecretStore
from sealboot.engine.failures import step_failed
from sealboot.engine.observe import ask
from sealboot.engine.shell import NodePaths, quoted
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Host
from sealboot.model.plan import Observation
from sealboot.model.steps import ReadSecret, Run, Step, Succeeds, WaitFor
from sealboot.transport.base import Session

_PREFIX = "sealboot-desk-"
_NEW = ".sealboot-new-"
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Desk:
    """The controller as a place where steps are done.

    `session` gives a shell here, as whoever runs this process, for the steps of one host. `state` is the
    folder of locks and journals for hosts that have no place of their own.
    """

    session: Callable[[Host], Session]
    state: Path

    def paths(self, cluster: str, host: Host) -> NodePaths:
        """Where the controller keeps what is to be remembered about one host."""
        own = f"{self.state}/{cluster}/{host.name}"
        return NodePaths(state=own, lock=f"{own}/lock")


@asynccontextmanager
async def seated(secrets: SecretStore, step: Step) -> AsyncIterator[Step | Diagnostic]:
    """The step as it is to be done: on the controller, inside a folder made for it.

    A step for the host is given back as it is. SB509 where its files need a secret that is not known
    (yet), SB501 where there is no room for a folder.
    """
    if step.on == "host":
        yield step
        return
    files: dict[str, str] = {}
    for name, content in step.files.items():
        filled = secrets.fill(content, step.file_secrets)
        if isinstance(filled, tuple):
            yield secret_missing(step.host, step.title, filled)
            return
        files[name] = filled
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(_folder())
            for name, content in files.items():
                _write(folder / name, content)
        except OSError as error:
            why = f"no private folder for it on this machine: {error.strerror or error}"
            yield step_failed(step.host, step.title, why)
            return
        yield _inside(step, folder)


async def observe_here(
    session: Session, steps: Sequence[Step], paths: NodePaths, secrets: SecretStore
) -> Mapping[str, Observation] | Diagnostic:
    """Ask the checks of `steps`, all of them on the controller; steps without a check are left out."""
    found: dict[str, Observation] = {}
    for step in steps:
        async with seated(secrets, step) as here:
            if isinstance(here, Diagnostic):
                found[step.id] = Observation("unknown", here.summary)
                continue
            check = effective_check(here)
            if check is None:
                continue
            answer = await ask(session, (check,), paths, become=False)
        if isinstance(answer, Diagnostic):
            return answer
        found[step.id] = answer[0]
    return found


def _inside(step: Step, folder: Path) -> Step:
    """The same step, its scripts and its check begun in `folder`, as nobody but oneself."""
    go = f"cd {quoted(folder)} || exit 1\n"
    check = step.check
    if isinstance(check, Succeeds):
        check = replace(check, script=go + check.script, become=False)
    match step:
        case Run() | ReadSecret():
            return replace(step, script=go + step.script, check=check, become=False)
        case WaitFor() if step.kind == "script":
            return replace(step, target=go + step.target, check=check, become=False)
        case _:
            return replace(step, check=check, become=False)


@contextmanager
def _folder() -> Iterator[Path]:
    base = _base()
    _sweep(base)
    made = Path(tempfile.mkdtemp(prefix=_NEW, dir=base))
    # Held as long as this process lives: that is how the folder of a dead one is told. It gets its
    # name only then, so that no other run takes it for one.
    lock = os.open(made / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    folder = made.with_name(_PREFIX + made.name.removeprefix(_NEW))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made.rename(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _base() -> Path:
    """A place in memory that is the user's own, where there is one."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(runtime) if runtime and os.access(runtime, os.W_OK) else Path(tempfile.gettempdir())


def _sweep(base: Path) -> None:
    """Remove what killed runs of this user left behind."""
    for folder in base.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _write(path: Path, content: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content.encode("utf-8", "surrogateescape"))
