from __future__ import annotations

import json
import tarfile
from typing import Any

import pytest
from image_kit import (
    COMPRESSIONS,
    NAME,
    Archive,
    Form,
    as_json,
    image,
    read,
    sha256,
    tar,
    told,
    zst,
)

from sealboot.artifacts.archive import ArchiveFound
from sealboot.model.archive import Image, ImageArchive

AMD, ARM = "linux/amd64", "linux/arm64"


def layer(found: ArchiveFound) -> ImageArchive:
    assert isinstance(found.layer, ImageArchive)
    return found.layer


def summaries(found: ArchiveFound) -> str:
    return "\n".join(d.summary for d in found.diagnostics)


@pytest.mark.parametrize("compression", sorted(COMPRESSIONS))
@pytest.mark.parametrize("form", ["docker", "oci", "both"])
@pytest.mark.parametrize("platform", [AMD, ARM])
def test_one_platform(form: Form, compression: str, platform: str) -> None:
    plain = image(platform, form=form).tar()
    data = COMPRESSIONS[compression](plain)
    found = read(data)
    assert found.sha256 == sha256(data)
    assert found.platforms == (platform,)
    made = layer(found)
    assert made.images == (Image(NAME, (platform,)),)
    assert (made.unpacked, made.damaged) == (len(plain), ())
    names = {"docker": "docker-archive", "oci": "oci-layout", "both": "oci-layout+docker-archive"}
    assert made.form == names[form]
    assert made.suffix == {"tar": ".tar", "gzip": ".tar.gz", "zstd": ".tar.zst", "bzip2": ".tar.bz2"}.get(
        compression, ""
    )
    assert told(found) == ([("SB404", "warning")] if compression == "xz" else [])


def test_an_index_of_two_platforms_and_its_attestation() -> None:
    made = Archive()
    one, two = made.manifest(AMD), made.manifest(ARM)
    seal = {
        **made.put(as_json({"config": {}, "layers": []})),
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
    }
    inner = made.index(two, seal)
    nested = made.index(one, inner)
    made.top.append({**nested, "annotations": {"io.containerd.image.name": NAME}})
    found = read(made.tar())
    assert found.platforms == (AMD, ARM)
    assert layer(found).images == (Image(NAME, (AMD, ARM)),)
    assert told(found) == []


def test_an_index_that_claims_what_is_not_there() -> None:
    """As exporters write it: the index of all platforms, the blobs of one."""
    made = image(AMD, ARM, "linux/arm/v7")
    made.drop(ARM)
    made.drop("linux/arm/v7")
    found = read(made.tar())
    assert found.platforms == (AMD,)
    assert layer(found).images[0].absent == (ARM, "linux/arm/v7")
    assert told(found) == [("SB404", "note")]
    assert found.diagnostics[0].summary == "images has linux/amd64 only, though its index claims more"


@pytest.mark.parametrize("victim", ["manifest", "config", "layer"])
def test_a_platform_counts_only_whole(victim: str) -> None:
    made = image(AMD)
    descriptor = made.top[0]
    manifest: Any = json.loads(made.blobs[descriptor["digest"][7:]])
    gone = {"manifest": descriptor, "config": manifest["config"], "layer": manifest["layers"][1]}[victim]
    del made.blobs[gone["digest"][7:]]
    found = read(made.tar())
    assert (found.platforms, told(found)) == ((), [("SB404", "error")])
    assert layer(found).images == (Image(NAME, (), (AMD,)),)


def test_a_damaged_blob_is_as_good_as_none() -> None:
    made = image(AMD)
    digest = next(d for d, data in made.blobs.items() if data.startswith(b"\x1f\x8b"))
    made.blobs[digest] = made.blobs[digest][:-1] + b"!"
    found = read(made.tar())
    assert found.platforms == ()
    assert layer(found).damaged == (f"sha256:{digest}",)
    assert f"1 blobs do not have the digest they are named by: sha256:{digest}" in summaries(found)


def test_the_configuration_is_the_truth() -> None:
    made = Archive()
    descriptor = made.manifest(ARM)
    made.top = [{**descriptor, "platform": {"os": "linux", "architecture": "amd64"}}]
    found = read(made.tar())
    assert found.platforms == (ARM,)
    assert "its index says linux/amd64 where the image is linux/arm64" in summaries(found)
    assert ("SB404", "error") in told(found)


def test_a_platform_must_be_in_every_image() -> None:
    made = Archive()
    made.image(AMD, ARM, tag="a.example/one:1")
    made.image(AMD, tag="a.example/two:1")
    found = read(made.tar())
    assert (found.platforms, told(found)) == ((AMD,), [("SB404", "warning")])
    assert dict(found.diagnostics[0].evidence) == {
        "a.example/one:1": f"{AMD}, {ARM}",
        "a.example/two:1": AMD,
    }
    apart = Archive()
    apart.image(AMD, tag="a.example/one:1")
    apart.image(ARM, tag="a.example/two:1")
    assert (read(apart.tar()).platforms, told(read(apart.tar()))) == ((), [("SB404", "error")])


def test_variants_of_one_family_count_together() -> None:
    made = Archive()
    made.image("linux/arm/v6", tag="a.example/one:1")
    made.image("linux/arm/v7", tag="a.example/two:1")
    assert read(made.tar()).platforms == ("linux/arm/v6", "linux/arm/v7")


def test_docker_layers_have_the_digests_of_the_configuration() -> None:
    made = image(AMD, form="docker")
    name = next(n for n in made.files if n.endswith("layer.tar"))
    made.files[name] = tar([("etc/other", b"swapped")])
    found = read(made.tar())
    assert (found.platforms, "a layer is not the one" in summaries(found)) == ((), True)


@pytest.mark.parametrize(
    ("kind", "target", "whole"),
    [
        (tarfile.SYMTYPE, "../", True),
        (tarfile.SYMTYPE, "../../", False),
        (tarfile.LNKTYPE, "", False),  # importers know no hard links
    ],
)
def test_docker_layers_through_links(kind: bytes, target: str, whole: bool) -> None:
    """Older versions of docker name equal layers by links."""
    made = image(AMD, form="docker")
    name = next(n for n in made.files if n.endswith("layer.tar"))
    made.docker[0]["Layers"] = ["0a/layer.tar" if n == name else n for n in made.docker[0]["Layers"]]
    link = tarfile.TarInfo("0a/layer.tar")
    link.type, link.linkname = kind, target + name
    data = link.tobuf() + tar([(f"./{member}", content) for member, content in made.members()])
    assert read(data).platforms == ((AMD,) if whole else ())
    assert told(read(data)) == ([] if whole else [("SB404", "error")])


def test_a_name_is_a_file_or_a_link() -> None:
    """What comes second would win with some importers, and lose with others."""
    made = image(AMD)
    blob = next(name for name, data in made.members() if data.startswith(b"\x1f\x8b"))
    info = tarfile.TarInfo(blob)
    info.type, info.linkname = tarfile.SYMTYPE, "oci-layout"
    link = info.tobuf()
    end = made.tar().rindex(b"imageLayoutVersion") - 2 + tarfile.BLOCKSIZE  # behind the last member
    for data in (link + made.tar(), made.tar()[:end] + link):
        assert f"{blob} is in it twice" in summaries(read(data))


def test_a_hybrid_that_tells_two_stories() -> None:
    made = image(AMD, form="both")
    other = image(ARM, form="both")
    made.blobs |= other.blobs
    made.docker = other.docker
    found = read(made.tar())
    assert (found.platforms, told(found)) == ((AMD,), [("SB404", "warning")])
    assert "docker and containerd will import different images" in summaries(found)


@pytest.mark.parametrize("name", ["manifest.json", "index.json", "oci-layout"])
def test_what_matters_is_there_once(name: str) -> None:
    members = image(AMD, form="both").members()
    twice = [*members, (f"./{name}", dict(members)[name])]
    found = read(tar(twice))
    assert f"{name} is in it twice" in summaries(found)
    assert ("SB404", "error") in told(found)


@pytest.mark.parametrize(
    ("tag", "fit"),
    [
        ("docker.io/library/busybox:1.36", True),
        ("localhost:5000/x:y", True),
        ("localhost/x:y", True),
        ("v1.2", False),
        ("busybox:1", False),
        ("docker.io/library/busybox", False),
        ("", False),
    ],
)
def test_names_for_k3s(tag: str, fit: bool) -> None:
    found = read(image(AMD, tag=tag).tar())
    assert bool(layer(found).unfit) is not fit
    assert told(found) == ([] if fit else [("SB404", "warning")])
    assert layer(read(image(AMD, tag="busybox:1", form="docker").tar())).unfit == ()


def test_the_window_k3s_reads() -> None:
    plain = image(AMD).tar()
    for log, fit in ((25, True), (26, False), (27, False)):
        found = read(zst(plain, window_log=log, content_size_flag=0))
        assert (layer(found).window, layer(found).platforms) == (1 << log, (AMD,))
        assert (layer(found).unfit == ()) is fit
    both = zst(plain[:1024], window_log=20, content_size_flag=0) + zst(
        plain[1024:], window_log=26, content_size_flag=0
    )
    assert layer(read(both)).window == 1 << 26


def test_no_image_at_all() -> None:
    assert told(read(tar([("oci-layout", b"{}"), ("index.json", b'{"manifests":[]}')]))) == [
        ("SB404", "error")
    ]
    assert told(read(tar([("oci-layout", b"{}")])))[0] == ("SB404", "error")
    found = read(tar([("manifest.json", b'{"name": "an app"}'), ("x", b"y")]))
    assert (found.layer, found.diagnostics, found.tar) == (None, (), True)
