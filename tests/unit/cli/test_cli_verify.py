"""Checksums and signatures that the inventory asks for, end to end: what is not vouched for goes nowhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_kit import Lab, Ran, lab, quick
from jsonschema import Draft202012Validator
from requires import requires
from tool_kit import Minisign, SshKey, run

from sealboot.cli.exits import Exit
from sealboot.model.arch import Arch

SCHEMAS = Path(__file__).parents[3] / "schemas"
REPORT = Draft202012Validator(json.loads((SCHEMAS / "report.schema.json").read_text()))
FILES = ("sealctl-linux-amd64", "sealctl-linux-arm64")
SUMS = "binaries/sha256sums"


def summed(lab: Lab, *names: str) -> Path:
    """A checksum file of these files, by `sha256sum` itself."""
    made = lab.folder / SUMS
    made.write_bytes(run("sha256sum", *names, cwd=lab.folder / "binaries"))
    return made


def written(lab: Lab) -> list[str]:
    """The machines that something was put on."""
    machines = lab.folder / "machines"
    return sorted({p.relative_to(machines).parts[0] for p in machines.rglob("sealctl")})


def ask(lab: Lab, settings: str) -> None:
    """Have the inventory verify: replaces what it asked for before."""
    path = lab.folder / "inventory.yaml"
    text = re.sub(r"^verify:.*\n", "", path.read_text(), flags=re.MULTILINE)
    path.write_text(text.replace("hosts:\n", f"verify: {{{settings}}}\nhosts:\n", 1))


def check(lab: Lab, code: int, *arguments: str) -> Ran:
    """`check` in this process; its document is a valid one."""
    ran = quick(lab.folder, "check", "--format", "json", *arguments)
    assert ran.code == code, ran.out
    REPORT.validate(ran.document)
    return ran


def refused(lab: Lab, *words: str) -> Ran:
    """`check` ends with 9, with a finding that has these words."""
    ran = check(lab, Exit.INTEGRITY)
    told = [d["summary"] for d in ran.document["diagnostics"] if d["code"] == "SB406"]
    assert any(all(word in summary for word in words) for summary in told), told
    return ran


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("verify") / "lab") as made:
        yield made


@pytest.fixture
def asking(looked_at: Lab) -> Lab:
    """Both files right, listed, and asked for."""
    looked_at.put(FILES[0], Arch.AMD64)
    looked_at.put(FILES[1], Arch.ARM64)
    summed(looked_at, *FILES)
    ask(looked_at, f"checksums: {SUMS}")
    return looked_at


def test_what_is_listed_is_shown_as_verified(asking: Lab) -> None:
    ran = check(asking, 0)
    assert {a["path"]: a["verified"] for a in ran.document["artifacts"]} == {
        f"binaries/{name}": SUMS for name in FILES
    }
    assert "(x86-64, verified)" in quick(asking.folder, "check").out
    shown = quick(asking.folder, "inventory", "show", "--format", "json").document["rows"]
    (row,) = [r for r in shown if r["setting"] == "verify.checksums" and r["host"] == "pi01"]
    assert row["value"] == SUMS
    assert row["from"].startswith("inventory.yaml:")


def test_a_file_that_is_not_listed(asking: Lab) -> None:
    summed(asking, FILES[0])
    report = refused(asking, f"{FILES[1]} is not verified: {SUMS} does not list it").document
    (found,) = [d for d in report["diagnostics"] if d["code"] == "SB406"]
    assert [found["host"], *found["also"]] == ["pi01", "pi02"]
    assert found["at"]["file"] == "inventory.yaml"
    assert [h["status"] for h in report["hosts"]] == ["ok", "ok", "failed", "failed"]
    ignored = quick(asking.folder, "check", "--ignore", "SB406")
    assert ignored.code == 2
    assert "SB406 cannot be ignored" in ignored.err
    ask(asking, f"checksums: {SUMS}, unlisted: allow")
    check(asking, 0)


def test_a_file_with_another_digest(asking: Lab) -> None:
    with (asking.folder / "binaries" / FILES[1]).open("ab") as file:
        file.write(b"one line more")
    for more in ("", ", unlisted: allow"):
        ask(asking, f"checksums: {SUMS}{more}")
        refused(asking, f"{FILES[1]} is not the file that {SUMS} names")
    # Where no host needs the file it is no obstacle, and no secret.
    ran = check(asking, 0, "-l", "ctl1,ctl2")
    assert [(d["code"], d["severity"]) for d in ran.document["diagnostics"]] == [("SB406", "warning")]


def test_paths_in_a_checksum_file(asking: Lab) -> None:
    sums = asking.folder / SUMS
    for old, new in ((FILES[1], f"../binaries/{FILES[1]}"), ("../binaries", "/usr/local/bin")):
        sums.write_text(sums.read_text().replace(old, new))
        refused(asking, "line 2 names a path")


def test_digests_in_the_inventory(asking: Lab) -> None:
    digests = [line.split()[0] for line in (asking.folder / SUMS).read_text().splitlines()]
    pins = [f"binaries/{name}: {digest}" for name, digest in zip(FILES, digests, strict=True)]
    ask(asking, f"sha256: {{{', '.join(pins)}}}")
    ran = check(asking, 0)
    assert {a["verified"] for a in ran.document["artifacts"]} == {"the inventory"}
    ask(asking, f"sha256: {{{pins[0]}}}")
    refused(asking, f"{FILES[1]} is not verified: the inventory has no digest of it")
    ask(asking, f"sha256: {{{pins[0]}, binaries/{FILES[1]}: {digests[0]}, binaries/gone: {digests[0]}}}")
    ran = refused(asking, f"{FILES[1]} is not the file that the inventory names")
    assert [d["severity"] for d in ran.document["diagnostics"] if d["code"] == "SB407"] == ["warning"]


def test_signatures(asking: Lab) -> None:
    requires("minisign", "ssh-keygen")
    folder = asking.folder
    key, ssh, other = Minisign(folder / "keys"), SshKey(folder / "keys"), SshKey(folder / "other")
    ask(asking, f"checksums: {SUMS}, minisign_key: {key.text}, allowed_signers: keys/allowed_signers")
    key.sign(folder / SUMS)
    refused(asking, f"{SUMS}.sig cannot be used: no such file")
    other.sign(folder / SUMS)
    refused(asking, "a key that is not allowed")
    ssh.sign(folder / SUMS)
    said = {a["verified"] for a in check(asking, 0).document["artifacts"]}
    assert len(said) == 1
    assert ssh.fingerprint in said.pop()
    with (folder / SUMS).open("a") as sums:
        sums.write("\n")
    report = refused(asking, "the signature does not fit the file").document
    assert {h["status"] for h in report["hosts"]} == {"failed"}
    assert all("verified" not in a for a in report["artifacts"])


def test_nothing_is_planned_or_written_that_is_not_verified(own_lab: Lab) -> None:
    folder = own_lab.folder
    summed(own_lab, *FILES)
    ask(own_lab, f"checksums: {SUMS}")
    assert quick(folder, "plan", "-o", "whole.json").code == 0
    summed(own_lab, FILES[0])
    for command in (("plan", "-o", "p.json"), ("apply", "--yes"), ("apply", "whole.json")):
        ran = quick(folder, *command, "--format", "json")
        assert (ran.code, "SB406" in ran.codes) == (Exit.INTEGRITY, True), command
    assert written(own_lab) == []
    assert not (folder / "p.json").exists()
    ran = own_lab.run("apply", "--yes", "--ready-only")
    assert ran.code == Exit.INTEGRITY, ran.out
    assert written(own_lab) == ["ctl1", "ctl2"]


# -- inspect ------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "more").write_text("#!/bin/sh\nexit\n")
    (tmp_path / "SUMS").write_bytes(run("sha256sum", "tool", cwd=tmp_path))
    return tmp_path


def test_inspect_says_what_vouches_for_a_file(folder: Path) -> None:
    ran = quick(folder, "inspect", "--checksums", "SUMS", "tool")
    assert (ran.code, "├─ verified by SUMS\n" in ran.out) == (0, True)
    assert "verified" not in quick(folder, "inspect", "tool").out
    ran = quick(folder, "inspect", "--checksums", "SUMS", "tool", "more", "--format", "json")
    REPORT.validate(ran.document)
    assert ran.code == Exit.INTEGRITY
    tool, more = ran.document["artifacts"]
    assert (tool["verified"], "verified" in more) == ("SUMS", False)
    assert more["diagnostics"][0]["summary"] == "more is not verified: SUMS does not list it"
    (folder / "tool").write_text("#!/bin/sh\nrm -rf /\n")
    ran = quick(folder, "inspect", "--checksums", "SUMS", "tool")
    assert ran.code == Exit.INTEGRITY
    assert "error[SB406]: tool is not the file that SUMS names" in ran.out + ran.err


def test_inspect_with_keys(folder: Path) -> None:
    requires("minisign", "ssh-keygen")
    key, ssh = Minisign(folder / "keys"), SshKey(folder / "keys")
    asked = ("inspect", "--checksums", "SUMS", "--minisign-key", "keys/minisign.pub")
    ran = quick(folder, *asked, "tool", "--format", "json")
    assert (ran.code, ran.codes) == (Exit.INTEGRITY, {"SB406"})
    key.sign(folder / "SUMS")
    assert "signed by minisign key" in quick(folder, *asked, "tool").out
    both = (*asked, "--allowed-signers", "keys/allowed_signers", "--namespace", "file")
    ssh.allowed.write_text(f"me@example.org {ssh.public.read_text()}")
    ssh.sign(folder / "SUMS")
    ran = quick(folder, *both, "tool")
    assert (ran.code, "another purpose than 'file'" in ran.out + ran.err) == (Exit.INTEGRITY, True)
    ssh.sign(folder / "SUMS", "file")
    assert ssh.fingerprint in quick(folder, *both, "tool").out


def test_a_key_alone_verifies_nothing(folder: Path) -> None:
    for option in ("--minisign-key", "--allowed-signers"):
        ran = quick(folder, "inspect", option, "k", "tool")
        assert (ran.code, ran.out) == (2, "")
        assert "--checksums" in ran.err
