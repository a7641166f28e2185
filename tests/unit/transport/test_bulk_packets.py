"""Packets sealed many at a time are the packets that asyncssh makes one by one."""

from __future__ import annotations

import ctypes.util
import hashlib
import os
from pathlib import Path

import pytest
from asyncssh.channel import SSHChannel
from asyncssh.connection import SSHConnection
from asyncssh.encryption import GCMEncryption, get_encryption
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from sealboot.transport import bulk
from sealboot.transport.libraries import from_cache
from sealboot.transport.packets import BLOCK, HEAD, LENGTH, TAG, Batch, padding


@given(st.integers(1, 40000))
def test_a_packet_is_whole_blocks_with_four_bytes_of_padding_or_more(size: int) -> None:
    pad = padding(size)
    assert 4 <= pad < 4 + BLOCK
    assert (HEAD + size + pad) % BLOCK == 0


def _opened(sealed: bytes, key: bytes, nonce: bytes, packets: int) -> list[bytes]:
    """What a receiver makes of it: the payload of each packet, by asyncssh's own decryption."""
    receiver = get_encryption(b"aes128-gcm@openssh.com", key, nonce)
    assert isinstance(receiver, GCMEncryption)
    payloads = []
    for number in range(packets):
        length = int.from_bytes(sealed[:LENGTH], "big")
        body, tag = sealed[LENGTH : LENGTH + length], sealed[LENGTH + length : LENGTH + length + TAG]
        sealed = sealed[LENGTH + length + TAG :]
        plain = receiver.decrypt_packet(number, body[:0] + length.to_bytes(4, "big"), body, 4, tag)
        assert plain is not None
        payloads.append(plain[1 : -plain[0]])
    assert not sealed
    return payloads


@given(
    sizes=st.lists(st.integers(1, 4 * 100), min_size=1, max_size=6),
    start=st.sampled_from([0, 1, (1 << 64) - 2]),
    renewed=st.booleans(),
)
def test_a_receiver_reads_what_was_put_in(sizes: list[int], start: int, renewed: bool) -> None:
    # Batches of all fillings one after the other: a short packet must not spoil the next full one.
    key, nonce = os.urandom(16), b"abcd" + start.to_bytes(8, "big")
    first, batch, wire, sent, packets = nonce, Batch(7, 100, 4), b"", b"", 0
    for size in sizes:
        data = os.urandom(size)
        at = 0
        for gap in batch.gaps(size):
            gap[:] = data[at : at + len(gap)]
            at += len(gap)
        assert at == size
        sealed, count, nonce = batch.seal(AESGCM(key), nonce)
        wire += bytes(sealed)
        sent += data
        packets += count
        if renewed:
            batch.renew()
    got = b""
    for payload in _opened(wire, key, first, packets):
        assert payload[:5] == bytes([94]) + (7).to_bytes(4, "big")
        assert int.from_bytes(payload[5:9], "big") == len(payload) - 9 <= 100
        got += payload[9:]
    assert got == sent
    assert int.from_bytes(nonce[4:], "big") == (start + packets) % (1 << 64)


def test_this_release_of_the_library_is_known() -> None:
    assert bulk.able()


def test_a_library_that_keeps_further_state_is_not_guessed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def send_packet(self: SSHConnection, pkttype: int, *args: bytes) -> None:
        self._send_counter_of_tomorrow = pkttype  # type: ignore[attr-defined]

    monkeypatch.setattr(SSHConnection, "send_packet", send_packet)
    assert not bulk.able()


@pytest.mark.parametrize("name", ["_flush_send_buf", "_process_window_adjust"])
def test_a_library_without_a_name_is_not_guessed_at(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delattr(SSHChannel, name)
    assert not bulk.able()


def test_libraries_are_found_as_the_loader_finds_them(tmp_path: Path) -> None:
    cache = tmp_path / "ld.so.cache"
    cache.write_bytes(
        b"glibc-ld.so.cache1.1\0libone.so.5\0/lib/libone.so.5\0/lib/libtwo.so.1.2\0/lib/libdev.so\0"
    )
    before = ctypes.util.find_library
    with from_cache(cache):
        found = [ctypes.util.find_library(n) for n in ("one", "two", "ne", "dev", "o.e", "gone")]
    assert found == ["libone.so.5", "libtwo.so.1.2", None, None, None, None]
    assert ctypes.util.find_library is before
    with from_cache(tmp_path / "none"):
        assert ctypes.util.find_library is before


def test_a_digest_of_nothing_is_not_mistaken_for_a_batch() -> None:
    batch = Batch(0, 100, 2)
    assert batch.gaps(0) == []
    sealed, packets, nonce = batch.seal(AESGCM(bytes(16)), bytes(12))
    assert (bytes(sealed), packets, nonce) == (b"", 0, bytes(12))
    assert hashlib.sha256(sealed).hexdigest() == hashlib.sha256().hexdigest()
