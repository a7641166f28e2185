"""SB314: a host with the first version of control groups, which the kubelet does not start on any more."""

from __future__ import annotations

import re
from typing import Final

from sealboot.model.diagnostic import Diagnostic
from sealboot.model.facts import Facts
from sealboot.model.host import Host

#: The key under which the answer to `QUESTION` is expected in `Facts.observed`.
KEY: Final = "cgroups"

#: Prints `v2`, `v1` or `hybrid`; nothing where neither is mounted, or that cannot be read. The kubelet goes by what
#: /sys/fs/cgroup itself is (opencontainers/cgroups, `IsCgroup2UnifiedMode`): on a hybrid host version 2 lies below it.
QUESTION: Final = """[ ! -e /sys/fs/cgroup/cgroup.controllers ] || { echo v2; exit 0; }
[ -r /proc/self/mounts ] || exit 0
old='' new=''
while read -r _ place kind _; do
  case "$kind $place" in
    'cgroup /sys/fs/cgroup'*) old=1 ;;
    'cgroup2 /sys/fs/cgroup/'*) new=1 ;;
  esac
done </proc/self/mounts
[ -z "$old" ] || { [ -n "$new" ] && echo hybrid || echo v1; }
exit 0
"""

#: The first minor release whose kubelet refuses version 1 unless `failCgroupV1: false` is set (KEP-5573).
_REFUSES: Final = (1, 35)
_RELEASE = re.compile(r"\bv(\d{1,4})\.(\d{1,4})\.\d", re.ASCII)
_WORDS = {"v1": "version 1", "hybrid": "version 1, and version 2 without controllers beside it"}


def refuses_v1(release: str) -> bool:
    """Whether the kubelet of this release of Kubernetes, or of a distribution, does not start on version 1 by itself."""
    match = _RELEASE.search(release)
    return match is not None and (int(match[1]), int(match[2])) >= _REFUSES


def old_cgroups(
    host: Host, facts: Facts, release: str, *, accepted: bool, way: str
) -> tuple[Diagnostic, ...]:
    """SB314, for a host that runs a kubelet of `release`.

    `accepted` says that the inventory tells its kubelet to start all the same; `way` is how it could.
    """
    found = facts.observed.get(KEY, "").strip()
    if found not in _WORDS or accepted or not refuses_v1(release):
        return ()
    return (
        Diagnostic(
            "SB314",
            f"{host.name} has control groups of version 1, and the kubelet of {release} does not start on them",
            host=host.name,
            at=host.origin(),
            evidence=(("/sys/fs/cgroup", _WORDS[found]), ("needed", "version 2, from Kubernetes v1.35 on")),
            hints=(
                "boot it with `systemd.unified_cgroup_hierarchy=1` on the kernel's command line",
                way,
            ),
        ),
    )
