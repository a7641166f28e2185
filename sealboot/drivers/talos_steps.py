"""What the steps of the `talos` driver share: names of values, and words of a shell."""

from __future__ import annotations

import shlex
from hashlib import sha256

from sealboot.model.host import Host


def key_name(host: Host) -> str:
    """The value that holds the public key's digest under which Talos first answered on this host."""
    return f"talos_key_{sha256(host.name.encode()).hexdigest()[:16]}"


def assigned(**values: str) -> str:
    """Assignments at the head of a script, each value quoted."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
