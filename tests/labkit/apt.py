"""Debian packages of any architecture through a private apt state: the machine's own is never touched.

The mirror is the one this machine already uses, as apt itself reports it; its
proxy and credentials settings apply too, since apt reads them as always.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from requires import lacking

from labkit import syscalls
from labkit.cache import locked

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
#: riscv64 became a release architecture with Debian 13; everything else comes from 12.
SUITES = {"riscv64": "trixie"}
DEFAULT_SUITE = "bookworm"

_INST = re.compile(r"^Inst (\S+) \((\S+) .*\[(\S+)\]\)")


class LabUnavailableError(Exception):
    """The machine lacks something the lab needs; the text says what, and how to get it."""


def mirror() -> str:
    """The Debian archive in this machine's apt sources, as a URI without the trailing slash.

    Raises `LabUnavailableError` where there is none, or no apt.
    """
    if reason := lacking("apt-get", "dpkg-deb", KEYRING):
        raise LabUnavailableError(reason)
    found = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)"], capture_output=True, text=True, check=False
    )
    for uri in found.stdout.split():
        if uri.rstrip("/").endswith("/debian"):
            return uri.rstrip("/")
    raise LabUnavailableError("apt's sources on this machine name no Debian archive (.../debian)")


@dataclass(frozen=True, slots=True)
class Repository:
    """One suite and architecture with lists and a package cache of its own, all below `folder`."""

    folder: Path
    suite: str
    arch: str

    @property
    def archives(self) -> Path:
        """Where downloaded packages stay."""
        return self.folder / "cache" / "archives"

    def run(self, *arguments: str, tool: str = "apt-get", cwd: Path | None = None) -> str:
        """Run apt on this private state and return its output; raises `LabUnavailableError`."""
        if reason := lacking(tool):
            raise LabUnavailableError(reason)
        with syscalls.outside():
            done = subprocess.run(
                [tool, *arguments],
                env=os.environ | {"APT_CONFIG": str(self.folder / "apt.conf"), "LC_ALL": "C"},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            raise LabUnavailableError(
                f"{tool} {' '.join(arguments[:3])} for {self.suite}/{self.arch}: {done.stderr.strip()[-600:]}"
            )
        return done.stdout

    def ready(self) -> None:
        """Fetch the package lists, once."""
        with locked(self.folder.name):
            self._ready()

    def _ready(self) -> None:
        stamp = self.folder / "ready"
        if stamp.exists():
            return
        for part in ("lists/partial", "cache/archives/partial", "empty"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        (self.folder / "sources.list").write_text(self._line("deb"))
        (self.folder / "apt.conf").write_text(self._config())
        self.run("-qq", "update")
        stamp.touch()

    def _line(self, kind: str) -> str:
        return f"{kind} [arch={self.arch} signed-by={KEYRING}] {mirror()} {self.suite} main\n"

    def _config(self) -> str:
        empty = self.folder / "empty"
        values = {
            "Dir::Etc::sourcelist": self.folder / "sources.list",
            "Dir::Etc::sourceparts": empty,
            "Dir::Etc::preferencesparts": empty,
            "Dir::State": self.folder,
            "Dir::State::lists": self.folder / "lists",
            "Dir::State::status": self.folder / "status",
            "Dir::Cache": self.folder / "cache",
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "APT::Architecture": self.arch,
            "APT::Install-Recommends": "0",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Binary::apt-get::APT::Keep-Downloaded-Packages": "1",
        }
        lines = [f'{key} "{value}";' for key, value in values.items()]
        return "\n".join([*lines, f'APT::Architectures {{ "{self.arch}"; }};', ""])

    def closure(self, packages: tuple[str, ...]) -> list[Path]:
        """Download `packages` and all they depend on; the paths of the .deb files."""
        self.ready()
        with locked(self.folder.name):
            self.run("-qq", "-y", "-d", "install", *packages)
        plan = self.run("-y", "-s", "install", *packages)
        debs = []
        for name, version, arch in (m.groups() for m in map(_INST.match, plan.splitlines()) if m):
            debs.append(self.archives / f"{name}_{version.replace(':', '%3a')}_{arch}.deb")
        return debs

    def download(self, package: str) -> Path:
        """Download one package without what it depends on."""
        self.ready()
        with locked(self.folder.name):
            if not (held := sorted(self.archives.glob(f"{package}_*.deb"))):
                self.run("-qq", "download", package, cwd=self.archives)
                held = sorted(self.archives.glob(f"{package}_*.deb"))
        return held[-1]

    def source(self, package: str, folder: Path) -> Path:
        """Fetch and unpack the upstream source of `package`, without Debian's changes, below `folder`."""
        self.ready()
        listed = self.folder / "source.list"
        listed.write_text(self._line("deb-src"))
        options = (
            *("-o", f"Dir::Etc::sourcelist={listed}", "-o", f"Dir::State::lists={self.folder}/sources"),
            *("-o", f"Dir::Cache={self.folder}/cache"),
        )
        (self.folder / "sources/partial").mkdir(parents=True, exist_ok=True)
        with locked(self.folder.name):
            self.run(*options, "-qq", "update")
            self.run(*options, "-qq", "source", "--download-only", package, cwd=folder)
        (archive,) = folder.glob("*.orig.tar.*")
        unpacked = folder / package
        unpacked.mkdir()
        done = subprocess.run(
            ["tar", "-xf", str(archive), "-C", str(unpacked), "--strip-components=1"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LabUnavailableError(f"tar -xf {archive.name}: {done.stderr.strip()}")
        return unpacked

    def depends(self, package: str) -> list[str]:
        """The names that `package` depends on directly."""
        self.ready()
        text = self.run("depends", "--important", package, tool="apt-cache")
        return re.findall(r"^\s+Depends: (\S+)", text, re.MULTILINE)


def repository(cache: Path, arch: str, suite: str = "") -> Repository:
    """The private apt state for one architecture (Debian's name of it) below `cache`.

    `suite` is a Debian release, where it is not to be the architecture's usual one.
    """
    suite = suite or SUITES.get(arch, DEFAULT_SUITE)
    return Repository(cache / "apt" / f"{suite}-{arch}", suite, arch)
