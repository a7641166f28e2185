"""What the steps of the `talos` driver share: words of a shell."""

from __future__ import annotations

import shlex


def assigned(**values: str) -> str:
    """Assignments at the head of a script, each value quoted."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
