"""The inventory that `sealboot init` writes: it loads as it is, and says what else can be written."""

from __future__ import annotations

from collections.abc import Sequence

from sealboot.inventory.hygiene import UnsafeError, address, hop, host_name

#: Role of the first host and of the others, and the slot of the driver's program.
_DRIVERS = {
    "sealos": ("master", "node", "sealctl"),
    "phases": ("node", "node", "tool"),
    "k3s": ("server", "agent", "k3s"),
    "k0s": ("controller", "worker", "k0s"),
    "talos": ("controlplane", "worker", "talosctl"),
}

_EXAMPLE_HOSTS = ("192.0.2.11", "192.0.2.12")

_HEAD = """\
# yaml-language-server: $schema=./schemas/inventory.schema.json
#
# Every value is read as the text it is. `sealboot inventory show` tells what
# holds for each host and which line says so.
version: 1

cluster:
  name: lab
  driver: {driver}
  # release: v1.2.3

# Where the files for the hosts are. Their bytes decide which host gets which;
# their names do not matter.
artifacts:
  {slot}: ["binaries/*"]

# What must vouch for a file before it goes anywhere.
# verify:
#   checksums: binaries/sha256sums # as `sha256sum` writes them
#   minisign_key: keys/release.pub # must have signed them: binaries/sha256sums.minisig

# What holds for all hosts, unless a group or the host says otherwise.
defaults:
  ssh:
    user: {user}
    # identity_file: ~/.ssh/id_ed25519
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


def starter(driver: str, hosts: Sequence[str] = ()) -> str:
    """The text of a commented inventory for this driver and these hosts (`address` or `user@address:port`).

    Texts that are no addresses are written down quoted all the same: loading the
    inventory then says what is wrong with them, at their place.
    """
    first, other, slot = _DRIVERS.get(driver, ("", "", "program"))
    text = _HEAD.format(driver=driver, slot=slot, user="root")
    taken: set[str] = set()
    for number, given in enumerate(hosts or _EXAMPLE_HOSTS):
        text += _host(given, number, first if number == 0 else other, taken)
    return text + (_PHASES if driver == "phases" else "")


def _host(given: str, number: int, role: str, taken: set[str]) -> str:
    try:
        user, where, port = hop(given)
    except UnsafeError:
        user, where, port = None, given, None
    name = _name(where, number, taken)
    taken.add(name)
    login = [f"user: {_quoted(user)}"] if user else []
    login += [f"port: {port}"] if port else []
    settings = [f"address: {_quoted(where)}"]
    settings += [f"role: {role}"] if role else []
    settings += [f"ssh: {{{', '.join(login)}}}"] if login else []
    return f"  {name}: {{{', '.join(settings)}}}\n"


def _name(where: str, number: int, taken: set[str]) -> str:
    """The first label of a DNS name; `node1`, `node2` for IP addresses and for what is taken."""
    try:
        label = host_name(address(where).partition(".")[0])
    except UnsafeError:
        label = ""
    free = bool(label) and not label.isdigit() and ":" not in label and label not in taken
    if free and not label.startswith("x-"):
        return label
    while f"node{number + 1}" in taken:
        number += 1
    return f"node{number + 1}"


def _quoted(text: str) -> str:
    """A double-quoted YAML scalar (YAML 1.2.2, 7.3.1) with everything but plain ASCII escaped."""
    escaped = "".join(
        c if c.isascii() and c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text
    )
    return f'"{escaped}"'
