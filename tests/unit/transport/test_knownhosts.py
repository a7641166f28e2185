"""The known_hosts index against the format and against ssh-keygen itself."""

from __future__ import annotations

import base64
import os
import subprocess
import time
from pathlib import Path

import pytest
from connect_kit import ECDSA, A, B, key
from hypothesis import given
from hypothesis import strategies as st

from sealboot.model.diagnostic import Severity
from sealboot.transport.knownhosts import MAX_BYTES, HostKey, Known, KnownHosts, read_known_hosts, spelled
from sealboot.transport.verdict import Trust, judge, judge_authority


def index(text: str) -> KnownHosts:
    known = KnownHosts()
    known.add("known_hosts", text.encode())
    return known


def plain(known: Known) -> list[bytes]:
    return [line.key.blob for line in known.plain]


@pytest.mark.parametrize(
    ("field", "name", "port", "found"),
    [
        ("host", "host", 22, True),
        ("Host", "hOST", 22, True),
        ("host", "other", 22, False),
        ("one,host,two", "host", 22, True),
        ("[host]:2222", "host", 2222, True),
        ("[host]:2222", "host", 22, False),
        ("*.example", "a.example", 22, True),
        ("*.example", "example", 22, False),
        ("*.example,!bad.example", "bad.example", 22, False),
        ("!bad.example,*.example", "good.example", 22, True),
        ("!bad.example", "good.example", 22, False),
        ("10.0.0.?", "10.0.0.7", 22, True),
        ("10.0.0.?", "10.0.0.17", 22, False),
        ("[*]:2222", "host", 2222, True),
        ("[10.0.0.1]:22", "10.0.0.1", 22, False),
        ("h[a-c]st", "hast", 22, False),
        ("fe80::1", "fe80::1", 22, True),
        ("[fe80::1]:2222", "fe80::1", 2222, True),
    ],
)
def test_names(field: str, name: str, port: int, found: bool) -> None:
    assert bool(plain(index(f"{field} {A.line}\n").lookup(name, port))) is found


def test_a_line_without_the_port_confirms_but_never_accuses() -> None:
    known = index(f"host {A.line}\n").lookup("host", 2222)
    assert judge(known, A).trust is Trust.TRUSTED
    assert judge(known, B).trust is Trust.UNKNOWN


def test_a_revocation_without_the_port_counts() -> None:
    known = index(f"[host]:2222 {A.line}\n@revoked host {A.line}\n").lookup("host", 2222)
    assert judge(known, A).trust is Trust.REVOKED


def test_verdicts() -> None:
    known = index(f"h {A.line}\nh {ECDSA.line}\n").lookup("h", 22)
    assert judge(known, A).trust is Trust.TRUSTED
    assert judge(known, ECDSA).lines[0].at.line == 2
    assert judge(known, B).trust is Trust.CHANGED
    assert judge(known, key(9, "ssh-rsa")).trust is Trust.CHANGED_TYPE
    assert judge(Known(), A).trust is Trust.UNKNOWN
    assert judge_authority(known, A).trust is Trust.BAD_CERTIFICATE


def test_an_authority_is_no_host_key_and_the_other_way_round() -> None:
    known = index(f"@cert-authority h {A.line}\nh {B.line}\n").lookup("h", 22)
    assert judge(known, A).trust is Trust.CHANGED
    assert judge_authority(known, A).trust is Trust.TRUSTED
    assert judge_authority(known, B).trust is Trust.BAD_CERTIFICATE


@pytest.mark.parametrize(
    "line",
    [
        "justoneword",
        "h ssh-ed25519",
        "h ssh-ed25519 !!!!",
        f"h ssh-rsa {A.line.split()[1]}",
        "h ssh-ed25519 AAAA",
        "h 1024 35 1234567890",
        "|1|salt ssh-ed25519 AAAA",
        f"|2|{'A' * 28}|{'A' * 28} {A.line}",
        f"|1|AAAA|AAAA {A.line}",
        f"@unknown h {A.line}",
        "@cert-authority",
        "@",
    ],
)
def test_a_bad_line_is_a_warning_and_the_others_count(line: str) -> None:
    known = index(f"{line}\ngood {A.line}\n")
    assert [f.at.line for f in known.findings if f.at] == [1]
    assert {(f.code, f.severity) for f in known.findings} == {("SB209", Severity.WARNING)}
    assert plain(known.lookup("good", 22)) == [A.blob]


@pytest.mark.parametrize(
    "line", ["@revoked", "@revoked h", "@revoked h ssh-ed25519 !!", "@revoked |1|x|y " + A.line]
)
def test_a_bad_revocation_is_never_skipped(line: str) -> None:
    known = index(f"{line}\n")
    assert known.lookup("h", 22).unreadable
    assert known.findings


def test_a_bad_revocation_leaves_other_hosts_alone() -> None:
    known = index(f"@revoked h ssh-ed25519 !!\nother {A.line}\n")
    assert not known.lookup("other", 22).unreadable


@pytest.mark.requires("ssh-keygen")
def test_hashed_lines_of_ssh_keygen(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text("".join(f"h{i} {key(i).line}\n[h{i}]:2222 {key(1000 + i).line}\n" for i in range(20)))
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(path)], check=True, capture_output=True)
    assert "h7 " not in path.read_text()
    known = read_known_hosts([path])
    assert plain(known.lookup("h7", 22)) == [key(7).blob]
    assert plain(known.lookup("h7", 2222)) == [key(1007).blob]


@pytest.mark.requires("ssh-keygen")
def test_fingerprints_are_those_of_ssh_keygen(tmp_path: Path) -> None:
    path = tmp_path / "k"
    for kind, label in (("ed25519", "ED25519"), ("ecdsa", "ECDSA"), ("rsa", "RSA")):
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", f"{path}{kind}"], check=True)
        algorithm, text = Path(f"{path}{kind}.pub").read_text().split()[:2]
        shown = subprocess.run(
            ["ssh-keygen", "-lf", f"{path}{kind}.pub"], check=True, capture_output=True, text=True
        ).stdout
        assert str(HostKey(algorithm, base64.b64decode(text))) == f"{label} {shown.split()[1]}"


def test_missing_files_are_empty_and_others_are_told(tmp_path: Path) -> None:
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    os.mkfifo(tmp_path / "fifo")
    paths = [
        tmp_path / "none",
        tmp_path,
        huge,
        tmp_path / "fifo",
        Path("/dev/null"),
        Path("/dev/zero"),
        Path("a\0b"),
    ]
    known = read_known_hosts(paths)
    wrong = [tmp_path, huge, tmp_path / "fifo", Path("/dev/zero")]
    assert [f.at.file for f in known.findings if f.at] == list(map(str, wrong))


def test_all_files_count_together_and_in_order(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text(f"h {A.line}\n")
    two.write_text(f"h {B.line}\n@revoked h {A.line}\n")
    known = read_known_hosts([one, two]).lookup("h", 22)
    assert judge(known, B).trust is Trust.TRUSTED
    assert judge(known, A).trust is Trust.REVOKED


def test_a_lookup_does_not_grow_with_the_file() -> None:
    known = index("".join(f"h{i} {A.line}\n" for i in range(20_000)))
    started = time.process_time()
    for i in range(2000):
        assert known.lookup(f"h{i}", 22).plain
    assert time.process_time() - started < 3  # milliseconds; some 20 s where every line is read for each


def test_spelling() -> None:
    assert (spelled("h", 22), spelled("h", 23)) == ("h", "[h]:23")


@given(st.binary(max_size=400))
def test_any_bytes_are_survived(data: bytes) -> None:
    known = KnownHosts()
    known.add("f", data + b"\ngood " + A.line.encode())
    assert A.blob in plain(known.lookup("good", 22))
    known.lookup("x" * 300, 2)
