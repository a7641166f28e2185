"""Parsers of files that operators download: programs, payloads, boot images, archives."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import posixpath
import struct
import tarfile
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

import boot_kit
import image_kit
import payload_kit
from elf_corpus import dynamic, kernel_samples, samples
from fit_kit import facts_of
from fuzz_target import Target, as_file, memory_file, shown, still, told

from sealboot.artifacts import zipend
from sealboot.artifacts.archive import read_archive
from sealboot.artifacts.boot import read_bootable
from sealboot.artifacts.compress import COMPRESSED, Limits, Meter, StreamError, inflate
from sealboot.artifacts.elf import parse
from sealboot.artifacts.findings import Finding
from sealboot.artifacts.inspect import inspect
from sealboot.artifacts.named import name_format
from sealboot.artifacts.reader import Memory
from sealboot.artifacts.repack_plan import assess
from sealboot.artifacts.repack_proof import same_contents
from sealboot.artifacts.repack_zip import rewrite
from sealboot.artifacts.sniff import HEAD, sniff
from sealboot.artifacts.tree_look import look, registry_images
from sealboot.artifacts.tree_merge import UnsafeError, merge
from sealboot.artifacts.tree_pack import pack
from sealboot.artifacts.tree_source import TarLayer, TarStore, image_layers
from sealboot.artifacts.uki import extract
from sealboot.artifacts.zboot import read_zboot, unwrap
from sealboot.fit import judge, judge_boot
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Kind, Layer
from sealboot.model.diagnostic import Diagnostic
from sealboot.render.text import safe

AMD, ARM = Arch.AMD64, Arch.ARM64
HOSTS = [facts_of(arch) for arch in (Arch.AMD64, Arch.ARM64, Arch.S390X)]
#: Of one input; the campaign's own deadline is longer.
LIMITS = Limits(output=8 << 20, seconds=5.0)


# -- what is no program


def feed_named(data: bytes) -> None:
    """A name or none; in the place of a program it is refused, whatever it is."""
    named = name_format(Memory(data))
    as_file(data)
    if named is not None:
        artifact = Artifact("x", Kind.UNKNOWN, size=len(data), layers=(named,))
        for host in HOSTS:
            verdict = judge(artifact, host)
            assert not verdict.usable
            told(*verdict.diagnostics)


def named_seeds() -> list[bytes]:
    """One of each form."""
    return [
        b"<!DOCTYPE html>\n<title>x</title>",
        b"<?xml version='1.0'?>\n<Error/>",
        b'{"message": "Not Found"}',
        b"Not Found",
        b"\xef\xbb\xbf#!/bin/sh\n",
        b"\xff\xfe#\0!\0",
        b"version https://git-lfs.github.com/spec/v1\nsize 1\n",
        struct.pack("<II", 0xFEEDFACF, 0x0100000C),
        struct.pack(">II10I", 0xCAFEBABE, 2, 0x01000007, 3, 0, 0, 0, 0x0100000C, 0, 0, 0, 0),
        b"!<arch>\ndebian-binary   0",
        bytes(32769) + b"CD001\1",
        b"\0asm\1\0\0\0",
    ]


# -- programs


def feed_elf(data: bytes) -> None:
    """Every parse is a value that a verdict can be given on."""
    parsed = parse(Memory(data))
    assert parsed.elf is not None or parsed.findings
    assert all(finding.what for finding in parsed.findings)
    if parsed.elf is not None:
        artifact = Artifact("x", Kind.ELF, size=len(data), layers=(parsed.elf,))
        for host in HOSTS:
            verdict = judge(artifact, host)
            assert verdict.outcome == "runs" or verdict.diagnostics
    as_file(data)


def elf_seeds() -> list[bytes]:
    """A mutant of each kind is in the corpus already; one with versions and notes in both orders beside them."""
    rich = [
        dynamic(arch, "x", interpreter="/lib/ld.so.1", needed=("libc.so.6",), versions=("GLIBC_2.34", "A_1"))
        for arch in (Arch.AMD64, Arch.S390X, Arch.ARM)
    ]
    return [sample.bytes for sample in [*samples(), *kernel_samples()][::3]] + rich


def go_seeds() -> list[bytes]:
    """Both forms of build information, in both widths."""
    found = []
    for arch, settings in (
        (Arch.AMD64, {"GOARCH": "amd64", "GOAMD64": "v3"}),
        (Arch.ARM, {"GOARCH": "arm", "GOARM": "6"}),
    ):
        info = payload_kit.go_info("github.com/k3s-io/k3s", settings, "github.com/k3s-io/k3s")
        found.append(payload_kit.program(arch, payload_kit.go_inline("go1.24.1", info, arch)))
        at = payload_kit.address_of_part(arch)
        found.append(payload_kit.program(arch, payload_kit.go_pointed("go1.17", info, arch, at)))
    return found


def _component(arch: Arch) -> bytes:
    return payload_kit.program(arch, b"x" * 50)


def chain_seeds() -> list[bytes]:
    """k0s to 1.35: whole, with a stray byte, with a foreign component, cut."""
    found = []
    for arch, inner in ((AMD, AMD), (ARM, AMD), (Arch.ARM, Arch.ARM)):
        chain = b"".join(payload_kit.gzip_member(_component(inner)) for _ in range(2))
        made = payload_kit.k0s_program(arch, "v1.35.1+k0s.0", ("kubelet", "runc"), len(chain)) + chain
        found += [made, made + b"x", made[:-20]]
    return found


def zip_seeds() -> list[bytes]:
    """k0s from 1.36."""
    found = []
    for arch, inner in ((AMD, AMD), (ARM, AMD)):
        program = payload_kit.k0s_program(arch, "v1.36.1+k0s.0")
        body = _component(inner)
        packed = _deflated(body)
        sums = struct.pack("<III", zlib.crc32(body), len(packed), len(body))
        head = (
            b"PK\3\4" + struct.pack("<HHHHH", 20, 0, 8, 0, 0) + sums + struct.pack("<HH", 7, 0) + b"kubelet"
        )
        entry = b"PK\1\2" + struct.pack("<HHHHHH", 20, 20, 0, 8, 0, 0) + sums
        entry += struct.pack("<HHHHHII", 7, 0, 0, 0, 0, 0, 0) + b"kubelet"
        end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(entry), len(head) + len(packed), 0)
        made = program + head + packed + entry + end
        found += [made, made + b"stray", made[:-30]]
    return found


def _deflated(data: bytes) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return engine.compress(data) + engine.flush()


def k3s_seeds() -> list[bytes]:
    """k3s with an archive of its own machine, and of another."""
    found = []
    for arch, inner in ((AMD, AMD), (ARM, AMD)):
        inside = [("./bin/k3s", _component(inner)), ("./bin/runc", _component(inner))]
        found.append(payload_kit.k3s_program(arch, image_kit.zst(image_kit.tar(inside))))
    return found


def upx_seeds() -> list[bytes]:
    """Packed with and without something behind, and with its trailer gone."""
    behind = payload_kit.gzip_member(_component(AMD))
    return [
        payload_kit.upx_like(AMD),
        payload_kit.upx_like(ARM, behind),
        payload_kit.upx_like(AMD, behind, trailer=False),
    ]


# -- written anew


def feed_repack(data: bytes) -> None:
    """What may become smaller of a program, without writing any: it stays the program that it was."""
    with memory_file(data) as path:
        artifact = inspect(path, "file", deep=True)
    source = Memory(data)
    plan = assess(source, artifact)
    if isinstance(plan, Diagnostic):
        told(plan)
        return
    made = b"".join(plan.slim.pieces(source))
    assert len(made) == plan.slim.size <= plan.elf.end
    if plan.archive is None:
        return
    out = io.BytesIO()
    written = rewrite(source, plan.archive, out)
    if not written.why_not:
        again = Memory(out.getvalue())
        same_contents(source, plan.archive, again, zipend.find_archive(again, 0))


def repack_seeds() -> list[bytes]:
    """k0s of both layouts, with and without a section table."""
    program = payload_kit.program(AMD, b"x" * 200)
    named = payload_kit.with_section(program, AMD, ".comment", 120, 40)
    return [program, named, named + bytes(20), *chain_seeds()[:1], *zip_seeds()[:2], *upx_seeds()[:1]]


# -- what boots


def feed_boot(data: bytes) -> None:
    """Facts, sections, unwrapping, and whether a host would boot it."""
    source = Memory(data)
    found = read_bootable(source, sniff(data[:HEAD]))
    if found is not None:
        layers: tuple[Layer, ...] = found.layers
        for host in HOSTS:
            judge_boot(Artifact("x", found.kind, size=len(data), layers=layers), host)
    for name in (".linux", ".initrd"):
        content = extract(source, name, profile=1, unwrapped=True)
        if not isinstance(content, Finding):
            sum(map(len, content))
    header = read_zboot(source)
    if header is not None:
        unwrapped = unwrap(header)
        if not isinstance(unwrapped, Finding):
            sum(map(len, unwrapped))
    as_file(data)


def pe_seeds() -> list[bytes]:
    """PE32 and PE32+, signed and not, and whole UKIs with profiles."""
    profile = [(".profile", b"ID=reset\n"), (".cmdline", b"wipe"), (".pcrsig", b"{}")]
    return [
        boot_kit.pe(0xAA64, [(".text", b"x" * 64)]),
        boot_kit.sign(boot_kit.pe(0x14C, [(".text", b"x" * 64)], plus=False)),
        boot_kit.uki(),
        boot_kit.uki(0x8664, boot_kit.bzimage(), more=profile),
        boot_kit.uki(kernel=boot_kit.zboot(boot_kit.arm64_image(size=4096), method="zstd22")),
    ]


def kernel_seeds() -> list[bytes]:
    """Every boot header, and zboot in every compression."""
    small = boot_kit.arm64_image(size=4096)
    return [
        boot_kit.bzimage(),
        small,
        boot_kit.arm64_image(3, big=True, size=4096),
        boot_kit.riscv_image(),
        boot_kit.zimage(),
        boot_kit.s390_image(),
        gzip.compress(small),
        *(boot_kit.zboot(small, method=method) for method in boot_kit.METHODS),
    ]


def initrd_seeds() -> list[bytes]:
    """An early part and a packed one behind it, in every compression."""
    early = boot_kit.cpio([("kernel/x86/microcode/GenuineIntel.bin", b"u" * 50)])
    late = boot_kit.cpio([("init", b"#!/bin/sh\n"), ("bin/busybox", b"x" * 50)])
    lz4 = b"\x02\x21\x4c\x18" + struct.pack("<I", len(late) + 2) + b"\xf0\x00" + late
    return [
        early,
        late,
        lz4,
        early + gzip.compress(late),
        *(pack(late) for pack in boot_kit.METHODS.values()),
    ]


# -- archives


def feed_stream(data: bytes) -> None:
    """Every decompressor over the same bytes; damage is a `StreamError`, and bounds hold."""
    for kind in sorted(COMPRESSED):
        meter = Meter(LIMITS)
        try:
            for part in inflate(iter([data[:7], data[7:]]), kind, meter):
                assert part
        except StreamError:
            pass
        assert meter.made <= LIMITS.output + (1 << 20)
    as_file(data)


def stream_seeds() -> list[bytes]:
    """One short text in every compression, twice, and padded."""
    text = b"sealboot " * 40
    packs = [gzip.compress(text), bz2.compress(text), lzma.compress(text), image_kit.zst(text)]
    sized = image_kit.zst(text, window_log=17, checksum_flag=1)
    lz4 = b"\x04\x22\x4d\x18\x40\x40\xc0" + struct.pack("<I", len(text) + 3) + b"\xf0\xff\x5a" + text
    return [*packs, sized, packs[0] * 2, packs[3] * 2 + bytes(20), lz4 + bytes(4)]


def feed_tar(data: bytes) -> None:
    """Headers with their checksums made right: what is behind the checksum is wanted."""
    for made in (data, _summed(data)):
        found = read_archive(Memory(made), Kind.TAR, "x", LIMITS)
        shown(
            Artifact(
                "x", Kind.TAR, layers=(found.layer,) if found.layer else (), diagnostics=found.diagnostics
            )
        )


_TAR_LONGEST = 1 << 15


def _summed(data: bytes) -> bytes:
    """The tar with the checksum of every header made right."""
    fixed = bytearray(data[:_TAR_LONGEST])
    for at in range(0, len(fixed) - 511, 512):
        if fixed[at + 257 : at + 262] == b"ustar":
            fixed[at + 148 : at + 156] = b" " * 8
            fixed[at + 148 : at + 156] = b"%06o\0 " % sum(fixed[at : at + 512])
    return bytes(fixed)


def _read(_digest: str, _size: int, pieces: Iterator[bytes]) -> None:
    deque(pieces, 0)


def feed_tree(data: bytes) -> None:
    """Two layers become one tree: nothing in it leads out, and it is packed and looked into again."""
    half = len(data) // 1024 * 512
    layers = [TarLayer(Memory(_summed(part))) for part in (data[:half], data[half:])]
    meter = Meter(LIMITS)
    tree, registry = io.BytesIO(), io.BytesIO()
    try:
        merged = merge(layers, meter)
        for entry in (*merged.folders, *merged.files, *merged.links):
            landed = posixpath.normpath(posixpath.join("/tree", entry.name, "..", entry.target or "x"))
            assert landed == "/tree" or landed.startswith("/tree/")
            assert not entry.mode & 0o7022
        pack(layers, merged, meter, tree, registry, apart=_read)
        look(Memory(tree.getvalue()), Meter(LIMITS))
        registry_images(Memory(registry.getvalue()), Meter(LIMITS))
    except (StreamError, UnsafeError) as error:
        still(safe(str(error)))


def tree_seeds() -> list[bytes]:
    """Whiteouts, links of both kinds, a registry, and an archive inside, in two layers of equal length."""
    registry = "registry/docker/registry/v2/"
    repository = registry + "repositories/a/_manifests/tags/v1/current/link"
    lower = image_kit.tar(
        [("opt/sealctl", _component(AMD)), ("etc/a", b"x"), (repository, b"sha256:" + b"a" * 64)]
    )
    linked = io.BytesIO()
    with tarfile.open(fileobj=linked, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, kind, target in (
            ("etc/.wh.a", tarfile.REGTYPE, ""),
            ("opt/.wh..wh..opq", tarfile.REGTYPE, ""),
            ("bin/b", tarfile.REGTYPE, ""),
            ("bin/c", tarfile.LNKTYPE, "bin/b"),
            ("bin/d", tarfile.SYMTYPE, "../etc"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    layer = bytes(1 << 16)
    digest = hashlib.sha256(layer).hexdigest()
    blob = image_kit.tar([(f"{registry}blobs/sha256/{digest[:2]}/{digest}/data", layer)])
    return [
        lower[:10240].ljust(10240, b"\0") + linked.getvalue()[:10240].ljust(10240, b"\0"),
        blob + bytes(len(blob)),
    ]


def tar_seeds() -> list[bytes]:
    """Every style of long name, links, and a root filesystem with an archive in it."""
    long = "d/" * 80 + "name"
    inner = gzip.compress(image_kit.tar([("usr/bin/runc", _component(AMD)[:64])]), mtime=0)
    tree = [("opt/sealctl", _component(AMD)[:64]), ("cri/cri.tar.gz", inner), ("bin/x", _component(ARM)[:64])]
    found = [image_kit.tar([(long, b"x"), ("b", b"")], style=style) for style in (0, 1, 2)]
    return [*(made[:8192] for made in found), image_kit.tar(tree)[:8192]]


_MARK = b"\n--- "
_REFERENCE = b"@%d@"


def feed_images(data: bytes) -> None:
    """Documents of an image archive by name; `@N@` is the digest of document N, so references stay whole.

    `name\\ncontent` parts follow each other behind a mark; a part without a
    name is a blob, named by its digest. All forms of archives are one text.
    """
    members: list[tuple[str, bytes]] = []
    digests: list[bytes] = []
    for part in data.split(_MARK)[:24]:
        name, _, content = part.partition(b"\n")
        for number, digest in enumerate(digests):
            content = content.replace(_REFERENCE % number, digest)
        digests.append(image_kit.sha256(content).encode())
        shown_name = name[:90].decode("latin-1").replace("\0", "") or f"blobs/sha256/{digests[-1].decode()}"
        members.append((shown_name, content))
    made = image_kit.tar(members)
    with suppress(StreamError):
        image_layers(TarStore(Memory(made), Meter(LIMITS)), "linux/amd64")
    found = image_kit.read(made, LIMITS)
    assert not found.platforms or found.layer is not None
    shown(
        Artifact("x", Kind.TAR, layers=(found.layer,) if found.layer else (), diagnostics=found.diagnostics)
    )


def image_seeds() -> list[bytes]:
    """OCI, docker and hybrid archives, taken apart into that text."""
    found = []
    for form, platforms in (
        ("oci", ("linux/amd64", "linux/arm64/v8")),
        ("docker", ("linux/arm/v7",)),
        ("both", ("linux/amd64",)),
    ):
        archive = image_kit.image(*platforms, form=form)  # type: ignore[arg-type]
        found.append(_apart(archive.members()))
    return found


def _apart(members: list[tuple[str, bytes]]) -> bytes:
    """Blobs first and references by number, as `feed_images` reads it."""
    blobs = [content for name, content in members if name.startswith("blobs/")]
    order = sorted(
        blobs,
        key=lambda content: (content.startswith(b"{"), b'"config"' in content, b'"manifests"' in content),
    )
    rest = [(name, content) for name, content in members if not name.startswith("blobs/")]
    parts = [(b"", content) for content in order] + [(name.encode(), content) for name, content in rest]
    texts: list[bytes] = []
    for name, content in parts:
        for number, (_, before) in enumerate(parts[: len(texts)]):
            content = content.replace(image_kit.sha256(before).encode(), _REFERENCE % number)  # noqa: PLW2901
        texts.append(name + b"\n" + content)
    return _MARK.join(texts)


FILES = (
    Target("named", feed_named, named_seeds),
    Target("elf", feed_elf, elf_seeds),
    Target("go-build-info", as_file, go_seeds),
    Target("k0s-chain", as_file, chain_seeds),
    Target("k0s-zip", as_file, zip_seeds),
    Target("k3s", as_file, k3s_seeds),
    Target("upx", as_file, upx_seeds),
    Target("repack", feed_repack, repack_seeds),
    Target("pe-uki", feed_boot, pe_seeds),
    Target("kernel-zboot", feed_boot, kernel_seeds),
    Target("initrd", feed_boot, initrd_seeds),
    Target("streams", feed_stream, stream_seeds),
    Target("tar-rootfs", feed_tar, tar_seeds),
    Target("tree", feed_tree, tree_seeds),
    Target("images", feed_images, image_seeds),
)
