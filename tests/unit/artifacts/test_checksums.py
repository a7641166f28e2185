from __future__ import annotations

import base64
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requires import requires

from sealboot.artifacts.checksums import check_digest, check_signature, parse_sums
from sealboot.artifacts.signatures import verify_minisign, verify_sshsig
from sealboot.model.artifact import Artifact, Kind

A, B = "a" * 64, "b" * 64
FILE = Artifact("binaries/k3s-arm64", Kind.ELF, 10, A)


@pytest.mark.parametrize(
    "line",
    [f"{A}  k3s-arm64", f"{A} *k3s-arm64", f"{A.upper()}  k3s-arm64", f"SHA256 (k3s-arm64) = {A}"],
)
def test_forms_of_a_line(line: str) -> None:
    text = f"# release\n\n{B}  k3s\n{line}\n"
    assert parse_sums(text.encode()).digests == {"k3s": B, "k3s-arm64": A}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"{A}  ./k3s-arm64\n", "line 1 names a path"),
        (f"{A}  ../k3s-arm64\n", "line 1 names a path"),
        (f"{A} */usr/local/bin/k3s\n", "line 1 names a path"),
        (f"SHA256 (../k3s-arm64) = {A}\n", "line 1 names a path"),
        (f"{A}  dist\\k3s-arm64\n", "line 1 names a path"),
        (f"{A}  ..\n", "line 1 names a path"),
        (f"{A}  k3s-arm64\r\n", "as on Windows (CR LF)"),
        (f"{A}  k3s\u202e46mra\n", "control characters"),
        (f"{A}  k3s-arm64\n{A}  k3s-arm64\n", "line 2 names k3s-arm64 a second time"),
        (f"{A}  k3s-arm64\nSHA256 (k3s-arm64) = {A}\n", "line 2 names k3s-arm64 a second time"),
        (f"{A}  k3s-arm64\n{A[:-1]}  k3s\n", "line 2 is no SHA-256"),
        (f"\\{A}  k3s\\n-arm64\n", "line 1 is no SHA-256"),
        (f"SHA512 (k3s) = {A}{A}\n", "line 1 is no SHA-256"),
        (f"{A} k3s-arm64\n", "line 1 is no SHA-256"),
        ("<html>not found</html>\n", "line 1 is no SHA-256"),
        ("", "no checksum in it"),
        ("x" * (1 << 20) + "y", "at most 1048576"),
    ],
)
def test_what_is_ambiguous_vouches_for_nothing(text: str, why: str) -> None:
    found = parse_sums(text.encode())
    assert why in found.problem
    assert found.digests == {}
    assert parse_sums(b"\xff\xfe").problem == "not UTF-8 text"


def test_the_wrong_file() -> None:
    (found,) = check_digest(FILE, B, "sha256sums")
    assert found.summary == "binaries/k3s-arm64 is not the file that sha256sums names"
    assert dict(found.evidence) == {"expected": B, "file": A}
    assert check_digest(FILE, f" {A.upper()}\n", "the inventory") == ()
    unread = Artifact("binaries/k3s-arm64", Kind.MISSING)
    assert [d.code for d in check_digest(unread, "", "the inventory")] == ["SB406"]


# -- signatures ---------------------------------------------------------------------------------------

SUMS = f"{A}  k3s-arm64\n".encode()


@pytest.fixture
def signers(tmp_path: Path) -> Path:
    """A folder with ssh-keygen's keys of three types, and a signature of each over SUMS."""
    requires("ssh-keygen")
    (tmp_path / "sums").write_bytes(SUMS)
    for kind, bits in (("ed25519", "256"), ("rsa", "3072"), ("ecdsa", "384")):
        key = str(tmp_path / kind)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "", "-f", key], check=True, timeout=60
        )
        command = ["ssh-keygen", "-q", "-Y", "sign", "-n", "sealboot", "-f", key]
        with (tmp_path / "sums").open("rb") as data:
            made = subprocess.run(command, stdin=data, capture_output=True, check=True, timeout=60).stdout
        (tmp_path / f"{kind}.sig").write_bytes(made)
    return tmp_path


def test_signatures_that_openssh_makes(signers: Path) -> None:
    for kind in ("ed25519", "rsa", "ecdsa"):
        public, made = (signers / f"{kind}.pub").read_bytes(), (signers / f"{kind}.sig").read_bytes()
        assert verify_sshsig(SUMS, made, public) == ""
        for line in (b"me@example.org ", b'* namespaces="git,sealboot" '):
            assert verify_sshsig(SUMS, made, b"# ours\n\n" + line + public) == ""
        assert "does not fit" in verify_sshsig(SUMS + b" ", made, public)
        for option in (b'* namespaces="git" ', b"* cert-authority ", b'* valid-before="20200101" '):
            assert "not allowed" in verify_sshsig(SUMS, made, option + public)
        assert "another purpose" in verify_sshsig(SUMS, made, public, "git")
        for at in range(40, len(made) - 40, 61):
            bent = made[:at] + (b"A" if made[at : at + 1] != b"A" else b"B") + made[at + 1 :]
            assert verify_sshsig(SUMS, bent, public) != ""
    other = (signers / "rsa.pub").read_bytes()
    assert "not allowed" in verify_sshsig(SUMS, (signers / "ed25519.sig").read_bytes(), other)


@pytest.mark.parametrize("mode", [[], ["-l"]])
def test_signatures_that_minisign_makes(mode: list[str], tmp_path: Path) -> None:
    """Prehashed, as it signs unasked, and in its older form."""
    requires("minisign")
    (tmp_path / "sums").write_bytes(SUMS)
    base = ["-p", str(tmp_path / "key.pub"), "-s", str(tmp_path / "key")]
    subprocess.run(["minisign", "-G", "-W", *base], check=True, timeout=60, capture_output=True)
    sign = [
        "minisign",
        "-S",
        *mode,
        "-s",
        str(tmp_path / "key"),
        "-m",
        str(tmp_path / "sums"),
        "-t",
        "release 1",
    ]
    subprocess.run(sign, check=True, timeout=60, capture_output=True)
    made, public = (tmp_path / "sums.minisig").read_bytes(), (tmp_path / "key.pub").read_bytes()
    assert verify_minisign(SUMS, made, public) == ""
    assert verify_minisign(SUMS, made, public.splitlines()[-1]) == ""
    assert "does not fit" in verify_minisign(SUMS + b" ", made, public)
    assert "does not fit" in verify_minisign(SUMS, made.replace(b"release 1", b"release 2"), public)
    raw = bytearray(base64.b64decode(public.splitlines()[-1]))
    raw[3] ^= 1
    assert "another key" in verify_minisign(SUMS, made, base64.b64encode(bytes(raw)))
    for cut in (b"", made[:60], made.replace(b"trusted", b"")):
        assert "no minisign signature" in verify_minisign(SUMS, cut, public)
    assert "no minisign key" in verify_minisign(SUMS, made, b"")
    assert check_signature(verify_minisign(SUMS, made, public), "sums") == ()
    (found,) = check_signature(verify_minisign(b"", made, public), "sums")
    assert (found.code, found.summary) == (
        "SB406",
        "sums is not verified: the signature does not fit the file",
    )


@given(data=st.binary(max_size=400))
def test_any_bytes_are_no_signature(data: bytes) -> None:
    armour = b"-----BEGIN SSH SIGNATURE-----\n%s\n-----END SSH SIGNATURE-----\n"
    for blob in (data, armour % base64.b64encode(data), armour % base64.b64encode(b"SSHSIG\0\0\0\1" + data)):
        assert verify_sshsig(SUMS, blob, blob) != ""
        assert verify_minisign(SUMS, blob, b"RWQ" + base64.b64encode(data)) != ""
    with suppress(ValueError):
        assert parse_sums(data).problem or parse_sums(data).digests
