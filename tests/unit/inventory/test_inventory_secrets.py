"""Secrets by reference: every kind, every failure, nothing shown."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sealboot.inventory.secrets import SecretResolver, parse_secret_ref, unavailable
from sealboot.model.diagnostic import Location
from sealboot.model.secret import SecretRef


@pytest.mark.parametrize("text", ["prompt", "env:NAME", "file:a/b", "file:~/x", "fd:3", "keyring:svc/a b"])
def test_references(text: str) -> None:
    found = parse_secret_ref(text)
    assert isinstance(found, SecretRef)
    assert str(found) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2",
        "prompt:hunter2",
        "env:",
        "env:hunter2 x",
        "file:",
        "fd:hunter2",
        "keyring:hunter2",
        "vault:hunter2",
        "ENV:X",
        "fd:\u0663",
    ],
)
def test_what_is_no_reference_is_told_without_its_text(text: str) -> None:
    found = parse_secret_ref(text)
    assert isinstance(found, str)
    assert "hunter2" not in found


def secret_file(folder: Path, content: bytes = b"hunter2\n", mode: int = 0o600) -> SecretRef:
    (folder / "pw").write_bytes(content)
    (folder / "pw").chmod(mode)
    return SecretRef("file", "pw")


def test_file_env_fd_and_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(label: str) -> str:
        asked.append(label)
        return "typed"

    resolve = SecretResolver(ask, tmp_path)
    assert resolve(secret_file(tmp_path, b" hunter2 \r\n")).reveal() == " hunter2 "
    monkeypatch.setenv("SB_TEST_PW", "fromenv")
    assert resolve(SecretRef("env", "SB_TEST_PW")).reveal() == "fromenv"
    reader, writer = os.pipe()
    os.write(writer, b"frompipe\n")
    os.close(writer)
    for _ in range(2):  # the second time from memory: the pipe is empty
        assert resolve(SecretRef("fd", str(reader))).reveal() == "frompipe"
        assert resolve(SecretRef("prompt")).reveal() == "typed"
    os.close(reader)
    assert len(asked) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_files_open_to_others_are_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(LookupError, match=r"chmod 600"):
        SecretResolver(None, tmp_path)(secret_file(tmp_path, mode=mode))


def test_other_files_are_refused(tmp_path: Path) -> None:
    secret_file(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "pw")
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "dir").mkdir(0o700)
    wanted = {
        "link": "symbolic link",
        "fifo": "regular file",
        "dir": "regular file",
        "none": "No such file",
        "a\0b": "not a path",
    }
    for name, why in wanted.items():
        with pytest.raises(LookupError, match=why):
            SecretResolver(None, tmp_path)(SecretRef("file", name))
    with pytest.raises(LookupError, match="home directory"):
        SecretResolver(None, tmp_path)(SecretRef("file", "~no-such-user-here/x"))


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "empty"), (b"\n", "empty"), (b"\xff\xfe", "UTF-8"), (b"a\0b", "NUL"), (b"x" * 70_000, "KiB")],
)
def test_contents_that_are_no_secret(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(LookupError, match=why):
        SecretResolver(None, tmp_path)(secret_file(tmp_path, content))


def test_nobody_to_ask_unset_variable_closed_descriptor(tmp_path: Path) -> None:
    resolve = SecretResolver(None, tmp_path)
    with pytest.raises(LookupError, match="no one can be asked"):
        resolve(SecretRef("prompt"))
    with pytest.raises(LookupError, match="not set"):
        resolve(SecretRef("env", "SB_NO_SUCH_VARIABLE"))
    with pytest.raises(LookupError, match="cannot be read"):
        resolve(SecretRef("fd", "9999"))


def test_a_refused_question_is_asked_once(tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(label: str) -> str:
        asked.append(label)
        raise EOFError

    resolve = SecretResolver(ask, tmp_path)
    for _ in range(2):
        with pytest.raises(LookupError, match="not answered"):
            resolve(SecretRef("prompt"))
    assert len(asked) == 1


def test_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def get_password(service: str, name: str) -> str | None:
        if service == "locked":
            raise RuntimeError("hunter2")
        return "ringed" if (service, name) == ("svc", "a/b") else None

    monkeypatch.setitem(sys.modules, "keyring", SimpleNamespace(get_password=get_password))
    resolve = SecretResolver(None, tmp_path)
    assert resolve(SecretRef("keyring", "svc/a/b")).reveal() == "ringed"
    with pytest.raises(LookupError, match="keyring set svc other"):
        resolve(SecretRef("keyring", "svc/other"))
    with pytest.raises(LookupError, match="unlock") as locked:
        resolve(SecretRef("keyring", "locked/x"))
    assert "hunter2" not in str(locked.value)
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(LookupError, match="pip install"):
        SecretResolver(None, tmp_path)(SecretRef("keyring", "svc/a"))


def test_a_failure_as_a_finding(tmp_path: Path) -> None:
    with pytest.raises(LookupError) as caught:
        SecretResolver(None, tmp_path)(SecretRef("env", "SB_NO_SUCH_VARIABLE"))
    at = Location("inventory.yaml", 3, 4)
    found = unavailable(SecretRef("env", "SB_NO_SUCH_VARIABLE"), caught.value, host="pi01", at=at)
    assert (found.code, found.host, found.at) == ("SB012", "pi01", at)
    assert (
        found.summary
        == "env:SB_NO_SUCH_VARIABLE cannot be had: the environment variable SB_NO_SUCH_VARIABLE is not set"
    )
    assert found.hints == ("export it before you run sealboot",)
