"""The `installFlags` of a k0sctl.yaml, read as k0sctl reads them.

The rules are those of k0sctl v0.32.2: `Flags.Each` and `isQuoted` in
pkg/apis/k0sctl.k0sproject.io/v1beta1/cluster/flags.go (where a flag is parted, and when quotes go),
`Host.SetDefaults` and `validateBalancedQuotes` in host.go beside it (which flags are settings), and
`Unquote` of github.com/k0sproject/rig/v2 sh/shellescape/unquote.go.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from sealboot.inventory.tree import Scalar
from sealboot.model.diagnostic import Location

_NAME = re.compile(r"--?[A-Za-z][A-Za-z0-9-]*", re.ASCII)
_PARTED = re.compile(r"[= ]")

#: Flags that k0sctl makes a setting of, and those that the driver makes itself.
ROLES: Final = {"--single": "single", "--enable-worker": "controller+worker"}
NO_TAINTS: Final = "--no-taints"
DATA_DIR: Final = "--data-dir"
KUBELET_DIR: Final = "--kubelet-root-dir"
DYNAMIC: Final = "--enable-dynamic-config"
LISTS: Final = {"--labels": "node_labels", "--taints": "node_taints"}
KUBELET_ARGS: Final = "--kubelet-extra-args"
#: What stands in for the inventory's own files and tokens: another cluster.
REFUSED: Final = frozenset({"--config", "-c", "--token-file", "--token"})
#: How k0sctl calls `k0s install`; the driver calls it in its own way.
NEEDLESS: Final = frozenset({"--force", "--start"})


class Flag(NamedTuple):
    """One flag; `value` is `None` where it has none."""

    name: str
    value: str | None
    at: Location

    @property
    def off(self) -> bool:
        """Whether a switch is written to be off. Anything but `false` is on, as for k0sctl."""
        return self.value == "false"

    @property
    def word(self) -> str:
        """The flag as one word of a shell; an empty value is none (`Flags.Join`)."""
        return shlex.quote(f"{self.name}={self.value}" if self.value else self.name)


def flags_of(items: Iterable[Scalar]) -> Iterator[Flag | Scalar]:
    """The flags in order; an item comes back as it is where k0sctl or k0s could not read it."""
    for item in items:
        if not item.text:
            continue
        parts = _PARTED.split(item.text, maxsplit=1)
        value = _unquoted(parts[1]) if len(parts) > 1 else ""
        if not _NAME.fullmatch(parts[0]) or value is None or not item.text.isprintable():
            yield item
        else:
            yield Flag(parts[0], value if len(parts) > 1 else None, item.at)


def _unquoted(value: str) -> str | None:
    """A value without the quotes around it; `None` where quotes do not match.

    A value that no quotes surround stays as it is, backslashes too.
    """
    if any(value.count(quote) - value.count(f"\\{quote}") & 1 for quote in "'\""):
        return None
    if len(value) < 2 or value[0] not in "'\"" or value[-1] != value[0]:
        return value
    made: list[str] = []
    inside, escaped = "", False
    for char in value:
        if escaped or (char in "'\"" and inside not in {"", char}):
            made.append(char)
            escaped = False
        elif char == "\\" and inside != "'":
            escaped = True
        elif char in "'\"":
            inside = "" if inside else char
        else:
            made.append(char)
    return None if inside or escaped else "".join(made)
