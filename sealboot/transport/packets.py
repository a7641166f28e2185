"""SSH data packets sealed with AES-GCM, several to one buffer (RFC 4253 section 6, RFC 5647 section 7).

A packet is its length, then, encrypted together, the length of the padding,
the message and the padding; then the tag. Only the data changes from one
full packet to the next, so everything else is laid out once, the file is read
straight into the gaps, and each packet is encrypted straight into the buffer
that goes to the socket.
"""

from __future__ import annotations

import os
import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: The message that carries data on a channel (RFC 4254 section 5.2).
CHANNEL_DATA = 94
#: Bytes of an AES block, to which GCM packets are padded, and of the tag.
BLOCK = TAG = 16
#: Bytes that precede the data inside a packet: padding length, message number, channel, data length.
HEAD = 10
#: Bytes of the packet's own length, which GCM authenticates and leaves readable.
LENGTH = 4

_MIN_PADDING = 4
_COUNTER = (1 << 64) - 1


def padding(size: int) -> int:
    """Bytes of padding for `size` bytes of data: at least four, and whole blocks in the end."""
    short = -(HEAD + size) % BLOCK
    return short if short >= _MIN_PADDING else short + BLOCK


class _Slot:
    """Where one packet lies: its plain text, the data and padding within, and where it goes sealed."""

    __slots__ = ("data", "length", "pad", "plain", "sealed", "target")

    def __init__(self, plain: memoryview, out: memoryview, channel: int, size: int) -> None:
        pad = padding(size)
        inner = HEAD + size + pad
        self.length = struct.pack(">I", inner)
        plain[:HEAD] = struct.pack(">BBII", pad, CHANNEL_DATA, channel, size)
        out[:LENGTH] = self.length
        self.plain = plain[:inner]
        self.data = plain[HEAD : HEAD + size]
        self.pad = plain[HEAD + size : inner]
        self.target = out[LENGTH : LENGTH + inner + TAG]
        self.sealed = LENGTH + inner + TAG


class Batch:
    """Up to `count` packets with `size` bytes of data each, for one channel; the last may be shorter."""

    def __init__(self, channel: int, size: int, count: int) -> None:
        self.size = size
        self.count = count
        self._channel = channel
        self._stride = HEAD + size + padding(size)
        self._plain = memoryview(bytearray(self._stride * count))
        self._used: list[_Slot] = []
        self._stale = False
        self.renew()

    def renew(self) -> None:
        """Take a new buffer for sealed packets, because the old one is still being sent."""
        self._out = memoryview(bytearray((LENGTH + self._stride + TAG) * self.count))
        self._full = [self._slot(index, self.size) for index in range(self.count)]
        self._stale = False

    def _slot(self, index: int, size: int) -> _Slot:
        width = LENGTH + self._stride + TAG
        plain = self._plain[index * self._stride : (index + 1) * self._stride]
        return _Slot(plain, self._out[index * width : (index + 1) * width], self._channel, size)

    def gaps(self, size: int) -> list[memoryview]:
        """Where to put the next `size` bytes of data, which is at most `self.size * self.count`."""
        if self._stale:
            self._full = [self._slot(index, self.size) for index in range(self.count)]
            self._stale = False
        whole, rest = divmod(size, self.size)
        self._used = self._full[:whole]
        if rest:
            self._used.append(self._slot(whole, rest))
            self._stale = True  # its head now lies over that of a full packet
        return [slot.data for slot in self._used]

    def seal(self, cipher: AESGCM, nonce: bytes) -> tuple[memoryview, int, bytes]:
        """Encrypt what was put into the gaps, the first packet with `nonce`.

        Returns the bytes for the socket (valid until the next call), how many
        packets they are, and the nonce of the packet after them.
        """
        fixed, counter = nonce[:4], int.from_bytes(nonce[4:], "big")
        random, taken, total = os.urandom(BLOCK * 2 * len(self._used)), 0, 0
        for slot in self._used:
            slot.pad[:] = random[taken : taken + len(slot.pad)]
            taken += len(slot.pad)
            cipher.encrypt_into(fixed + counter.to_bytes(8, "big"), slot.plain, slot.length, slot.target)
            counter = (counter + 1) & _COUNTER
            total += slot.sealed
        return self._out[:total], len(self._used), fixed + counter.to_bytes(8, "big")
