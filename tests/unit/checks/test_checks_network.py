"""What a host tells of its network: the scripts run on this machine's tables, the findings are made of answers."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from requires import shells
from test_checks import FACTS, HOST, SPACE

from sealboot.checks import run_all
from sealboot.checks.ports import Port, question, taken_ports
from sealboot.checks.route import QUESTION, no_default_route
from sealboot.drivers.base import Wants

SHELLS = shells("dash", "busybox")
PORTS: tuple[Port, ...] = (("tcp", 6443), ("udp", 8472))


def ask(shell: Sequence[str], script: str) -> str:
    done = subprocess.run([*shell, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_listeners_are_read_from_the_kernels_tables(shell: list[str]) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as four,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket() as bound,
    ):
        udp.bind(("127.0.0.1", 0))
        bound.bind(("127.0.0.1", 0))
        names = [int(x.getsockname()[1]) for x in (four, six, udp, bound)]
        asked: list[Port] = [("tcp", n) for n in names] + [("udp", n) for n in names]
        told = set(ask(shell, question(asked)).splitlines())
        expected = {f"tcp {names[0]}", f"tcp {names[1]}", f"udp {names[2]}"}
        assert expected <= told
        assert f"tcp {names[3]}" not in told


def test_sb311_names_the_ports_that_are_taken() -> None:
    facts = replace(FACTS, observed={"ports": "tcp 22\ntcp 6443\nudp 8472\nnonsense\n"})
    (found,) = taken_ports(HOST, facts, PORTS)
    assert (found.code, found.host) == ("SB311", "pi01")
    assert found.evidence == (("taken", "TCP 6443, UDP 8472"),)
    assert taken_ports(HOST, replace(FACTS, observed={"ports": "udp 6443\n"}), PORTS) == ()
    assert taken_ports(HOST, FACTS, PORTS) == ()


ROUTES = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
VIA = "eth0 00000000 0102000A 0003 0 0 0 00000000 0 0 0\n"
LAN = "eth0 0002000A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n"
HALF = "tun0 00000000 00000000 0001 0 0 0 00000080 0 0 0\n"
ZERO = "0" * 32
REJECTS = f"{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200 lo\n"
VIA6 = f"{ZERO} 00 {ZERO} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("four", "six", "told"),
    [
        (ROUTES + LAN + VIA, REJECTS, "yes\n"),
        (ROUTES + LAN + HALF, REJECTS, "no\n"),
        (ROUTES, VIA6 + REJECTS, "yes\n"),
        (ROUTES, None, "no\n"),
        (None, None, ""),
    ],
)
def test_default_routes_of_both_families(
    shell: list[str], four: str | None, six: str | None, told: str, tmp_path: Path
) -> None:
    script = QUESTION
    for name, text in (("route", four), ("ipv6_route", six)):
        script = script.replace(f"/proc/net/{name}", str(tmp_path / name))
        if text is not None:
            (tmp_path / name).write_text(text)
    assert ask(shell, script) == told


def test_sb312_where_there_is_no_default_route() -> None:
    (found,) = no_default_route(HOST, replace(FACTS, observed={"route": "no\n"}))
    assert (found.code, found.severity.value) == ("SB312", "error")
    assert no_default_route(HOST, replace(FACTS, observed={"route": "yes\n"})) == ()
    assert no_default_route(HOST, FACTS) == ()


@pytest.mark.parametrize(("programs", "severity"), [((), "warning"), (("/var/lib/x",), "error")])
def test_sb302_is_an_error_where_the_distribution_runs_what_it_unpacks(
    programs: tuple[str, ...], severity: str
) -> None:
    place = replace(SPACE, path="/var/lib/x", options=frozenset({"rw", "noexec"}))
    facts = {HOST.name: replace(FACTS, spaces=(place,))}
    wants = {HOST.name: Wants(directories=("/var/lib/x",), programs=programs)}
    (found,) = run_all([HOST], facts, chosen={}, wants=wants, loads={})
    assert (found.code, found.severity.value) == ("SB302", severity)
