"""A k0sctl.yaml is an inventory: `-i k0sctl:k0sctl.yaml`."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sealboot.drivers.k0s_options import OWN_FLAGS, K0sOptions
from sealboot.drivers.options import validate
from sealboot.drivers.registry import load_driver
from sealboot.inventory.importers.k0sctl import read_k0sctl
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
        ("    reset: true", "    useExistingK0s: on", "spec.hosts[2].useExistingK0s"),
        ("    reset: true", "    frobnicate: {a: b}", "spec.hosts[2].frobnicate"),
        ("installFlags: [--debug", "installFlags: [--force", "spec.hosts[0].installFlags: --force"),
        ("ignoreDaemonSets: true", "frobnicate: true", "spec.options.drain.frobnicate"),
        ("  options:", "  options:\n    wait: {enabled: false}", "spec.options.wait"),
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
        ("1.30.2+k0s.0", "[1.30.2]", "no release of k0s"),
        ("v1beta1", "v1beta2", "no k0sctl.yaml"),
        ("address: 10.0.0.3", "address: $HOST", "it has variables"),
        ("reset: true", "reset: maybe", "`spec.hosts[2].reset` is neither true nor false"),
        ("dynamicConfig: true", "dynamicConfig: 1", "`spec.k0s.dynamicConfig` is neither true nor false"),
        ("enabled: true, grace", "enabled: 1, grace", "`spec.options.drain.enabled` is neither"),
        ("timeout: 5m", "timeout: 300", "`spec.options.drain.timeout` is no duration"),
        ("timeout: 5m", "timeout: 500ms", "`spec.options.drain.timeout` is no duration"),
        ("apiVersion: k0sctl", "- a\n---\napiVersion: k0sctl", "this document is no map"),
        ("spec: {api: {port: 6443}}", "- a", "`spec.k0s.config` is no map"),
        ("installFlags: [--debug", "installFlags: [debug", "this is no flag"),
        ("installFlags: [--debug", "installFlags: ['--a=\"b'", "this is no flag"),
        ("installFlags: [--debug", "installFlags: [{a: b}", "is no list of flags"),
        ("installFlags: [--debug", "installFlags: [--data-dir", "`--data-dir` needs a value"),
        ("bastion: {address: b0.example}", "bastion: b0.example", "is no bastion"),
        ("user: ops, port: 2022", "user: [ops]", "`spec.hosts[2].ssh.user` is no text"),
        ("    reset: true", "    openSSH: {address: x}", "has both `ssh` and `openSSH`"),
        ("installFlags: [--debug", "installFlags: [--config=/x", "`--config` is the driver's own"),
        ("installFlags: [--debug", "installFlags: [--token-file /x", "`--token-file` is the driver's own"),
        ("installFlags: [--debug", "installFlags: [--kubelet-extra-args=a, --kubelet-extra-args=b", "twice"),
        ("noTaints: true", "noTaints: true\n    installFlags: [--no-taints=false]", "disagree"),
        ("noTaints: true", "noTaints: true\n    installFlags: [--enable-worker=false]", "disagree"),
        ("role: controller\n", "role: controller\n    noTaints: true\n", "the role controller+worker alone"),
        ('environment: {HTTP_PROXY: "http://proxy:3128"}', "environment: {A: [b]}", "is no text"),
        (
            "address: 10.0.0.3",
            "address: 10.0.0.3, port: 2022}\n  - role: worker\n    ssh: {address: 10.0.0.3",
            "listed twice",
        ),
    ],
)
def test_what_would_be_another_cluster_is_refused(tmp_path: Path, before: str, after: str, told: str) -> None:
    assert before in K0SCTL
    inventory, found = load(tmp_path, K0SCTL.replace(before, after, 1))
    assert inventory is None
    errors = [d for d in found if d.severity is Severity.ERROR]
    assert [d.code for d in errors] == ["SB007" if told == "this document is no map" else "SB021"]
    assert errors[0].at is not None
    assert told in errors[0].summary


def test_settings_of_hosts_that_are_the_clusters_must_agree(tmp_path: Path) -> None:
    text = K0SCTL.replace("  - role: worker\n    reset: true", "  - role: controller+worker")
    inventory, found = load(tmp_path, text)
    assert inventory is None
    assert "`spec.hosts[1].noTaints` differs" in found[0].summary
    assert found[0].at is not None
    assert found[0].at.line == 16
    silent, found = load(tmp_path, K0SCTL.replace("    reset: true", "    noTaints: false"))
    assert (found, silent is None) == ((), False), "a worker has no taints to leave out"


def test_documents_behind_it(tmp_path: Path) -> None:
    config = "apiVersion: k0s.k0sproject.io/v1beta1\nkind: ClusterConfig\nspec: {api: {port: 7443}}\n"
    alone = K0SCTL.replace("    config:\n      spec: {api: {port: 6443}}\n", "")
    inventory, found = load(tmp_path, f"---\n# first\n---\n{alone}---\n{config}")
    assert (found, inventory is None) == ((), False)
    assert inventory is not None
    assert inventory.options["config"]["spec"] == {"api": {"port": "7443"}}
    config += "  network: {provider: calico}\n"
    config = (
        config.replace("{api: {port: 7443}}", "\n  api: {port: 7443, sans: [a]}")
        .lower()
        .replace("k8s", "k0s")
    )
    config = config.replace("apiversion", "apiVersion")
    inventory, found = load(tmp_path, f"{K0SCTL}---\nkind: ConfigMap\n---\n{config}")
    assert inventory is not None
    # What an earlier document says holds; what it does not say is added.
    assert inventory.options["config"]["spec"] == {
        "api": {"port": "6443", "sans": ["a"]},
        "network": {"provider": "calico"},
    }
    assert [d.severity for d in found] == [Severity.WARNING] * 2
    assert "ConfigMap behind it is not taken over" in found[0].summary
    assert "`spec.api.port` of this ClusterConfig is not taken over" in found[1].summary
    assert [d.at.line - K0SCTL.count("\n") for d in found if d.at] == [2, 7]


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
        assert {d.code for d in found} <= {"SB021", "SB002", "SB003", "SB004", "SB007", "SB019"}
    many = b"".join(
        b"  - {role: worker, ssh: {address: 10.0.%d.%d}}\n" % (n // 250, n % 250) for n in range(4000)
    )
    head = b"apiVersion: k0sctl.k0sproject.io/v1beta1\nkind: Cluster\nspec:\n  hosts:\n"
    tree, found = read_k0sctl(head + many, "k0sctl.yaml")
    assert (tree is None, found) == (False, ())
    read_k0sctl(b"---\n" * 500_000, "k0sctl.yaml")
    assert time.process_time() - begun < 20


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("[--debug]", "--debug"),
        ("['--profile edge']", "--profile=edge"),
        # The quotes around a value go, as in k0sctl's Flags.Each; those inside it stay.
        ("['--kubelet-extra-args=\"--max-pods=200 --v=2\"']", "'--kubelet-extra-args=--max-pods=200 --v=2'"),
        ('["--kubelet-extra-args=\'--a=\\"b c\\"\'"]', "'--kubelet-extra-args=--a=\"b c\"'"),
        ("['--x=a\"b\"c']", "'--x=a\"b\"c'"),
        ("['--x=\"a\\\\b\"']", "'--x=a\\b'"),
        ("['--path=C:\\k0s']", "'--path=C:\\k0s'"),
        ("['', null, --debug=]", "--debug"),
        ("null", None),
    ],
)
def test_flags_are_read_as_k0sctl_reads_them(tmp_path: Path, flags: str, words: str | None) -> None:
    before = 'installFlags: [--debug, --labels=zone=a, "--profile edge"]'
    assert before in K0SCTL
    inventory, found = load(tmp_path, K0SCTL.replace(before, f"installFlags: {flags}"))
    assert inventory is not None, found
    assert inventory.hosts[0].vars.get("install_flags") == words


def test_flags_that_are_settings_are_settings(tmp_path: Path) -> None:
    flags = "[--data-dir=/srv/k0s, --kubelet-root-dir /srv/kubelet, --enable-dynamic-config, --single=false]"
    text = K0SCTL.replace("    dynamicConfig: true\n", "").replace(
        "  - role: controller\n", f"  - role: controller\n    installFlags: {flags}\n"
    )
    text = text.replace('    installFlags: [--debug, --labels=zone=a, "--profile edge"]\n', "")
    text = text.replace("noTaints: true", "kubeletRootDir: /srv/kubelet")
    inventory, found = load(tmp_path, text)
    assert inventory is not None, found
    assert inventory.hosts[0].paths == {"data": "/srv/k0s"}
    assert "install_flags" not in inventory.hosts[0].vars
    # The worker leaves, so that its silence about the folder does not count.
    assert inventory.options["kubelet_root_dir"] == "/srv/kubelet"
    assert inventory.options["dynamic_config"] == "true"


def test_every_flag_of_the_drivers_own_is_met_at_reading(tmp_path: Path) -> None:
    """The driver refuses them (SB663) only once a host has answered."""
    for name in sorted(OWN_FLAGS):
        text = K0SCTL.replace("installFlags: [--debug", f"installFlags: [--{name}=x", 1)
        inventory, found = load(tmp_path, text)
        kept = inventory.hosts[0].vars.get("install_flags", "") if inventory else ""
        assert f"--{name}" not in kept, (name, found)


def test_dollar_signs(tmp_path: Path) -> None:
    """a8m/envsubst v1.4.3: `$$` is one, a lone `$_` and any other sign stay, comments mean nothing."""
    for written, meant in (("a$$b", "a$b"), ("$$HOME", "$HOME"), ("a$_ b$", "a$_ b$"), ("$(id)", "$(id)")):
        text = K0SCTL.replace("http://proxy:3128", written).replace(
            "spec:\n", "spec:  # costs $5\n# ${X}\n", 1
        )
        inventory, found = load(tmp_path, text)
        assert inventory is not None, found
        assert inventory.hosts[0].vars["env_HTTP_PROXY"] == meant
    for written in ("$x", "${x", "$1", "a$$$b", "$_a", "$ä"):
        inventory, found = load(tmp_path, K0SCTL.replace("http://proxy:3128", written))
        assert inventory is None
        assert [d.summary for d in found] == ["the k0sctl.yaml: it has variables"]
        assert found[0].at is not None
        assert found[0].at.line == K0SCTL[: K0SCTL.index("http")].count("\n") + 1


def test_what_powershell_wrote_is_read(tmp_path: Path) -> None:
    (tmp_path / "k0sctl.yaml").write_bytes(("---\n" + K0SCTL).encode("utf-16"))
    inventory, found = load_inventory([f"k0sctl:{tmp_path / 'k0sctl.yaml'}"], drivers=known_drivers())
    assert (found, inventory is None) == ((), False)


def test_an_empty_variable_is_empty_and_a_null_is_none(tmp_path: Path) -> None:
    text = K0SCTL.replace('{HTTP_PROXY: "http://proxy:3128"}', "{HTTP_PROXY: null}")
    text = text.replace("    hostname: edge-two", "    hostname: null\n    hooks: ~\n    frobnicate:")
    inventory, found = load(tmp_path, text)
    assert (found, inventory is None) == ((), False)
    assert inventory is not None
    assert inventory.hosts[0].vars["env_HTTP_PROXY"] == ""
    assert inventory.hosts[1].name == "controller-worker-edge-2"
    assert "node_name" not in inventory.hosts[1].vars
