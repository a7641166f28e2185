"""Machine configurations and talosconfig: by their contents, without their secrets, whatever the bytes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealboot.artifacts.talos_files import MAX_BYTES, read_machine_config, read_talosconfig

CONFIG = b"""version: v1alpha1 # Indicates the schema used to decode the contents.
debug: false
machine:
    type: controlplane
    token: abcdef.0123456789abcdef
    ca: {crt: LS0tLS1CRUdJTg==, key: c2VjcmV0IGtleQ==}
    certSANs: [10.0.0.10, {a: b}]
    install:
        disk: /dev/sda
        image: factory.talos.dev/metal-installer/3765:v1.14.0
        wipe: true
    # comments say: type: worker
cluster:
    clusterName: lab
    secret: c2VjcmV0
    controlPlane:
        endpoint: https://10.0.0.10:6443
---
apiVersion: v1alpha1
kind: HostnameConfig
machine: {type: worker}
"""
CREDENTIALS = b"""context: lab
contexts:
    other: {endpoints: [1.1.1.1], ca: YQ==, crt: Yg==, key: Yw==}
    lab:
        endpoints:
            - 10.0.0.11
            - 10.0.0.12
        ca: YQ==
        crt: Yg==
        key: c2VjcmV0IGtleQ==
"""


def test_what_a_machine_configuration_says() -> None:
    made = read_machine_config(CONFIG)
    assert made is not None
    assert (made.type, made.cluster, made.endpoint) == ("controlplane", "lab", "https://10.0.0.10:6443")
    assert (made.image, made.disk, made.wipe) == (
        "factory.talos.dev/metal-installer/3765:v1.14.0",
        "/dev/sda",
        True,
    )


@pytest.mark.parametrize(
    ("selector", "disk"),
    [
        (b"        diskSelector: {size: '>= 100GB'}\n", ""),
        (b"        diskSelector:\n            type: nvme\n", ""),
        (b"        diskSelector: {}\n", "/dev/sda"),
    ],
)
def test_a_selector_chooses_the_disk_whatever_else_is_named(selector: bytes, disk: str) -> None:
    """`gen config` always writes `disk`, so whoever adds a selector has both, and Talos takes the selector."""
    made = read_machine_config(CONFIG.replace(b"    install:\n", b"    install:\n" + selector))
    assert made is not None
    assert made.disk == disk
    assert made.image == "factory.talos.dev/metal-installer/3765:v1.14.0"


def test_the_document_that_names_the_cluster() -> None:
    """Since 1.14 `gen config` writes it, and no `cluster.clusterName`."""
    plain = CONFIG.split(b"cluster:")[0]
    names = b"---\napiVersion: v1alpha1\nkind: KubeClusterConfig\nclusterName: other\nendpoint: https://10.0.0.9:6443\n"
    for text in (plain + names, names + b"---\n" + plain, CONFIG + names):
        made = read_machine_config(text)
        assert made is not None
        assert (made.cluster, made.endpoint) == ("other", "https://10.0.0.9:6443")


UNATTENDED = b"""---
apiVersion: v1alpha1
kind: UnattendedInstallConfig
installer: {image: factory.talos.dev/metal-installer/abc:v1.14.2}
provisioning:
    diskSelector: {match: 'disk.dev_path == "/dev/nvme0n1"'}
"""


def test_the_document_that_takes_the_place_of_install() -> None:
    plain = CONFIG.split(b"    install:")[0] + b"cluster: {clusterName: lab}\n"
    made = read_machine_config(plain + UNATTENDED)
    assert made is not None
    assert (made.image, made.disk, made.wipe, made.unattended) == (
        "factory.talos.dev/metal-installer/abc:v1.14.2",
        "/dev/nvme0n1",
        True,
        True,
    )
    other = read_machine_config(
        plain + UNATTENDED.replace(b'disk.dev_path == "/dev/nvme0n1"', b"disk.size > 10u * GB")
    )
    assert other is not None
    assert other.disk == "", "which one that is shows on the machine"


def test_no_secret_is_kept() -> None:
    for made in (read_machine_config(CONFIG), read_talosconfig(CREDENTIALS)):
        text = repr(made)
        assert not [s for s in ("abcdef", "LS0t", "c2Vjcm", "Yw==") if s in text]


def test_what_a_talosconfig_says() -> None:
    made = read_talosconfig(CREDENTIALS)
    assert made is not None
    assert (made.context, made.endpoints) == ("lab", ("10.0.0.11", "10.0.0.12"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"machine: {type: worker}\n",
        b"version: v1beta1\nmachine: {type: worker}\n",
        b"version: v1alpha1\n",
        b"version: v1alpha1\nmachine: worker\n",
        b"- version: v1alpha1\n",
        b"version: [v1alpha1]\nmachine: {type: worker}",
        b"\xff\xfe\x00\x01",
        b"[" * 100_000,
        b"{? [a]: b}",
        b"&a [*a]",
        CONFIG + b" " * MAX_BYTES,
        CREDENTIALS,
    ],
)
def test_what_is_no_machine_configuration(data: bytes) -> None:
    assert read_machine_config(data) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        CONFIG,
        CREDENTIALS.replace(b"context: lab", b"context: gone"),
        CREDENTIALS.replace(b"key: c2", b"k: c2"),
    ],
)
def test_what_is_no_talosconfig(data: bytes) -> None:
    assert read_talosconfig(data) is None


def test_aliases_cost_nothing() -> None:
    bomb = b"a: &a [x,x]\n" + b"".join(
        b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a"] * 9)) for n in range(99)
    )
    assert read_machine_config(bomb + CONFIG) is not None


@settings(max_examples=200)
@given(st.binary(max_size=300) | st.text("{}[]:-,&*!|>'\"#%@ \n\tabtype", max_size=200).map(str.encode))
def test_whatever_the_bytes_nothing_is_raised(data: bytes) -> None:
    read_machine_config(data)
    read_talosconfig(data)
