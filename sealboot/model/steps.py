"""Steps: the only things that change a host, and the read-only questions by which each knows that it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from sealboot.model.diagnostic import Location
from sealboot.model.feed import Feed

# -- checks: read-only questions to a host ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FileIs:
    """`path` is a regular file with this content (SHA-256, hex) and mode."""

    path: str
    sha256: str
    mode: int | None = None
    type: Literal["file-is"] = "file-is"


@dataclass(frozen=True, slots=True)
class PathExists:
    """`path` exists (`present`), or does not."""

    path: str
    present: bool = True
    type: Literal["path-exists"] = "path-exists"


@dataclass(frozen=True, slots=True)
class Succeeds:
    """A POSIX shell script exits 0; it must change nothing.

    With exit status `ABSENT` it says that nothing is there yet, so that the plan tells of an addition.
    """

    script: str
    become: bool = True
    timeout: float = 30.0
    type: Literal["succeeds"] = "succeeds"


@dataclass(frozen=True, slots=True)
class ServiceIs:
    """A service is active and enabled, and was last (re)started by us for `stamp`.

    `stamp` digests everything the service was started from, so that a run
    killed between an upload and its restart still restarts. Empty: not asked.
    """

    name: str
    active: bool = True
    enabled: bool | None = None
    stamp: str = ""
    type: Literal["service-is"] = "service-is"


#: The exit status of a check's script that found nothing at all (EX_NOINPUT of sysexits.h).
ABSENT: Final = 66

Check: TypeAlias = FileIs | PathExists | Succeeds | ServiceIs


#: Where a step is carried out: over the host's session, or by a process on the operator's own machine.
Place: TypeAlias = Literal["host", "controller"]


# -- steps: the only things that change a host --------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBase:
    """What every step has. `id` is unique in the plan and stable from run to run.

    `timeout` is in seconds. `title` is shown to people and holds no secret.
    `become` runs the step as root. `check` is `None` for steps that must run
    each time that anything they wait for changes (`only_after`) or always.
    `only_after` names steps of the same host: this one is wanted only if one
    of them acts in this run or its own check fails.

    `on` is where the step and its check are carried out. On the controller
    that is a private folder (0700) of the moment, which is the working
    directory and gone afterwards; there is no becoming root. `files` are put
    into that folder first, 0600, by name: texts in which `{{ secret.NAME }}`
    is replaced for every name in `file_secrets`. Only `Run`, `WaitFor` and
    `ReadSecret` may be done on the controller.

    `at` is where the operator wrote the step, where that is known: what goes wrong with it is told with
    that place. A step that moved to another line is still the same step.
    """

    id: str
    host: str
    title: str
    timeout: float = 300.0
    become: bool = True
    check: Check | None = None
    only_after: tuple[str, ...] = ()
    on: Place = "host"
    files: Mapping[str, str] = field(default_factory=dict)
    file_secrets: tuple[str, ...] = ()
    at: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload(StepBase):
    """Ship one file: temporary name beside the target, hash on the host, smoke test, fsync, rename.

    `smoke` is run with the staged file's absolute path as `$1` before it goes
    live (a POSIX script; `"$1" version`); its output must contain every text
    of `smoke_expects`. With `keep_previous` the file replaced is kept for
    `rollback`. `whole_mtime` gives it a modification time without a fraction
    of a second, for programs that remember such times in whole seconds.
    """

    source: str
    sha256: str
    size: int
    dest: str
    mode: int = 0o755
    smoke: str = ""
    smoke_expects: tuple[str, ...] = ()
    keep_previous: bool = True
    slot: str = ""
    whole_mtime: bool = False
    type: Literal["upload"] = "upload"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteFile(StepBase):
    """Write a small file atomically.

    `secrets` names captured or inventory secrets whose values replace
    `{{ secret.NAME }}` in `content` at the last moment, on the controller;
    a file with secrets is never printed and is at most 0600.
    """

    dest: str
    content: str
    mode: int = 0o644
    secrets: tuple[str, ...] = ()
    type: Literal["write-file"] = "write-file"


@dataclass(frozen=True, slots=True)
class Knocks:
    """A port of the host that the controller looks at right before a script runs; `alpn` is offered."""

    port: int
    alpn: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(StepBase):
    """Run a POSIX shell script (`set -eu` is not implied).

    `detached` steps survive the loss of the connection: they run under setsid
    with log and exit-code files on the host, hold the host's lock, and are
    adopted by the next run. `env_secrets` maps a variable to a secret's name;
    the value reaches the script through stdin, never through argv. `feed` is
    a local file that the script reads on its standard input. `destroys` is
    set where the script has a disk overwritten, as for `WriteDisk`.

    With `knocks` the script is told what was seen on that port at this moment:
    in `API` `open`, `certificate` (a client's is asked for) or nothing where
    nobody answers, in `KEY` the SHA-256 of the public key that was shown
    (base64). Where it ends with 75 (EX_TEMPFAIL) it is looked again and run again.
    """

    script: str
    feed: Feed | None = None
    knocks: Knocks | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    env_secrets: Mapping[str, str] = field(default_factory=dict)
    detached: bool = False
    ok_codes: tuple[int, ...] = (0,)
    expects: tuple[str, ...] = ()  # texts that the output must contain
    destroys: str = ""
    type: Literal["run"] = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service(StepBase):
    """Bring a service into a state through the host's own init system (systemd or OpenRC).

    With `no_block` systemd is told and not waited for: units that notify and
    have no time limit of their own are polled until `timeout`, and one that
    dies again and again has failed before that.
    """

    name: str
    state: Literal["started", "restarted", "stopped"] = "started"
    enabled: bool | None = True
    stamp: str = ""
    daemon_reload: bool = True
    no_block: bool = False
    type: Literal["service"] = "service"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitFor(StepBase):
    """Wait on the host until something answers.

    tcp: `target` is `host:port`. http: a URL, any status below 400 (or
    exactly `status`). file: a path. script: exits 0. service: is active.
    `interval` seconds lie between two tries, `timeout` bounds the whole.
    """

    kind: Literal["tcp", "http", "file", "script", "service"]
    target: str
    interval: float = 1.0
    status: int | None = None
    type: Literal["wait-for"] = "wait-for"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSecret(StepBase):
    """Run a script on the host and keep its trimmed output as the secret `into`, in memory only."""

    script: str
    into: str
    pattern: str = ""  # the value must match this regular expression as a whole
    type: Literal["read-secret"] = "read-secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove(StepBase):
    """Remove a file, or a directory tree with `recursive`."""

    path: str
    recursive: bool = False
    type: Literal["remove"] = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteDisk(StepBase):
    """Write a disk image over a whole block device of the host, read it back and compare.

    `source` lies on the controller, as it is or compressed (gzip, bzip2, xz,
    zstd, told by its first bytes); `sha256` and `size` are of that file,
    `raw_sha256` and `raw_size` of the image in it. Everything on `device` is
    lost, so `destroys` says in words what that is ("/dev/sda of cp1, 476 GiB"):
    the operator is shown it and types the host's name. A device that is
    mounted or otherwise held is refused unless `in_use`; then every file system
    of the host is made read-only first, and only a `Handover` may follow.
    """

    source: str
    sha256: str
    size: int
    raw_sha256: str
    raw_size: int
    device: str
    destroys: str
    in_use: bool = False
    type: Literal["write-disk"] = "write-disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover(StepBase):
    """Leave the running system for another one, which answers on `port` instead of on SSH.

    `script` (kexec, a reboot) runs detached: that the connection ends is what
    is expected. It has succeeded when the controller gets an answer on `port`
    that was not there before (another certificate counts) and the old system,
    known by its boot id, does not answer SSH any more. A TLS answer is a
    server that completes a handshake; nobody vouches for its certificate.
    `timeout` is the deadline for all of it. No step on this host may follow.
    """

    script: str
    port: int
    expects: Literal["tls", "tcp"] = "tls"
    alpn: tuple[str, ...] = ()
    type: Literal["handover"] = "handover"


Step: TypeAlias = Upload | WriteFile | Run | Service | WaitFor | ReadSecret | Remove | WriteDisk | Handover
