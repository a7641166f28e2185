from __future__ import annotations

import io
import tarfile
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_kit import tar

from sealboot.artifacts.compress import StreamError
from sealboot.artifacts.tarwalk import MAX_RECORD, Shape, TarWalk

STYLES = [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def walk(data: bytes, size: int = 1000, limit: int = 1000) -> list[tuple[str, bytes]]:
    tar_ = TarWalk(cut(data, size), limit)
    return [(m.name, b"".join(tar_.body())) for m in tar_ if m.shape is Shape.FILE]


def header(name: str, size: bytes, kind: bytes = b"0") -> bytes:
    """One header with these very bytes as its size, and a right checksum."""
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = size.ljust(12, b"\0")
    block[156:157] = kind
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("size", [1, 511, 512, 4000])
def test_names_and_contents(style: int, size: int) -> None:
    members = [("a", b""), ("b/c", b"x" * 511), ("d" * 90 + "/" + "e" * 90, b"y" * 513), ("last", b"z")]
    if style != tarfile.USTAR_FORMAT:
        members.append(("é" + "f" * 300, b"long"))
    assert walk(tar(members, style=style), size) == members


def test_heads_do_not_consume() -> None:
    members = TarWalk(cut(tar([("a", b"0123456789" * 100)]), 300))
    for _ in members:
        assert members.head(64) == (b"0123456789" * 100)[:64]
        assert members.head(5000) == b"0123456789" * 100
        assert b"".join(members.body()) == b"0123456789" * 100


def test_names_are_cleaned() -> None:
    data = tar([("./a", b"1"), ("/b", b"2"), ("c/../d", b"3"), ("../../etc/shadow", b"4"), ("e//f", b"5")])
    assert [name for name, _ in walk(data)] == ["a", "b", "d", "../../etc/shadow", "e/f"]


def test_links_have_no_content_whatever_they_say() -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for kind, name in ((tarfile.SYMTYPE, "soft"), (tarfile.LNKTYPE, "hard"), (tarfile.DIRTYPE, "dir")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/shadow"
            archive.addfile(info)
    found = list(TarWalk(cut(made.getvalue(), 512)))
    assert [m.shape for m in found] == [Shape.LINK, Shape.HARD_LINK, Shape.FOLDER]
    assert walk(header("soft", b"00000010000", b"2") + tar([("a", b"x")])) == [("a", b"x")]


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_a_huge_record_is_refused_unread(kind: bytes) -> None:
    """A general library takes a gigabyte of memory for this header of 512 bytes."""
    tracemalloc.start()
    with pytest.raises(StreamError, match="at most 65536 are read") as caught:
        walk(header("x", b"%011o" % (1 << 30), kind) + bytes(1 << 20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.excess
    assert peak < 4 << 20
    assert MAX_RECORD == 65536


@pytest.mark.parametrize(
    ("size", "why"),
    [
        (b"\xff" * 12, "a tar member of -1 bytes"),
        (b"\xff" * 11 + b"\xf0", "a tar member of -16 bytes"),
        (b"\x80" + b"\xff" * 11, "a tar member of "),
        (b"-0000000020", "a number that is none"),
        (b"9", "a number that is none"),
        (b"\xc3", "a number that is none"),
    ],
)
def test_sizes_that_are_none(size: bytes, why: str) -> None:
    with pytest.raises(StreamError, match=why):
        walk(header("x", size) + bytes(2048))


def test_base_256_sizes_are_read() -> None:
    assert walk(header("x", b"\x80" + (5).to_bytes(11, "big")) + b"hello".ljust(512, b"\0")) == [
        ("x", b"hello")
    ]


@pytest.mark.parametrize(
    "record",
    [
        b"5 a=\n6",
        b"9999999 path=x\n",
        b"0 path=x\n",
        b"x path=y\n",
        b"12 path!abcd\n",
        b"-3 a=b\n",
        b"7 size\n",
    ],
)
def test_damaged_pax_records(record: bytes) -> None:
    data = header("x", b"%011o" % len(record), b"x") + record.ljust(512, b"\0") + tar([("a", b"")])
    with pytest.raises(StreamError, match="damaged pax header"):
        walk(data)


def test_pax_that_changes_what_matters() -> None:
    def with_record(kind: bytes, record: bytes, rest: bytes) -> bytes:
        whole = b"%d %s\n" % (len(record) + 4, record)
        return header("x", b"%011o" % len(whole), kind) + whole.ljust(512, b"\0") + rest

    rest = header("short", b"3") + b"abc".ljust(512, b"\0")
    assert walk(with_record(b"x", b"path=renamed.x", rest)) == [("renamed.x", b"abc")]
    assert walk(with_record(b"g", b"comment=a commit", rest)) == [("short", b"abc")]
    with pytest.raises(StreamError, match="global pax header"):
        walk(with_record(b"g", b"path=renamed.x", rest))
    with pytest.raises(StreamError, match="sparse"):
        walk(with_record(b"x", b"GNU.sparse.map=0,1", rest))
    with pytest.raises(StreamError, match="a size that is none"):
        walk(with_record(b"x", b"size=-16 ", rest))
    with pytest.raises(StreamError, match="describes the next member"):
        walk(with_record(b"x", b"path=renamed.x", b""))
    with pytest.raises(StreamError, match="sparse"):
        walk(header("x", b"0", b"S"))


def test_too_many_members() -> None:
    data = tar([(str(n), b"") for n in range(101)])
    assert len(walk(data, limit=101)) == 101
    with pytest.raises(StreamError, match="more than 100 members") as caught:
        walk(data, limit=100)
    assert caught.value.excess
    record = header("x", b"7", b"x") + b"7 a=bc\n".ljust(512, b"\0")
    with pytest.raises(StreamError, match="more records about members"):
        walk(record * 400, limit=100)


def test_every_cut_inside_is_noticed() -> None:
    data = tar([("a", b"x" * 700), ("b", b"y" * 100)])
    for end in (100, 512, 600, 1700, 2048):
        with pytest.raises(StreamError, match="ends"):
            walk(data[:end])
    assert walk(data[:1536]) == [("a", b"x" * 700)]  # between two members a stream may end
    with pytest.raises(StreamError, match="no tar header at offset 1536"):
        walk(data[:1536] + b"B" + data[1537:])
    with pytest.raises(StreamError, match="a number that is none"):
        walk(data[:1536] + b"j" * 512)


@settings(max_examples=200, deadline=None)
@given(
    flips=st.lists(st.tuples(st.integers(0, 5119), st.integers(0, 255)), max_size=5),
    size=st.integers(1, 3000),
    fix=st.booleans(),
)
def test_damage_never_escapes_the_walk(flips: list[tuple[int, int]], size: int, fix: bool) -> None:
    data = bytearray(tar([("n" * 150, b"x" * 700), ("b", b"y")]))
    for at, value in flips:
        data[at % len(data)] = value
    if fix:  # so that what was changed is read, not the checksum
        data[148:156] = b" " * 8
        data[148:156] = b"%06o\0 " % sum(data[:512])
    with suppress(StreamError):
        assert sum(len(content) for _, content in walk(bytes(data), size)) <= len(data)
