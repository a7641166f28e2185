"""A stand-in for k0s: Go programs of each architecture that behave as k0s is documented to, with its payloads behind.

The source lies in `k0s_standin`, a Go program with nothing but the standard
library. It is built the way k0s is: from a single file with trimmed paths, its
version set by the linker, and its components appended as the release has them
(a chain of gzip members up to 1.35, a ZIP archive from 1.36), so that inspectors
know it for k0s and a tool that breaks k0s breaks it, too.

* Controllers share their state as etcd would: most of them must answer, and one joins at a time.
* A node is Ready once it has every image that the leading controller's release wants on it, or may pull them.
* `default_pull_policy: Never` or node-local load balancing makes a release before 1.32.1 write its images into the
  live ClusterConfig, where they win over those of later releases (k0s issue 5258).
* A file that nothing pins any more takes its images with it when it goes, as the kubelet's collector would.

`/etc/k0s-standin/drain-fails` lists nodes that cannot be drained from the
machine that has it.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import image_kit
import payload_kit

from labkit import gobuilds
from labkit.cache import CACHE, key, made
from labkit.wheels import wheel
from sealboot.model.arch import Arch

SOURCE = Path(__file__).with_name("k0s_standin")
#: Bytes of each component: enough to be a payload, few enough to be sent often.
_COMPONENT = 20_000
_TARGETS = {
    Arch.AMD64: gobuilds.Target("amd64", "GOAMD64", "v1"),
    Arch.ARM64: gobuilds.Target("arm64", "GOARM64", "v8.0"),
    Arch.ARM: gobuilds.Target("arm", "GOARM", "7"),
    Arch.RISCV64: gobuilds.Target("riscv64", "GORISCV64", "rva20u64"),
}
#: What a release does wrong. `never-ready` starts and does not become ready, `crashes` ends after its start.
Fault = Literal["", "never-ready", "crashes"]


def k0s(arch: Arch, version: str, fault: Fault = "") -> bytes:
    """The program for `arch`, from the cache or built now: 15 s for the first of an architecture, then 2 s.

    `version` is a release (`v1.30.14+k0s.0`) whose number decides what it knows and how its payload lies.
    """
    sources = sorted(path for path in SOURCE.rglob("*") if path.is_file())
    digest = key(gobuilds.TOOLCHAIN, [p.read_bytes() for p in sources], arch, version, fault, _COMPONENT)
    return made(CACHE / "k0s" / digest, lambda part: _build(arch, version, fault, part)).read_bytes()


def zipped(version: str) -> bool:
    """Whether releases of this version carry a ZIP archive."""
    return _minor(version) >= 36


def _minor(version: str) -> int:
    return int(version.split(".")[1])


def _build(arch: Arch, version: str, fault: Fault, out: Path) -> None:
    components = {
        name: payload_kit.component(arch, f"{name} of {version}", _COMPONENT) for name in payload_kit.NAMES
    }
    members = {f"bin/{name}.gz": payload_kit.gzip_member(data) for name, data in components.items()}
    target, root = _TARGETS[arch], wheel(gobuilds.TOOLCHAIN) / "go"
    with tempfile.TemporaryDirectory(prefix="sealboot-k0s-") as folder:
        source = Path(folder, "source")
        shutil.copytree(SOURCE, source)
        if not zipped(version):
            (source / "standin/bindata.go").write_text(_bin_data(members, components))
        package = "github.com/k0sproject/k0s/standin"
        linker = f"-s -w -X {package}.Version={version} -X {package}.Fault={fault}"
        settings = gobuilds.settings(target, root, CACHE / "go-cache")
        gobuilds.compiled(source, "main.go", linker, settings, out)
    with out.open("ab") as program:
        program.write(_zip(components) if zipped(version) else b"".join(members.values()))


def _bin_data(members: dict[str, bytes], components: dict[str, bytes]) -> str:
    """The Go source that says where each member lies: the size of all is a 64-bit number in the program."""
    at, rows = 0, []
    for (name, packed), plain in zip(members.items(), components.values(), strict=True):
        rows.append(f'\t"{name}": {{{at}, {len(packed)}, {len(plain)}}},\n')
        at += len(packed)
    return (
        "package standin\n\ntype member struct{ offset, size, originalSize int64 }\n\n"
        f"var binData = map[string]member{{\n{''.join(rows)}}}\n\nvar binDataSize int64 = {at}\n"
    )


def _zip(components: dict[str, bytes]) -> bytes:
    made_of = io.BytesIO()
    with zipfile.ZipFile(made_of, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in components.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return made_of.getvalue()


def images(version: str) -> tuple[str, ...]:
    """What a release of this version lists as its images, every network's."""
    with tempfile.TemporaryDirectory(prefix="sealboot-k0s-") as folder:
        program, config = Path(folder, "k0s"), Path(folder, "k0s.yaml")
        program.write_bytes(k0s(Arch.AMD64, version))
        program.chmod(0o755)
        config.write_text("kind: ClusterConfig\n")
        argv = [str(program), "airgap", "list-images", "--all", f"--config={config}"]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return tuple(done.stdout.split())


def bundle(arch: Arch, names: Iterable[str]) -> bytes:
    """An air-gap bundle as a release has it: one OCI layout with images of one platform."""
    archive = image_kit.Archive("oci")
    for name in names:
        archive.image(f"linux/{arch}", tag=name)
    return archive.tar()
