"""What `sealboot doctor` looks at."""

from __future__ import annotations

import os
import resource
import socket
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sealboot.cli.options import Remote, config_file, taste
from sealboot.drivers.registry import driver_names, load_driver
from sealboot.lab.embedded import EmbeddedLab
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.words import plural
from sealboot.transport.connect import user_trust
from sealboot.transport.knownhosts import read_known_hosts
from sealboot.workflow.prepare import Prepared, prepare

#: File descriptors that are wanted: one for each connection, and some to work with.
_FILES = 1024
_AGENT_TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table: `result` is ok, note or wrong."""

    check: str
    result: str
    detail: str


def examine(options: Remote) -> list[Finding]:
    """Everything, in the order in which it would hurt."""
    return [
        *_python(),
        *_libraries(),
        *_limits(),
        _agent(),
        *_trust(options),
        *_drivers(),
        _settings(),
        _inventory(options),
        _lab(),
    ]


def _python() -> Iterator[Finding]:
    found = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", "ok" if sys.version_info >= (3, 11) else "wrong", found)


def _libraries() -> Iterator[Finding]:
    for name in ("asyncssh", "bcrypt", "pyelftools", "pydantic", "pyyaml", "rich", "typer"):
        try:
            yield Finding(name, "ok", version(name))
        except PackageNotFoundError:
            yield Finding(name, "wrong", "not installed: pip install 'sealboot'")
    try:
        from yaml import CSafeLoader  # noqa: F401 (whether it is there is the question)

        yield Finding("libyaml", "ok", "the C parser is used")
    except ImportError:
        yield Finding("libyaml", "wrong", "this PyYAML was built without it")


def _limits() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    good = soft >= _FILES
    yield Finding(
        "open files",
        "ok" if good else "note",
        f"{soft} (hard limit {hard})" + ("" if good else ": ulimit -n 4096"),
    )


def _agent() -> Finding:
    path = os.environ.get("SSH_AUTH_SOCK")
    if not path:
        return Finding("ssh agent", "note", "none (SSH_AUTH_SOCK is not set): keys come from files")
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_AGENT_TIMEOUT)
            connection.connect(path)
            connection.sendall(
                b"\0\0\0\x01\x0b"
            )  # SSH_AGENTC_REQUEST_IDENTITIES (RFC draft-ietf-sshm-ssh-agent)
            answer = connection.recv(9)
    except OSError as error:
        return Finding(
            "ssh agent", "wrong", f"{path}: {error.strerror or 'does not answer'}: unset SSH_AUTH_SOCK"
        )
    return Finding("ssh agent", "ok", f"{int.from_bytes(answer[5:9])} keys")


def _trust(options: Remote) -> Iterator[Finding]:
    for path in (Path(options.known_hosts), *user_trust(Path.home())):
        if not path.exists():
            yield Finding("known_hosts", "note", f"{path}: not there")
            continue
        unreadable = len(read_known_hosts([path]).findings)
        yield Finding("known_hosts", "note" if unreadable else "ok", f"{path}: {unreadable} unreadable lines")
    keys = Path.home() / ".ssh"
    for key in sorted(keys.glob("id_*")) if keys.is_dir() else []:
        if key.suffix != ".pub" and stat.S_IMODE(key.stat().st_mode) & 0o077:
            yield Finding("private key", "wrong", f"{key} can be read by others: chmod 600 {key}")


def _drivers() -> Iterator[Finding]:
    for name in driver_names():
        driver = load_driver(name)
        broken = isinstance(driver, Diagnostic)
        yield Finding(
            f"driver {name}",
            "wrong" if broken else "ok",
            driver.summary if isinstance(driver, Diagnostic) else ", ".join(driver.roles) or "any role",
        )


def _settings() -> Finding:
    path = config_file()
    try:
        found = taste(path)
    except ValueError as error:
        return Finding("settings", "wrong", str(error))
    return Finding("settings", "ok", f"{path}: {', '.join(found)}" if found else f"none ({path})")


def _inventory(options: Remote) -> Finding:
    if "-" in options.sources or not all(Path(s).exists() for s in options.sources):
        return Finding(
            "inventory", "note", f"{', '.join(options.sources)}: not there; sealboot init writes one"
        )
    made = prepare(options.sources, limit=options.limit)
    if isinstance(made, Prepared):
        return Finding(
            "inventory", "ok", f"{plural(len(made.inventory.hosts), 'host')}, driver {made.driver.name}"
        )
    return Finding("inventory", "wrong", f"{plural(len(made), 'finding')}: sealboot inventory show")


def _lab() -> Finding:
    trouble = EmbeddedLab.trouble()
    return Finding("demo lab", "note" if trouble else "ok", trouble or "sealboot demo works here")
