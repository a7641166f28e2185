"""The text that goes to the host, and reading what comes back, on the shells of this machine."""

from __future__ import annotations

import subprocess
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requires import shells

from sealboot.model.secret import Secret
from sealboot.transport.shell import LOADER, Framed, new_nonce, prelude, quote

SHELLS = shells()

#: Any bytes but NUL, as text with surrogate escapes: what a path or a token may be.
TEXTS = st.binary(max_size=60).map(lambda b: b.replace(b"\0", b"'").decode("utf-8", "surrogateescape"))


def speak(shell: tuple[str, ...], text: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*shell, "-s"], input=text, capture_output=True, timeout=20, check=False)


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(args=st.lists(TEXTS, max_size=5), value=TEXTS)
def test_any_text_round_trips_as_argument_and_variable(
    shell: tuple[str, ...], args: list[str], value: str
) -> None:
    nonce = new_nonce()
    text = prelude(
        'printf "%s\\n" "$#"; for a in "$@"; do printf "[%s]" "$a"; done; printf "<%s>" "$V"',
        nonce=nonce,
        args=args,
        env={"V": Secret(value)},
        feed="channel",
    )
    done = speak(shell, text)
    framed = Framed(nonce, 1 << 20)
    framed.feed(done.stdout)
    expected = f"{len(args)}\n{''.join(f'[{a}]' for a in args)}<{value}>"
    assert framed.data == expected.encode("utf-8", "surrogateescape")
    assert framed.status == done.returncode == 0


@given(script=TEXTS)
@settings(max_examples=60, deadline=None)
def test_no_script_escapes_its_frame(script: str) -> None:
    """Whatever garbage is run, the end marker comes after it, or the shell itself was replaced."""
    nonce = new_nonce()
    quoted = quote(script)
    done = speak(("sh",), prelude(f"eval {quote(': ' + quoted)}", nonce=nonce, feed="channel"))
    framed = Framed(nonce, 1 << 20)
    framed.feed(done.stdout)
    assert framed.status == 0


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 9", 9),
        ("set -e; false; echo never", 1),
        ("if", 2),
        ("echo ')' ; (", 2),
        ("set -u; echo $NOT_SET", None),
        ("nosuchcommand_x", 127),
        ("unset PATH; trap 'exit 6' EXIT; exit 5", 6),
    ],
)
def test_every_way_to_end_is_reported(shell: tuple[str, ...], script: str, status: int | None) -> None:
    nonce = new_nonce()
    done = speak(shell, prelude(script, nonce=nonce, feed="channel", seconds=100))
    framed = Framed(nonce, 1 << 20)
    framed.feed(done.stdout)
    assert framed.status == done.returncode
    assert framed.status != 0
    if status is not None and not (status == 2 and framed.status == 1):
        assert framed.status == status
    assert b"never" not in framed.data


def test_the_exec_command_is_a_constant_that_every_shell_reads_alike() -> None:
    assert LOADER.startswith("exec /bin/sh -c '")
    assert LOADER.count("'") == 2
    assert not set(LOADER) & set("\\!\n`")


def test_nothing_that_a_shell_cannot_hold_is_sent() -> None:
    with pytest.raises(ValueError, match="NUL"):
        prelude("true", nonce="n", args=("a\0b",))
    with pytest.raises(ValueError, match="not the name"):
        prelude("true", nonce="n", env={"A;rm -rf": "x"})


def test_the_sent_text_never_holds_a_whole_marker() -> None:
    nonce = new_nonce()
    text = prelude("cat", nonce=nonce, args=("x",), feed="channel")
    framed = Framed(nonce, 1 << 20)
    framed.feed(text)
    assert not framed.begun
    assert text.count(nonce.encode()) == 1


@given(
    noise=st.binary(max_size=200),
    said=st.binary(max_size=400),
    status=st.integers(0, 255),
    after=st.binary(max_size=100),
    cuts=st.lists(st.integers(0, 900), max_size=12),
)
@settings(max_examples=200, deadline=None)
def test_framing_does_not_depend_on_how_bytes_arrive(
    noise: bytes, said: bytes, status: int, after: bytes, cuts: list[int]
) -> None:
    nonce = "0123456789abcdef" * 2
    wire = noise + f"\n{nonce}:begin:\n".encode() + said + f"{nonce}:end:{status}\n".encode() + after
    framed = Framed(nonce, 1 << 20)
    edges = [0, *sorted(min(c, len(wire)) for c in cuts), len(wire)]
    for start, end in pairwise(edges):
        framed.feed(wire[start:end])
    assert (framed.data, framed.status, framed.overflow) == (said, status, False)
    assert framed.before == noise + b"\n"


@pytest.mark.parametrize("size", [99, 100, 101, 100_000])
def test_the_limit_is_exact_and_bounds_memory(size: int) -> None:
    nonce = new_nonce()
    framed = Framed(nonce, 100)
    framed.feed(f"\n{nonce}:begin:\n".encode())
    for _ in range(size):
        framed.feed(b"x")
    framed.feed(f"{nonce}:end:0\n".encode())
    assert framed.overflow == (size > 100)
    assert len(framed.data) == min(size, 100)
    assert framed.status == (None if size > 100 else 0)


def test_noise_without_end_is_bounded() -> None:
    framed = Framed(new_nonce(), 1000)
    for _ in range(100):
        framed.feed(b"y\n" * 100)
    assert framed.overflow
    assert len(framed.noise) == 1000
    assert framed.data == b""


def test_another_runs_marker_is_just_text() -> None:
    framed = Framed(new_nonce(), 1000)
    framed.feed(f"\n{new_nonce()}:begin:\nfake\n".encode())
    assert not framed.begun
