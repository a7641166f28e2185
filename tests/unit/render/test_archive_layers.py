from __future__ import annotations

import json

from jsonschema import Draft202012Validator

from sealboot.model.archive import Image, ImageArchive, Programs, Rootfs
from sealboot.model.artifact import Artifact, Kind
from sealboot.model.report import InspectReport
from sealboot.render import jsondoc
from sealboot.render.archive import images_lines, rootfs_lines
from sealboot.render.schemas import report_schema


def test_images_in_words() -> None:
    both = ("linux/amd64", "linux/arm64")
    archive = ImageArchive(
        "oci-layout",
        (Image("a.example/b:1", both), Image("c.example/d:1", both[:1], both[1:]), Image("", ())),
        (),
        unfit=("1 images have no name: nothing can refer to them",),
        suffix=".tar.zst",
        unpacked=600 << 20,
        window=8 << 20,
    )
    assert list(images_lines(archive)) == [
        "container images, oci-layout",
        "platforms none that is whole in every image",
        "unpacked  600 MiB, zstd window 8.0 MiB",
        "image     a.example/b:1  linux/amd64, linux/arm64",
        "image     c.example/d:1  linux/amd64  (claims linux/arm64 too)",
        "image     (no name)  not whole",
        "k3s       1 images have no name: nothing can refer to them",
    ]


def test_many_images_are_cut_and_names_made_harmless() -> None:
    many = ImageArchive(
        "docker-archive", tuple(Image(f"x:{n}\x1b[31m", ("linux/arm",)) for n in range(30)), ("linux/arm",)
    )
    lines = list(images_lines(many))
    assert lines[3] == "image     x:0\\x1b[31m"
    assert lines[-2:] == ["          and 6 more", "k3s       fit"]


def test_programs_in_words() -> None:
    tree = Rootfs(
        True,
        40,
        (Programs("linux/arm64", 12, ("bin/a",)), Programs("linux/amd64", 1, ("cri/x.tgz!b",))),
        3 << 20,
    )
    assert list(rootfs_lines(tree)) == [
        "a Sealos root filesystem, 40 files, 3.0 MiB",
        "programs  12 for linux/arm64",
        "programs  1 for linux/amd64: cri/x.tgz!b",
    ]
    assert next(rootfs_lines(Rootfs(False, 1, (), 0))).startswith("a tree of files, 1 files")


def test_both_as_json() -> None:
    images = ImageArchive("oci-layout", (Image("a.example/b:1", ("linux/arm64",)),), ("linux/arm64",))
    tree = Rootfs(True, 1, (Programs("linux/arm64", 1, ("opt/sealctl",)),), 10)
    found = Artifact("x.tar", Kind.TAR, 10, layers=(images, tree))
    printed = json.loads(jsondoc.dump(jsondoc.inspected(InspectReport((found,)))))
    Draft202012Validator(report_schema()).validate(printed)
    first, second = printed["artifacts"][0]["layers"]
    assert (first["layer"], first["images"][0]["name"]) == ("imagearchive", "a.example/b:1")
    assert (second["layer"], second["programs"][0]["paths"]) == ("rootfs", ["opt/sealctl"])
