"""The rule that balances the API server, in a kernel that has it: the lab's own has none, a virtual machine's does."""

from __future__ import annotations

import io
import re
import shlex
import tarfile
from collections.abc import Mapping

import pytest
from labkit.cache import CACHE
from labkit.debs import extract
from labkit.kmodules import Modules
from labkit.lab import Lab
from labkit.machines import KINDS, Node

from sealboot.drivers import sealos_reset
from sealboot.drivers import sealos_scripts as scripts

pytestmark = [pytest.mark.slow, pytest.mark.vm, pytest.mark.timeout(600)]

VIP, PORT = "10.103.97.2", 6443
MASTERS = ("10.0.0.11", "10.0.0.12")
SEALCTL = "/ipvs/sealctl"
KIND = "arm64-vm"
_LIBRARIES = ("libnl-3.so", "libnl-genl-3.so", "libpopt.so", "libc.so.6", "ld-linux")

#: What `sealctl ipvs` does in the kernel, by Debian's own tool.
_PROGRAM = """#!/bin/sh
admin() { /ipvs/ld-linux-aarch64.so.1 --library-path /ipvs /ipvs/ipvsadm "$@"; }
[ "$1" = ipvs ] && [ "$2" = --vs ] || exit 2
vs=$3; shift 3
[ "$1" != -C ] || exec /ipvs/ld-linux-aarch64.so.1 --library-path /ipvs /ipvs/ipvsadm -D -t "$vs"
admin -A -t "$vs" -s rr || exit 1
while [ "$1" = --rs ]; do admin -a -t "$vs" -r "$2" -m || exit 1; shift 2; done
[ "$*" = "--health-path /healthz --health-schem https --run-once" ]
"""


def _tar(files: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


@pytest.fixture
def programs() -> dict[str, bytes]:
    """ipvsadm with what it is linked to; fetched before the test is in the lab's network, which leads nowhere."""
    found = {"sealctl": _PROGRAM.encode()}
    for package in ("ipvsadm", "libnl-3-200", "libnl-genl-3-200", "libpopt0", "libc6"):
        for path in sorted(extract(package, KINDS[KIND].debian).rglob("*")):
            if path.is_file() and (path.name.startswith(_LIBRARIES) or path.match("sbin/ipvsadm")):
                found.setdefault(re.sub(r"(\.so\.\d+).*", r"\1", path.name), path.read_bytes())
    return found


def _furnish(lab: Lab, node: Node, programs: Mapping[str, bytes]) -> None:
    """The kernel's modules in the order in which they can be loaded, and the programs."""
    package = (CACHE / "debs" / f"kernel-{node.about.debian}").resolve()
    modules = Modules(package).ordered(("ip_vs", "ip_vs_rr"))
    order = " ".join(f"{name}.ko" for name in modules)
    files = {**programs, **{f"{name}.ko": data for name, data in modules.items()}}
    load = f"for m in {order}; do insmod $m 2>/dev/null; done; [ -e /proc/net/ip_vs ]"
    done = lab.ssh(node, f"mkdir -p /ipvs && cd /ipvs && tar -xf - && {load}", _tar(files), limit=300)
    assert done.returncode == 0, done.stderr


def test_the_rule_is_made_known_again_and_removed(programs: dict[str, bytes], lab: Lab) -> None:
    (node,) = lab.need(KIND)
    _furnish(lab, node, programs)

    def ends(script: str) -> int:
        return lab.ssh(node, f"sh -c {shlex.quote(script)}").returncode

    asked = scripts.has_ipvs(VIP, MASTERS, PORT)
    assert ends(asked) == 1
    assert ends(scripts.add_ipvs(SEALCTL, VIP, MASTERS, PORT)) == 0
    table = lab.ssh(node, "cat /proc/net/ip_vs").stdout.decode()
    assert ends(asked) == 0, table
    assert ends(scripts.has_ipvs(VIP, (*MASTERS, "10.0.0.13"), PORT)) == 1
    assert ends(scripts.has_ipvs("10.103.97.3", MASTERS, PORT)) == 1
    assert scripts.ipvs_rule(VIP, PORT) in table
    words = {
        "VS": f"{VIP}:{PORT}",
        "RULE": scripts.ipvs_rule(VIP, PORT),
        "MANIFEST": "/nowhere",
        "SEALCTL": SEALCTL,
    }
    told = "".join(f"{name}={shlex.quote(value)}\n" for name, value in words.items())
    for _ in range(2):  # the second finds nothing to do
        assert ends(told + sealos_reset._UNBALANCE) == 0
    assert ends(asked) == 1
