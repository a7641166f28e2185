from __future__ import annotations

import os
from pathlib import Path

import pytest

from sealboot.artifacts import collect
from sealboot.model.artifact import Kind
from sealboot.model.diagnostic import Severity


def tree(base: Path, *names: str) -> None:
    for name in names:
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def paths(base: Path, *patterns: str) -> list[str]:
    return [artifact.path for artifact in collect(patterns, base)[0]]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    tree(
        tmp_path, "bin/k3s", "bin/k3s-arm64", "bin/old/k3s-arm64", "bin/old/deep/k3s", "bin/.hidden", "README"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("bin/k3s*", ["bin/k3s", "bin/k3s-arm64"]),
        ("bin/**/k3s*", ["bin/k3s", "bin/k3s-arm64", "bin/old/deep/k3s", "bin/old/k3s-arm64"]),
        ("**", ["README", "bin/k3s", "bin/k3s-arm64", "bin/old/deep/k3s", "bin/old/k3s-arm64"]),
        ("bin", ["bin/k3s", "bin/k3s-arm64"]),
        ("bin/", ["bin/k3s", "bin/k3s-arm64"]),
        ("./bin//k3s", ["bin/k3s"]),
        ("bin/.h*", ["bin/.hidden"]),
        ("bin/k3s-arm6[0-9]", ["bin/k3s-arm64"]),
        ("*/k3s", ["bin/k3s"]),
        ("bin/*/*", ["bin/old/k3s-arm64"]),
        ("bin/old/../k3s", ["bin/old/../k3s"]),
        ("README/*", []),
        ("nothing*", []),
        ("no*/k3s", []),
    ],
)
def test_patterns(pattern: str, found: list[str], base: Path) -> None:
    assert paths(base, pattern) == found


def test_absolute_and_home_patterns(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(base))
    assert paths(Path("/"), f"{base}/bin/k3s*") == [f"{base}/bin/k3s", f"{base}/bin/k3s-arm64"]
    assert paths(Path("/nonexistent"), "~/bin/k3s") == [f"{base}/bin/k3s"]


def test_each_file_once_in_the_order_of_the_patterns(base: Path) -> None:
    assert paths(base, "bin/k3s-arm64", "bin/k3s*", "bin/k3s") == ["bin/k3s-arm64", "bin/k3s"]


def test_a_pattern_without_a_match_is_a_warning(base: Path) -> None:
    artifacts, (finding,) = collect(["bin/*.img", "bin/k3s"], base)
    assert len(artifacts) == 1
    assert (finding.code, finding.severity) == ("SB407", Severity.WARNING)
    assert finding.summary == "no file matches bin/*.img"


def test_a_plain_path_that_is_missing_is_an_artifact(base: Path) -> None:
    (artifact,), diagnostics = collect(["bin/absent"], base)
    assert (artifact.kind, diagnostics) == (Kind.MISSING, ())
    assert [d.code for d in artifact.diagnostics] == ["SB408"]


def test_links(base: Path) -> None:
    (base / "bin/link").symlink_to("k3s")
    (base / "bin/dangling").symlink_to("gone")
    (base / "bin/loop").symlink_to(".")
    (base / "bin/self").symlink_to("self")
    found = {a.path: a.kind for a in collect(["bin/**"], base)[0]}
    assert found["bin/link"] is Kind.UNKNOWN
    assert found["bin/dangling"] is Kind.MISSING
    assert "bin/loop" not in found
    assert not any(path.startswith("bin/loop/") for path in found)
    assert paths(base, "bin/loop/k3s") == ["bin/loop/k3s"]
    assert paths(base, "bin/self/*/x", "bin/*/nothing") == []


def test_a_fifo_in_the_folder_is_met_without_blocking(base: Path) -> None:
    os.mkfifo(base / "bin/fifo")
    assert {a.path: a.kind for a in collect(["bin/*"], base)[0]}["bin/fifo"] is Kind.SPECIAL


def test_bounded(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sealboot.artifacts.patterns.MAX_FILES", 1)
    artifacts, (finding,) = collect(["bin/*"], base)
    assert [a.path for a in artifacts] == ["bin/k3s"]
    assert "matches too much" in finding.summary


def test_the_walk_is_bounded(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(base, *(f"many/{i}" for i in range(50)))
    monkeypatch.setattr("sealboot.artifacts.patterns.MAX_ENTRIES", 20)
    artifacts, (finding,) = collect(["many/*"], base)
    assert 0 < len(artifacts) < 20
    assert "matches too much" in finding.summary


def test_the_folder_itself(base: Path) -> None:
    assert paths(base, ".") == ["README"]
    assert paths(base, "") == ["README"]
    assert all(path.startswith("/") and path.count("/") == 1 for path in paths(base, "/"))


@pytest.mark.parametrize(
    "pattern", ["x" * 5000, "x" * 300 + "/*", "\udcff*", "bin/\udcff", "[", "[!", "***", "**/**/**"]
)
def test_strange_patterns_are_no_accidents(pattern: str, base: Path) -> None:
    artifacts, diagnostics = collect([pattern], base)
    assert artifacts or diagnostics


def test_names_that_are_not_utf8(base: Path) -> None:
    (base / "bin" / os.fsdecode(b"k\xff")).write_bytes(b"x")
    assert os.fsdecode(b"bin/k\xff") in paths(base, "bin/k*")


def test_a_name_that_looks_like_a_pattern(base: Path) -> None:
    tree(base, "bin/tool[1]", "bin/tool1", "odd[ab]/x", "odda/y")
    assert paths(base, "bin/tool[1]") == ["bin/tool[1]"]
    assert paths(base, "bin/tool[12]") == ["bin/tool1"]
    assert paths(base, "odd[ab]") == ["odd[ab]/x"]


def test_a_nul_matches_nothing(base: Path) -> None:
    assert [d.code for d in collect(["bin/\0*"], base)[1]] == ["SB407"]


def test_a_pattern_may_name_root_filesystems(tmp_path: Path) -> None:
    """A folder that is one artifact is matched like a file; any other folder is not."""
    for name in ("amd64/opt/sealctl", "arm64/opt/sealctl", "notes/readme"):
        (tmp_path / "rootfs" / name).parent.mkdir(parents=True)
        (tmp_path / "rootfs" / name).write_bytes(b"x")
    found, wrong = collect(["rootfs/*"], tmp_path)
    assert [(a.path, a.kind) for a in found] == [
        ("rootfs/amd64", Kind.DIRECTORY),
        ("rootfs/arm64", Kind.DIRECTORY),
    ]
    assert wrong == ()
