"""A tar stream, member by member, from its 512-byte headers. Nothing is ever written anywhere.

The formats are POSIX.1-1988 (ustar), POSIX.1-2001 (pax) and GNU's long names.
A general library reads a long-name or pax record of any size before it shows
the first name: a gigabyte of memory for a header of 512 bytes. This walk
bounds what it keeps, takes sizes for what they are, and leaves the meaning of
names to its callers.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from sealboot.artifacts.compress import StreamError

BLOCK = 512
#: Bytes of one pax or GNU long-name record that are accepted; PATH_MAX is 4096.
MAX_RECORD = 64 << 10
#: Members walked over. The largest root file system seen has some 30,000, an image archive hundreds.
MAX_MEMBERS = 100_000
#: No file of a real archive is larger (the whole stream is bounded more tightly).
MAX_SIZE = 1 << 40

_NAME, _MODE, _SIZE, _CHECKSUM, _TYPE, _LINK, _MAGIC, _PREFIX = 0, 100, 124, 148, 156, 157, 257, 345
_ZERO = bytes(BLOCK)
_SPARSE = b"S"  # GNU: the content is a list of holes, and further headers may follow


class Shape(StrEnum):
    """What a member is, as far as reading goes."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"  # symbolic: `target` is relative to the member's folder
    HARD_LINK = "hard link"  # `target` is a name in the archive
    OTHER = "other"


_SHAPES = {
    b"0": Shape.FILE,
    b"\0": Shape.FILE,
    b"7": Shape.FILE,
    b"5": Shape.FOLDER,
    b"2": Shape.LINK,
    b"1": Shape.HARD_LINK,
}


@dataclass(frozen=True, slots=True)
class Member:
    """One member: its name with `./`, `//` and `..` resolved, as archive readers compare it.

    A name that leads out of the archive keeps its leading `..`. `offset` is
    where the header stands in the uncompressed stream.
    """

    name: str
    shape: Shape
    size: int
    target: str
    offset: int
    mode: int = 0  # permission bits, as the header has them


class TarWalk:
    """The members of a tar stream, in order. Iterate; `body` gives the bytes of the current one.

    Raises `StreamError` where the stream is no tar, ends too early or breaks a
    bound.
    """

    def __init__(self, pieces: Iterator[bytes], limit: int = MAX_MEMBERS) -> None:
        self._pieces = pieces
        self._piece = b""
        self._at = 0
        self._offset = 0
        self._limit = limit
        self._left = 0  # bytes of the current member's content, padding excluded
        self._padding = 0
        self._headers = 0
        self.count = 0

    def __iter__(self) -> Iterator[Member]:
        extra: dict[str, str] = {}
        while (header := self._next_header()) is not None:
            kind = header[_TYPE : _TYPE + 1]
            size = _number(header, _SIZE, 12)
            self._open(size)
            if kind == _SPARSE:
                raise StreamError("a sparse file in a tar archive")
            self._headers += 1
            if self._headers > 3 * self._limit:
                raise StreamError("a tar archive with more records about members than members", excess=True)
            if kind in _RECORDS:
                _RECORDS[kind](self._record(kind), extra)
                continue
            self.count += 1
            if self.count > self._limit:
                raise StreamError(f"a tar archive of more than {self._limit} members", excess=True)
            yield self._member(header, kind, size, extra)
            extra = {}
        if extra:
            raise StreamError("the tar archive ends behind a header that describes the next member")
        self._drain()

    def body(self) -> Iterator[bytes]:
        """The content of the current member; what is not read is passed over."""
        while self._left:
            yield self._some()

    def head(self, length: int) -> bytes:
        """The first bytes of the current member, without consuming them; at most `length`, at most 4096."""
        wanted = min(length, self._left, 4096)
        while len(self._piece) - self._at < wanted:
            more = next(self._pieces, b"")
            if not more:
                raise StreamError("the tar archive ends inside a member")
            self._piece, self._at = self._piece[self._at :] + more, 0
        return self._piece[self._at : self._at + wanted]

    def _member(self, header: bytes, kind: bytes, size: int, extra: dict[str, str]) -> Member:
        offset = self._offset - BLOCK
        shape = _SHAPES.get(kind, Shape.OTHER)
        name = extra.get("path", "") or _header_name(header)
        if shape is Shape.FILE and name.endswith("/"):  # before POSIX.1-1988, folders were written so
            shape = Shape.FOLDER
        if "size" in extra:
            size = _pax_size(extra["size"])
        if shape in {Shape.LINK, Shape.HARD_LINK, Shape.FOLDER}:  # they have no content, whatever they say
            size = 0
        self._open(size)
        target = extra.get("linkpath", "") or _text(header[_LINK : _LINK + 100])
        return Member(_clean(name), shape, size, target, offset, _number(header, _MODE, 8) & 0o7777)

    def _open(self, size: int) -> None:
        if not 0 <= size <= MAX_SIZE:
            raise StreamError(f"a tar member of {size} bytes")
        self._left = size
        self._padding = -size % BLOCK

    def _record(self, kind: bytes) -> bytes:
        if self._left > MAX_RECORD:
            raise StreamError(
                f"a tar header record ({kind.decode('ascii')}) of {self._left} bytes; at most {MAX_RECORD} are read",
                excess=True,
            )
        return b"".join(self.body())

    def _next_header(self) -> bytes | None:
        """The next header block; `None` at the end, which one block of zeros or the stream's end marks."""
        while self._left:
            self._some()
        self._exactly(self._padding)
        self._padding = 0
        block = self._exactly(BLOCK, may_end=True)
        if not block or block == _ZERO:
            return None
        _verify(block, self._offset - BLOCK)
        return block

    def _some(self) -> bytes:
        """Some of the current member's content, at least one byte."""
        if self._at == len(self._piece):
            self._piece, self._at = next(self._pieces, b""), 0
            if not self._piece:
                raise StreamError("the tar archive ends inside a member")
        end = min(len(self._piece), self._at + self._left)
        part = self._piece if self._at == 0 and end == len(self._piece) else self._piece[self._at : end]
        self._at = end
        self._left -= len(part)
        self._offset += len(part)
        return part

    def _exactly(self, count: int, *, may_end: bool = False) -> bytes:
        while len(self._piece) - self._at < count:
            more = next(self._pieces, b"")
            if not more:
                if may_end and self._at == len(self._piece):
                    return b""
                raise StreamError("the tar archive ends too early")
            self._piece, self._at = self._piece[self._at :] + more, 0
        part = self._piece[self._at : self._at + count]
        self._at += count
        self._offset += count
        return part

    def _drain(self) -> None:
        """To the end of the stream, so that what follows the archive is inflated and hashed as well."""
        self._piece, self._at = b"", 0
        for piece in self._pieces:
            self._offset += len(piece)


def _verify(block: bytes, offset: int) -> None:
    """The header's checksum: the sum of its bytes with the checksum itself as spaces, signed or not."""
    stored = _number(block, _CHECKSUM, 8)
    summed = block[:_CHECKSUM] + b" " * 8 + block[_CHECKSUM + 8 :]
    unsigned = sum(summed)
    if stored != unsigned and stored != unsigned - 256 * sum(byte > 127 for byte in summed):
        raise StreamError(f"no tar header at offset {offset} of the inflated stream")


def _number(block: bytes, at: int, length: int) -> int:
    """An octal number, or GNU's base-256 one, which may be negative."""
    field = block[at : at + length]
    if field[0] in {0x80, 0xFF}:
        value = int.from_bytes(field[1:], "big")
        return value if field[0] == 0x80 else value - (1 << 8 * (length - 1))
    digits = field.strip(b" \0").split(b"\0")[0].strip()
    if not digits:
        return 0
    if not all(byte in b"01234567" for byte in digits):
        raise StreamError("a tar header with a number that is none")
    return int(digits, 8)


def _pax_size(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise StreamError("a pax header with a size that is none")
    return int(text)


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def _header_name(header: bytes) -> str:
    name = _text(header[_NAME : _NAME + 100])
    if header[_MAGIC : _MAGIC + 6] != b"ustar\0":  # GNU's older format keeps other things there
        return name
    prefix = _text(header[_PREFIX : _PREFIX + 155])
    return f"{prefix}/{name}" if prefix else name


def _clean(name: str) -> str:
    """`./a//b/../c` becomes `a/c`; a leading slash goes, a leading `..` stays."""
    return posixpath.normpath(name.lstrip("/") or ".")


def _pax(record: bytes, extra: dict[str, str]) -> None:
    """Lines of `length key=value`; only what says where and how large a member is counts."""
    at = 0
    while at < len(record):
        space = record.find(b" ", at, at + 8)
        digits = record[at:space] if space > 0 else b""
        length = int(digits) if digits.isdigit() else 0
        entry = record[at : at + length]
        if length < 5 or len(entry) < length or not entry.endswith(b"\n"):
            raise StreamError("a damaged pax header")
        key, equals, value = entry[len(digits) + 1 : -1].partition(b"=")
        if not equals:
            raise StreamError("a damaged pax header")
        if key in {b"path", b"linkpath", b"size"}:
            extra[key.decode("ascii")] = value.decode("utf-8", "backslashreplace")
        if key.startswith(b"GNU.sparse"):
            raise StreamError("a sparse file in a tar archive")
        at += length


def _global(record: bytes, _extra: dict[str, str]) -> None:
    """A global header may carry comments (`git archive`); one that renames what follows is refused."""
    found: dict[str, str] = {}
    _pax(record, found)
    if found:
        raise StreamError("a global pax header that changes names or sizes")


def _long_name(record: bytes, extra: dict[str, str]) -> None:
    extra["path"] = _text(record)


def _long_link(record: bytes, extra: dict[str, str]) -> None:
    extra["linkpath"] = _text(record)


_RECORDS: dict[bytes, Callable[[bytes, dict[str, str]], None]] = {
    b"x": _pax,
    b"g": _global,
    b"L": _long_name,
    b"K": _long_link,
}
