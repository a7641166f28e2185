"""Names, literals and dialling, without the network."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import pytest
from sshd_kit import HOST, free_port

from sealboot.model.host import SshSettings
from sealboot.transport.dial import Gates, dial
from sealboot.transport.endpoint import Endpoint
from sealboot.transport.errors import Failure
from sealboot.transport.resolve import Address, AddressInfo, NoAddress, Resolver, hostname, literal


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", Address(socket.AF_INET, ("10.0.0.1", 22))),
        ("::1", Address(socket.AF_INET6, ("::1", 22, 0, 0))),
        ("[::1]", Address(socket.AF_INET6, ("::1", 22, 0, 0))),
        ("FE80::1%lo", Address(socket.AF_INET6, ("fe80::1", 22, 0, 1))),
        ("fe80::1%7", Address(socket.AF_INET6, ("fe80::1", 22, 0, 7))),
        ("127.1", None),
        ("010.0.0.1", None),
        ("0x7f000001", None),
        ("2130706433", None),
        ("host", None),
    ],
)
def test_literals(text: str, expected: Address | None) -> None:
    assert literal(text, 22) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pi01", "pi01"),
        ("a_b.example.", "a_b.example."),
        ("büro.example", "xn--bro-hoa.example"),
        ("-x", None),
        ("x-", None),
        ("a..b", None),
        ("", None),
        ("a b", None),
        ("a/b", None),
        ("x" * 64, None),
        (("x" * 60 + ".") * 5, None),
        ("10.0.0.256", None),
        ("10.0x7f", None),
        ("\ud800", None),
        ("ü" * 300, None),
    ],
)
def test_host_names(text: str, expected: str | None) -> None:
    found = hostname(text)
    assert found == expected if expected else isinstance(found, NoAddress)


async def test_a_name_is_looked_up_once_and_a_literal_never() -> None:
    asked: list[str] = []

    def lookup(name: str, port: int) -> Sequence[AddressInfo]:
        asked.append(name)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.9", port))] * 2

    resolver = Resolver(lookup=lookup)
    both = await asyncio.gather(resolver.resolve("h", 22), resolver.resolve("h", 22))
    for found in both:
        assert found == (Address(socket.AF_INET, ("10.0.0.9", 22)),)
    assert await resolver.resolve("10.0.0.1", 22) == (Address(socket.AF_INET, ("10.0.0.1", 22)),)
    assert asked == ["h"]


@pytest.mark.parametrize(
    "error", [UnicodeError("label too long"), ValueError("embedded null"), OSError(5, "I/O")]
)
async def test_whatever_a_resolver_raises_is_a_reason(error: Exception) -> None:
    def lookup(name: str, port: int) -> Sequence[AddressInfo]:
        raise error

    found = await Resolver(lookup=lookup).resolve("h", 22)
    assert isinstance(found, NoAddress)
    assert found.reason


async def test_no_address_at_all() -> None:
    found = await Resolver(lookup=lambda *_: []).resolve("h", 22)
    assert isinstance(found, NoAddress)


async def test_the_second_address_is_tried() -> None:
    endpoint = Endpoint("n1", "h", 22, "root", SshSettings())
    with socket.socket() as server:
        server.bind((HOST, 0))
        server.listen()
        port = server.getsockname()[1]
        addresses = [Address(socket.AF_INET, (HOST, free_port())), Address(socket.AF_INET, (HOST, port))]
        found = await dial(endpoint, addresses, asyncio.get_running_loop().time() + 5)
        assert isinstance(found, socket.socket)
        found.close()


async def test_no_time_left_is_a_timeout() -> None:
    endpoint = Endpoint("n1", "h", 22, "root", SshSettings())
    found = await dial(endpoint, [], asyncio.get_running_loop().time())
    assert isinstance(found, Failure)
    assert "did not answer" in found.summary


async def test_a_gate_belongs_to_one_place() -> None:
    gates = Gates(1)
    async with gates.at("a", 22):
        assert gates.at("a", 22).locked()
        assert not gates.at("a", 23).locked()
