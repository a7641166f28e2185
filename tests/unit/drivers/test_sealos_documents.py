"""The operator's own documents for kubeadm: which are taken, which are refused, and what is read of them."""

from __future__ import annotations

import dataclasses

import pytest
import yaml
from sealos_kit import CTL, NODE, whole

from sealboot.drivers.options import validate
from sealboot.drivers.sealos_documents import MAX_CHARACTERS, allows_cgroup_v1, documents
from sealboot.drivers.sealos_kubeadm import init_config
from sealboot.drivers.sealos_options import SealosOptions

KUBELET = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
PROXY = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "no YAML: line 2"),
        ("\x00", "no YAML"),
        ("- 1\n", "no map"),
        ("kind: KubeletConfiguration\n", "without `apiVersion`"),
        ("apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n", "another kind"),
        ("apiVersion: v1\nkind: KubeletConfiguration\n", "not of kubelet.config.k8s.io"),
        (f"{KUBELET}---\n{KUBELET}", "two documents"),
        (f"{KUBELET}a: &x 1\nb: *x\n", "alias"),
        (KUBELET + "a: " + "[" * 40 + "]" * 40, "nested deeper"),
        (KUBELET + "a: " + "[" * 20_000, "nest"),
        ("#" * (MAX_CHARACTERS + 1), "more than"),
    ],
)
def test_what_kubeadm_would_refuse_is_refused_at_its_line(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        documents(text)
    made = whole(CTL, options={"kubeadm_documents": text})
    found = validate(made.driver, made.inventory)
    assert isinstance(found, tuple)
    assert [d.code for d in found] == ["SB603"]


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("", False),
        (KUBELET, False),
        (f"{KUBELET}failCgroupV1: true\n", False),
        (f"{KUBELET}failCgroupV1: false\n", True),
        (f"---\n{PROXY}---\n{KUBELET}failCgroupV1: false\n", True),
        (f"{PROXY}failCgroupV1: false\n", False),
    ],
)
def test_whether_kubelet_may_start_on_cgroup_v1(text: str, allowed: bool) -> None:
    assert allows_cgroup_v1(text) is allowed


def kinds(text: str) -> list[str]:
    return [document["kind"] for document in yaml.safe_load_all(text)]


def configured(release: str, **options: str) -> str:
    made = SealosOptions.model_validate(options)
    return init_config(made, release, "10.0.0.11", ["10.0.0.11"], "/var/run/image-cri-shim.sock")


OURS = ["InitConfiguration", "ClusterConfiguration", "KubeletConfiguration", "KubeProxyConfiguration"]


@pytest.mark.parametrize(
    ("release", "api", "documents"),
    [
        ("v1.26.15", "v1beta3", [OURS[0], OURS[1], OURS[3]]),  # kubelet has no field for it
        ("v1.29.9", "v1beta3", OURS),
        ("v1.30.14", "v1beta3", OURS),
        ("v1.31.0", "v1beta4", OURS),
        ("v1.37.2", "v1beta4", OURS),
    ],
)
def test_kubeadm_is_told_in_the_api_of_its_release(release: str, api: str, documents: list[str]) -> None:
    """v1.37 reads nothing older than v1beta4; v1.30 nothing newer than v1beta3."""
    text = configured(release)
    first, second, *rest = yaml.safe_load_all(text)
    assert first["apiVersion"] == second["apiVersion"] == f"kubeadm.k8s.io/{api}"
    assert first["nodeRegistration"]["imagePullPolicy"] == "Never"
    assert kinds(text) == documents
    for kubelet in rest[:-1]:
        assert kubelet["imageServiceEndpoint"] == "unix:///var/run/image-cri-shim.sock"
    assert configured(release, kubeadm_api="v1beta9").count("kubeadm.k8s.io/v1beta9") == 2


@pytest.mark.parametrize("head", ["", "---\n"])
def test_a_document_of_the_operators_takes_the_place_of_ours(head: str) -> None:
    text = configured("v1.36.3", kubeadm_documents=f"{head}{KUBELET}failCgroupV1: false\n")
    assert sorted(kinds(text)) == sorted(OURS)
    assert "failCgroupV1: false" in text
    assert "imageServiceEndpoint" not in text


def test_a_proxy_that_would_end_the_balancing_is_found() -> None:
    balanced = {"lvscare_image": "sealos.hub:5000/lvscare:v5"}
    kept = f"{PROXY}mode: ipvs\nipvs:\n  excludeCIDRs: [10.103.97.2/32]\n"
    for options, expected in (
        ({**balanced, "kubeadm_documents": PROXY}, ["SB607"]),
        ({**balanced, "kubeadm_documents": kept}, []),
        ({"ipvs": "false", "kubeadm_documents": PROXY}, []),
    ):
        made = whole(CTL, NODE, options=options)
        assert [d.code for d in made.driver.checks(made.context())] == expected


SECRET = "$2y$10$sealbootDefaultRegistOu6yqjJh6mSb0UpraByLRGhORZuUEJV6"


@pytest.mark.parametrize(
    ("options", "of_host", "expected"),
    [
        ({}, {}, []),
        ({"env": {"registryPassword": "other"}}, {}, ["SB607"]),
        ({"env": {"registryPassword": "other"}, "registry_htpasswd": f"admin:{SECRET}"}, {}, []),
        ({"env": {"registryUsername": "me"}, "registry_htpasswd": f"admin:{SECRET}"}, {}, ["SB607"]),
        ({"registry_htpasswd": f"me:{SECRET}"}, {}, ["SB607"]),
        ({}, {"env_registryPassword": "other"}, ["SB607"]),
        ({"env": {"registryPassword": "passw0rd"}}, {}, []),
    ],
)
def test_a_registry_that_would_not_let_its_cluster_in(
    options: dict[str, object], of_host: dict[str, str], expected: list[str]
) -> None:
    made = whole(dataclasses.replace(CTL, vars=of_host), options=options)
    found = made.driver.checks(made.context())
    assert [d.code for d in found] == expected
    assert not any("other" in str(d).replace("another", "") for d in found)
    assert bool(made.driver.waves(made.context())) is (not expected)
