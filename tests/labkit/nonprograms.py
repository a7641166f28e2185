"""What lies beside programs: scripts of every sort, archives, nothing at all; real tools make what is made."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from dataclasses import replace

from labkit.trials import Trial, tar

_ECHO = b"echo script\n"


def scripts(foreign: bytes) -> list[Trial]:
    """By their first line: the interpreter is there or is not, or is the program `foreign`, or there is none."""
    lines = (
        ("sh", b"#!/bin/sh\n", "for /bin/sh"),
        ("sh-blanks", b"#! \t/bin/sh\t-e \n", "for /bin/sh, with blanks and an argument"),
        ("busybox", b"#!/bin/busybox sh\n", "for busybox, where there is one"),
        ("bash", b"#!/bin/bash\n", "for bash, where there is one"),
        ("env", b"#!/usr/bin/env sh\n", "for sh through env"),
        ("missing", b"#!/opt/nowhere/sh\n", "for an interpreter that is nowhere"),
        ("foreign", b"#!./foreign\n", "for a program of another machine"),
        ("crlf", b"#!/bin/sh\r\n", "for /bin/sh, its line ended as Windows does"),
        ("bare", b"#!\n", "with an empty first line"),
        ("late", b"\n#!/bin/sh\n", "whose first line is the second"),
        ("marked", b"\xef\xbb\xbf#!/bin/sh\n", "behind a byte order mark"),
        ("none", b"", "without a first line"),
    )
    return [
        Trial(
            f"script-{name}",
            f"a script {what}",
            line + _ECHO,
            b"script\n",
            beside=(("foreign", foreign),) if name == "foreign" else (),
        )
        for name, line, what in lines
    ]


def others(program: Trial) -> list[Trial]:
    """Archives of `program`, nothing, a directory, and `program` without the right to be executed."""
    data = program.data or b""
    return [
        replace(
            program,
            name="not-executable",
            note=f"{program.note}, without the right to be executed",
            mode=0o644,
        ),
        Trial("empty", "an empty file", b"", b""),
        Trial("directory", "a directory", None, b""),
        Trial("text", "some text", b"This is no program.\n", b""),
        Trial("program.gz", "a program in gzip", gzip.compress(data, mtime=0), b""),
        Trial("program.bz2", "a program in bzip2", bz2.compress(data), b""),
        Trial("program.xz", "a program in xz", lzma.compress(data), b""),
        Trial("program.tar", "a program in a tar archive", tar({"program": data}), b""),
        Trial("program.zip", "a program in a zip archive", _zip(data), b""),
    ]


def _zip(data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("program"), data)
    return packed.getvalue()
