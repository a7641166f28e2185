"""Whether what would be used is verified: asked of files, told to hosts, and never got around."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from tree_kit import files_layer, rootfs

from sealboot.artifacts import collect, inspect
from sealboot.artifacts.cache import Cache
from sealboot.lab.tinyelf import make as tiny
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Kind
from sealboot.model.diagnostic import Severity
from sealboot.model.verification import Verification
from sealboot.workflow.preflight import candidates
from sealboot.workflow.prepare import Prepared, prepare
from sealboot.workflow.trees import packed
from sealboot.workflow.verify import Verified, refusals, verify, vouched

INVENTORY = """\
version: 1
cluster: {{name: lab, driver: phases}}
artifacts: {{tool: [tool]}}
verify: {{sha256: {{tool: {digest}}}}}
hosts: {{a: {{role: x}}}}
phases:
  - name: ship
    steps:
      - upload: {{artifact: tool, dest: /usr/local/bin/tool, smoke: '"$1"'}}
"""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Artifact]:
    for name in ("good", "stray", "bent"):
        (tmp_path / name).write_text(name)
    return {a.path: a for a in collect(["good", "stray", "bent"], tmp_path)[0]}


def asked(files: dict[str, Artifact], base: Path, **more: str) -> Verified:
    digests = {"good": files["good"].sha256, "bent": "0" * 64, **more}
    return verify(Verification(sha256=digests), base, tuple(files.values()))


def test_hosts_that_would_get_an_unverified_file(files: dict[str, Artifact], tmp_path: Path) -> None:
    seen = asked(files, tmp_path, gone="0" * 64)
    good, stray, bent = seen.replaced(tuple(files.values()))
    assert (good.verified, stray.verified, bent.verified) == ("the inventory", "", "")
    assert [(d.code, d.severity) for d in seen.diagnostics] == [("SB407", Severity.WARNING)]
    (warned,) = refusals(seen, {("a", "tool"): good})
    assert (warned.host, warned.severity, warned.artifact) == (None, Severity.WARNING, "bent")
    first, second = refusals(seen, {("a", "t"): stray, ("b", "t"): stray, ("b", "u"): bent, ("c", "t"): good})
    assert (first.artifact, first.host, first.also) == ("stray", "a", ("b",))
    assert (second.artifact, second.host, second.severity) == ("bent", "b", Severity.ERROR)


def test_what_is_made_of_a_file_is_verified_as_the_file(files: dict[str, Artifact], tmp_path: Path) -> None:
    seen = asked(files, tmp_path)
    good, stray, _ = seen.replaced(tuple(files.values()))
    chosen = {
        ("a", "tree"): replace(good, path="good#linux/arm64", sha256="1" * 64),
        ("b", "tree"): replace(stray, path="stray#linux/arm64", sha256="2" * 64),
        ("c", "tree"): Artifact("elsewhere", Kind.TAR, 1, "3" * 64),
    }
    found = [d for d in refusals(seen, chosen) if d.severity is Severity.ERROR]
    assert [(d.code, d.host, d.summary) for d in found] == [
        ("SB406", "b", "stray is not verified: the inventory has no digest of it"),
        ("SB406", "c", "elsewhere is not verified: nothing was asked about it"),
    ]
    assert refusals(Verified(), chosen) == ()


def test_a_broken_voucher_is_the_problem_of_every_host(files: dict[str, Artifact], tmp_path: Path) -> None:
    wanted = Verification(checksums=("SUMS",), sha256={"good": files["good"].sha256}, unlisted="allow")
    seen = verify(wanted, tmp_path, tuple(files.values()))
    given = seen.replaced(tuple(files.values()))
    assert [a.verified for a in given] == ["", "", ""]
    (found,) = refusals(seen, {("a", "t"): given[0], ("b", "t"): given[1]})
    assert (found.host, found.also, found.artifact) == ("a", ("b",), "SUMS")
    (found,) = refusals(seen, {})
    assert (found.host, found.severity) == (None, Severity.ERROR)
    answered, problems = vouched(wanted, tmp_path, given)
    assert ([a.diagnostics for a in answered], len(problems)) == ([(), (), ()], 1)


def test_a_digest_is_never_taken_from_a_cache(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_bytes(tiny(Arch.AMD64, "x"))
    digest = hashlib.sha256(tool.read_bytes()).hexdigest()
    (tmp_path / "inventory.yaml").write_text(INVENTORY.format(digest=digest))
    prepared = prepare([str(tmp_path / "inventory.yaml")])
    assert isinstance(prepared, Prepared), prepared
    (tmp_path / "cache").mkdir(mode=0o700)
    cache = Cache(tmp_path / "cache")
    (found,) = candidates(prepared, cache).all
    assert found.verified == "the inventory"
    assert (cache.found, cache.kept, list((tmp_path / "cache").iterdir())) == (0, 0, [])


def test_a_tree_is_packed_of_the_bytes_that_were_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tree.tar"
    path.write_bytes(files_layer(rootfs(Arch.ARM64)))
    artifact = replace(inspect(path, "tree.tar"), verified="SUMS")
    (made,) = packed([artifact], tmp_path, tmp_path / "cache")
    assert (made.verified, made.sha256, made.diagnostics) == ("SUMS", artifact.sha256, ())
    with monkeypatch.context() as during:
        during.setattr("sealboot.artifacts.reader.Reader.changed", True)
        (refused,) = packed([artifact], tmp_path, tmp_path / "cache")
    assert [d.summary for d in refused.diagnostics] == ["tree.tar: it changed after it was verified"]
    with path.open("ab") as file:
        file.write(bytes(512))
    (refused,) = packed([artifact], tmp_path, tmp_path / "cache")
    assert [d.code for d in refused.diagnostics] == ["SB401"]
    assert "no longer the file that was verified" in refused.diagnostics[0].summary
    assert packed([replace(artifact, verified="")], tmp_path, tmp_path / "cache")[0].diagnostics == ()
    path.unlink()
    path.mkdir()
    (path / "opt").mkdir()
    (path / "opt" / "sealctl").write_bytes(tiny(Arch.ARM64, "x"))
    (refused,) = packed([artifact], tmp_path, tmp_path / "cache")
    assert "no longer the file that was verified" in refused.diagnostics[0].summary


def test_a_file_that_lost_its_word_is_refused(files: dict[str, Artifact], tmp_path: Path) -> None:
    """Two things may have one name (`A#P` is what was made of `A`): the word for the one is none for the other."""
    seen = asked(files, tmp_path)
    assert [d.code for d in refusals(seen, {("a", "t"): files["good"]}) if d.host] == ["SB406"]
