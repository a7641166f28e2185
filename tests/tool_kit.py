"""Other projects' programs, as tests run them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from requires import requires


def run(*words: str | Path, stdin: bytes = b"", cwd: Path | None = None) -> bytes:
    """Run a program to its good end; its standard output. Skips the test that lacks it."""
    requires(str(words[0]))
    done = subprocess.run(words, input=stdin, capture_output=True, check=False, timeout=60, cwd=cwd)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


class Minisign:
    """A key pair of minisign's own, without a password."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.public = folder / "minisign.pub"
        self._secret = folder / "minisign.key"
        run("minisign", "-G", "-W", "-p", self.public, "-s", self._secret)

    @property
    def text(self) -> str:
        """The bare public key."""
        return self.public.read_text().splitlines()[-1]

    def sign(self, path: Path, *, legacy: bool = False) -> Path:
        """Sign `path`; the signature is beside it."""
        made = path.with_name(f"{path.name}.minisig")
        run("minisign", "-S", *(["-l"] if legacy else []), "-s", self._secret, "-m", path, "-x", made)
        return made


class SshKey:
    """A key pair of OpenSSH's own, and the allowed-signers file that lists it."""

    def __init__(self, folder: Path, kind: str = "ed25519") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._secret = folder / kind
        run("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "release", "-f", self._secret)
        self.public = folder / f"{kind}.pub"
        self.allowed = folder / "allowed_signers"
        self.allowed.write_text(f'release@example.org namespaces="sealboot" {self.public.read_text()}')

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` shows it."""
        return run("ssh-keygen", "-l", "-f", self.public).decode().split()[1]

    def sign(self, path: Path, namespace: str = "sealboot") -> Path:
        """Sign `path`; the signature is beside it."""
        made = path.with_name(f"{path.name}.sig")
        made.unlink(missing_ok=True)
        run("ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", self._secret, path)
        return made
