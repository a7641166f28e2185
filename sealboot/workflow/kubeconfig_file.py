"""Put a kubeconfig where the operator wants it: whole, 0600, and never over somebody else's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, TypeAlias

from sealboot.model.diagnostic import Diagnostic
from sealboot.workflow.kubeconfig import Fetched
from sealboot.workflow.kubeconfig_merge import Refusal, merged
from sealboot.workflow.kubeconfig_text import read, text
from sealboot.workflow.newfile import NewFile

State: TypeAlias = Literal["created", "changed", "same"]

#: Bytes of a kubeconfig that is added to; the largest ones hold some hundred clusters.
_LARGEST: Final = 16 << 20
_OPEN_TO_OTHERS: Final = 0o077


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator asked for: the file, the name of the context, the URL, and how far to go."""

    target: Path
    name: str
    server: str
    merge: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of the file; `backup` is the copy of what was there before, where one was made."""

    path: str
    state: State
    backup: str = ""


class _LeftError(Exception):
    """Why the file was left as it is; `insist` when --force would help."""

    def __init__(self, why: str, *, insist: bool = False) -> None:
        super().__init__(why)
        self.insist = insist


def save(wish: Wish, fetched: Fetched) -> Saved | Diagnostic:
    """Write the file, or add to it (`merge`); SB682 says why it was left alone.

    A file that holds another cluster, or is no kubeconfig, is replaced only with `force`, and then a
    copy of it is kept. The same cluster is told by its certificate authority, never by its name.
    """
    try:
        target = wish.target.resolve()  # a link stays one: dotfiles are often kept elsewhere
        if wish.merge:
            target.parent.mkdir(mode=0o700, exist_ok=True)
        with _locked(target) if wish.merge else contextlib.nullcontext():
            return _save(wish, fetched, target)
    except _LeftError as error:
        hints = ["--force replaces it and keeps a copy"] if error.insist else []
        if error.insist:
            other = "--context gives another name" if wish.merge else "--merge adds to it"
            hints.append(f"{other}; -o writes another file")
        return _left(wish, str(error), tuple(hints))
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name with NUL
        why = (getattr(error, "strerror", None) or "that is no possible file name").lower()
        return _left(wish, why)


def _left(wish: Wish, why: str, hints: tuple[str, ...] = ()) -> Diagnostic:
    return Diagnostic("SB682", f"{wish.target} was not written: {why}", hints=hints)


def _save(wish: Wish, fetched: Fetched, target: Path) -> Saved:
    before = _existing(target)
    made, replaces = _made(wish, fetched, before)
    data = made.encode()
    shown = str(wish.target)
    if data == before and not target.stat().st_mode & _OPEN_TO_OTHERS:
        return Saved(shown, "same")
    backup = _backed_up(target, before) if replaces and before and data != before else ""
    with NewFile(target) as new:
        new.write(iter((data,)))
        new.settle(0o600)
        new.publish(force=before is not None)
    return Saved(shown, "created" if before is None else "changed", backup)


def _existing(target: Path) -> bytes | None:
    if not os.path.lexists(target):
        return None
    if not target.is_file():
        raise _LeftError("it is not a regular file")
    with target.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise _LeftError("it is far too large for a kubeconfig")
    return data


def _made(wish: Wish, fetched: Fetched, before: bytes | None) -> tuple[str, bool]:
    """The new content, and whether something that is not ours alone was there."""
    access = fetched.access
    if before is None or not before.strip():
        return text(access, wish.name, wish.server), False
    if wish.merge:
        try:
            existing = before.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise _LeftError("it is not UTF-8 text") from None
        made = merged(existing, access, wish.name, wish.server, force=wish.force)
        if isinstance(made, Refusal):
            raise _LeftError(made.why, insist=made.forcible)
        return made, True
    there = read(before)
    own = not isinstance(there, str) and access.same_cluster(there.authority)
    if not own and not wish.force:
        what = (
            "the kubeconfig of another cluster" if not isinstance(there, str) else "more than one cluster's"
        )
        if isinstance(there, str) and b"clusters" not in before:
            what = "no kubeconfig"
        raise _LeftError(f"what is there is {what}", insist=True)
    return text(access, wish.name, wish.server), not own


def _backed_up(target: Path, data: bytes) -> str:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    copy = target.with_name(f"{target.name}.{stamp}.bak")
    with NewFile(copy) as new:
        new.write(iter((data,)))
        new.settle(0o600)
        new.publish(force=False)
    return str(copy)


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Hold the lock file that kubectl makes when it changes a kubeconfig (client-go, `clientcmd`)."""
    lock = target.with_name(f"{target.name}.lock")
    try:
        handle = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise _LeftError(f"kubectl is changing it, or was killed while it did: {lock} is there") from None
    try:
        os.close(handle)
        yield
    finally:
        lock.unlink(missing_ok=True)
