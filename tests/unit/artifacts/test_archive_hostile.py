"""Archives made to exhaust or mislead whoever opens them: each ends with a finding, within bounds."""

from __future__ import annotations

import gzip
import io
import json
import resource
import tarfile
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_kit import COMPRESSIONS, Archive, as_json, image, read, sha256, tar, told, zst

from sealboot.artifacts.archive import read_archive
from sealboot.artifacts.blobs import MAX_DOCUMENT, MAX_FILES
from sealboot.artifacts.compress import Limits
from sealboot.model.artifact import Kind

AMD = "linux/amd64"
#: Generous: the machine may be busy. Each case would take minutes, or gigabytes, unbounded.
SECONDS = 20.0
MEMORY = 64 << 20


@contextmanager
def bounded() -> Iterator[None]:
    """Processor time and memory of what is done inside, against the bounds above."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    tracemalloc.start()
    try:
        yield
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MEMORY
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < SECONDS


class Repeated:
    """A file of one prefix and then one block again and again, terabytes of it if need be."""

    def __init__(self, prefix: bytes, block: bytes, size: int) -> None:
        self._prefix, self._block, self.size = prefix, block, size
        self.read = 0

    def at(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.size - offset))
        self.read += length
        head = self._prefix[offset : offset + length]
        rest = length - len(head)
        start = max(0, offset - len(self._prefix)) % len(self._block)
        return head + (self._block * (rest // len(self._block) + 2))[start : start + rest]


def test_a_gzip_bomb() -> None:
    """The bound of the ratio ends it, a thousandth of the way."""
    packed = gzip.compress(tar([("zeros", bytes(200 << 20))]), 9)
    with bounded():
        found = read(packed)
    assert (told(found), found.sha256) == ([("SB409", "error")], sha256(packed))
    assert "more than 200 times its size" in found.diagnostics[0].summary


def test_a_zstd_bomb_inside_an_archive() -> None:
    inner = zst(tar([("zeros", bytes(150 << 20))]))
    with bounded():
        found = read(tar([("bin/x", b"x"), ("cri/bomb.tar.zst", inner)]))
    assert told(found) == [("SB409", "error")]


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("name", ["manifest.json", "index.json", "oci-layout"])
def test_a_document_of_gigabytes_is_never_kept(name: str) -> None:
    with bounded():
        prefix = header(name, 1 << 28) + b"["
        source = Repeated(prefix, bytes(4096), 512 + (1 << 28) + 1024)
        found = read_archive(source, Kind.TAR, "images")
    assert f"{name} has {1 << 28} bytes; at most {MAX_DOCUMENT} are read" in found.diagnostics[0].summary
    assert found.platforms == ()


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_record_of_a_gigabyte(kind: bytes) -> None:
    """The file is hashed to its end; nothing of the record is kept."""
    with bounded():
        source = Repeated(header("x", 1 << 28, kind), b"A" * 4096, 512 + (1 << 28))
        found = read_archive(source, Kind.TAR, "images")
    assert told(found) == [("SB409", "error")]
    assert source.read == source.size


def test_very_many_empty_members() -> None:
    with bounded():
        found = read_archive(Repeated(b"", header("a", 0), 300_000 * 512), Kind.TAR, "images")
    assert told(found) == [("SB409", "error")]
    assert "more than 100000 members" in found.diagnostics[0].summary


def test_more_files_than_an_image_archive_can_have() -> None:
    made = image(AMD).members()
    with bounded():
        found = read(tar([(f"f{n}", b"") for n in range(MAX_FILES + 1)] + made, style=tarfile.USTAR_FORMAT))
    assert ("SB404", "error") in told(found)
    assert "more files than an image archive can have" in found.diagnostics[0].summary


def test_documents_that_are_deep_or_odd() -> None:
    for text in (
        b"[" * 100_000,
        b'{"manifests":' * 50_000,
        b'{"manifests":[1' + b"0" * 10_000 + b"]}",
        b"\xff\xfe{",
        b'{"manifests": "x"}',
        b'{"manifests": [null, 1, "x", [], {}, {"digest": 5}, {"digest": "sha256:../../etc/passwd"}]}',
        b"null",
        b"",
    ):
        found = read(tar([("oci-layout", b"{}"), ("index.json", text)]))
        assert ("SB404", "error") in told(found)
        assert found.platforms == ()
    for entries in (
        [{"Config": 1}],
        [{"Config": "x", "Layers": "y"}],
        [None, {"Config": None, "RepoTags": 5}],
    ):
        found = read(tar([("manifest.json", as_json(entries))]))
        assert ("SB404", "error") in told(found)


def test_indexes_within_indexes() -> None:
    """Twenty deep; and a hundred times a hundred manifests a hundred times, which all are one blob."""
    deep = Archive()
    child = deep.manifest(AMD)
    for _ in range(20):
        child = deep.index(child)
    deep.top.append(child)
    assert "nested too deeply" in read(deep.tar()).diagnostics[0].summary
    wide = Archive()
    child = wide.manifest(AMD)
    for _ in range(4):
        child = wide.index(*[child] * 100)
    wide.top.append(child)
    start = time.process_time()
    found = read(wide.tar())
    assert time.process_time() - start < SECONDS
    assert "too many manifests" in found.diagnostics[0].summary


def test_links_lead_nowhere() -> None:
    """Loops, and links out of the archive: an absent file, as any other."""
    for target in ("manifest.json", "../../../../etc/shadow", "/etc/shadow", "b"):
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as archive:
            for name, to in (("manifest.json", target), ("b", "c"), ("c", "b")):
                link = tarfile.TarInfo(name)
                link.type, link.linkname = tarfile.SYMTYPE, to
                archive.addfile(link)
            config = tarfile.TarInfo("oci-layout")
            archive.addfile(config)
        assert ("SB404", "error") in told(read(made.getvalue()))


def test_a_cut_archive_has_no_platform() -> None:
    data = zst(image(AMD).tar() + bytes(100_000))
    found = read(data[:-3])
    assert (found.platforms, told(found), found.sha256) == ((), [("SB401", "error")], sha256(data[:-3]))


def test_time_is_bounded_too() -> None:
    found = read(image(AMD).tar(), Limits(seconds=-1.0))
    assert (found.platforms, told(found)) == ((), [("SB409", "error")])


FORMS: list[bytes] = [image(AMD, "linux/arm64", form="both").tar(), image(AMD, form="docker").tar()]


@settings(max_examples=150, deadline=None)
@given(
    data=st.sampled_from(FORMS),
    pack=st.sampled_from(sorted(COMPRESSIONS)),
    flips=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=6),
    end=st.integers(0, 1 << 20),
)
def test_damaged_archives_never_raise(data: bytes, pack: str, flips: list[tuple[int, int]], end: int) -> None:
    packed = bytearray(COMPRESSIONS[pack](data))
    for at, value in flips:
        packed[at % len(packed)] = value
    cut = bytes(packed[: end % (2 * len(packed)) + 600])
    found = read(cut)
    assert found.sha256 == sha256(cut)


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["sha256:" + "a" * 64]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "manifests",
                    "config",
                    "layers",
                    "digest",
                    "size",
                    "platform",
                    "os",
                    "architecture",
                    "annotations",
                    "Config",
                    "Layers",
                    "RepoTags",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=30,
)


@settings(max_examples=200, deadline=None)
@given(index=JSON, manifest=JSON, blob=JSON, wrap=st.booleans())
def test_any_documents_never_raise(index: Any, manifest: Any, blob: Any, wrap: bool) -> None:
    inner = json.dumps(blob).encode()
    pointing = {"manifests": [{"digest": f"sha256:{sha256(inner)}", "size": len(inner)}, index]}
    found = read(
        tar(
            [
                (
                    "manifest.json",
                    json.dumps([manifest, {"Config": manifest}] if wrap else manifest).encode(),
                ),
                ("index.json", json.dumps(pointing if wrap else index).encode()),
                (f"blobs/sha256/{sha256(inner)}", inner),
            ]
        )
    )
    assert found.platforms == ()
