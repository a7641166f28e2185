"""The questions and the edit as shells run them, and what fits into 4 KiB."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from sealboot.drivers import k0s_airgap_scripts as scripts
from sealboot.drivers.k0s_airgap_places import ASKED, PLACES, PROXY, Pin, Ref

HOME = "quay.io/k0sproject"
NAMES = [f"{HOME}/{place.product}:v1.{minor}.2" for place in PLACES for minor in (29, 30)]


def test_the_edit_removes_what_was_seen_and_nothing_else() -> None:
    pins = {PROXY: Pin(f"{HOME}/kube-proxy", "v1.29.9")}
    assert json.loads(scripts.edit(pins)) == [
        {
            "op": "test",
            "path": "/spec/images/kubeproxy",
            "value": {"image": f"{HOME}/kube-proxy", "version": "v1.29.9"},
        },
        {"op": "remove", "path": "/spec/images/kubeproxy"},
    ]


def k0s_that(folder: Path, script: str) -> str:
    program = folder / "k0s"
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(0o755)
    return str(program)


def answer(script: str) -> str:
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("says", "wanted"),
    [
        ('printf "images.repository=\\nimages.coredns.version=1\\n"', "live\nimages.coredns.version=1\n"),
        ('echo "Error from server (NotFound): clusterconfigs \\"k0s\\" not found" >&2; exit 1', "none\n"),
        ('echo "error: the server doesn\'t have a resource type \\"clusterconfig\\"" >&2; exit 1', "none\n"),
        ('echo "connection refused" >&2; exit 1', "failed: connection refused\n"),
    ],
)
def test_how_the_live_object_is_asked_for(tmp_path: Path, says: str, wanted: str) -> None:
    data = tmp_path / "data"
    (data / "pki").mkdir(parents=True)
    (data / "pki/admin.conf").touch()
    assert answer(scripts.live(k0s_that(tmp_path, says), str(data))) == wanted
    assert answer(scripts.live(str(tmp_path / "none"), str(data))) == ""


def test_the_answers_fit_into_what_a_question_may_say(tmp_path: Path) -> None:
    longest = f"{HOME}/apiserver-network-proxy-agent"
    pinned = "".join(f"{path}={longest if path.endswith('.image') else 'v1.29.15-k0s.0'}\n" for path in ASKED)
    assert len(f"live\n{pinned}") < 4096
    names = [*NAMES, *(f"docker.io/library/app:{n}" for n in range(500))]
    listed = "".join(f"{name}\n{name.rpartition(':')[0]}@sha256:{'0' * 64}\n" for name in reversed(names))
    (tmp_path / "images").write_text(listed)
    said = answer(scripts.stored(k0s_that(tmp_path, f"cat {tmp_path}/images\n")))[:4096].splitlines()
    assert set(said) >= set(NAMES)
    assert not any("@" in line for line in said)


def test_the_object_is_kept_before_it_is_edited_and_once(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    program = k0s_that(tmp_path, f'echo "$@" >>{calls}\ncase $* in *"-o json") echo OBJECT ;; esac\n')
    keep = tmp_path / "backups/clusterconfig.json"
    pins = {PROXY: Pin("", "v1.29.9")}
    for _ in range(2):
        answer(scripts.unpin(program, str(tmp_path), str(keep), pins))
    assert keep.read_text() == "OBJECT\n"
    assert keep.stat().st_mode & 0o777 == 0o600
    made = [line.split()[3] for line in calls.read_text().splitlines()]
    assert made == ["get", "patch", "patch"]
    keep.unlink()
    broken = k0s_that(tmp_path, f'echo "$@" >>{calls}\nexit 1\n')
    failed = subprocess.run(["sh", "-c", scripts.unpin(broken, str(tmp_path), str(keep), pins)], check=False)
    assert failed.returncode == 1
    assert not keep.exists()
    assert [line.split()[3] for line in calls.read_text().splitlines()][3:] == ["get"]


def test_the_release_itself_confirms_the_images(tmp_path: Path) -> None:
    program = k0s_that(tmp_path, "echo quay.io/a:1; echo quay.io/b:1\n")
    answer(scripts.listed(program, str(tmp_path), ["quay.io/a:1", "quay.io/b:1"]))
    refused = subprocess.run(
        ["sh", "-c", scripts.listed(program, str(tmp_path), ["quay.io/a:1", "quay.io/b:2"])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 65
    assert "does not name quay.io/b:2" in refused.stderr


@pytest.mark.parametrize(
    ("text", "name", "tag"),
    [
        ("r.lan:5000/a/pause:3.9", "r.lan:5000/a/pause", "3.9"),
        ("r.lan:5000/a/pause", "r.lan:5000/a/pause", ""),
        ("quay.io/a:1@sha256:00", "quay.io/a", "1"),
    ],
)
def test_references(text: str, name: str, tag: str) -> None:
    assert Ref.of(text) == Ref(name, tag)
