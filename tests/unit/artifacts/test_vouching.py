"""Checksum files, signatures and single digests, asked about files: real signatures, and every way to refuse."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
from requires import requires
from tool_kit import Minisign, SshKey, run

from sealboot.artifacts import collect
from sealboot.artifacts.vouching import Vouchers, read_vouchers
from sealboot.model.artifact import Artifact, Kind
from sealboot.model.diagnostic import Location
from sealboot.model.verification import Verification

SUMS = "binaries/sha256sums"
ASKED = Verification(checksums=(SUMS,))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Two releases, each with its checksum file as `sha256sum` writes it, and one file that neither lists."""
    for folder in ("binaries", "binaries/old"):
        (tmp_path / folder).mkdir()
        for name in ("k3s", "k3s-arm64"):
            (tmp_path / folder / name).write_text(f"{folder} {name}")
        made = run("sha256sum", "k3s", "--binary", "k3s-arm64", cwd=tmp_path / folder)
        (tmp_path / folder / "sha256sums").write_bytes(made)
    (tmp_path / "binaries/stray").write_text("stray")
    return tmp_path


def file(base: Path, path: str) -> Artifact:
    ((found,), _) = collect([path], base)
    return found


def verified(vouchers: Vouchers, base: Path, path: str) -> str:
    """What vouches for the file; nothing must refuse it."""
    seen = vouchers.vouch(file(base, path))
    assert seen.refusal is None, seen.refusal
    assert not seen.contradicted
    return seen.artifact.verified


def refused(vouchers: Vouchers, base: Path, path: str) -> str:
    """Why the file is refused."""
    assert vouchers.problems == ()
    seen = vouchers.vouch(file(base, path))
    assert seen.refusal is not None
    assert (seen.refusal.code, seen.artifact.verified) == ("SB406", "")
    return seen.refusal.summary


def problems(wanted: Verification, base: Path) -> list[str]:
    """What is wrong with the vouchers; then they vouch for nothing."""
    vouchers = read_vouchers(wanted, base)
    assert {d.code for d in vouchers.problems} == {"SB406"}
    seen = vouchers.vouch(file(base, "binaries/k3s"))
    assert (seen.artifact.verified, seen.refusal) == ("", None)
    return [d.summary for d in vouchers.problems]


# -- which file speaks of which -----------------------------------------------------------------------


def test_what_a_checksum_file_lists_is_verified(base: Path) -> None:
    vouchers = read_vouchers(ASKED, base)
    assert verified(vouchers, base, "binaries/k3s-arm64") == SUMS
    assert refused(vouchers, base, "binaries/stray") == (
        f"binaries/stray is not verified: {SUMS} does not list it"
    )
    (base / "binaries/k3s").write_text("another build")
    seen = vouchers.vouch(file(base, "binaries/k3s"))
    assert seen.contradicted
    assert refused(vouchers, base, "binaries/k3s") == f"binaries/k3s is not the file that {SUMS} names"


def test_other_spellings_of_the_same_paths(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(base)
    monkeypatch.setenv("HOME", str(base))
    for sums in ("./binaries//sha256sums", f"{base}/{SUMS}", f"~/{SUMS}", "binaries/sha256s*"):
        for path in ("binaries/k3s", f"{base}/binaries/k3s", "binaries/old/../k3s", "~/binaries/k3s"):
            for folder in (base, Path()):
                vouchers = read_vouchers(replace(ASKED, checksums=(sums,)), folder)
                assert verified(vouchers, folder, path).endswith("sha256sums"), (sums, path, folder)


def test_the_nearest_checksum_file_decides(base: Path) -> None:
    both = replace(ASKED, checksums=(SUMS, "binaries/old/sha256sums"))
    vouchers = read_vouchers(both, base)
    assert verified(vouchers, base, "binaries/k3s") == SUMS
    assert verified(vouchers, base, "binaries/old/k3s") == "binaries/old/sha256sums"
    # The one above speaks too, where nothing nearer does: of other bytes, here.
    above = read_vouchers(ASKED, base)
    assert "is not the file" in refused(above, base, "binaries/old/k3s")
    # The one below never speaks of what is above.
    below = read_vouchers(replace(ASKED, checksums=("binaries/old/sha256sums",)), base)
    assert refused(below, base, "binaries/k3s").endswith("sha256sums does not list it")
    refusal = below.vouch(file(base, "binaries/k3s")).refusal
    assert refusal is not None
    assert "only of files in its own folder" in refusal.notes[0]


def test_two_that_are_equally_near_must_agree(base: Path) -> None:
    other = base / "binaries/more"
    other.write_text(f"{'0' * 64}  k3s\n")
    vouchers = read_vouchers(replace(ASKED, checksums=(SUMS, "binaries/more")), base)
    assert refused(vouchers, base, "binaries/k3s") == "binaries/k3s is not the file that binaries/more names"
    other.write_bytes(run("sha256sum", "--tag", "k3s", cwd=base / "binaries"))
    vouchers = read_vouchers(replace(ASKED, checksums=(SUMS, "binaries/more")), base)
    assert verified(vouchers, base, "binaries/k3s") == f"{SUMS} and binaries/more"


def test_a_digest_in_the_inventory(base: Path) -> None:
    good = hashlib.sha256((base / "binaries/stray").read_bytes()).hexdigest()
    pins = replace(ASKED, sha256={"./binaries/stray": good})
    vouchers = read_vouchers(pins, base)
    assert verified(vouchers, base, "binaries/stray") == "the inventory"
    assert verified(vouchers, base, "binaries/k3s") == SUMS
    # Both speak of this one, and only one is right.
    at = Location("inventory.yaml", 7)
    pins = replace(ASKED, sha256={"binaries/k3s": good}, origins={"sha256.binaries/k3s": at})
    vouchers = read_vouchers(pins, base)
    assert refused(vouchers, base, "binaries/k3s") == (
        "binaries/k3s is not the file that the inventory names"
    )
    refusal = vouchers.vouch(file(base, "binaries/k3s")).refusal
    assert refusal is not None
    assert refusal.at == at
    alone = read_vouchers(Verification(sha256={"binaries/stray": good}), base)
    assert refused(alone, base, "binaries/k3s").endswith("the inventory has no digest of it")
    both = read_vouchers(replace(ASKED, checksums=(SUMS, "binaries/old/sha256sums")), base)
    assert refused(both, base, "binaries/stray").endswith("old/sha256sums do not list it")


def test_unlisted_files_may_be_allowed_and_contradicted_ones_never(base: Path) -> None:
    vouchers = read_vouchers(replace(ASKED, unlisted="allow"), base)
    assert verified(vouchers, base, "binaries/stray") == ""
    (base / "binaries/k3s").write_text("another build")
    assert "is not the file" in refused(vouchers, base, "binaries/k3s")


def test_what_has_no_digest_is_verified_by_nothing(base: Path) -> None:
    vouchers = read_vouchers(ASKED, base)
    folder = Artifact("binaries/k3s", Kind.DIRECTORY)
    seen = vouchers.vouch(folder)
    assert seen.refusal is not None
    assert seen.refusal.summary == f"binaries/k3s is not the file that {SUMS} names"
    seen = vouchers.vouch(replace(folder, path="binaries/rootfs"))
    assert seen.refusal is not None
    assert seen.refusal.summary.endswith("a folder has no digest of its own")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "it cannot be read: no such file or directory"),
        ("", "it cannot be used: no checksum in it"),
        ("0" * 64 + "  ../k3s\n", "it cannot be used: line 1 names a path"),
        ("x" * (1 << 20) + "x", "it cannot be read: 1048577 bytes; at most 1048576 are read"),
    ],
)
def test_a_broken_checksum_file_stops_everything(text: str | None, why: str, base: Path) -> None:
    broken = base / "binaries/old/sha256sums"
    broken.unlink()
    if text is not None:
        broken.write_text(text)
    (found,) = problems(replace(ASKED, checksums=(SUMS, "binaries/old/sha256sums")), base)
    assert found.startswith("binaries/old/sha256sums is not verified: ")
    assert why in found


def test_no_checksum_file_at_all(base: Path) -> None:
    assert problems(replace(ASKED, checksums=("nothing*", "binaries/no\0")), base) == [
        "nothing* is not verified: no file matches",
        "binaries/no\0 is not verified: no file matches",
    ]
    os.mkfifo(base / "pipe")
    assert problems(replace(ASKED, checksums=("pipe",)), base) == [
        "pipe is not verified: it cannot be read: a FIFO"
    ]


# -- signatures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True])
def test_signed_by_minisign(legacy: bool, base: Path) -> None:
    requires("minisign")
    key, other = Minisign(base / "keys"), Minisign(base / "other")
    wanted = replace(ASKED, minisign_key="keys/minisign.pub")
    assert problems(wanted, base) == [
        f"{SUMS} is not verified: its signature {SUMS}.minisig cannot be used: no such file or directory"
    ]
    key.sign(base / SUMS, legacy=legacy)
    number = key.public.read_text().splitlines()[0].split()[-1].zfill(16)  # minisign leaves out leading zeros
    for shown in ("keys/minisign.pub", key.text):
        vouchers = read_vouchers(replace(wanted, minisign_key=shown), base)
        assert vouchers.problems == ()
        assert verified(vouchers, base, "binaries/k3s") == f"{SUMS}, signed by minisign key {number}"
    assert problems(replace(wanted, minisign_key=other.text), base) == [
        f"{SUMS} is not verified: the signature was made with another key"
    ]
    with (base / SUMS).open("a") as sums:
        sums.write("# one line more\n")
    assert problems(wanted, base) == [f"{SUMS} is not verified: the signature does not fit the file"]
    other.sign(base / SUMS, legacy=legacy)
    assert problems(wanted, base) == [f"{SUMS} is not verified: the signature was made with another key"]


def test_signed_by_openssh(base: Path) -> None:
    requires("ssh-keygen")
    key, other = SshKey(base / "keys"), SshKey(base / "other")
    wanted = replace(ASKED, allowed_signers="keys/allowed_signers")
    assert "sha256sums.sig cannot be used: no such file" in problems(wanted, base)[0]
    key.sign(base / SUMS)
    vouchers = read_vouchers(wanted, base)
    assert vouchers.problems == ()
    assert verified(vouchers, base, "binaries/k3s") == f"{SUMS}, signed by SSH key {key.fingerprint}"
    assert problems(replace(wanted, allowed_signers="other/allowed_signers"), base) == [
        f"{SUMS} is not verified: the signature was made with a key that is not allowed"
    ]
    key.sign(base / SUMS, "git")
    assert problems(wanted, base) == [
        f"{SUMS} is not verified: the signature was made for another purpose than 'sealboot'"
    ]
    # A key that is allowed to sign for `sealboot` only is none for another namespace, whoever asks.
    assert "not allowed" in problems(replace(wanted, namespace="git"), base)[0]
    key.allowed.write_text(f"* {key.public.read_text()}")
    assert read_vouchers(replace(wanted, namespace="git"), base).problems == ()
    other.sign(base / SUMS)
    assert "not allowed" in problems(wanted, base)[0]
    key.sign(base / SUMS)
    (base / SUMS).write_text((base / SUMS).read_text().upper().replace("K3S", "k3s"))
    assert problems(wanted, base) == [f"{SUMS} is not verified: the signature does not fit the file"]


def test_every_key_that_is_set_must_have_signed(base: Path) -> None:
    requires("minisign", "ssh-keygen")
    key, ssh = Minisign(base / "keys"), SshKey(base / "keys")
    wanted = replace(ASKED, minisign_key=key.text, allowed_signers="keys/allowed_signers")
    key.sign(base / SUMS)
    (unsigned,) = problems(wanted, base)
    assert f"its signature {SUMS}.sig cannot be used" in unsigned
    ssh.sign(base / SUMS)
    vouchers = read_vouchers(replace(wanted, checksums=("binaries/sha256sums*",)), base)
    assert vouchers.problems == ()  # the pattern means the signatures too, and they are no checksum files
    assert verified(vouchers, base, "binaries/k3s").count("signed by") == 2
    # Swapped, each is no signature of the other kind.
    (base / f"{SUMS}.minisig").rename(base / "swap")
    (base / f"{SUMS}.sig").rename(base / f"{SUMS}.minisig")
    (base / "swap").rename(base / f"{SUMS}.sig")
    assert [p.rpartition("is no ")[2] for p in problems(wanted, base)] == [
        "minisign signature",
        "SSH signature",
    ]


def test_keys_that_cannot_be_used(base: Path) -> None:
    (base / "empty").write_text(" \n")
    (base / "html").write_text("<html>")
    (base / f"{SUMS}.minisig").write_text("x")
    wanted = replace(ASKED, minisign_key="no/key", allowed_signers="empty")
    assert problems(wanted, base) == [
        "no/key is not verified: the key file cannot be used: no such file or directory",
        "empty is not verified: the key file cannot be used: it is empty",
    ]
    assert problems(replace(ASKED, minisign_key="html"), base) == [
        f"{SUMS} is not verified: the public key is no minisign key"
    ]
