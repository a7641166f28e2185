"""Inventories that are small on disk and large in memory, through the command line, under a memory limit."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hostile_kit import MEMORY, SECONDS

_HEAD = b"version: 1\ncluster: {name: lab, driver: phases}\n"
LAUGHS = b"a: &a [lol]\n" + b"".join(
    b"%c: &%c [*%c, *%c, *%c]\n" % (c, c, *[c - 1] * 3) for c in range(98, 122)
)
MERGES = b"a: &a {k: v}\n" + b"".join(
    b"%c: &%c {<<: [*%c, *%c, *%c]}\n" % (c, c, *[c - 1] * 3) for c in range(98, 122)
)


@pytest.mark.parametrize("command", ["inventory show", "check"])
@pytest.mark.parametrize(
    ("text", "code"),
    [
        (LAUGHS, "SB003"),
        (_HEAD + b"hosts: {n1: {address: 10.0.0.1}}\nx-" + MERGES, "SB003"),
        (_HEAD + b"hosts:\n  n1: {address: 10.0.0.1}\n  n1: {address: 10.0.0.2}\n", "SB004"),
        (_HEAD + b"hosts: " + b"{a: " * 900 + b"}" * 900, "SB005"),
        (_HEAD + b"hosts: " + b"[" * 100_000, "SB005"),
        (b"#" * ((8 << 20) + 1), "SB005"),
    ],
    ids=["laughs", "merges", "duplicate", "deep", "deeper", "large"],
)
def test_refused_at_once_and_in_little_text(command: str, text: bytes, code: str, tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").write_bytes(text)
    began = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(
        [sys.executable, "-m", "sealboot", *command.split(), "--format", "json"],
        check=False,
        capture_output=True,
        cwd=tmp_path,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - began < SECONDS
    assert done.returncode == 2, done.stderr
    assert [d["code"] for d in json.loads(done.stdout)["diagnostics"]] == [code]
    assert len(done.stdout) + len(done.stderr) < 10_000  # the file is not repeated
    assert [p.name for p in tmp_path.iterdir()] == ["inventory.yaml"]
