"""The scripts of the `sealos` driver that call sealctl, and the read-only questions that go with them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from ipaddress import IPv4Address


def same_hostname(sealctl: str) -> str:
    """Succeeds when sealctl runs and tells the kernel's host name (on either stream)."""
    return f"""said=$({shlex.quote(sealctl)} hostname 2>&1) || exit $?
real=$(uname -n)
[ "$said" = "$real" ] && exit 0
echo "sealctl says the host is called '$said', the kernel says '$real'" >&2
exit 1
"""


def add_ipvs(sealctl: str, vip: str, masters: Sequence[str], port: int) -> str:
    """Balance `vip` over the masters, once."""
    servers = " ".join(f"--rs {shlex.quote(f'{m}:{port}')}" for m in masters)
    return (
        f"set -eu\n{shlex.quote(sealctl)} ipvs --vs {shlex.quote(f'{vip}:{port}')} {servers}"
        " --health-path /healthz --health-schem https --run-once\n"
    )


def has_ipvs(vip: str, masters: Sequence[str], port: int) -> str:
    """Succeeds when the kernel's table balances `vip` over every master (addresses stand there in hex)."""
    lines = [ipvs_rule(vip, port), *(f"-> {_hex(m)}:{port:04X} " for m in masters)]
    return "".join(f"grep -qF -e {shlex.quote(line)} /proc/net/ip_vs || exit 1\n" for line in lines)


def ipvs_rule(vip: str, port: int) -> str:
    """How the kernel's table begins the line of the balanced address."""
    return f"TCP  {_hex(vip)}:{port:04X} "


def _hex(address: str) -> str:
    return f"{int(IPv4Address(address)):08X}"


def add_lvscare(
    sealctl: str, *, folder: str, name: str, vip: str, image: str, masters: Sequence[str], port: int
) -> str:
    """Write the static pod that keeps the balancing up to date."""
    servers = " ".join(f"--masters {shlex.quote(f'{m}:{port}')}" for m in masters)
    return (
        f"set -eu\nmkdir -p {shlex.quote(folder)}\n"
        f"{shlex.quote(sealctl)} static-pod lvscare --path {shlex.quote(folder)} --name {shlex.quote(name)}"
        f" --vip {shlex.quote(f'{vip}:{port}')} --image {shlex.quote(image)} {servers}\n"
    )


def has_lvscare(*, folder: str, name: str, vip: str, image: str, masters: Sequence[str], port: int) -> str:
    """Succeeds when the manifest names the image, the virtual address and every master."""
    path = shlex.quote(f"{folder}/{name}.yaml")
    texts = [image, f"{vip}:{port}", *(f"{m}:{port}" for m in masters)]
    return "".join(f"grep -qF -e {shlex.quote(text)} {path} 2>/dev/null || exit 1\n" for text in texts)
