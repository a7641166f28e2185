"""The frames of a zstd stream, walked as their bytes pass: windows, and whether the last one is whole.

The library inflates; it neither tells the windows of later frames nor that a
frame was cut off. Both stand in headers that say how long each block is
(RFC 8878, section 3.1), so no byte between them needs looking at.
"""

from __future__ import annotations

_MAGIC = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = b"\x2a\x4d\x18"  # after a first byte of 0x50 to 0x5f
_CONTENT_SIZES = (0, 2, 4, 8)
_DICTIONARY_SIZES = (0, 1, 2, 4)
_BLOCK_MAX = 1 << 17
_RLE, _RESERVED = 1, 3
_LONGEST_HEADER = 18


class Frames:
    """What the headers of a zstd stream said. Fed in any pieces; never raises.

    `largest_window` is in bytes; `count` and `skippable` are frames begun.
    `broken` says what is no zstd data; the walk stops there.
    """

    def __init__(self) -> None:
        self.largest_window = 0
        self.count = 0
        self.skippable = 0
        self.broken = ""
        self._pending = b""
        self._skip = 0
        self._in_frame = False
        self._checksum = False

    @property
    def whole(self) -> bool:
        """Whether the stream, as far as it came, ends with the end of a frame."""
        ended = not self._in_frame and not self._pending and self._skip == 0
        return ended and not self.broken and self.count + self.skippable > 0

    def feed(self, data: bytes) -> None:
        """The next bytes of the stream."""
        if self.broken:
            return
        at = 0
        if self._pending:
            data, self._pending = self._pending + data, b""
        while not self.broken:
            jump = min(self._skip, len(data) - at)
            self._skip -= jump
            at += jump
            if at == len(data):
                return
            used = self._block(data, at) if self._in_frame else self._frame(data, at)
            if used == 0:
                self._pending = data[at:]
                return
            at += used

    def _block(self, data: bytes, at: int) -> int:
        """A block header: three bytes that say how many follow."""
        if len(data) - at < 3:
            return 0
        header = int.from_bytes(data[at : at + 3], "little")
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        if kind == _RESERVED or size > _BLOCK_MAX:
            self.broken = "a block of no known type"
            return 0
        self._skip = 1 if kind == _RLE else size
        if last:
            self._in_frame = False
            self._skip += 4 if self._checksum else 0
        return 3

    def _frame(self, data: bytes, at: int) -> int:
        """A frame header, or a skippable frame's."""
        head = data[at : at + _LONGEST_HEADER]
        if len(head) < 8:
            return self._short(head)
        if head[1:4] == _SKIPPABLE and head[0] & 0xF0 == 0x50:
            self.skippable += 1
            self._skip = int.from_bytes(head[4:8], "little")
            return 8
        if head[:4] != _MAGIC:
            self.broken = "no frame where one should begin"
            return 0
        return self._frame_header(head)

    def _short(self, head: bytes) -> int:
        """Fewer bytes than a skippable frame's header: the shortest whole frame has nine."""
        starts_well = _MAGIC.startswith(head[:4]) or (head[0] & 0xF0 == 0x50)
        if not starts_well:
            self.broken = "no frame where one should begin"
        return 0

    def _frame_header(self, head: bytes) -> int:
        descriptor = head[4]
        single = bool(descriptor & 0x20)
        content = _CONTENT_SIZES[descriptor >> 6] or (1 if single else 0)
        dictionary = _DICTIONARY_SIZES[descriptor & 3]
        length = 5 + (0 if single else 1) + dictionary + content
        if len(head) < length:
            return 0
        if single:
            size = int.from_bytes(head[length - content : length], "little")
            window = size + (256 if content == 2 else 0)
        else:
            base = 1 << (10 + (head[5] >> 3))
            window = base + (base >> 3) * (head[5] & 7)
        self.count += 1
        self.largest_window = max(self.largest_window, window)
        self._in_frame = True
        self._checksum = bool(descriptor & 0x04)
        return length
