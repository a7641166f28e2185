"""Kept or streamed: decided by space, the same at every run, and pinned by the names that containerd has."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from driver_kit import unpacked
from test_k3s_golden import PI, S1, WithPlaces, archive, k3s

from sealboot.drivers import k3s_images_space as room
from sealboot.drivers.base import Context
from sealboot.drivers.k3s_images import imported, put
from sealboot.drivers.k3s_images_checks import findings
from sealboot.drivers.k3s_images_choice import archives
from sealboot.drivers.k3s_import import stored_names
from sealboot.drivers.k3s_node import Node
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.model.arch import Arch
from sealboot.model.archive import Image, ImageArchive
from sealboot.model.artifact import Other
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.facts import Space
from sealboot.model.steps import Run, Step, Upload

#: What each of the two file systems of `WithPlaces` must keep free, in KiB.
IMAGES, STORE = 2_048_000, 10_240


def typed(ctx: Context) -> K3sOptions:
    assert isinstance(ctx.options, K3sOptions)
    return ctx.options


def context(images: int, store: int, listed: str = "./", **options: object) -> Context:
    made = k3s(S1, PI, options={"images": ["base", "apps"], **options})
    return WithPlaces(made, images=images, store=store, listed=listed).context()


def ways(ctx: Context) -> list[str]:
    return [a.way for a in archives(ctx, typed(ctx), PI)]


def told(ctx: Context) -> list[Diagnostic]:
    return list(findings(replace(ctx, selected=(PI,)), typed(ctx)))


@pytest.mark.parametrize(
    ("images", "store", "way", "found"),
    [
        # Two archives of 2000 bytes hold 5000 each; unpacked layers take 25000 more in containerd.
        (IMAGES + 4, STORE + 35, "keep", None),
        (IMAGES + 4, STORE + 30, "keep", Severity.WARNING),
        (IMAGES + 3, STORE + 35, "stream", None),
        (IMAGES + 3, STORE + 10, "stream", Severity.WARNING),
        (IMAGES + 4, STORE + 9, "keep", Severity.ERROR),
        (IMAGES + 3, STORE + 9, "keep", Severity.ERROR),
    ],
)
def test_two_file_systems_each_count_for_themselves(
    images: int, store: int, way: str, found: Severity | None
) -> None:
    ctx = context(images, store)
    assert ways(ctx) == [way, way]
    assert [(d.code, d.severity) for d in told(ctx)] == ([("SB636", found)] if found else [])


def test_one_file_system_holds_both() -> None:
    place = room.Place("/", 1000, 100)
    one = room.Places(place, place)
    assert one.lacking(room.Load(20, 30), "keep") is None
    assert one.lacking(room.Load(21, 30), "keep") == (place, 51)
    assert one.lacking(room.Load(21, 30), "stream") is None
    assert one.lacking(room.Load(0, 14), "stream", unpacked=True) is None
    assert one.lacking(room.Load(0, 15), "stream", unpacked=True) == (place, 15 + 38)


def test_what_is_asked_for_is_done_whatever_the_space() -> None:
    assert ways(context(IMAGES + 3, STORE + 35, images_import="keep")) == ["keep", "keep"]
    assert ways(context(IMAGES * 9, STORE * 9, images_import="stream")) == ["stream", "stream"]


def test_too_little_to_keep_and_enough_to_stream_is_told_to_who_wants_it_kept() -> None:
    (found,) = told(context(IMAGES + 3, STORE + 35, images_import="keep"))
    assert found.severity is Severity.ERROR
    assert "`images_import: stream` streams them into containerd, which fits" in found.hints


def test_what_is_there_stays_as_it_came() -> None:
    kept, streamed = (
        [a.name for a in archives(ctx, typed(ctx), PI)]
        for ctx in (context(IMAGES * 9, STORE * 9), context(IMAGES + 3, STORE + 35))
    )
    full = context(0, 0, "./\n" + "\n".join(kept))
    assert (ways(full), told(full)) == (["keep", "keep"], [])
    roomy = context(IMAGES * 9, STORE * 9, "./\n" + "\n".join(streamed))
    assert (ways(roomy), told(roomy)) == (["stream", "stream"], [])
    # One came before, the other is new and has no room: it alone is streamed.
    assert ways(context(IMAGES + 1, STORE + 35, f"./\n{kept[0]}")) == ["keep", "stream"]


def test_where_nobody_could_look_nothing_is_decided_by_space() -> None:
    assert ways(context(IMAGES + 3, STORE + 35, "")) == ["keep", "keep"]


def test_space_is_that_of_the_data_directory_where_the_host_told_nothing() -> None:
    ctx = context(1, 1)
    place = Space("/var/lib/rancher/k3s", "/var", False, "ext4", "/", frozenset(), 100, 1000, True)
    facts = replace(ctx.facts["pi64"], spaces=(place,), observed={"k3s.places": "df: no\nthing like it\n"})
    found = room.places(facts, typed(ctx), PI)
    assert found is not None
    assert (found.images.mount, found.images.free, found.store.reserve) == ("/", 100, 50)


def test_the_question_is_answered_before_the_folders_are_there(tmp_path: Path) -> None:
    script = room.question(str(tmp_path / "not/yet"))
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    facts = replace(context(1, 1).facts["pi64"], observed={"k3s.places": done.stdout})
    found = room.places(facts, K3sOptions(), PI)
    assert found is not None
    assert found.images.mount == found.store.mount
    assert found.images.total > found.images.free > 0


def streamed_steps(ctx: Context) -> dict[str, Step]:
    node = Node.of(ctx, typed(ctx), PI)
    return {step.id: step for step in (*put(node), *imported(node))}


def test_a_streamed_archive_is_never_a_file() -> None:
    steps = streamed_steps(context(IMAGES + 3, STORE + 35))
    assert not any(isinstance(step, Upload) for step in steps.values())
    assert list(steps) == [
        *("import/pi64/base", "import/pi64/base-pins", "import/pi64/apps", "import/pi64/apps-pins"),
        "import/pi64/superseded",
    ]
    reads = steps["import/pi64/base"]
    assert isinstance(reads, Run)
    assert reads.script == "umask 022\nexec /usr/local/bin/k3s ctr images import --no-unpack - >&2\n"


def test_an_archive_that_is_not_compressed_is_sent_as_it_is() -> None:
    ctx = context(IMAGES + 3, STORE + 35)
    plain = ctx.chosen["pi64", "base"]
    assert isinstance(plain.layers[0], ImageArchive)
    layers = (replace(plain.layers[0], suffix=".tar"),)
    ctx = replace(ctx, chosen={**ctx.chosen, ("pi64", "base"): replace(plain, layers=layers)})
    reads = streamed_steps(ctx)["import/pi64/base"]
    assert isinstance(reads, Run)
    assert reads.feed is not None
    assert not reads.feed.unpack


def test_pins_are_those_of_the_cri_service_and_only_then_is_the_archive_called_streamed(
    tmp_path: Path,
) -> None:
    host = replace(PI, paths={"data": str(tmp_path / "data"), "binary": str(tmp_path)})
    made = k3s(S1, host, options={"images": ["base", "apps"], "images_import": "stream"})
    ctx = WithPlaces(made).context()
    steps = {step.id: step for step in imported(Node.of(ctx, typed(ctx), host))}
    pins = steps["import/pi64/base-pins"]
    assert isinstance(pins, Run)
    (digest,) = (d for _, d in ctx.chosen["pi64", "base"].layers[0].images[0].configs)  # type: ignore[union-attr]
    tool = tmp_path / "k3s"
    tool.write_text(f"""#!/bin/sh
case "$1 $2" in
  'ctr images') [ "$3 $4 $5" = 'label r.lan/app:1 io.cri-containerd.pinned=pinned' ] && : >{tmp_path}/pinned ;;
  crictl*) [ -e {tmp_path}/pinned ] && p=true || p=false
    echo '{{"status": {{"id": "{digest}", "pinned": '$p'}}, "info": {{"imageSpec": {{"architecture": "arm64"}}}}}}' ;;
  *) exit 9 ;;
esac
""")
    tool.chmod(0o755)
    unpacked(tmp_path / "data")

    def shell(script: str) -> int:
        return subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=False).returncode

    assert pins.check is not None
    question = getattr(pins.check, "script", "")
    assert shell(question) == 1
    assert shell(pins.script) == 0
    assert shell(question) == 0
    (marker,) = (tmp_path / "data/agent/images").iterdir()
    assert (marker.suffixes[-2:], marker.stat().st_size) == ([".sealboot", ".streamed"], 0)


@pytest.mark.parametrize(
    ("form", "name", "stored"),
    [
        ("docker-archive", "busybox:1", "docker.io/library/busybox:1"),
        ("docker-archive", "rancher/pause:3", "docker.io/rancher/pause:3"),
        ("docker-archive", "docker.io/busybox:1", "docker.io/library/busybox:1"),
        ("docker-archive", "index.docker.io/rancher/pause:3", "docker.io/rancher/pause:3"),
        ("docker-archive", "r.lan/app:1", "r.lan/app:1"),
        ("docker-archive", "r:5000/app:1", "r:5000/app:1"),
        ("docker-archive", "localhost/app:1", "localhost/app:1"),
        ("oci-layout", "r.lan/app:1", "r.lan/app:1"),
        ("oci-layout+docker-archive", "busybox:1", "busybox:1"),
    ],
)
def test_names_as_containerd_has_them(form: str, name: str, stored: str) -> None:
    assert list(stored_names(ImageArchive(form, (Image(name),)))) == [stored]


def test_one_name_for_two_images_is_told_and_one_image_in_two_archives_is_not() -> None:
    ctx = context(IMAGES * 9, STORE * 9)
    assert told(ctx) == [], "the same image in both"
    other = archive("images/apps-arm64.tar.zst", Arch.ARM64, "b")
    ctx = replace(ctx, chosen={**ctx.chosen, ("pi64", "apps"): other})
    (found,) = told(ctx)
    assert (found.code, found.artifact) == ("SB665", "images/apps-arm64.tar.zst")
    assert [slot for slot, _ in found.evidence] == ["base", "apps"]


@pytest.mark.parametrize(
    ("running", "brought", "told_so"),
    [
        ("v1.29.12+k3s1", "v1.29.12+k3s1", True),
        ("v1.29.13+k3s1", "v1.29.13+k3s1", False),
        ("v1.31.4+k3s1", "v1.31.4+k3s1", True),
        ("v1.28.15+k3s1", "v1.28.15+k3s1", True),
        ("v1.32.0+k3s1", "v1.32.0+k3s1", False),
        ("v1.29.12+k3s1", "v1.29.13+k3s1", False),
    ],
)
def test_a_release_that_imports_at_its_start_only_is_told(running: str, brought: str, told_so: bool) -> None:
    ctx = context(IMAGES * 9, STORE * 9)
    built = Other("go", {"version": brought})
    program = replace(ctx.chosen["pi64", "k3s"], layers=(built,))
    facts = ctx.facts["pi64"]
    observed = {
        **facts.observed,
        "k3s.state": "agent\n",
        "k3s.version": f"k3s version {running} (0123abcd)\n",
    }
    ctx = replace(
        ctx,
        chosen={**ctx.chosen, ("pi64", "k3s"): program},
        facts={**ctx.facts, "pi64": replace(facts, observed=observed)},
    )
    assert [d.code for d in told(ctx)] == (["SB666"] if told_so else [])
    options = typed(ctx).model_copy(update={"images_import": "stream"})
    assert [d.code for d in findings(replace(ctx, selected=(PI,)), options)] == []
