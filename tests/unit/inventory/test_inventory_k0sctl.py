"""A k0sctl.yaml is an inventory: `-i k0sctl:k0sctl.yaml`."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sealboot.drivers.k0s_options import K0sOptions
from sealboot.drivers.options import validate
from sealboot.drivers.registry import load_driver
from sealboot.inventory.k0sctl import read_k0sctl
from sealboot.inventory.load import load_inventory
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.host import Inventory
from sealboot.workflow.drivers import known_drivers

K0SCTL = """\
apiVersion: k0sctl.k0sproject.io/v1beta1
kind: Cluster
metadata: {name: edge}
spec:
  hosts:
  - role: controller
    ssh:
      address: 10.0.0.1
      keyPath: ~/.ssh/id_ed25519
      bastion: {address: b1.example, user: jump, port: 2222, bastion: {address: b0.example}}
    privateAddress: 192.168.0.1
    k0sBinaryPath: bin/k0s-amd64
    installFlags: [--debug, --labels=zone=a, "--profile edge"]
    environment: {HTTP_PROXY: "http://proxy:3128"}
  - role: controller+worker
    noTaints: true
    openSSH: {address: edge-2, user: ops}
    hostname: edge-two
    dataDir: /data/k0s
    k0sInstallPath: /opt/bin/k0s
    uploadBinary: true
  - role: worker
    reset: true
    ssh: {address: 10.0.0.3, user: ops, port: 2022}
    files:
    - {name: bundle, src: images/bundle-arm64.tar, dstDir: /var/lib/k0s/images/, perm: 0644}
  k0s:
    version: 1.30.2+k0s.0
    dynamicConfig: true
    config:
      spec: {api: {port: 6443}}
  options:
    drain: {enabled: true, gracePeriod: 2m0s, timeout: 5m, ignoreDaemonSets: true}
    concurrency: {workerDisruptionPercent: 20}
"""


def load(folder: Path, text: str) -> tuple[Inventory | None, tuple[Diagnostic, ...]]:
    (folder / "k0sctl.yaml").write_text(text)
    return load_inventory([f"k0sctl:{folder / 'k0sctl.yaml'}"], drivers=known_drivers())


def test_a_k0sctl_yaml_is_an_inventory(tmp_path: Path) -> None:
    inventory, found = load(tmp_path, K0SCTL)
    assert found == ()
    assert inventory is not None
    assert (inventory.name, inventory.driver, inventory.release) == ("edge", "k0s", "v1.30.2+k0s.0")
    assert inventory.base == str(tmp_path)
    first, second, third = inventory.hosts
    assert (first.name, first.address, first.role) == ("controller-10-0-0-1", "10.0.0.1", "controller")
    assert (first.ssh.user, first.ssh.jump) == ("root", ("root@b0.example", "jump@b1.example:2222"))
    assert first.artifacts == {"k0s": ("bin/k0s-amd64",)}
    assert dict(first.vars) == {
        "ip": "192.168.0.1",
        "node_labels": "zone=a",
        "install_flags": "--debug --profile=edge",
        "env_HTTP_PROXY": "http://proxy:3128",
    }
    assert (second.name, second.ssh.config, second.ssh.user) == ("edge-two", True, "ops")
    assert dict(second.paths) == {"data": "/data/k0s", "binary": "/opt/bin"}
    assert (third.ssh.port, dict(third.vars)) == (2022, {"state": "absent"})
    assert third.artifacts == {"images": ("images/bundle-arm64.tar",)}
    at = first.origin("vars.ip")
    assert at is not None
    assert at.line == 11


def test_its_options_are_the_drivers(tmp_path: Path) -> None:
    inventory, _ = load(tmp_path, K0SCTL)
    driver = load_driver("k0s")
    assert inventory is not None
    assert not isinstance(driver, Diagnostic)
    options = validate(driver, inventory)
    assert isinstance(options, K0sOptions)
    assert (options.dynamic_config, options.no_taints, options.batch) == ("true", "true", "20%")
    assert (options.drain.grace_period, options.drain.timeout) == (120, 300)
    assert options.config == {"spec": {"api": {"port": "6443"}}}


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("    reset: true", "    hooks: {apply: {before: [reboot]}}", "spec.hosts[2].hooks"),
        ("    reset: true", "    privateInterface: eth1", "spec.hosts[2].privateInterface"),
        ("    reset: true", "    k0sDownloadURL: https://x/k0s-%v", "spec.hosts[2].k0sDownloadURL"),
        ("    reset: true", "    useExistingK0s: true", "spec.hosts[2].useExistingK0s"),
        ("    reset: true", "    os: debian", "spec.hosts[2].os"),
        ("    reset: true", "    frobnicate: {a: b}", "spec.hosts[2].frobnicate"),
        ("dstDir: /var/lib/k0s/images/", "dstDir: /etc", "spec.hosts[2].files[0]"),
        ("src: images/bundle-arm64.tar", "src: 'https://x/b.tar'", "spec.hosts[2].files[0]"),
        ("user: ops, port: 2022", "user: ops, options: {A: b}", "spec.hosts[2].ssh.options"),
        ("user: jump, port", "user: jump, keyPath: k, port", "spec.hosts[0].ssh.bastion.keyPath"),
        ("  options:", "  options:\n    evictTaint: {enabled: true}", "spec.options.evictTaint"),
        ("workerDisruptionPercent: 20", "limit: 5", "spec.options.concurrency.limit"),
        ("ignoreDaemonSets: true", "ignoreDaemonSets: false", "spec.options.drain.ignoreDaemonSets"),
        ("    dynamicConfig: true", "    versionChannel: latest", "spec.k0s.versionChannel"),
        ("{name: edge}", "{name: edge, user: me}", "metadata.user"),
        ("spec:\n  hosts", "status: {}\nspec:\n  hosts", "status"),
    ],
)
def test_nothing_is_dropped_silently(tmp_path: Path, before: str, after: str, key: str) -> None:
    assert before in K0SCTL
    inventory, found = load(tmp_path, K0SCTL.replace(before, after, 1))
    assert inventory is not None
    assert [(d.code, d.severity) for d in found] == [("SB021", Severity.WARNING)]
    assert f"`{key}`" in found[0].summary
    assert found[0].at is not None


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("address: 10.0.0.3", "address: ${HOST}", "it has variables"),
        ("kind: Cluster", "kind: Other", "no k0sctl.yaml"),
        ("role: worker", "role: agent", "spec.hosts[2].role"),
        ("ssh: {address: 10.0.0.3, user: ops, port: 2022}", "winRM: {address: 10.0.0.3}", "not by `winRM`"),
        (
            "ssh: {address: 10.0.0.3, user: ops, port: 2022}",
            "localhost: {enabled: true}",
            "not by `localhost`",
        ),
        ("/opt/bin/k0s", "/opt/bin/k0s-1.30", "always called k0s"),
        ("1.30.2+k0s.0", "latest", "no release of k0s"),
        (
            "address: 10.0.0.3",
            "address: 10.0.0.3}\n  - role: worker\n    ssh: {address: 10.0.0.3",
            "listed twice",
        ),
    ],
)
def test_what_would_be_another_cluster_is_refused(tmp_path: Path, before: str, after: str, told: str) -> None:
    assert before in K0SCTL
    inventory, found = load(tmp_path, K0SCTL.replace(before, after, 1))
    assert inventory is None
    errors = [d for d in found if d.severity is Severity.ERROR]
    assert [d.code for d in errors] == ["SB021"]
    assert told in errors[0].summary


def test_settings_of_hosts_that_are_the_clusters_must_agree(tmp_path: Path) -> None:
    text = K0SCTL.replace("    reset: true", "    noTaints: false")
    inventory, found = load(tmp_path, text)
    assert inventory is None
    assert "`spec.hosts[2].noTaints` differs" in found[0].summary


def test_documents_behind_it(tmp_path: Path) -> None:
    config = "apiVersion: k0s.k0sproject.io/v1beta1\nkind: ClusterConfig\nspec: {api: {port: 7443}}\n"
    alone = K0SCTL.replace("    config:\n      spec: {api: {port: 6443}}\n", "")
    inventory, found = load(tmp_path, f"---\n# first\n---\n{alone}---\n{config}")
    assert (found, inventory is None) == ((), False)
    assert inventory is not None
    assert inventory.options["config"]["spec"] == {"api": {"port": "7443"}}
    inventory, found = load(tmp_path, f"{K0SCTL}---\nkind: ConfigMap\n---\n{config}")
    assert inventory is not None
    assert ["ConfigMap" in found[0].summary, "ClusterConfig" in found[1].summary] == [True, True]
    assert found[0].at is not None
    assert found[0].at.line == K0SCTL.count("\n") + 2


def test_hostile_ones_are_findings_and_quick() -> None:
    begun = time.process_time()
    for data in (
        b"",
        b"\xff\xfe",
        b"- a",
        b"apiVersion: k0sctl.k0sproject.io/v1\nkind: Cluster\nspec: {hosts: [a, [b], {}]}",
    ):
        tree, found = read_k0sctl(data, "k0sctl.yaml")
        assert tree is None
        assert {d.code for d in found} <= {"SB021", "SB002", "SB003", "SB004", "SB019"}
    many = b"".join(
        b"  - {role: worker, ssh: {address: 10.0.%d.%d}}\n" % (n // 250, n % 250) for n in range(4000)
    )
    head = b"apiVersion: k0sctl.k0sproject.io/v1beta1\nkind: Cluster\nspec:\n  hosts:\n"
    tree, found = read_k0sctl(head + many, "k0sctl.yaml")
    assert (tree is None, found) == (False, ())
    read_k0sctl(b"---\n" * 500_000, "k0sctl.yaml")
    assert time.process_time() - begun < 20
