"""What every distribution of Kubernetes asks of a host that is to be a node."""

from __future__ import annotations

import re
from typing import Final

#: What Kubernetes takes for a node's name (RFC 1123, DNS subdomain).
NODE_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*"
)
#: A release of Kubernetes and of its distributions: major, minor, patch, and what follows.
RELEASE: Final = re.compile(r"\bv(\d{1,4})\.(\d{1,4})\.(\d{1,4})(?:[-+][\w.+-]*)?", re.ASCII)
#: Where a node of a kubeadm cluster can be told by.
KUBEADM: Final = "/etc/kubernetes/kubelet.conf"

#: The control group controller of memory, without which the kubelet does not start: Raspberry Pi OS
#: leaves it out unless the kernel's command line asks for it.
MEMORY_GROUP: Final = """if [ -r /sys/fs/cgroup/cgroup.controllers ]; then
  case " $(cat /sys/fs/cgroup/cgroup.controllers) " in *' memory '*) echo yes ;; *) echo no ;; esac
elif [ -r /proc/cgroups ]; then
  while read -r name _ _ enabled; do
    [ "$name" = memory ] && { [ "$enabled" = 1 ] && echo yes || echo no; }
  done </proc/cgroups
fi
exit 0
"""
