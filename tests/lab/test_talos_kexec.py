"""Running machines that leave for Talos over SSH: real kexec on two architectures, and an image over a real disk.

What they boot into is a stand-in: the lab's own kernel, and an init that answers on port 50000 as Talos does.
"""

from __future__ import annotations

import hashlib
import json
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from labkit import talos
from labkit.lab import Lab
from labkit.machines import Node
from labkit.project import Project, Ran, until_event

pytestmark = [pytest.mark.slow, pytest.mark.vm, pytest.mark.timeout(900)]

#: Seconds for one command on a machine that emulates two others.
PATIENCE = 420.0
#: A key's digest as it is shown: 32 bytes in base64.
SHOWN = "bWFpbnRlbmFuY2UgbWFpbnRlbmFuY2UgbWFpbnRlbmE="
IMAGES = {"amd64": "metal-amd64-uki.efi", "arm64": "metal-arm64-uki.efi"}


class Site(Project):
    """A project with UKIs of both architectures, machine configurations, and `talosctl` that writes down its calls."""

    def __init__(self, lab: Lab, folder: Path, nodes: Sequence[Node]) -> None:
        super().__init__(lab, folder, nodes)
        self.secrets = talos.secrets(nodes[0].address)
        (folder / "talos").mkdir()
        for name in ("controlplane", "worker"):
            self._private(f"talos/{name}.yaml", getattr(self.secrets, name))
        self._private("talos/talosconfig", self.secrets.talosconfig)
        self.put("talosctl-linux-amd64", talos.program("amd64"))
        self.roles = {node.name: "worker" if n else "controlplane" for n, node in enumerate(nodes)}

    def _private(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)

    def write(
        self,
        *,
        hosts: Mapping[str, Mapping[str, Any]] | None = None,
        artifacts: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        usual = {
            node.name: {"arch": str(node.arch), "vars": {"kernel_args": talos.address_words(node)}}
            for node in self.nodes
        }
        more = hosts or {}
        self.inventory(
            driver="talos",
            release=talos.VERSION,
            role=self.roles,
            artifacts=artifacts or {"boot": ["binaries/*.efi"]},
            hosts={name: row | dict(more.get(name, {})) for name, row in usual.items()},
            extra={
                "options": {
                    "handover_timeout": "240",
                    "install_timeout": "120",
                    "bootstrap_timeout": "120",
                    "health_timeout": "120",
                }
            },
        )

    def _environment(self) -> Mapping[str, str]:
        return {**super()._environment(), "TALOSCTL_LOG": str(self.folder / "calls")}

    @property
    def calls(self) -> list[list[str]]:
        """What `talosctl` was called with so far."""
        path = self.folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def verbs(self) -> list[str]:
        """The calls that change something, in order."""
        return [word for call in self.calls for word in call if word in {"apply-config", "bootstrap"}]


def ukis(site: Site) -> None:
    for debian, name in IMAGES.items():
        site.put(name, talos.uki(debian))


def outcomes(ran: Ran) -> dict[str, str]:
    return {row["host"]: row["outcome"] for row in ran.document["hosts"]}


def equipped(lab: Lab, node: Node) -> None:
    """Give a machine kexec-tools, as its own distribution would."""
    done = lab.ssh(node, "tar xf - -C / && kexec --version", stdin=talos.kexec_tools(node.about.debian))
    assert b"kexec-tools" in done.stdout, done.stderr


def answers(node: Node, port: int) -> bool:
    try:
        with socket.create_connection((node.address, port), 5):
            return True
    except OSError:
        return False


def memory(node: Node) -> int:
    """MiB of this machine that the emulator takes."""
    status = Path(f"/proc/{node.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) >> 10


def figures(applied: Ran, nodes: Sequence[Node]) -> None:
    """For whoever measures: shown with `-rP`."""
    taken = ", ".join(f"{node.name} {memory(node)} MiB" for node in nodes)
    sys.stdout.write(f"apply took {applied.seconds:.1f} s; {taken}\n")


def test_two_architectures_leave_by_kexec(lab: Lab, tmp_path: Path) -> None:
    with lab.fresh("arm64-kexec-vm", "amd64-kexec-vm") as nodes:
        plane, worker = nodes
        site = Site(lab, tmp_path / "project", nodes)
        ukis(site)

        # The other architecture's image, named for these very hosts: refused before anything is sent.
        crossed = {
            plane.name: {"artifacts": {"boot": [f"binaries/{IMAGES['amd64']}"]}},
            worker.name: {"artifacts": {"boot": [f"binaries/{IMAGES['arm64']}"]}},
        }
        site.write(hosts=crossed)
        for node in nodes:
            equipped(lab, node)
        before = site.listings()
        refused = site.run("apply", "--yes", limit=PATIENCE)
        assert refused.code == 1, refused.told
        wrong = [(d["host"], d["code"]) for d in refused.document["diagnostics"] if d["severity"] == "error"]
        assert sorted(wrong) == sorted([(plane.name, "SB114"), (worker.name, "SB114")]), refused.told
        assert site.differences(before) == ""

        # Talos installs itself over a disk: whoever does not name the machine does not get that far.
        site.write()
        unnamed = site.run("apply", "--yes", limit=PATIENCE)
        assert unnamed.code == 5, unnamed.told
        assert "--confirm-disk" in unnamed.err
        assert site.differences(before) == ""
        assert site.verbs() == []

        boots = {node.name: site.on(node, "cat /proc/sys/kernel/random/boot_id") for node in nodes}
        named = [word for node in nodes for word in ("--confirm-disk", node.name)]
        applied = site.run("apply", "--yes", *named, limit=PATIENCE)
        assert applied.code == 0, applied.told
        assert set(outcomes(applied).values()) == {"changed"}
        assert {d["code"] for d in applied.document["diagnostics"] if d["host"]} >= {"SB522"}
        for node in nodes:
            assert answers(node, 50000)
            assert not answers(node, 22)
        # A worker's API has its certificate from the control plane: the cluster begins before it.
        assert site.verbs() == ["apply-config", "bootstrap", "apply-config"]
        # Each machine got its configuration under the key that it showed at that moment: one more address had come
        # to it since it was recognised, and made it another. That is no other machine.
        pinned = [call for call in site.calls if "apply-config" in call]
        assert all("--cert-fingerprint" in call and "--insecure" in call for call in pinned)
        seen = {
            d["evidence"]["key"].removeprefix("SHA256:")
            for d in applied.document["diagnostics"]
            if d["code"] == "SB522"
        }
        assert len(seen) == 2
        assert not {call[call.index("--cert-fingerprint") + 1] for call in pinned} & seen
        assert site.secrets.private not in json.dumps(site.calls) + applied.told
        figures(applied, nodes)

        # Once more: nobody has SSH, everybody has what he is to have, and nothing is changed.
        again = site.run("apply", "--yes", limit=PATIENCE)
        assert again.code == 0, again.told
        assert set(outcomes(again).values()) == {"ok"}
        assert len(site.verbs()) == 3
        checked = site.run("check", limit=PATIENCE)
        assert checked.code == 0, checked.told
        assert all(row["assumed"] for row in checked.document["hosts"])
        told = [d for d in checked.document["diagnostics"] if d["code"] == "SB210"]
        assert {d["host"] for d in told} == {node.name for node in nodes}
        assert all("(configured)" in d["summary"] for d in told)
        assert boots, "they ran something else before"


def test_a_controller_killed_while_a_machine_leaves(lab: Lab, tmp_path: Path) -> None:
    """Nobody waits for the machine any more; the same command finds it by its answer and goes on from there."""
    with lab.fresh("amd64-kexec-vm") as (node,):
        site = Site(lab, tmp_path / "project", (node,))
        site.put(IMAGES["amd64"], talos.uki("amd64"))
        site.write()
        equipped(lab, node)
        with site.running("apply", "--yes", "--confirm-disk", node.name) as first:
            until_event(first, "StepStarted", step=f"handover/{node.name}/kexec")
            deadline = time.monotonic() + PATIENCE
            while answers(node, 22) and time.monotonic() < deadline:
                time.sleep(0.1)
        assert site.verbs() == []
        seen = site.run("check", limit=PATIENCE)
        while seen.code == 4 and time.monotonic() < deadline:  # it is on its way, and answers nobody yet
            seen = site.run("check", limit=PATIENCE)
        assert seen.code == 0, seen.told
        (told,) = (d for d in seen.document["diagnostics"] if d["code"] == "SB210")
        assert "(maintenance)" in told["summary"]
        ran = site.run("apply", "--yes", "--confirm-disk", node.name, limit=PATIENCE)
        assert ran.code == 0, ran.told
        assert outcomes(ran) == {node.name: "changed"}
        assert site.verbs() == ["apply-config", "bootstrap"]
        (pinned,) = (call for call in site.calls if "apply-config" in call)
        assert told["evidence"]["key"].startswith("SHA256:")
        assert len(pinned[pinned.index("--cert-fingerprint") + 1]) == len(SHOWN)


def test_what_stands_against_leaving_is_told(lab: Lab, tmp_path: Path) -> None:
    """A small machine with five-level page tables, without kexec, that was forbidden it and then locked down."""
    with lab.fresh("amd64-vm") as (node,):
        site = Site(lab, tmp_path / "project", (node,))
        ukis(site)
        site.write()
        before = site.listings()

        def codes() -> set[str]:
            ran = site.run("check", limit=PATIENCE)
            assert ran.code == 1, ran.told
            return {d["code"] for d in ran.document["diagnostics"] if d["severity"] == "error"}

        assert codes() == {"SB694", "SB695", "SB696"}
        assert site.differences(before) == ""
        equipped(lab, node)
        assert codes() == {"SB694", "SB695"}
        assert site.on(node, "sysctl -w kernel.kexec_load_disabled=1").strip().endswith("1")
        assert codes() == {"SB691", "SB694", "SB695"}
        site.on(
            node,
            "mount -t securityfs none /sys/kernel/security && echo integrity >/sys/kernel/security/lockdown",
        )
        assert codes() == {"SB691", "SB692", "SB694", "SB695"}
        applied = site.run("apply", "--yes", "--confirm-disk", node.name, limit=PATIENCE)
        assert applied.code == 1, applied.told
        assert site.verbs() == []


@pytest.mark.parametrize("held", [False, True], ids=["free", "in-use"])
def test_a_disk_that_was_written_boots(lab: Lab, tmp_path: Path, held: bool) -> None:
    """Booted by UEFI from its second disk; the driver writes the first one, which the firmware prefers.

    `held`: the running system writes to files there until it cannot any more.
    """
    with lab.fresh("amd64-uefi-vm") as (node,):
        site = Site(lab, tmp_path / "project", (node,))
        image = talos.disk_image("amd64", tmp_path, words=talos.address_words(node))
        (site.binaries / "metal-amd64.raw.zst").write_bytes(talos.compressed(image))
        disk = {node.name: {"vars": {"route": "disk", "disk": "/dev/vda"}}}
        site.write(hosts=disk, artifacts={"image": ["binaries/*.raw.zst"]})
        assert site.on(node, "ls -d /sys/firmware/efi").strip() == "/sys/firmware/efi"

        # The disk must be named by its host, typed or said.
        refused = site.run("apply", "--yes", limit=PATIENCE)
        assert refused.code == 5, refused.told
        assert site.on(node, "head -c 512 /dev/vda | tr -d '\\0' | wc -c").strip() == "0"

        if held:
            site.on(node, "mke2fs /dev/vda >/dev/null && mkdir /mnt/old && mount /dev/vda /mnt/old")
            site.on(node, "(while date >>/mnt/old/log; do sleep 0.1; done) >/dev/null 2>&1 &")
            kept = site.run("apply", "--yes", "--confirm-disk", node.name, limit=PATIENCE)
            assert (kept.code, "SB699" in kept.codes) == (1, True), kept.told
            disk[node.name]["vars"]["overwrite"] = "running-system"
            site.write(hosts=disk, artifacts={"image": ["binaries/*.raw.zst"]})
        applied = site.run("apply", "--yes", "--confirm-disk", node.name, limit=PATIENCE)
        assert applied.code == 0, applied.told
        assert outcomes(applied) == {node.name: "changed"}
        assert answers(node, 50000)
        assert not answers(node, 22)
        written = (lab.folder / node.name / "first.disk").read_bytes()[: len(image)]
        assert hashlib.sha256(written).hexdigest() == hashlib.sha256(image).hexdigest()
        assert site.verbs() == ["apply-config", "bootstrap"]
        figures(applied, (node,))
