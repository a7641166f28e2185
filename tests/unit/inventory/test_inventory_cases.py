"""Files of k0sctl and Sealos, each with one thing that was once misread: what is right for each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from sealboot.drivers.options import validate
from sealboot.drivers.registry import load_driver
from sealboot.inventory.load import load_inventory
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.host import Inventory
from sealboot.workflow.drivers import known_drivers

CASES = Path(__file__).parent / "cases"


def read(kind: str, name: str) -> tuple[Inventory | None, list[tuple[str, str, int]]]:
    """The inventory, and of each finding its severity, its words and its line."""
    inventory, found = load_inventory([f"{kind}:{CASES / kind / name}"], drivers=known_drivers())
    return inventory, [(str(d.severity), f"{d.code} {d.summary}", d.at.line if d.at else 0) for d in found]


def addresses(inventory: Inventory) -> list[tuple[str, str, int | None]]:
    return [(host.name, host.address, host.ssh.port) for host in inventory.hosts]


def role(inventory: Inventory, number: int = 0) -> str:
    return inventory.hosts[number].role


#: What holds of an accepted file, and what is told of it: (words, line).
ACCEPTED: Mapping[str, tuple[Callable[[Inventory], bool], list[tuple[str, int]]]] = {
    # What `k0sctl init` writes today: nothing is told of defaults, the empty selector is none.
    "k0sctl/01-init-podselector.yaml": (
        lambda i: (
            i.options["drain"]
            == {
                "enabled": "true",
                "grace_period": "120",
                "timeout": "300",
                "force": "true",
                "delete_emptydir_data": "true",
                "skip_wait_for_delete_timeout": "0",
            }
            and i.options["batch"] == "10%"
            and i.hosts[0].ssh.identity_files == ()
        ),
        [],
    ),
    "k0sctl/02-kind-lowercase.yaml": (lambda i: (i.name, role(i)) == ("k0s-cluster", "controller"), []),
    "k0sctl/03-same-address-two-ports.yaml": (
        lambda i: (
            addresses(i)
            == [
                ("controller-127-0-0-1", "127.0.0.1", 2221),
                ("worker-127-0-0-1", "127.0.0.1", 2222),
                ("worker-127-0-0-1-2223", "127.0.0.1", 2223),
            ]
        ),
        [],
    ),
    "k0sctl/04-worker-profile.yaml": (
        lambda i: (
            i.options["config"]["spec"]["network"] == {"provider": "calico"}
            and i.options["config"]["spec"]["workerProfiles"]
            == [
                {
                    "name": "edge",
                    "values": {
                        "maxPods": "200",
                        "failSwapOn": "false",
                        "featureGates": {"NodeSwap": "true"},
                    },
                }
            ]
        ),
        [],
    ),
    "k0sctl/06-installflags.yaml": (
        lambda i: (
            dict(i.hosts[1].vars)
            == {
                "ip": "10.0.0.2",
                "node_labels": "a=1,b=2",
                "node_taints": "x=y:NoSchedule,z=y:NoExecute",
                "install_flags": "'--kubelet-extra-args=--max-pods=200 --v=2'",
            }
        ),
        [],
    ),
    "k0sctl/07-flag-changes-role.yaml": (
        lambda i: (
            (role(i), i.options["no_taints"], dict(i.hosts[0].vars)) == ("controller+worker", "true", {})
        ),
        [
            (
                "SB021 the k0sctl.yaml: `spec.hosts[0].installFlags`: `--enable-worker` makes this controller a",
                6,
            )
        ],
    ),
    "k0sctl/09-null-version.yaml": (
        lambda i: (i.release, dict(i.options)) == (None, {"dynamic_config": "false", "config": {}}),
        [],
    ),
    "k0sctl/10-bastion-key.yaml": (
        lambda i: (
            (i.hosts[0].ssh.identity_files, i.hosts[0].ssh.jump) == (("~/.ssh/target",), ("jump@192.0.2.1",))
        ),
        [("SB021 the k0sctl.yaml: `spec.hosts[0].ssh.bastion.keyPath` is not taken over", 7)],
    ),
    "k0sctl/11-clusterconfig-docs.yaml": (
        lambda i: i.options["config"]["spec"] == {"network": {"podCIDR": "10.99.0.0/16"}},
        [],
    ),
    "k0sctl/12-null-key.yaml": (
        lambda i: (i.hosts[0].ssh.user, i.hosts[0].ssh.identity_files) == ("root", ()),
        [],
    ),
    "sealos/01-kubeadm-and-config-documents": (
        lambda i: (
            dict(i.options) == {"pod_subnet": "10.160.0.0/12", "service_subnet": "10.70.0.0/16"}
            and i.release == "v1.29.9"
        ),
        [
            (
                "SB020 the Clusterfile: images that are not taken over: labring/helm:v3.9.4, labring/cilium:v1.13.4",
                8,
            ),
            ("SB020 the Clusterfile: the ClusterConfiguration: `apiServer.certSANs` is not taken over", 17),
            ("SB020 the Clusterfile: the Config `cilium` is not taken over", 19),
        ],
    ),
    "sealos/02-no-user": (lambda i: i.hosts[0].ssh.user == "root", []),
    "sealos/03-labels-taints-cmd": (
        lambda i: addresses(i) == [("master-10-0-0-2", "10.0.0.2", 22), ("node-10-0-0-3", "10.0.0.3", 22)],
        [
            ("SB020 the Clusterfile: `spec.cmd` is not taken over", 5),
            ("SB020 the Clusterfile: `spec.hosts[1].labels` is not taken over", 11),
            ("SB020 the Clusterfile: `spec.hosts[1].taints` is not taken over", 12),
            ("SB020 the Clusterfile: images that are not taken over: labring/calico:v3.25.0", 13),
            ("SB020 the Clusterfile: `spec.ssh.port` is not taken over", 14),
        ],
    ),
    "sealos/05-master-and-registry": (
        lambda i: (
            [host.role for host in i.hosts] == ["master", "master"]
            and i.options["registry_host"] == "master-10-0-0-2"
        ),
        [("SB020 the Clusterfile: 10.0.0.3 does not serve the registry", 9)],
    ),
    "sealos/08-cluster-not-first-document": (
        lambda i: addresses(i) == [("master-10-0-0-2", "10.0.0.2", 22)],
        [("SB020 the Clusterfile: the Config `cilium` is not taken over", 1)],
    ),
    "sealos/09-null": (
        lambda i: (
            (i.hosts[0].ssh.user, i.hosts[0].ssh.identity_files, dict(i.hosts[0].vars)) == ("root", (), {})
        ),
        [],
    ),
}

#: Why a file is refused, each error with its line.
REFUSED: Mapping[str, list[tuple[str, int]]] = {
    "k0sctl/05-notaints-one-of-two.yaml": [
        (
            "SB021 the k0sctl.yaml: `spec.hosts[0].noTaints` differs between hosts: spec.hosts[1] does not say",
            6,
        ),
        (
            "SB021 the k0sctl.yaml: `spec.hosts[0].kubeletRootDir` differs between hosts: spec.hosts[1] does",
            6,
        ),
    ],
    "k0sctl/08-dollar-variable.yaml": [("SB021 the k0sctl.yaml: it has variables", 7)],
    "k0sctl/13-anchors.yaml": [("SB003 an anchor (`&ssh`) has no place", 7)],
    "sealos/04-sealer-v2": [("SB020 the Clusterfile: its `apiVersion` is 'sealer.cloud/v2', not apps.", 1)],
    "sealos/06-single-no-hosts": [("SB020 the Clusterfile: it has no hosts", 1)],
    "sealos/07-ipv6": [("SB020 the Clusterfile: '[fd00::2]:22' is no address", 6)],
    "sealos/10-env-braces": [("SB020 the Clusterfile: it is a template", 13)],
}


def test_every_case_has_its_right_answer() -> None:
    files = {f"{path.parent.name}/{path.name}" for path in CASES.glob("*/*")}
    assert files == ACCEPTED.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_accepted_file(name: str) -> None:
    holds, told = ACCEPTED[name]
    inventory, found = read(*name.split("/"))
    assert inventory is not None, found
    assert holds(inventory), (inventory.hosts, inventory.options)
    assert [(severity, line) for severity, _, line in found] == [("warning", line) for _, line in told], found
    assert [words[: len(start)] for (_, words, _), (start, _) in zip(found, told, strict=True)] == [
        start for start, _ in told
    ]


@pytest.mark.parametrize("name", ACCEPTED)
def test_the_driver_accepts_its_options(name: str) -> None:
    inventory, _ = read(*name.split("/"))
    assert inventory is not None
    driver = load_driver(inventory.driver)
    assert not isinstance(driver, Diagnostic)
    assert not isinstance(validate(driver, inventory), tuple)


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_file(name: str) -> None:
    inventory, found = read(*name.split("/"))
    assert inventory is None
    errors = [(words, line) for severity, words, line in found if severity == str(Severity.ERROR)]
    assert len(errors) == len(REFUSED[name]), found
    for (words, line), (start, wanted) in zip(errors, REFUSED[name], strict=True):
        assert words.startswith(start)
        assert line == wanted
