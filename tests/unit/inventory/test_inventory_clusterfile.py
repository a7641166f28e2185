"""A Sealos Clusterfile is an inventory: `-i sealos:Clusterfile`."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sealboot.drivers.options import validate
from sealboot.drivers.registry import load_driver
from sealboot.inventory.importers.clusterfile import read_clusterfile
from sealboot.inventory.load import load_inventory
from sealboot.inventory.tree import MAXIMUM_BYTES
from sealboot.model.arch import Arch
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Inventory
from sealboot.workflow.drivers import known_drivers

CLUSTERFILE = """\
# by hand
apiVersion: apps.sealos.io/v1beta1
kind: Cluster
metadata: {name: prod}
spec:
  image: [labring/kubernetes:v1.29.9]
  env: [criData=/data/containerd]
  ssh: {user: root, pk: /root/.ssh/id_rsa, port: 22}
  hosts:
  - ips: [192.168.0.2:22, 192.168.0.3:2200]
    roles: [master, amd64]
    env: [DATADISK=/data]
  - ips: [192.168.0.5]
    roles: [node, aarch64]
    ssh: {user: ubuntu, port: 2022}
  - ips: [192.168.0.6]
    roles: [node]
status: {}
---
apiVersion: kubeadm.k8s.io/v1beta3
kind: InitConfiguration
"""


def load(folder: Path, text: str, *more: str) -> tuple[Inventory | None, tuple[Diagnostic, ...]]:
    (folder / "Clusterfile").write_text(text)
    return load_inventory([f"sealos:{folder / 'Clusterfile'}", *more], drivers=known_drivers())


def test_a_clusterfile_is_an_inventory(tmp_path: Path) -> None:
    inventory, found = load(tmp_path, CLUSTERFILE)
    assert found == ()
    assert inventory is not None
    assert (inventory.name, inventory.driver, inventory.release) == ("prod", "sealos", "v1.29.9")
    assert inventory.base == str(tmp_path)
    assert inventory.artifacts == {"rootfs": ("rootfs/*",)}
    assert inventory.options == {"env": {"criData": "/data/containerd"}}
    seen = {h.name: (h.address, h.role, h.arch, h.ssh.user, h.ssh.port) for h in inventory.hosts}
    assert seen == {
        "master-192-168-0-2": ("192.168.0.2", "master", Arch.AMD64, "root", 22),
        "master-192-168-0-3": ("192.168.0.3", "master", Arch.AMD64, "root", 2200),
        "node-192-168-0-5": ("192.168.0.5", "node", Arch.ARM64, "ubuntu", 2022),
        "node-192-168-0-6": ("192.168.0.6", "node", None, "root", 22),
    }
    assert inventory.host("master-192-168-0-2").vars == {"env_DATADISK": "/data"}
    assert str(inventory.host("node-192-168-0-5").origin("arch")).endswith("Clusterfile:14:19")


def test_a_second_file_adds_what_sealboot_needs(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text('artifacts: {rootfs: ["images/k8s.tar"]}\noptions: {ipvs: "false"}\n')
    inventory, found = load(tmp_path, CLUSTERFILE, str(tmp_path / "more.yaml"))
    assert (found, inventory is not None) == ((), True)
    assert inventory is not None
    assert inventory.artifacts == {"rootfs": ("images/k8s.tar",)}
    assert inventory.options["ipvs"] == "false"


def test_a_login_of_one_host_is_not_that_of_a_host_whose_address_ends_alike(tmp_path: Path) -> None:
    entry = "  - ips: [{}]\n    roles: [{}]\n"
    login = "    ssh: {user: ubuntu, port: 2022}\n"
    text = CLUSTERFILE[: CLUSTERFILE.index("  - ips")] + (
        entry.format("1.2.3.4:22", "master") + login + entry.format("11.2.3.4:22", "node")
    )
    inventory, _ = load(tmp_path, text)
    assert inventory is not None
    assert [(h.address, h.ssh.user, h.ssh.port) for h in inventory.hosts] == [
        ("1.2.3.4", "ubuntu", 22),
        ("11.2.3.4", "root", 22),
    ]


def test_a_password_is_not_taken_over(tmp_path: Path) -> None:
    inventory, found = load(tmp_path, CLUSTERFILE.replace("port: 22}", "passwd: hunter2}", 1))
    assert inventory is not None
    assert [(d.code, str(d.severity)) for d in found] == [("SB020", "warning")]
    assert "hunter2" not in repr(found)
    assert inventory.hosts[0].ssh.password_from is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("kind: Cluster\n", "kind: Config\n", "it is no Clusterfile"),
        ("[node, aarch64]", "[worker]", "'worker' is no role"),
        ("192.168.0.5]", "fd00::1]", "is no address"),
        ("ips: [192.168.0.5]", "ip: [192.168.0.5]", "has no `ips`"),
        ("192.168.0.5]", "192.168.0.6]", "hosts"),
        ("criData=/data/containerd", "criData", "is no variable"),
        ("{name: prod}", "{name: '{{ .Values.name }}'}", "it is a template"),
        ("apps.sealos.io/v1beta1", "apps.sealos.io/v2", "its `apiVersion` is 'apps.sealos.io/v2'"),
        ("[node, aarch64]", "[node, master]", "master or node, not both"),
        ("[criData=/data/containerd]", "[a=1, a=2]", "`a` stands here twice"),
        ("[criData=/data/containerd]", "criData=/data", "`spec.env` is no list of texts"),
        ("[labring/kubernetes:v1.29.9]", "labring/kubernetes:v1.29.9", "`spec.image` is no list of texts"),
        ("[master, amd64]", "[master, [amd64]]", "`spec.hosts[0].roles` is no list of texts"),
        ("ips: [192.168.0.5]", "ips: 192.168.0.5", "`spec.hosts[1].ips` is no list of texts"),
        ("ssh: {user: ubuntu, port: 2022}", "ssh: ubuntu", "`spec.hosts[1].ssh` is no map"),
        ("pk: /root/.ssh/id_rsa", "pk: [a, b]", "`spec.ssh.pk` is no text"),
        ("kind: InitConfiguration\n", "kind: Cluster\n", "it has two clusters"),
    ],
)
def test_what_cannot_be_taken_over_is_told_by_its_line(
    old: str, new: str, words: str, tmp_path: Path
) -> None:
    assert old in CLUSTERFILE
    inventory, found = load(tmp_path, CLUSTERFILE.replace(old, new))
    if words == "hosts":  # one address twice
        words = "192.168.0.6 is listed twice"
    assert inventory is None
    assert any(
        d.code == "SB020" and words in d.summary and d.at is not None and d.at.line > 1 for d in found
    ), found


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"---\n",
        b"kind: Cluster\n",
        b"kind: Cluster\nspec: {hosts: [x, {ips: {a: b}}]}\n",
        b"\xff\xfe",
        b"[]",
    ],
)
def test_nothing_raises(data: bytes) -> None:
    made, found = read_clusterfile(data, "Clusterfile")
    assert made is None
    assert found


@pytest.mark.parametrize("line", [b"---\n", b"# c\n---\n", b"--- # c\n"])
def test_very_many_documents_are_read_once(line: bytes) -> None:
    began = time.process_time()
    read_clusterfile(line * 100_000, "f")
    assert time.process_time() - began < 5


GEN = """\
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.29.9
controlPlaneEndpoint: apiserver.cluster.local:6443
networking: {dnsDomain: cluster.local, podSubnet: 10.1.0.0/16, serviceSubnet: null}
imageRepository: registry.example.test/k8s
etcd: {local: {dataDir: /data/etcd}}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {bindPort: 7443}
nodeRegistration: {criSocket: /run/containerd/containerd.sock}
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: ipvs # as it is written
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
maxPods: 200
systemReserved: {cpu: '1', pid: null}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
---
apiVersion: v1
kind: ConfigMap
metadata: {name: mine}
"""


def test_documents_are_taken_over_as_far_as_there_are_options_and_told_beyond(tmp_path: Path) -> None:
    text = CLUSTERFILE[: CLUSTERFILE.index("---")]
    inventory, found = load(tmp_path, text + GEN)
    assert inventory is not None
    taken = {key: value for key, value in inventory.options.items() if key != "env"}
    assert taken == {
        "pod_subnet": "10.1.0.0/16",
        "image_repository": "registry.example.test/k8s",
        "etcd_data": "/data/etcd",
        "apiserver_port": "7443",
        "cri_socket": "/run/containerd/containerd.sock",
        "kubeadm_documents": (
            "---\napiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
            "mode: ipvs # as it is written\n"
            "---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
            "maxPods: 200\nsystemReserved: {cpu: '1', pid: null}\n"
        ),
    }
    driver = load_driver("sealos")
    assert not isinstance(driver, Diagnostic)
    assert not isinstance(validate(driver, inventory), tuple)
    second, other = found
    assert "this second InitConfiguration is not read" in second.summary
    assert "the ConfigMap `mine` is not taken over" in other.summary
    lines = (text + GEN).splitlines()
    assert [lines[d.at.line - 1] for d in found if d.at] == [
        "apiVersion: kubeadm.k8s.io/v1beta4",
        "apiVersion: v1",
    ]


def test_a_mode_of_kube_proxy_that_sealos_would_have_filled_in_is_told(tmp_path: Path) -> None:
    proxy = "---\napiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
    inventory, (found,) = load(tmp_path, f"{CLUSTERFILE}{proxy}")
    assert inventory is not None
    assert inventory.options["kubeadm_documents"] == proxy
    assert "names no `mode`" in found.summary


def test_a_long_document_is_told_shortly(tmp_path: Path) -> None:
    extra = "".join(f"key{number}: 1\n" for number in range(500))
    inventory, found = load(tmp_path, f"{CLUSTERFILE}{extra}")
    assert inventory is not None
    assert "`key0`, `key1`, `key2` and 497 more are not taken over" in found[0].summary
    assert len(found[0].evidence) == 21
    assert found[0].evidence[-1][0] == "and 480 more"


@pytest.mark.parametrize(
    ("roles", "registry", "kept"),
    [
        (["[registry, amd64]", "[master]"], None, ["registry", "master"]),
        (["[master]", "[registry]"], None, ["master", "registry"]),
        (["[registry, master]", "[node]"], "master-10-0-0-1", ["master", "node"]),
        (["[master]", "[node, registry]"], "node-10-0-0-2", ["master", "node"]),
        (["[master, registry]", "[registry]"], "master-10-0-0-1", ["master", "registry"]),
    ],
)
def test_the_first_host_with_the_role_serves_the_registry(
    roles: list[str], registry: str | None, kept: list[str], tmp_path: Path
) -> None:
    head = "apiVersion: apps.sealos.io/v1beta1\nkind: Cluster\nspec:\n  image: [labring/kubernetes:v1.29.9]\n  hosts:\n"
    hosts = "".join(f"  - {{ips: [10.0.0.{n}], roles: {said}}}\n" for n, said in enumerate(roles, 1))
    inventory, _ = load(tmp_path, head + hosts)
    assert inventory is not None
    assert inventory.options.get("registry_host") == registry
    assert [host.role for host in inventory.hosts] == kept


def test_a_file_that_is_cut_off_is_refused_as_a_whole() -> None:
    half = b"#" * (MAXIMUM_BYTES // 2 + 1) + b"\n"
    made, found = read_clusterfile(CLUSTERFILE.encode() + half + b"---\n" + half, "f")
    assert made is None
    assert [d.code for d in found] == ["SB005"]


def test_more_documents_than_anybody_writes_are_refused() -> None:
    made, found = read_clusterfile(b"--- {a: b}\n" * 1001, "f")
    assert made is None
    assert [(d.code, str(d.at)) for d in found] == [("SB005", "f:1001:1")]
