from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealboot.artifacts.name import arch_in_name
from sealboot.artifacts.sniff import HEAD, script_interpreter, sniff
from sealboot.model.arch import Arch
from sealboot.model.artifact import Kind


def tar_bytes() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x"))
    return buffer.getvalue()


def zip_bytes() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x", "y")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", Kind.EMPTY),
        (b"\x7fELF\x02", Kind.ELF),
        (b"\x7fEL", Kind.UNKNOWN),
        (b"#!/bin/sh\n", Kind.SCRIPT),
        (gzip.compress(b"x", mtime=0), Kind.GZIP),
        (b"\x28\xb5\x2f\xfd\x04\x00", Kind.ZSTD),
        (bz2.compress(b"x"), Kind.BZIP2),
        (lzma.compress(b"x"), Kind.XZ),
        (zip_bytes(), Kind.ZIP),
        (tar_bytes(), Kind.TAR),
        (b"MZ\x90\0", Kind.PE),
        (b"hello", Kind.UNKNOWN),
    ],
)
def test_the_first_bytes_decide(data: bytes, kind: Kind) -> None:
    assert sniff(data[:HEAD]) is kind


@pytest.mark.parametrize(
    ("head", "interpreter"),
    [
        (b"#!/bin/sh\nexit", "/bin/sh"),
        (b"#! /usr/bin/env  python3 -u\r\n", "/usr/bin/env"),
        (b"#!\t/bin/sh\t-e\n", "/bin/sh"),
        (b"#!/bin/sh\r\necho", "/bin/sh\r"),
        (b"#!\n", ""),
        (b"#!" + b"x" * 1000, "x" * 254),
        (b"#!\xff\xfe", "\\xff\\xfe"),
    ],
)
def test_script_interpreter(head: bytes, interpreter: str) -> None:
    assert script_interpreter(head) == interpreter


@pytest.mark.parametrize(
    ("name", "arch"),
    [
        ("k3s-arm64", Arch.ARM64),
        ("binaries/old/k3s-arm64", Arch.ARM64),
        ("sealctl-linux-amd64", Arch.AMD64),
        ("sealctl_v4.3.0_linux_arm64.tar.gz", Arch.ARM64),
        ("tool-x86_64", Arch.AMD64),
        ("tool.x86-64.bin", Arch.AMD64),
        ("k3s-armhf", Arch.ARM),
        ("etcd-armv7", Arch.ARM),
        ("vmlinuz-aarch64", Arch.ARM64),
        ("AARCH64.BIN", Arch.ARM64),
        ("tool-riscv64", Arch.RISCV64),
        ("tool_s390x", Arch.S390X),
        ("tool-ppc64le", Arch.PPC64LE),
        ("tool-i386", Arch.I386),
        ("tool-386", Arch.I386),
        ("jq-linuxarm64", Arch.ARM64),
        ("tool-linux-loong64", Arch.LOONG64),
        ("charm", None),
        ("harmless", None),
        ("alarm-tool", None),
        ("farm64bit", None),
        ("k3s", None),
        ("tool-1.2.386", None),
        ("images-amd64-arm64.tar", None),
        ("arm64/k3s", None),
        ("", None),
        ("////", None),
    ],
)
def test_what_a_name_claims(name: str, arch: Arch | None) -> None:
    assert arch_in_name(name) is arch


@given(st.text())
def test_no_name_is_too_strange(name: str) -> None:
    assert arch_in_name(name) in {None, *Arch}


@given(st.sampled_from(list(Arch)), st.sampled_from("-_. "))
def test_every_architecture_can_be_claimed(arch: Arch, separator: str) -> None:
    assert arch_in_name(f"tool{separator}{arch}") is arch
