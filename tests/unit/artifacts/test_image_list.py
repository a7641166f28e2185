from __future__ import annotations

from pathlib import Path

import pytest

from sealboot.artifacts import inspect
from sealboot.artifacts.image_list import MAX_BYTES, MAX_NAMES, read_image_list
from sealboot.artifacts.reader import Memory
from sealboot.model.arch import Arch
from sealboot.model.archive import IMAGE_LIST
from sealboot.model.artifact import Kind, Other

LIST = b"""quay.io/k0sproject/kube-proxy:v1.30.14
registry.k8s.io/pause:3.9

# a comment
localhost/app:1@sha256:0000000000000000000000000000000000000000000000000000000000000000
r.lan:5000/a/b:v1.0_x
quay.io/k0sproject/kube-proxy:v1.30.14
"""


def test_a_list_of_images_is_known_by_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "airgap-images-linux-arm64.txt"
    path.write_bytes(LIST)
    found = inspect(path)
    assert found.kind is Kind.UNKNOWN
    assert found.named_arch is Arch.ARM64
    (layer,) = found.layers
    assert isinstance(layer, Other)
    assert layer.name == IMAGE_LIST
    assert layer.facts["count"] == "4"
    assert layer.facts["images"].split()[:2] == [
        "quay.io/k0sproject/kube-proxy:v1.30.14",
        "registry.k8s.io/pause:3.9",
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n# nothing but a comment\n",
        b"kube-proxy:v1\n",
        b"quay.io/k0sproject/kube-proxy\n",
        b"quay.io/a:1 quay.io/b:1\n",
        b"quay.io/\x1b[31m:1\n",
        b"quay.io/a:1\nquay.io/\xc3\xa4:1\n",
        b"quay.io/a:1\n" + b"# " + b"x" * MAX_BYTES,
        b"".join(b"quay.io/a:%d\n" % n for n in range(MAX_NAMES + 1)),
    ],
)
def test_any_other_file_is_none(data: bytes) -> None:
    assert read_image_list(Memory(data)) is None
