"""A Sealos cluster with root filesystems, checked through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_kit import Lab
from jsonschema import Draft202012Validator
from tree_kit import folder, rootfs

from sealboot.model.arch import Arch

SCHEMAS = Path(__file__).parents[3] / "schemas"
REPORT = Draft202012Validator(json.loads((SCHEMAS / "report.schema.json").read_text()))
INVENTORY = """\
version: 1
cluster: {{name: demo, driver: sealos, release: v1.29.9}}
artifacts:
  rootfs: ["rootfs/*"]
options: {{ipvs: "false"}}
defaults:
  ssh: {{user: demo, identity_file: id_ed25519}}
  become: {{method: none}}
  ignore: [{{code: SB622, reason: "the machine that plays them may have one"}}]
hosts:
{hosts}
"""


@pytest.fixture
def sealos_lab(own_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """The lab's machines as a Sealos cluster, with a root filesystem for each architecture."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    hosts = [
        f"  {m.name}: {{address: 127.0.0.1, ssh: {{port: {m.port}}}, role: {'master' if m.name == 'ctl1' else 'node'}}}"
        for m in own_lab.embedded.machines
    ]
    (own_lab.folder / "inventory.yaml").write_text(INVENTORY.format(hosts="\n".join(hosts)))
    folder(own_lab.folder / "rootfs/amd64", rootfs(Arch.AMD64))
    folder(own_lab.folder / "rootfs/arm64", rootfs(Arch.ARM64))
    return own_lab


def test_each_host_gets_the_tree_of_its_own_machine(sealos_lab: Lab) -> None:
    ran = sealos_lab.run("check", "--format", "json")
    assert (ran.code, ran.codes - {"SB622"}) == (0, set()), ran.out
    REPORT.validate(ran.document)
    chosen = {h["host"]: h["artifacts"]["rootfs"] for h in ran.document["hosts"]}
    assert chosen == {
        "ctl1": "rootfs/amd64",
        "ctl2": "rootfs/amd64",
        "pi01": "rootfs/arm64",
        "pi02": "rootfs/arm64",
    }


def test_one_foreign_program_deep_inside_is_refused_before_anything_is_copied(sealos_lab: Lab) -> None:
    folder(sealos_lab.folder / "rootfs/arm64", rootfs(Arch.ARM64, runc=Arch.AMD64))
    before = {m.name: everything(sealos_lab, m.name) for m in sealos_lab.embedded.machines}
    for command in (["check"], ["apply", "--yes"]):
        ran = sealos_lab.run(*command, "--format", "json")
        assert ran.code == 1, ran.out
        told = [d for d in ran.document["diagnostics"] if d["code"] == "SB411"]
        assert {"SB104", "SB411"} <= ran.codes
        assert {d["host"] for d in ran.document["diagnostics"] if d["code"] == "SB104"} == {"pi01", "pi02"}
        assert "cri/cri-containerd.tar.gz!usr/local/sbin/runc is linux/amd64" in told[0]["summary"]
    assert {m.name: everything(sealos_lab, m.name) for m in sealos_lab.embedded.machines} == before


def test_a_clusterfile_and_what_it_does_not_say(sealos_lab: Lab) -> None:
    """Two files: hosts and roles from Sealos' own, the login from ours; a wrong claim about a machine is told."""
    machines = {m.name: m for m in sealos_lab.embedded.machines}
    # One address has one entry in a Clusterfile: the lab's machines differ by their ports alone.
    text = f"""apiVersion: apps.sealos.io/v1beta1
kind: Cluster
metadata: {{name: demo}}
spec:
  image: [labring/kubernetes:v1.29.9]
  hosts:
  - {{ips: ["127.0.0.1:{machines["ctl1"].port}"], roles: [master, arm64]}}
"""
    (sealos_lab.folder / "Clusterfile").write_text(text)
    login = "defaults: {ssh: {user: demo, identity_file: id_ed25519}, become: {method: none}}\n"
    (sealos_lab.folder / "login.yaml").write_text(login)
    ran = sealos_lab.run("check", "-i", "sealos:Clusterfile", "-i", "login.yaml", "--format", "json")
    (told,) = [d for d in ran.document["diagnostics"] if d["code"] == "SB305"]
    assert told["at"]["file"] == "Clusterfile"
    assert told["at"]["line"] == 7


def test_a_tree_that_leads_out_is_refused(sealos_lab: Lab) -> None:
    (sealos_lab.folder / "rootfs/arm64/bin/out").symlink_to("/etc/passwd")
    ran = sealos_lab.run("check", "--format", "json")
    assert (ran.code, "SB420" in ran.codes) == (1, True)


def everything(lab: Lab, name: str) -> list[str]:
    root = lab.folder / "machines" / name
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if _ours(path))


def _ours(path: Path) -> bool:
    return "sealos" in str(path) or "sealboot" in str(path)
