"""Secrets: where they come from, and how they stay out of every text."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

SecretKind: TypeAlias = Literal["prompt", "env", "file", "fd", "keyring"]

#: Shorter values are not searched for in texts: masking `no` would ruin every line.
MINIMUM_REDACTED = 6


@dataclass(frozen=True, slots=True)
class SecretRef:
    """Where a secret is to be had (`env:NAME`, `file:PATH`, `fd:N`, `keyring:SERVICE/NAME`, `prompt`).

    The name of a `prompt` is the question; it is no part of the reference as text.
    """

    kind: SecretKind
    name: str = ""

    def __str__(self) -> str:
        return self.kind if self.kind == "prompt" else f"{self.kind}:{self.name}"


class Secret:
    """A secret value that no `str`, `repr`, format or comparison with text reveals."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself; call it only where the value leaves for its one destination."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret is not pickled")


#: Resolves a reference; raises `LookupError` whose text says why it cannot be had.
SecretSource: TypeAlias = Callable[[SecretRef], Secret]


class Redactor:
    """The second line of defence: masks every known secret in outgoing text.

    Also masks the base64 and shell-quoted forms of each value. Values shorter
    than `MINIMUM_REDACTED` characters are left alone.
    """

    def __init__(self) -> None:
        self._forms: set[str] = set()

    @property
    def knows_any(self) -> bool:
        """Whether there is anything to mask."""
        return bool(self._forms)

    def learn(self, secret: Secret) -> None:
        """Mask this secret from now on."""
        value = secret.reveal()
        for line in {value, value.strip(), *value.splitlines()}:
            if len(line) >= MINIMUM_REDACTED:
                self._forms |= {
                    line,
                    shlex.quote(line),
                    # Whole groups of three bytes: what follows the value (a line end) changes the rest.
                    base64.b64encode(line.encode()[: len(line.encode()) // 3 * 3]).decode(),
                    json.dumps(line)[1:-1],
                }

    def __call__(self, text: str) -> str:
        """The text with every form of every known secret replaced by `***`."""
        for form in sorted(self._forms, key=len, reverse=True):
            text = text.replace(form, "***")
        return text
