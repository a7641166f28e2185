"""The inventory that `sealboot init` writes: it loads as it is, and says what else can be written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sealboot.inventory.starter_hosts import Row

_PLAIN = re.compile(r"[A-Za-z0-9_~/](?:[A-Za-z0-9._+@~/-]*[A-Za-z0-9_])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class StarterSlot:
    """A slot of the driver: what belongs there, where it is looked for, how to get it (lines of a comment).

    An optional one is written as a comment.
    """

    name: str
    about: str
    pattern: str
    how: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """What a starter is to say. `schema` is where editors find the JSON schema (a path or a URL), if anywhere."""

    driver: str
    hosts: Sequence[Row]
    slots: Sequence[StarterSlot] = ()
    name: str = "lab"
    release: str | None = None
    user: str = "root"
    port: int | None = None
    key: str | None = None
    phases: bool = False
    schema: str = ""


_CLUSTER = """\
# Every value is read as the text it is. `sealboot inventory show` tells what
# holds for each host and which line says so.
version: 1

cluster:
  name: {name}
  driver: {driver}
  {release}

# Where the files for the hosts are. Their bytes decide which host gets which;
# their names do not matter.
"""

_SETTINGS = """
# What must vouch for a file before it goes anywhere.
# verify:
#   checksums: binaries/sha256sums # as `sha256sum` writes them
#   minisign_key: keys/release.pub # must have signed them: binaries/sha256sums.minisig

# What holds for all hosts, unless a group or the host says otherwise.
defaults:
  ssh:
    user: {user}
    {port}
    {key}
    # jump: bastion                # a host below, an alias, or user@host:port
    # config: true                 # reuse ~/.ssh/config
  become:
    method: sudo
    # password_from: prompt        # or env:NAME, file:PATH, fd:N, keyring:SERVICE/NAME

# groups:
#   pis: {{arch: arm64}}             # an expectation, verified on the host

hosts:
"""

_PHASES = """
# What is done, in this order; a phase begins when the one before it is through.
phases:
  - name: hello
    steps:
      - run: uname -a
"""


def starter(order: Order) -> str:
    """The text of a commented inventory."""
    head = f"# yaml-language-server: $schema={order.schema}\n#\n" if order.schema else ""
    release = f"release: {_scalar(order.release)}" if order.release else "# release: v1.2.3"
    port = f"port: {order.port}" if order.port else "# port: 22"
    key = f"identity_file: {_scalar(order.key)}" if order.key else "# identity_file: ~/.ssh/id_ed25519"
    return "".join(
        (
            head,
            _CLUSTER.format(name=_scalar(order.name), driver=order.driver, release=release),
            *_artifacts(order.slots),
            _SETTINGS.format(user=_scalar(order.user), port=port, key=key),
            *(_host(row) for row in order.hosts),
            _PHASES if order.phases else "",
        )
    )


def _artifacts(slots: Sequence[StarterSlot]) -> Iterator[str]:
    if not any(not slot.optional for slot in slots):
        yield "# artifacts:\n"
        yield from (f'#   {slot.name}: ["{slot.pattern}"]\n' for slot in slots)
        if not slots:
            yield '#   tool: ["binaries/*"]\n'
        return
    yield "artifacts:\n"
    for slot in slots:
        yield f"  # {slot.about}\n"
        yield from (f"  #   {line}\n" for line in slot.how)
        yield f"  {'# ' if slot.optional else ''}{slot.name}: [{_quoted(slot.pattern)}]\n"


def _host(row: Row) -> str:
    login = [f"user: {_scalar(row.user)}"] if row.user else []
    login += [f"port: {row.port}"] if row.port else []
    settings = [f"address: {_quoted(row.address)}"] if row.address else []
    settings += [f"role: {row.role}"] if row.role else []
    settings += [f"ssh: {{{', '.join(login)}}}"] if login else []
    return f"  {row.name}: {{{', '.join(settings)}}}\n"


def _scalar(text: str) -> str:
    """The text as the reader will take it: what YAML has for "nothing" is quoted, like all that is not plain."""
    return text if _PLAIN.fullmatch(text) and text.lower() != "null" else _quoted(text)


def _quoted(text: str) -> str:
    """A double-quoted YAML scalar (YAML 1.2.2, 7.3.1) with everything but plain ASCII escaped."""
    escaped = "".join(
        c if c.isascii() and c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text
    )
    return f'"{escaped}"'
