"""Archives in k3s' images folder: names, space, and the scripts on this very machine's shell."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from driver_kit import unpacked
from test_k3s_golden import PI, S1, WithImages, archive, k3s

from sealboot.drivers import k3s_images, k3s_images_checks, k3s_images_choice
from sealboot.drivers.base import Context
from sealboot.drivers.k3s_node import Node
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.engine.observe import observe
from sealboot.engine.options import ApplyOptions
from sealboot.engine.run import Engine
from sealboot.engine.shell import node_paths
from sealboot.model.arch import Arch
from sealboot.model.archive import ImageArchive
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.facts import Space
from sealboot.model.host import BecomeSettings, Host
from sealboot.model.plan import Plan, Wave
from sealboot.model.secret import Redactor
from sealboot.model.steps import PathExists, Run, Step, Succeeds, Upload
from sealboot.plan.build import make_plan
from sealboot.transport.local import LocalSession

MB = 1 << 20


def context(host: Host = PI, **options: object) -> Context:
    made = k3s(S1, host, options={"images": ["base", "apps"], **options})
    arches = {"s1": Arch.AMD64, host.name: Arch.ARM64}
    return WithImages(made.inventory, arches).context()


def options_of(ctx: Context) -> K3sOptions:
    assert isinstance(ctx.options, K3sOptions)
    return ctx.options


def steps(ctx: Context, host: Host) -> dict[str, Step]:
    node = Node.of(ctx, options_of(ctx), host)
    return {step.id: step for step in (*k3s_images.put(node), *k3s_images.imported(node))}


def space(ctx: Context, free: int, total: int = 10_000 * MB, images: str = "") -> list[Diagnostic]:
    place = Space("/var/lib/rancher/k3s", "/var", False, "ext4", "/", frozenset(), free, total, True)
    facts = {"pi64": replace(ctx.facts["pi64"], spaces=(place,), observed={"k3s.images": images})}
    return list(k3s_images_checks.findings(replace(ctx, selected=(PI,), facts=facts), options_of(ctx)))


def grown(ctx: Context, size: int, unpacked: int, **layer: object) -> Context:
    made = archive("images/base.tar.zst", Arch.ARM64, "a")
    images = replace(made.layers[0], unpacked=unpacked, **layer)  # type: ignore[arg-type]
    assert isinstance(images, ImageArchive)
    chosen = {key: value for key, value in ctx.chosen.items() if key[1] != "apps"}
    chosen["pi64", "base"] = replace(made, size=size, layers=(images,))
    return replace(ctx, chosen=chosen)


def test_names_tell_order_slot_architecture_and_content() -> None:
    ctx = context()
    names = [a.name for a in k3s_images_choice.archives(ctx, options_of(ctx), PI)]
    assert names == sorted(names)
    assert [name.split("-")[:3] for name in names] == [["010", "base", "arm64"], ["020", "apps", "arm64"]]
    assert all(name.endswith(".sealboot.tar.zst") for name in names)


def test_archives_are_data_with_whole_times_and_keep_no_predecessor() -> None:
    upload = steps(context(), PI)["images/pi64/base"]
    assert isinstance(upload, Upload)
    assert (upload.mode, upload.keep_previous, upload.whole_mtime) == (0o644, False, True)
    assert upload.dest.startswith("/var/lib/rancher/k3s/agent/images/010-base-arm64-")


def test_a_host_without_archives_has_no_steps() -> None:
    ctx = context()
    bare = replace(ctx, chosen={key: value for key, value in ctx.chosen.items() if key[1] == "k3s"})
    assert steps(bare, PI) == {}


@pytest.mark.parametrize(
    ("free", "severity"), [(1500, Severity.ERROR), (2500, Severity.WARNING), (4300, None)]
)
def test_space_for_archive_blobs_layers_and_what_must_stay_free(free: int, severity: Severity | None) -> None:
    # 200 + 1000 + 500 that stay free must fit; 2500 more are foreseen for unpacked layers.
    ctx = grown(context(), 200 * MB, 1000 * MB)
    found = space(ctx, free * MB)
    assert [(d.code, d.severity) for d in found] == ([("SB636", severity)] if severity else [])


def test_what_is_there_needs_no_space() -> None:
    ctx = grown(context(), 200 * MB, 1000 * MB)
    (there,) = k3s_images_choice.archives(ctx, options_of(ctx), PI)
    assert space(ctx, 1, images=f"{there.name}\n") == []


def test_an_archive_that_k3s_would_not_import_is_refused_with_the_reasons() -> None:
    found = space(grown(context(), 1, 1, unfit=("its zstd window is 128 MiB",)), 10_000 * MB)
    assert [d.code for d in found] == ["SB635"]
    assert found[0].evidence == (("reason 1", "its zstd window is 128 MiB"),)


def test_what_is_no_image_archive_is_refused_and_not_passed_over() -> None:
    ctx = grown(context(), 1, 1)
    other = replace(ctx.chosen["pi64", "base"], layers=())
    found = space(replace(ctx, chosen={**ctx.chosen, ("pi64", "base"): other}), 10_000 * MB)
    assert [(d.code, d.evidence) for d in found] == [("SB635", (("reason 1", "it is no image archive"),))]


def crictl(folder: Path, said: str) -> None:
    tool = folder / "k3s"
    tool.write_text(
        f"#!/bin/sh\n[ \"$1 $2 $3 $4 $5\" = 'crictl inspecti -o json r.lan/app:1' ] || exit 9\n{said}\n"
    )
    tool.chmod(0o755)


def shell(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=False, timeout=60)


def local(tmp_path: Path) -> tuple[Run, Run, Path]:
    host = replace(PI, paths={"data": str(tmp_path / "data"), "binary": str(tmp_path)})
    made = steps(context(host, import_timeout="10"), host)
    imported, superseded = made["import/pi64/images"], made["import/pi64/superseded"]
    assert isinstance(imported, Run)
    assert isinstance(superseded, Run)
    folder = tmp_path / "data/agent/images"
    folder.mkdir(parents=True)
    unpacked(tmp_path / "data")
    return imported, superseded, folder


def check(step: Run) -> str:
    assert isinstance(step.check, Succeeds)
    return step.check.script


def ids(tmp_path: Path) -> set[str]:
    host = replace(PI, paths={"data": str(tmp_path / "data"), "binary": str(tmp_path)})
    ctx = context(host)
    found = k3s_images_choice.archives(ctx, options_of(ctx), host)
    return {digest for a in found for i in a.layer.images for _, digest in i.configs}


def test_an_import_counts_by_digest_and_architecture(tmp_path: Path) -> None:
    imported, _, _ = local(tmp_path)
    (digest,) = ids(tmp_path)
    answers = {
        '{{"status": {{"id": "{digest}"}},\n "info": {{"imageSpec": {{"architecture": "arm64"}}}}}}': 0,
        '{{"status": {{"id": "{digest}"}}, "info": {{"imageSpec": {{"architecture": "amd64"}}}}}}': 1,
        '{{"status": {{"id": "sha256:0"}}, "info": {{"imageSpec": {{"architecture": "arm64"}}}}}}': 1,
    }
    for answer, code in answers.items():
        crictl(tmp_path, f"cat <<'END'\n{answer.format(digest=digest)}\nEND")
        assert shell(check(imported)).returncode == code, answer
    crictl(tmp_path, "exit 1")
    assert shell(check(imported)).returncode == 1


def test_what_never_comes_is_named(tmp_path: Path) -> None:
    imported, _, _ = local(tmp_path)
    crictl(tmp_path, "exit 1")
    short = imported.script.replace("+ 10 ))", "+ 1 ))", 1)
    done = shell(short)
    assert done.returncode == 1
    assert "not imported for arm64: r.lan/app:1" in done.stderr


def test_what_has_not_come_is_asked_for_once_more_by_a_new_time(tmp_path: Path) -> None:
    imported, _, folder = local(tmp_path)
    host = replace(PI, paths={"data": str(tmp_path / "data")})
    ctx = context(host)
    files = [folder / a.name for a in k3s_images_choice.archives(ctx, options_of(ctx), host)]
    for file in files:
        file.write_text("x")
        os.utime(file, (1, 1))
    (digest,) = ids(tmp_path)
    # An import that failed, as k3s has it: nothing happens until the file changes.
    said = f'{{"status": {{"id": "{digest}"}}, "info": {{"imageSpec": {{"architecture": "arm64"}}}}}}'
    crictl(tmp_path, f"[ \"$(stat -c %Y {files[0]})\" -gt 1 ] || exit 1\necho '{said}'")
    done = shell(imported.script.replace("+ 60 ))", "+ 0 ))", 1))
    assert done.returncode == 0, done.stderr
    assert all(file.stat().st_mtime_ns % 1_000_000_000 == 0 and file.stat().st_mtime > 1 for file in files)


def test_superseded_archives_go_and_others_stay(tmp_path: Path) -> None:
    _, superseded, folder = local(tmp_path)
    host = replace(PI, paths={"data": str(tmp_path / "data")})
    ctx = context(host)
    wanted = [a.name for a in k3s_images_choice.archives(ctx, options_of(ctx), host)]
    assert shell(check(superseded)).returncode == 0
    for name in (*wanted, "010-base-arm64-00000000.sealboot.tar.zst", "k3s-airgap-images-arm64.tar.zst"):
        (folder / name).write_text("x")
    assert shell(check(superseded)).returncode == 1
    assert shell(superseded.script).returncode == 0
    assert shell(check(superseded)).returncode == 0
    assert {p.name for p in folder.iterdir()} == {*wanted, "k3s-airgap-images-arm64.tar.zst"}


def test_the_listing_shows_our_files_only(tmp_path: Path) -> None:
    host = replace(PI, paths={"data": str(tmp_path)})
    script = k3s_images_choice.listing(options_of(context()), host)
    assert shell(script).stdout == "./\n", "root sees that there is nothing"
    (tmp_path / "agent/images").mkdir(parents=True)
    for name in ("010-base-arm64-1.sealboot.tar", "other.tar"):
        (tmp_path / "agent/images" / name).write_text("")
    assert shell(script).stdout == "./\n010-base-arm64-1.sealboot.tar\n"


def test_k3s_is_given_a_file_to_remember_imports_in(tmp_path: Path) -> None:
    host = replace(PI, paths={"data": str(tmp_path / "d")})
    cache = steps(context(host), host)["images/pi64/cache"]
    assert isinstance(cache, Run)
    assert cache.check == PathExists(f"{tmp_path}/d/agent/images/.cache.json")
    assert shell(cache.script).returncode == 0
    assert (tmp_path / "d/agent/images/.cache.json").read_bytes() == b""


async def test_the_engine_gives_archives_whole_seconds_and_leaves_nothing_else(tmp_path: Path) -> None:
    host = replace(
        PI,
        address="127.0.0.1",
        become=BecomeSettings(method="none"),
        paths={"data": str(tmp_path / "data"), "state": str(tmp_path / "state")},
    )
    ctx = context(host)
    file = tmp_path / "images.tar.zst"
    file.write_bytes(b"archive")
    digest = hashlib.sha256(b"archive").hexdigest()
    shipped = replace(ctx.chosen["pi64", "base"], path=str(file), size=7, sha256=digest)
    ctx = replace(ctx, chosen={("pi64", "k3s"): ctx.chosen["pi64", "k3s"], ("pi64", "base"): shipped})
    node = Node.of(ctx, options_of(ctx), host)
    wave = Wave("images", "Ship image archives", tuple(k3s_images.put(node)))
    session = LocalSession(host)
    answers = await observe(session, wave.steps, node_paths("lab", host))
    assert not isinstance(answers, Diagnostic)
    plan = make_plan(ctx.inventory, [wave], answers, {"pi64": ctx.facts["pi64"]})
    assert isinstance(plan, Plan)
    report = await Engine().apply(
        plan,
        {"pi64": session},
        hosts={"pi64": host},
        facts={},
        sink=lambda _: None,
        options=ApplyOptions(),
        redactor=Redactor(),
    )
    await session.close()
    assert report.diagnostics == ()
    found = {p.name: p for p in (tmp_path / "data/agent/images").iterdir()}
    assert set(found) == {".cache.json", f"010-base-arm64-{digest[:8]}.sealboot.tar.zst"}
    (live,) = (p for name, p in found.items() if name != ".cache.json")
    assert live.stat().st_mtime_ns % 1_000_000_000 == 0
    assert time.time() - live.stat().st_mtime < 60
    assert live.stat().st_mode & 0o777 == 0o644
