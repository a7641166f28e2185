"""Questions of the probe that only root can answer: a host is probed as its login user."""

from __future__ import annotations

import shlex

from sealboot.model.host import Host


def as_root(host: Host, question: str, otherwise: str = "") -> str:
    """`question` asked as root where that takes no password, else `otherwise`: both POSIX scripts.

    What lies in a directory of root's looks absent to others, and a wrong `absent` is worse than no answer.
    """
    ways = {"sudo": "'' 'sudo -k -n'", "doas": "'' 'doas -n'", "none": "''"}[host.become.method]
    return (
        f"for r in {ways}; do\n"
        '  [ "$($r id -u 2>/dev/null)" = 0 ] || continue\n'
        f"  $r /bin/sh -c {shlex.quote(question)}\n  exit 0\ndone\n{otherwise}"
    )
