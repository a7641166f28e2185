"""The stand-ins of a Sealos cluster are as strict as the real programs where that once hid a fault."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from labkit.sealctl import HOSTS
from labkit.sealos_cri import CRI, CRI_CLIENT
from labkit.sealos_images import SERVER, registry

from sealboot.drivers.sealos_image_scripts import HTPASSWD, answers
from sealboot.drivers.sealos_marks import DONE
from sealboot.model.arch import Arch

SIGNED = "YWRtaW46cGFzc3cwcmQ="


def sh(script: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", script, "sh", *words],
        env={"PATH": "/usr/bin:/bin", **env},
        text=True,
        capture_output=True,
        timeout=30,
        check=False,
    )


def pull(at: Path, image: str) -> subprocess.CompletedProcess[str]:
    return sh(CRI_CLIENT + 'cri "$1" "$2"', str(at), image)


@contextlib.contextmanager
def running(program: str, *words: str, there: Path | int) -> Iterator[None]:
    with subprocess.Popen(["perl", "-e", program, *words]) as process:
        try:
            deadline = time.monotonic() + 20
            while not _answers(there):
                assert process.poll() is None
                assert time.monotonic() < deadline
            yield
        finally:
            process.kill()


def _answers(there: Path | int) -> bool:
    kind, place = (
        (socket.AF_INET, ("127.0.0.1", there)) if isinstance(there, int) else (socket.AF_UNIX, str(there))
    )
    with socket.socket(kind) as asked:
        asked.settimeout(0.2)
        return asked.connect_ex(place) == 0


@pytest.fixture
def served(tmp_path: Path) -> Iterator[int]:
    """A registry with one image, and a password file that is not there yet."""
    for name, data in registry({"kube-apiserver:v1": (Arch.AMD64,), "pause:3.10.2": (Arch.AMD64,)}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "htpasswd").write_text(f"{HTPASSWD}\n")
    with running(SERVER, str(port), str(tmp_path / "registry"), str(tmp_path / "htpasswd"), there=port):
        yield port


def test_a_registry_without_its_password_file_lets_nobody_in(tmp_path: Path, served: int) -> None:
    (tmp_path / DONE).mkdir()
    (tmp_path / DONE / "registry-auth").write_text(f"{SIGNED}\n")
    assert sh(answers(str(tmp_path), "127.0.0.1", served)).returncode == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = tmp_path / "made-by-itself"
    with running(SERVER, str(port), str(tmp_path / "registry"), str(own), there=port):
        refused = sh(answers(str(tmp_path), "127.0.0.1", port))
    assert "401 Unauthorized" in refused.stderr
    assert own.read_text().startswith("docker:")


def test_only_the_shim_knows_what_names_of_public_registries_are(tmp_path: Path, served: int) -> None:
    runtime, shim, hub = tmp_path / "c.sock", tmp_path / "shim.sock", f"127.0.0.1:{served}"
    with (
        running(CRI, str(runtime), "", hub, SIGNED, there=runtime),
        running(CRI, str(shim), str(runtime), hub, SIGNED, there=shim),
    ):
        for image in ("registry.k8s.io/kube-apiserver:v1", f"{hub}/kube-apiserver:v1", f"{hub}/pause:3.10.2"):
            assert pull(shim, image).returncode == 0
        assert pull(runtime, f"{hub}/kube-apiserver:v1").returncode == 0
        past = pull(runtime, "registry.k8s.io/kube-apiserver:v1")
        assert (past.returncode, "lookup registry.k8s.io: no such host" in past.stderr) == (1, True)
        lacking = pull(shim, f"{hub}/pause:3.9")
        assert (lacking.returncode, "404" in lacking.stderr) == (1, True)


def test_nobody_signs_in_with_another_password(tmp_path: Path, served: int) -> None:
    runtime, hub = tmp_path / "c.sock", f"127.0.0.1:{served}"
    with running(CRI, str(runtime), "", hub, "YWRtaW46d3Jvbmc=", there=runtime):
        assert "401" in pull(runtime, f"{hub}/pause:3.10.2").stderr


def test_a_shim_refuses_a_socket_on_which_somebody_answers(tmp_path: Path, served: int) -> None:
    runtime, hub = tmp_path / "c.sock", f"127.0.0.1:{served}"
    with running(CRI, str(runtime), "", hub, SIGNED, there=runtime):
        second = subprocess.run(
            ["perl", "-e", CRI, str(runtime), str(runtime), hub, SIGNED],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert second.returncode != 0
    assert f"socket {runtime} already in use" in second.stderr


FAIL = 'fail() { echo "$*" >&2; exit 1; }\ncase ${1:-} in\n'


@pytest.mark.parametrize(
    ("verb", "before", "after"),
    [
        ("add", "127.0.0.1 localhost\n", "127.0.0.1 localhost\n10.0.0.1 a.b\n"),
        ("add", "10.0.0.9 a.b other\n", "10.0.0.9 a.b other\n10.0.0.1 a.b\n"),
        ("add", "127.0.0.1 localhost\n::1 localhost\n10.0.0.9 a.b\n", "::1 localhost\n10.0.0.1 a.b\n"),
        ("delete", "127.0.0.1 localhost\n::1 localhost\n10.0.0.9 a.b\n# last\n", "::1 localhost\n"),
        ("delete", "# first\n127.0.0.1 localhost\n", "# first\n127.0.0.1 localhost\n"),
    ],
)
def test_sealctl_makes_one_line_of_lines_with_equal_names(
    verb: str, before: str, after: str, tmp_path: Path
) -> None:
    path = tmp_path / "hosts"
    path.write_text(before)
    words = (
        "hosts",
        verb,
        "--path",
        str(path),
        *(("--ip", "10.0.0.1") if verb == "add" else ()),
        "--domain",
        "a.b",
    )
    ran = sh(f"{FAIL}{HOSTS}esac\n", *words)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert path.read_text() == after
