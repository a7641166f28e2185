"""Names, addresses and users: OpenSSH's deny rules, and one spelling for each machine."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealboot.inventory import hygiene
from sealboot.inventory.hygiene import UnsafeError


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("NAS1.LAN.", "nas1.lan"),
        ("[2001:DB8:0::1]", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("\uff11\uff10.0.0.1", "10.0.0.1"),
        ("db_1.lan", "db_1.lan"),
        ("1and1.example", "1and1.example"),
    ],
)
def test_one_spelling(written: str, normal: str) -> None:
    assert hygiene.address(written) == normal


@pytest.mark.parametrize(
    "odd",
    ["127.1", "0x7f.1", "2130706433", "0x7f000001", "017700000001", "127.0.0.01", "\uff11\uff12\uff17.1"],
)
def test_odd_spellings_of_ipv4_are_refused_with_what_they_mean(odd: str) -> None:
    with pytest.raises(UnsafeError, match="odd spelling") as caught:
        hygiene.address(odd)
    assert "`127.0.0.1`" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-oProxyCommand=id",
        "a b",
        "a;b",
        "a$b",
        "`id`",
        "a|b",
        "a\\b",
        "a'b",
        'a"b',
        "a&b",
        "a<b",
        "(a)",
        "{a}",
        "a\nb",
        "a\x00b",
        "a\x1bb",
        "a\u202eb",
        "a\u200bb",
        "a" * 254,
        "a" * 64 + ".lan",
        "a..b",
        ".a",
        "-",
        "a-.b",
        "a/b",
        "a%b",
        "1.2.3.4.5",
        "999.1.1.1",
        "0.0.0.0",  # noqa: S104 - refused, not bound to
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "ff02::1",
        "[::1]:22",
        "10.0.0.1:22",
        "a:b",
        "fe80::1%e;h",
        "u@a",
        "xn--\u00fc",
        "\u00fc" * 70,
        "[a]",
        "[10.0.0.1]",
        "0x",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UnsafeError, match=r"."):
        hygiene.address(text)


@pytest.mark.parametrize(
    "text", ["", "-l", "a b", "a;b", "$(id)", "a\tb", "a\x00", "`a`", "a\\", "u" * 257, "a\u202e"]
)
def test_what_is_no_user_is_refused(text: str) -> None:
    with pytest.raises(UnsafeError, match=r"."):
        hygiene.user_name(text)


@pytest.mark.parametrize("text", ["root", "ops", "first.last", "CORP\\ops", "ops@corp.example", "müller"])
def test_users(text: str) -> None:
    assert hygiene.user_name(text) == text


@pytest.mark.parametrize(
    "text", ["0", "022", "65536", "1_000", "0x16", "-1", "+22", "22 ", "\u0662", "22:22", ""]
)
def test_ports_are_plain_decimal(text: str) -> None:
    with pytest.raises(UnsafeError):
        hygiene.port(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("gate", (None, "gate", None)),
        ("ops@gate:2222", ("ops", "gate", 2222)),
        ("ops@[::1]:22", ("ops", "::1", 22)),
        ("::1", (None, "::1", None)),
        ("u@d@gate", ("u@d", "gate", None)),
    ],
)
def test_hops(text: str, parts: tuple[str | None, str, int | None]) -> None:
    assert hygiene.hop(text) == parts


@pytest.mark.parametrize("text", ["@gate", "gate:0", "gate:x", "o:p@gate", "-o@gate", "a@-b", "gate:22:22"])
def test_wrong_hops(text: str) -> None:
    with pytest.raises(UnsafeError):
        hygiene.hop(text)


def test_paths_on_hosts() -> None:
    assert hygiene.absolute_path("/usr//local/./bin/") == "/usr/local/bin"
    assert hygiene.absolute_path("/") == "/"
    for wrong in ("usr/bin", "/a/../b", "/a\nb", "", "~/x", "/\x00"):
        with pytest.raises(UnsafeError):
            hygiene.absolute_path(wrong)


@pytest.mark.parametrize(
    "check", [hygiene.address, hygiene.user_name, hygiene.host_name, hygiene.hop, hygiene.port]
)
@given(text=st.text(max_size=300))
def test_nothing_but_unsafe_error_ever_leaves(check: Callable[[str], object], text: str) -> None:
    try:
        check(text)
    except UnsafeError:
        return
    assert text.isprintable()
    assert not text.startswith("-")


@given(st.ip_addresses())
def test_what_is_normal_stays_so(address: object) -> None:
    try:
        normal = hygiene.address(str(address))
    except UnsafeError as error:
        assert "one host" in str(error)  # noqa: PT017 - only some addresses are refused, and only so
        return
    assert hygiene.address(normal) == normal
