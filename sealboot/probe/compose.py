"""Makes the one script that a host is sent: the fixed part, and what this driver wants to know there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Protocol

from sealboot.model.facts import INTERPRETERS

#: Looked up on every host: what shipping, hashing, locking and starting services may use.
BASE_TOOLS = (
    "sudo",
    "doas",
    "sh",
    "bash",
    "cat",
    "mv",
    "mktemp",
    "sha256sum",
    "openssl",
    "busybox",
    "flock",
    "setsid",
    "sync",
    "tar",
    "gzip",
    "zstd",
    "systemctl",
    "rc-service",
    "journalctl",
    "curl",
    "wget",
    "nc",
    "iptables",
    "nft",
    "modprobe",
    "chattr",
    "restorecon",
    "python3",
)

_TOOL = re.compile(r"[A-Za-z0-9_.+-]{1,64}")
_QUESTION = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")


class Wanted(Protocol):
    """What a driver wants probed: `sealboot.drivers.base.Wants` is one."""

    @property
    def directories(self) -> tuple[str, ...]:
        """Absolute paths that will be written to."""
        ...

    @property
    def tools(self) -> tuple[str, ...]:
        """Names that are looked up in PATH."""
        ...

    @property
    def questions(self) -> Mapping[str, str]:
        """Key to read-only POSIX snippet."""
        ...


def directories_of(wants: Wanted) -> tuple[str, ...]:
    """List the directories that are probed, in the order of the records `dir.0`, `dir.1` and so on.

    Only absolute paths can be looked at; one with a line break or a NUL in it
    is left out, so that nothing is known about it.
    """
    usable = (path for path in wants.directories if path.startswith("/") and not set(path) & {"\0", "\n"})
    return tuple(dict.fromkeys(usable))


def questions_of(wants: Wanted) -> dict[str, str]:
    """The questions that are asked: a key must be a plain word, a snippet must hold no NUL."""
    return {k: v for k, v in wants.questions.items() if _QUESTION.fullmatch(k) and "\0" not in v}


@cache
def template() -> str:
    """The fixed part of the script without comments and indentation (its strings have neither)."""
    text = (files(__package__) / "script.sh").read_text(encoding="utf-8")
    lines = (line.lstrip(" ") for line in text.splitlines())
    return "\n".join(line for line in lines if line and not _is_comment(line)) + "\n"


def _is_comment(line: str) -> bool:
    return line.startswith("#") and not line.endswith("S#")


def compose(wants: Wanted) -> str:
    """Compose the script for one host; `$1` must be the nonce. The same wants make the same script."""
    return (
        template()
        .replace("#DIRECTORIES#", "\n".join(_looks(directories_of(wants))))
        .replace("#TOOLS#", " ".join(_tools(wants.tools)))
        .replace("#INTERPRETERS#", " ".join(sorted(INTERPRETERS)))
        .replace("#QUESTIONS#", "\n".join(_asks(questions_of(wants))))
    )


def _looks(directories: tuple[str, ...]) -> Iterable[str]:
    for index, path in enumerate(directories):
        yield f"look {shlex.quote(path)}; p{index}=$r"
    if directories:
        yield "mounts " + " ".join(f'"$p{index}"' for index in range(len(directories)))


def _tools(tools: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in (*BASE_TOOLS, *tools) if _TOOL.fullmatch(name)))


def _asks(questions: Mapping[str, str]) -> Iterable[str]:
    for key, snippet in questions.items():
        yield f"ask {shlex.quote(key)} {shlex.quote(snippet)}"
