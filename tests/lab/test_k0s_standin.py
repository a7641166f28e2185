"""The stand-in for k0s keeps k0s' rules: what a plan has to get right, it refuses when it is wrong."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from labkit import packed
from labkit.k0s import bundle, images, k0s
from labkit.lab import Lab
from labkit.machines import Node

from sealboot.model.arch import Arch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

OLD, NEW = "v1.29.15+k0s.0", "v1.30.14+k0s.0"
CONFIG = """\
apiVersion: k0s.k0sproject.io/v1beta1
kind: ClusterConfig
metadata:
  name: k0s
spec:
  images:
    default_pull_policy: Never
"""
#: Waits on the machine until a command succeeds, for at most 10 seconds; no command of its own fails the script.
UNTIL = 'until_ok() { n=0; until "$@" >/dev/null 2>&1; do n=$((n+1)); [ $n -lt 100 ] || return 1; sleep 0.1; done; }\n'
READY = "until_ok sh -c 'k0s kubectl get nodes | grep \" Ready \"'"


@contextmanager
def machine(lab: Lab, version: str) -> Iterator[Node]:
    with lab.fresh("amd64-systemd") as (node,):
        put(lab, node, k0s(Arch.AMD64, version), "/usr/local/bin/k0s")
        put(lab, node, CONFIG.encode(), "/etc/k0s/k0s.yaml")
        yield node


def put(lab: Lab, node: Node, content: bytes, path: str) -> None:
    script = f"mkdir -p {path.rpartition('/')[0]} && cat >{path}.new && chmod 755 {path}.new && mv {path}.new {path}"
    assert lab.ssh(node, script, stdin=content).returncode == 0


def run(lab: Lab, node: Node, script: str) -> subprocess.CompletedProcess[bytes]:
    return lab.ssh(node, UNTIL + script)


def says(lab: Lab, node: Node, script: str) -> str:
    done = run(lab, node, script)
    assert done.returncode == 0, done
    return done.stdout.decode()


def test_pins_of_an_old_release_win_over_the_new_one(lab: Lab) -> None:
    with machine(lab, OLD) as node:
        place = "/var/lib/k0s/images/bundle.tar"
        put(lab, node, bundle(Arch.AMD64, images(OLD)), place)
        install = "k0s install controller --config=/etc/k0s/k0s.yaml --enable-worker --enable-dynamic-config"
        says(lab, node, f"{install} && k0s start && {READY}")
        pinned = says(
            lab, node, "k0s kubectl -n kube-system get clusterconfig k0s -o jsonpath='{.spec.images}'"
        )
        assert '"version":"v1.29.15"' in pinned

        # The new release with its own bundle: it goes on wanting the old images.
        says(lab, node, "k0s stop")
        put(lab, node, k0s(Arch.AMD64, NEW), "/usr/local/bin/k0s")
        put(lab, node, bundle(Arch.AMD64, images(NEW)), place)
        says(lab, node, "rm /var/lib/k0s/containerd/images.json && k0s start")
        waits = f"until_ok sh -c 'journalctl -u k0scontroller | grep ErrImageNeverPull' && ! {READY}"
        assert run(lab, node, waits).returncode == 0
        assert "kube-proxy:v1.29.15" in says(lab, node, "journalctl -q -u k0scontroller -o cat")

        # Without the pins it is Ready after its next start.
        patch = """'{"spec":{"images":{"konnectivity":null,"pushgateway":null,"metricsserver":null,"kubeproxy":null,"coredns":null,"pause":null,"calico":null,"kuberouter":null}}}'"""
        says(lab, node, f"k0s kubectl -n kube-system patch clusterconfig k0s --type=merge -p {patch}")
        says(lab, node, f"k0s stop && k0s start && {READY}")


@pytest.mark.parametrize(
    ("version", "starts"),
    [(NEW, False), ("v1.36.3+k0s.2", True)],
    ids=["chain", "zip"],
)
def test_what_packing_does_to_it(lab: Lab, version: str, starts: bool) -> None:
    """A chain is found by counting from the end of the file, a ZIP archive by its end record."""
    with machine(lab, version) as node:
        put(lab, node, packed.pack(k0s(Arch.AMD64, version)), "/usr/local/bin/k0s")
        assert says(lab, node, "k0s version").strip() == version
        says(lab, node, "k0s install controller --config=/etc/k0s/k0s.yaml && k0s start")
        ready = run(lab, node, "until_ok k0s kubectl get --raw=/readyz")
        assert (ready.returncode == 0) == starts, ready
        log = says(lab, node, "journalctl -q -u k0scontroller -o cat")
        assert ("gzip: invalid header" in log) != starts


def test_what_is_out_of_order_is_refused(lab: Lab) -> None:
    with machine(lab, "v1.35.1+k0s.0") as node:
        for script, why in (
            ("k0s start", "has not been installed"),
            ("k0s token create --role=worker", "status.sock"),
            ("k0s install worker --token=x", "unknown flag"),
            ("k0s status -o json", "status.sock"),
        ):
            refused = run(lab, node, script)
            assert refused.returncode == 1, script
            assert why in refused.stderr.decode(), refused
        says(lab, node, "k0s install controller --config=/etc/k0s/k0s.yaml && k0s start")
        says(lab, node, "until_ok k0s kubectl get --raw=/readyz")
        for script, why in (
            ("k0s install controller", "Init already exists"),
            ("k0s start", "already running"),
            ("k0s reset", "please stop k0s"),
            ("k0s ctr -n k8s.io images ls -q", "containerd.sock"),
            ("k0s kubectl drain nobody", "not found"),
        ):
            refused = run(lab, node, script)
            assert refused.returncode == 1, script
            assert why in refused.stderr.decode(), refused
        # A token of one role, or one that was taken back, admits nobody.
        token = "k0s token create --role=worker >/tmp/token"
        wrong = run(lab, node, f"{token} && k0s controller --token-file=/tmp/token --data-dir=/tmp/other")
        assert wrong.returncode == 1
        gone = (
            f"{token} && k0s token list | awk 'NR > 1 {{print $1}}' | xargs k0s token invalidate"
            " && k0s worker --token-file=/tmp/token --data-dir=/tmp/other"
        )
        refused = run(lab, node, gone)
        assert (refused.returncode, b"Unauthorized" in refused.stderr) == (1, True), refused


#: Worker profiles as `config validate` of v1.36.3+k0s.2 took and refused them.
PROFILES = (
    ("failCgroupV1: false", ""),
    ("maxPods: 200", ""),
    ('systemReserved: {"cpu": "1"}', ""),
    (
        "failCgroupV1: 'false'",
        (
            "spec: workerProfiles[0].values: Invalid value: json: cannot unmarshal string into Go struct field"
            " KubeletConfiguration.failCgroupV1 of type bool"
        ),
    ),
    ("maxPods: '200'", "KubeletConfiguration.maxPods of type int32"),
    ('systemReserved: {"cpu": 1}', "cannot unmarshal number"),
)


def test_worker_profiles_have_types(lab: Lab) -> None:
    with machine(lab, "v1.36.3+k0s.2") as node:
        for values, told in PROFILES:
            profile = f"  workerProfiles:\n  - name: v1\n    values:\n      {values}\n"
            put(lab, node, (CONFIG + profile).encode(), "/tmp/k0s.yaml")
            judged = run(lab, node, "k0s config validate --config=/tmp/k0s.yaml")
            assert (judged.returncode != 0) == bool(told), (values, judged)
            assert told in judged.stderr.decode(), values


def test_the_first_version_of_cgroups_is_rejected(lab: Lab) -> None:
    with machine(lab, "v1.36.3+k0s.2") as node:
        says(lab, node, "mkdir -p /etc/k0s-standin && touch /etc/k0s-standin/cgroup-v1")
        install = "k0s install controller --config=/etc/k0s/k0s.yaml --enable-worker"
        flags = "--ignore-pre-flight-checks --profile=v1"
        says(lab, node, f"{install} && k0s start")
        says(lab, node, "until_ok sh -c 'journalctl -u k0scontroller | grep \"pre-flight checks failed\"'")
        says(
            lab,
            node,
            f"systemctl stop k0scontroller; {install} {flags} --force && systemctl start k0scontroller",
        )
        says(
            lab,
            node,
            "until_ok sh -c 'journalctl -u k0scontroller | grep \"not run on a host using cgroup v1\"'",
        )
        profile = "  workerProfiles:\n  - name: v1\n    values:\n      failCgroupV1: false\n"
        config = CONFIG.replace("Never", "IfNotPresent") + profile
        put(lab, node, config.encode(), "/etc/k0s/k0s.yaml")
        says(lab, node, f"systemctl restart k0scontroller && {READY}")
