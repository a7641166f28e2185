"""What runtimes call an image's id: the digest of its configuration, by platform, in every form of archive."""

from __future__ import annotations

import pytest
from image_kit import Form, image, read, sha256

from sealboot.artifacts.cache_codec import decode, encode
from sealboot.model.archive import Image, ImageArchive
from sealboot.model.artifact import Artifact, Kind


@pytest.mark.parametrize("form", ["docker", "oci", "both"])
def test_ids_are_digests_of_configurations(form: Form) -> None:
    made = image("linux/arm64", form=form)
    (found,) = _images(made.tar())
    configs = {sha256(data) for data in (*made.blobs.values(), *made.files.values()) if b'"rootfs"' in data}
    assert [platform for platform, _ in found.configs] == ["linux/arm64"]
    assert {digest for _, digest in found.configs} == {f"sha256:{digest}" for digest in configs}
    layer = ImageArchive("x", (found,))
    remembered = decode(encode(Artifact("x", Kind.TAR, layers=(layer,)))).layers[0]
    assert isinstance(remembered, ImageArchive)
    assert remembered.images[0].configs == found.configs


def test_platforms_that_are_not_whole_have_no_id() -> None:
    made = image("linux/arm64", "linux/amd64")
    made.drop("linux/amd64")
    (found,) = _images(made.tar())
    assert [platform for platform, _ in found.configs] == ["linux/arm64"]


def _images(data: bytes) -> tuple[Image, ...]:
    layer = read(data).layer
    assert isinstance(layer, ImageArchive)
    return layer.images
