"""Image archives of k3s into a real containerd, over SSH, on machines of both architectures."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import Popen
from typing import Any

import image_kit
import pytest
from labkit import containerd, faults
from labkit.k3s import VERSION, k3s
from labkit.lab import Lab
from labkit.machines import Node
from labkit.project import Project, Ran, until_event

from sealboot.engine.feeding import FED, WRONG

IMAGES = "/var/lib/rancher/k3s/agent/images"
JOURNAL = "journalctl -q -u k3s -u k3s-agent -o cat"
#: The lab's machines have no memory controller to give away; a real kubelet would need it.
ACCEPTED = [{"code": "SB633", "reason": "the stand-in starts no containers"}]
ARCHES = ("amd64", "arm64")
#: Slots of archives, in import order: the form of each, and what packs it.
FORMATS: dict[str, tuple[image_kit.Form, str]] = {"plain": ("docker", "tar"), "zipped": ("oci", "gzip")}
#: Seconds for a command on machines whose every program is emulated, on a loaded lab.
LIMIT = 300.0
#: Bytes that make an archive take some seconds on a slow line.
HEAVY = 6 << 20


def inventory(project: Project, slots: Sequence[str] = ("images",), **options: object) -> None:
    nodes = project.nodes
    timeouts = {"start_timeout": "60", "ready_timeout": "60", "import_timeout": "30"}
    project.inventory(
        driver="k3s",
        release=VERSION,
        role={n.name: "agent" if i else "server" for i, n in enumerate(nodes)},
        artifacts={"k3s": ["binaries/k3s-*"], **{slot: [f"binaries/{slot}-*"] for slot in slots}},
        hosts={n.name: {"ignore": ACCEPTED} for n in nodes},
        extra={"options": {"images": list(slots), **timeouts, **options}},
    )


def project_of(lab: Lab, folder: Path, *nodes: Node) -> Project:
    """A project whose nodes have a containerd, with the k3s of each architecture."""
    containerd.install(*nodes)
    project = Project(lab, folder / "project", nodes)
    for node in nodes:
        project.put(f"k3s-{node.arch}", k3s(node.arch, runtime=containerd.RUNTIME))
    return project


def put(project: Project, name: str, make: Callable[[str], bytes]) -> None:
    """One file for each architecture."""
    for arch in ARCHES:
        project.put(f"{name}-{arch}", make(arch))


def image(arch: str, tag: str, form: image_kit.Form = "oci") -> image_kit.Archive:
    return image_kit.image(f"linux/{arch}", form=form, tag=tag)


def seen(project: Project, node: Node, name: str) -> Any:
    """What containerd's CRI service says about an image."""
    return json.loads(project.on(node, f"k3s crictl inspecti -o json {name}"))


def proven(project: Project, node: Node, name: str, made: image_kit.Archive) -> bool:
    """Whether the machine has the image of its own architecture, by the digest of its configuration, whole and pinned."""
    said = seen(project, node, name)
    digests = {f"sha256:{image_kit.sha256(data)}" for data in (*made.blobs.values(), *made.files.values())}
    whole = project.on(node, f"k3s ctr images check name=={said['status']['repoTags'][0]}")
    return (
        said["status"]["id"] in digests
        and said["info"]["imageSpec"]["architecture"] == str(node.arch)
        and said["status"]["pinned"]
        and "complete (3/3)" in whole
    )


def apply(project: Project, *more: str) -> Ran:
    ran = project.run("apply", "--yes", *more, limit=LIMIT)
    assert ran.code == 0, ran.told
    return ran


def test_an_archive_is_imported_by_a_real_containerd(lab: Lab, tmp_path: Path) -> None:
    with lab.fresh("amd64-systemd") as (node,):
        project = project_of(lab, tmp_path, node)
        made = image("amd64", "r.example/app:1", "both")
        project.put("images-amd64", image_kit.zst(made.tar()))
        inventory(project)
        apply(project)
        assert proven(project, node, "r.example/app:1", made)
        settled = project.listings()
        again = apply(project)
        assert again.document["summary"]["changed"] == 0, again.told
        assert project.differences(settled) == ""


def names(project: Project, node: Node) -> set[str]:
    return set(project.on(node, f"ls -A {IMAGES}").split()) - {".cache.json"}


def half_way(process: Popen[str], step: str) -> None:
    """Return when half of what a step sends has been sent."""
    while True:
        event = until_event(process, "StepProgress", step=step)
        if event["done"] * 2 >= event["total"]:
            return


def until(project: Project, node: Node, script: str) -> None:
    """Wait until a script succeeds on the machine."""
    project.on(node, f"for n in $(seq 300); do ( {script} ) && exit 0; sleep 0.1; done; {JOURNAL}; exit 1")


def index_first(made: image_kit.Archive) -> tuple[bytes, int]:
    """An archive whose index and manifests come before its layers, and where its last layer begins."""
    members = sorted(made.members(), key=lambda member: member[1].startswith(b"\x1f\x8b"))
    lengths = [512 + -(-len(data) // 512) * 512 for _, data in members]
    return image_kit.tar(members, style=tarfile.USTAR_FORMAT), sum(lengths[:-1])


def heavy(tag: str) -> image_kit.Archive:
    """An image for amd64 in an archive that takes some seconds on a slow line."""
    made = image("amd64", tag)
    made.put(os.urandom(HEAVY))
    return made


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_archives_of_both_architectures_kept_and_streamed(lab: Lab, tmp_path: Path) -> None:
    made = {
        arch: {slot: image(arch, f"r.example/{slot}:1", form) for slot, (form, _) in FORMATS.items()}
        for arch in ARCHES
    }
    for arch in ARCHES:
        # What `ctr images export` writes: the index claims every platform, the archive holds one.
        hybrid = image_kit.image(*(f"linux/{a}" for a in ARCHES), tag="r.example/hybrid:1")
        for other in ARCHES:
            if other != arch:
                hybrid.drop(f"linux/{other}")
        made[arch]["hybrid"] = hybrid
    with lab.fresh("amd64-systemd", "arm64-systemd") as nodes:
        project = project_of(lab, tmp_path, *nodes)
        slots = [*FORMATS, "hybrid"]
        for slot in slots:
            pack = image_kit.COMPRESSIONS[FORMATS.get(slot, ("oci", "zstd"))[1]]
            put(project, slot, lambda arch, slot=slot, pack=pack: pack(made[arch][slot].tar()))  # type: ignore[misc]
        inventory(project, slots)
        apply(project)
        for node in nodes:
            assert all(
                proven(project, node, f"r.example/{slot}:1", made[str(node.arch)][slot]) for slot in slots
            )
            listed = sorted(names(project, node))
            assert [name.split("-")[1:3] for name in listed] == [[slot, str(node.arch)] for slot in slots]
            times = project.on(node, f"cd {IMAGES} && stat -c %y *").splitlines()
            assert all(".000000000 " in time for time in times), "k3s remembers whole seconds"
            assert all(name in project.on(node, f"cat {IMAGES}/.cache.json") for name in listed)
            assert "Failed to process" not in project.on(node, JOURNAL)

        # An image of the other architecture under a name that a pod would ask for: that is not as it should be.
        _, agent = nodes
        foreign = made["amd64"]["zipped"].tar()
        done = lab.ssh(agent, "k3s ctr images import --all-platforms --no-unpack -", foreign)
        assert done.returncode == 0, done.stderr
        assert seen(project, agent, "r.example/zipped:1")["info"]["imageSpec"]["architecture"] == "amd64"
        planned = project.run("plan", "--detailed-exitcode", limit=LIMIT)
        assert planned.code == 10, planned.told
        steps = [s for wave in planned.document["plan"]["waves"] for s in wave["steps"]]
        assert {s["id"]: s["action"] for s in steps if s["action"] in {"create", "change", "remove"}} == {
            f"import/{agent.name}/images": "change"
        }

        # Streamed instead: what is there already is only pinned, what is new or wrong is sent, no archive stays.
        newer = {arch: image(arch, "r.example/plain:2", "docker") for arch in ARCHES}
        put(project, "plain", lambda arch: newer[arch].tar())
        inventory(project, slots, images_import="stream")
        apply(project, "--only", "images")
        for node in nodes:
            assert proven(project, node, "r.example/plain:2", newer[str(node.arch)])
            assert all(
                proven(project, node, f"r.example/{slot}:1", made[str(node.arch)][slot]) for slot in slots[1:]
            )
            assert all(name.endswith(".sealboot.streamed") for name in names(project, node))


@pytest.mark.slow
def test_what_k3s_would_take_wrongly_is_refused_before_anything_is_sent(lab: Lab, tmp_path: Path) -> None:
    """Each of these would be imported without a word, or fail with a line in the journal."""
    tag = "r.example/app:1"
    whole = image("amd64", tag)
    ordered, last = index_first(whole)
    hybrid = image_kit.image("linux/amd64", "linux/arm64", tag=tag)
    hybrid.drop("linux/amd64")
    bare = image("amd64", tag)
    bare.top[0]["annotations"] = {"org.opencontainers.image.ref.name": "v1.2"}
    plain = whole.tar()
    hole = plain[:1536] + bytes(len(plain) - 1536)
    window = subprocess.run(
        ["zstd", "--long=27", "-q", "-c"], input=plain + bytes(1), capture_output=True, check=True
    ).stdout
    other = image_kit.Archive("docker")
    other.manifest("linux/amd64", layers=3, tag="r.example/twice:1")
    files = {
        "foreign": image("arm64", tag).tar(),
        "half": image_kit.zst(plain)[:-40],
        "cut": ordered[:last],
        "hole": hole,
        "window": window,
        "bare": bare.tar(),
        "hybrid": hybrid.tar(),
        "one": image("amd64", "r.example/twice:1").tar(),
        "other": other.tar(),
    }
    with lab.fresh("amd64-systemd") as (node,):
        project = project_of(lab, tmp_path, node)
        for slot, data in files.items():
            project.put(f"{slot}-amd64.tar", data)
        inventory(project, list(files))
        before = project.listings()
        ran = project.run("apply", "--yes")
        assert ran.code in {1, 9}, ran.told
        errors = [d for d in ran.document["diagnostics"] if d["severity"] == "error"]
        missing = {d["summary"].split()[1] for d in errors if d["code"] == "SB404" and not d.get("artifact")}
        assert missing == {"foreign", "half", "cut", "hole", "hybrid"}
        assert {
            (d["code"], Path(d["artifact"]).name.partition("-")[0]) for d in errors if d.get("artifact")
        } == {
            ("SB401", "half"),
            ("SB404", "cut"),
            ("SB404", "hole"),
            ("SB635", "window"),
            ("SB635", "bare"),
            ("SB665", "other"),
        }
        assert project.differences(before) == ""


@pytest.mark.slow
def test_half_an_upload_is_nothing_and_half_a_naive_copy_is_a_failure(lab: Lab, tmp_path: Path) -> None:
    first, second = image("amd64", "r.example/app:1", "docker"), heavy("r.example/app:2")
    with lab.fresh("amd64-systemd") as (node,):
        project = project_of(lab, tmp_path, node)
        project.put("images-amd64", image_kit.COMPRESSIONS["gzip"](first.tar()))
        inventory(project)
        apply(project)
        (old,) = names(project, node)

        project.put("images-amd64", second.tar())
        with (
            faults.slow(lab, node, "12mbit"),
            project.running("apply", "--yes", "--only", "images") as process,
        ):
            half_way(process, f"images/{node.name}/images")
            process.kill()
            faults.cut_sessions(node)
        (staged,) = names(project, node) - {old}
        assert not staged.endswith((".tar", ".gz", ".zst"))

        # The control: what `scp` leaves when it is cut is taken as it is, two seconds after it began.
        half = second.tar()[: HEAVY // 2]
        assert lab.ssh(node, f"cat >{IMAGES}/naive.tar", half).returncode == 0
        until(
            project,
            node,
            f"{JOURNAL} | grep -q 'Failed to process image event: failed to import {IMAGES}/naive.tar'",
        )
        journal = project.on(node, JOURNAL)
        assert staged.split(".sealboot")[0].lstrip(".") not in journal
        assert "r.example/app:2" not in project.on(node, "k3s ctr images ls -q")
        project.on(node, f"rm {IMAGES}/naive.tar")

        apply(project, "--only", "images")
        assert proven(project, node, "r.example/app:2", second)
        assert old not in names(project, node)
        assert len(names(project, node)) == 1


@pytest.mark.slow
def test_without_room_for_the_archive_its_images_are_streamed(lab: Lab, tmp_path: Path) -> None:
    made = heavy("r.example/app:1")
    with lab.fresh("amd64-systemd") as (node,), faults.mounted_over(lab, node, IMAGES, "size=2m"):
        project = project_of(lab, tmp_path, node)
        project.put("images-amd64", image_kit.zst(made.tar()))
        inventory(project)
        planned = project.run("plan", format="plain")
        assert "stream the images of images into containerd, as the archive itself has no room" in planned.out
        step = f"import/{node.name}/images"
        with faults.slow(lab, node, "12mbit"), project.running("apply", "--yes") as process:
            half_way(process, step)
            process.kill()
            faults.cut_sessions(node)
        until(project, node, "! pgrep -f '[i]mages import'")
        assert "r.example/app:1" not in project.on(node, "k3s ctr images ls -q")
        assert names(project, node) == set()

        apply(project)
        assert proven(project, node, "r.example/app:1", made)
        (marker,) = names(project, node)
        assert marker.endswith(".sealboot.streamed")
        again = apply(project)
        assert again.document["summary"]["changed"] == 0, again.told
        # Not cleared at a start, as k3s does with the pins that it set itself.
        project.on(node, "systemctl restart k3s")
        until(project, node, "k3s crictl inspecti -o json r.example/app:1")
        assert proven(project, node, "r.example/app:1", made)


@pytest.mark.slow
def test_a_stream_that_ends_between_two_members_ends_nothing(lab: Lab, tmp_path: Path) -> None:
    """The control: `ctr` takes a cut there for the end of the archive, and has an image without a layer."""
    with lab.fresh("amd64-systemd") as (node,):
        project = project_of(lab, tmp_path, node)
        first = image("amd64", "r.example/first:1")
        project.put("images-amd64", first.tar())
        inventory(project)
        apply(project)
        reader = "exec k3s ctr images import --no-unpack - >&2"

        naive, last = index_first(image("amd64", "r.example/naive:1"))
        assert lab.ssh(node, reader, naive[:last]).returncode == 0
        assert "incomplete" in project.on(node, "k3s ctr images check name==r.example/naive:1")

        ours, last = index_first(image("amd64", "r.example/ours:1"))
        command = f"sh -c {shlex.quote(FED)} sh {shlex.quote(reader)} {image_kit.sha256(ours)}"
        cut = lab.ssh(node, command, ours[:last])
        assert (cut.returncode, cut.stdout) == (WRONG, f"arrived: {image_kit.sha256(ours[:last])}\n".encode())
        assert "r.example/ours:1" not in project.on(node, "k3s ctr images ls -q")
        assert lab.ssh(node, command, ours).returncode == 0
        assert "complete (3/3)" in project.on(node, "k3s ctr images check name==r.example/ours:1")
