"""What drivers of Kubernetes share about reaching their API servers from outside."""

from __future__ import annotations

import shlex
from typing import Final

#: EX_NOINPUT of sysexits.h: this host has no kubeconfig.
NO_KUBECONFIG: Final = 66


def printed(path: str) -> str:
    """A script that prints the file; where there is none it exits with `NO_KUBECONFIG`."""
    name = shlex.quote(path)
    return f"[ -e {name} ] || {{ echo {name} does not exist >&2; exit {NO_KUBECONFIG}; }}\ncat -- {name}\n"


def api_url(place: str, port: int) -> str:
    """The URL of an API server; IPv6 addresses get their brackets."""
    return f"https://[{place}]:{port}" if ":" in place else f"https://{place}:{port}"
