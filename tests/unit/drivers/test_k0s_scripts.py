"""The small scripts of the `k0s` driver, run for real."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from k0s_host import Folder
from k0s_kit import C1, C2, W1, K0s, k0s

from sealboot.drivers import k0s_images
from sealboot.drivers import k0s_scripts as scripts
from sealboot.drivers.k0s_node import Node
from sealboot.model.arch import Arch
from sealboot.model.archive import Image, ImageArchive
from sealboot.model.artifact import Artifact, Kind
from sealboot.model.host import Host
from sealboot.model.steps import ReadSecret, Run, Step, Succeeds

TOKEN = base64.b64encode(
    gzip.compress(b"users:\n- name: x\n  user:\n    token: abc123.0123456789abcdef\n" * 9)
).decode()

_PROGRAM = """#!/bin/sh
echo "$*" >>"$ROOT/asked"
case "$*" in
  'token create'*) cat "$ROOT/token" ;;
  'token invalidate'*) exit "$(cat "$ROOT/invalidate" 2>/dev/null || echo 0)" ;;
  'token list'*) echo "$(cat "$ROOT/listed" 2>/dev/null)" ;;
  'etcd member-list'*) cat "$ROOT/members" ;;
  'config validate'*) grep -q good "${3#--config=}" ;;
  backup*) echo state >"$3/k0s_backup.tar.gz" ;;
  'ctr '*) cat "$ROOT/images" ;;
  reset*) [ ! -e "$ROOT/run/systemd/active" ] || exit 1; rm -rf "${2#--data-dir=}"; rm -f "$ROOT"/etc/systemd/system/k0s*.service ;;
  *get*node*) [ -e "$ROOT/api/node" ] || { echo 'Error from server (NotFound): nodes "w1" not found' >&2; exit 1; }; echo node/w1 ;;
  *'delete node'*) rm -rf "$ROOT/api/node" ;;
  *etcd*leave*) echo '{"members":{"c1":"https://10.0.0.11:2380"}}' >"$ROOT/members" ;;
esac
"""


@pytest.fixture
def host(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "host")
    (made.bin / "k0s").write_text(_PROGRAM)
    (made.bin / "k0s").chmod(0o755)
    return made


def asked(host: Folder) -> list[str]:
    path = host.root / "asked"
    return path.read_text().splitlines() if path.exists() else []


def where(host: Folder) -> tuple[str, str]:
    return str(host.bin / "k0s"), str(host.root / "var/lib/k0s")


# -- tokens -----------------------------------------------------------------------------------------------


def test_a_token_is_printed_and_its_name_kept_until_it_is_revoked(host: Folder) -> None:
    binary, data = where(host)
    (host.root / "token").write_text(f"{TOKEN}\n")
    ran = host.run(scripts.make_token(binary, data, "worker", "30m"))
    assert (ran.returncode, ran.stdout) == (0, f"{TOKEN}\n")
    assert (host.store / "tokens").read_text() == "abc123\n"
    assert (host.store / "tokens").stat().st_mode & 0o077 == 0
    assert not any(TOKEN in line for line in asked(host)), "never in a command line"
    assert host.run(scripts.none_made(binary)).returncode == 1
    assert host.run(scripts.revoke(binary, data)).returncode == 0
    assert f"token invalidate --data-dir={data} abc123" in asked(host)
    assert host.run(scripts.none_made(binary)).returncode == 0


def test_a_token_that_is_gone_needs_no_revoking_and_one_that_stays_is_told(host: Folder) -> None:
    binary, data = where(host)
    (host.store / "tokens").write_text("abc123\n")
    (host.root / "invalidate").write_text("1")
    (host.root / "listed").write_text("abc123 worker 2026-11-21")
    assert host.run(scripts.revoke(binary, data)).returncode == 1
    assert (host.store / "tokens").exists()
    (host.root / "listed").write_text("")
    assert host.run(scripts.revoke(binary, data)).returncode == 0


def test_what_is_no_token_is_not_handed_on(host: Folder) -> None:
    (host.root / "token").write_text("no token\n")
    assert host.run(scripts.make_token(*where(host), "worker", "30m")).returncode == 1


def test_a_token_is_good_for_one_try_and_stays_well_formed(host: Folder) -> None:
    check = scripts.has_token(str(host.bin / "k0s"))
    path = host.root / "etc/k0s/k0stoken"
    assert host.run(check).returncode == 1
    path.write_text(TOKEN)
    path.chmod(0o644)
    assert host.run(check).returncode == 1, "others may read it"
    path.chmod(0o600)
    assert host.run(check).returncode == 0
    (host.store / "joining").touch()
    assert host.run(check).returncode == 1, "a failed attempt has used it up"
    path.write_text(TOKEN)
    assert host.run(check).returncode == 0
    (host.store / "joining").touch()
    (host.store / "runs").touch()
    assert host.run(check).returncode == 0, "who has joined keeps it"
    path.write_text("overwritten")
    assert host.run(check).returncode == 1, "k0s would not start again (k0s issue 7202)"


# -- validation, backup, etcd --------------------------------------------------------------------------------


def test_the_k0s_to_come_validates_the_configuration_to_come(host: Folder) -> None:
    new = _PROGRAM.replace("echo", "echo new", 1).encode()
    host.stage(new, "bad")
    target = host.target(new, "v1", config="bad")
    binary = str(host.bin / "k0s")
    made = scripts.validate(binary, "key", target.sha256, ["--feature-gates=A=true"])
    assert host.run(made).returncode == 1
    assert host.run(scripts.is_validated(binary, "key")).returncode == 1
    host.stage(new, "good")
    assert host.run(made).returncode == 0
    assert host.run(scripts.is_validated(binary, "key")).returncode == 0
    assert host.run(scripts.is_validated(binary, "another")).returncode == 1
    assert (
        asked(host)[-1] == f"new config validate --config={host.store}/k0s.yaml.next --feature-gates=A=true"
    )


def test_a_backup_appears_whole(host: Folder) -> None:
    place = host.root / "var/backups/k0s/before-1"
    assert host.run(scripts.backup(*where(host), str(place))).returncode == 0
    assert [path.name for path in place.iterdir()] == ["k0s_backup.tar.gz"]
    assert place.stat().st_mode & 0o077 == 0
    assert not place.with_name("before-1.new").exists()


def test_a_place_in_etcd_that_is_taken(host: Folder) -> None:
    (host.root / "members").write_text(
        '{"members":{"c1":"https://10.0.0.11:2380","c9":"https://[fd00::9]:2380"}}'
    )
    assert host.run(scripts.not_members(*where(host), ["10.0.0.12"])).returncode == 0
    assert host.run(scripts.not_members(*where(host), ["10.0.0.1"])).returncode == 0
    ran = host.run(scripts.not_members(*where(host), ["10.0.0.12", "fd00::9"]))
    assert ran.returncode == 65
    assert "k0s etcd leave --peer-address [fd00::9]" in ran.stderr


def test_a_cluster_that_answers_is_not_joined_by_beginning_another(host: Folder) -> None:
    (host.tools / "curl").write_text('#!/bin/sh\ncase "$*" in *10.0.0.12*) exit 0 ;; esac\nexit 7\n')
    (host.tools / "curl").chmod(0o755)
    data = str(host.root / "var/lib/k0s")
    assert host.run(scripts.alone(data, ["https://10.0.0.13:6443/version"])).returncode == 0
    urls = ["https://10.0.0.13:6443/version", "https://10.0.0.12:6443/version"]
    assert host.run(scripts.alone(data, urls)).returncode == 65
    (host.root / "var/lib/k0s/etcd/member").mkdir(parents=True)
    assert host.run(scripts.alone(data, urls)).returncode == 0


def test_what_a_host_tells_of_its_k0s(host: Folder) -> None:
    binary, data = where(host)
    host.node("w1")
    assert host.run(scripts.state(data)).stdout == "worker\n"
    (host.root / "var/lib/k0s/etcd/member").mkdir(parents=True)
    assert host.run(scripts.state(data)).stdout == "controller\netcd\nworker\n"
    assert len(host.run(scripts.installed(binary)).stdout.strip()) == 64
    assert host.run(scripts.installed(f"{binary}x")).stdout == ""
    (host.root / "etc/k0s/k0s.yaml").write_text("spec: {}\n")
    assert "k0s.yaml" in host.run(scripts.foreign(data)).stdout


# -- images ------------------------------------------------------------------------------------------------------


def test_superseded_bundles_and_nothing_else_is_removed(host: Folder) -> None:

    content = b"a bundle"
    sha = hashlib.sha256(content).hexdigest()
    layer = ImageArchive("oci-layout", (Image("r.lan/app:1", ("linux/arm64",)),), ("linux/arm64",))
    bundle = Artifact("b.tar", Kind.TAR, len(content), sha, ("linux/arm64",), (layer,))
    data = host.root / "var/lib/k0s"
    at = replace(W1, paths={"data": str(data), "binary": str(host.bin)})
    ctx = k0s(C1, at, options={"images": ["images"]}).context()
    ctx = replace(ctx, chosen={**ctx.chosen, ("W1", "images"): bundle})
    assert ctx.facts["W1"].kernel_arch is Arch.ARM64
    node = Node(ctx, ctx.options, at, ctx.chosen["W1", "k0s"])  # type: ignore[arg-type]
    put, proof = list(k0s_images.put(node)), list(k0s_images.imported(node))
    upload, place = put
    assert isinstance(upload.check, Succeeds)
    assert isinstance(place, Run)
    assert isinstance(place.check, Succeeds)
    assert host.run(upload.check.script).returncode == 1
    (data / "images.next").mkdir()
    name = f"010-images-arm64-{sha[:8]}.sealboot.tar"
    (data / "images.next" / name).write_bytes(content)
    assert host.run(upload.check.script).returncode == 0
    assert host.run(place.script).returncode == 0
    live = data / "images" / name
    assert (live.read_bytes(), live.stat().st_mode & 0o777) == (content, 0o644)
    assert not (data / "images.next").exists()
    assert [
        host.run(step.check.script).returncode for step in (upload, place) if isinstance(step.check, Succeeds)
    ] == [0, 0]
    live.write_bytes(b"b bundle")
    assert host.run(place.check.script).returncode == 1, "the bytes decide, never the name"
    live.write_bytes(content)

    images, superseded = proof
    assert isinstance(images.check, Succeeds)
    assert isinstance(superseded, Run)
    (host.root / "images").write_text(
        "REF TYPE DIGEST SIZE PLATFORMS LABELS\nr.lan/app:1 x sha256:1 1 linux/amd64 -\n"
    )
    assert host.run(images.check.script).returncode == 1, "of another machine"
    (host.root / "images").write_text("r.lan/app:1 x sha256:1 1 KiB linux/arm64,linux/amd64 -\n")
    assert host.run(images.check.script).returncode == 0
    (data / "images/000-images-arm64-00000000.sealboot.tar").touch()
    (data / "images/theirs.tar").touch()
    os.utime(live, (1, 1))
    assert host.run(superseded.script).returncode == 0
    assert live.stat().st_mtime > 1, "imported once more: images that both bundles have stay"
    assert (host.store / f"images/{name}").read_text().startswith(f"{sha} ")
    assert isinstance(superseded.check, Succeeds)
    assert host.run(superseded.check.script).returncode == 0
    assert sorted(path.name for path in (data / "images").iterdir()) == [name, "theirs.tar"]


@pytest.mark.parametrize(
    ("layers", "reasons"),
    [
        ((ImageArchive("docker", (), ("linux/arm64",)),), ["it holds no image"]),
        (
            (ImageArchive("docker", (Image("", ("linux/arm64",)),), ("linux/arm64",)),),
            ["1 images have no name: nothing can refer to them"],
        ),
        ((), ["it is no image archive"]),
        ((ImageArchive("docker", (Image("a:1", ("linux/arm64",)),), unfit=("k3s alone minds",)),), None),
    ],
)
def test_a_bundle_that_k0s_would_not_import_is_told(
    layers: tuple[ImageArchive, ...], reasons: list[str] | None
) -> None:
    cluster = k0s(C1, W1, options={"images": ["images"]})
    ctx = cluster.context()
    bundle = Artifact("b.tar", Kind.TAR, 9, "ab" * 32, ("linux/arm64",), layers)
    ctx = replace(ctx, chosen={**ctx.chosen, ("W1", "images"): bundle})
    told = [d for d in cluster.driver.checks(ctx) if d.code == "SB661" and d.host == "W1"]
    assert [[text for _, text in d.evidence] for d in told] == ([] if reasons is None else [reasons])
    slots = {slot.name: slot for slot in cluster.driver.slots(cluster.inventory, ctx.options)}
    assert slots["images"].kinds == (Kind.TAR,), "k0s unpacks nothing"
    assert slots["images"].wanted_by(W1)
    assert not slots["images"].wanted_by(C1), "a controller alone runs no pods"


# -- away with it --------------------------------------------------------------------------------------------------


def leaving(host: Folder, *members: Host, leader: bool) -> dict[str, Step]:
    """The steps that take W1 (or, without a leader, everything) off; all hosts are this one."""
    paths: Mapping[str, str] = {"data": str(host.root / "var/lib/k0s"), "binary": str(host.bin)}

    hosts = [replace(m, paths=paths) for m in members]
    if leader:
        hosts[-1] = replace(hosts[-1], vars={"state": "absent"})
    made: K0s = k0s(*hosts, options={} if leader else {"state": "absent"}, same=[m.name for m in members])
    ctx = made.context()
    return {step.id: step for wave in made.driver.waves(ctx) for step in wave.steps}


def run(host: Folder, step: Step) -> int:
    assert isinstance(step, Run)
    assert isinstance(step.check, Succeeds)
    before = host.run(step.check.script).returncode
    ran = host.run(step.script)
    assert ran.returncode == 0, ran.stderr
    assert host.run(step.check.script).returncode == 0
    return before


def test_a_leaving_node_is_told_to_the_cluster_by_one_that_stays(host: Folder) -> None:
    host.node("w1")
    (host.root / "members").write_text('{"members":{"c1":"https://10.0.0.11:2380"}}')
    step = leaving(host, C1, W1, leader=True)["forget/c1/hosts"]
    assert run(host, step) == 1
    said = [line.partition("kubectl ")[2] for line in asked(host) if "kubectl" in line]
    assert said.index("cordon w1") < said.index("delete node w1")
    assert any(line.startswith("drain --force") for line in said)


def test_a_leaving_controller_leaves_etcd_through_a_peer_that_lives(host: Folder) -> None:
    (host.root / "members").write_text(
        '{"members":{"c1":"https://10.0.0.11:2380","c2":"https://10.0.0.12:2380"}}'
    )
    assert run(host, leaving(host, C1, C2, leader=True)["forget/c1/hosts"]) == 1
    (line,) = [line for line in asked(host) if "etcd leave" in line]
    assert line == f"etcd leave --peer-address=10.0.0.12 --data-dir={host.root}/var/lib/k0s"


def test_without_a_peer_in_the_run_it_leaves_by_itself_while_it_lives(host: Folder) -> None:
    step = leaving(host, C1, C2, leader=False)["reset/c2/etcd"]
    assert isinstance(step, Run)
    assert isinstance(step.check, Succeeds)
    (host.root / "members").write_text(
        '{"members":{"c1":"https://10.0.0.11:2380","c2":"https://10.0.0.12:2380"}}'
    )
    assert host.run(step.check.script).returncode == 0, "it does not run: nobody to tell"
    (host.root / "run/systemd/active").touch()
    assert run(host, step) == 1
    (line,) = [line for line in asked(host) if "etcd leave" in line]
    assert "--peer-address" not in line
    (host.root / "members").write_text('{"members":{"c2":"https://10.0.0.12:2380"}}')
    assert host.run(step.check.script).returncode == 0, "the last member cannot leave"


def test_nothing_of_it_stays(host: Folder) -> None:
    before = sorted(str(p.relative_to(host.root)) for p in (host.root / "etc").rglob("*"))
    made = leaving(host, C1, W1, leader=True)
    (host.root / "etc/systemd/system/k0sworker.service.d").mkdir()
    for path in ("etc/systemd/system/k0sworker.service", "etc/systemd/system/k0sworker.service.d/env.conf"):
        (host.root / path).touch()
    for path in ("etc/k0s/k0stoken", "run/systemd/active", "run/systemd/enabled"):
        (host.root / path).touch()
    (host.store / "runs").touch()
    assert run(host, made["reset/W1/ours"]) == 0
    assert run(host, made["reset/W1/clean"]) == 1
    assert f"reset --data-dir={host.root}/var/lib/k0s" in asked(host)
    assert not list(host.bin.iterdir())
    assert not (host.root / "var/lib/k0s").exists()
    after = sorted(str(p.relative_to(host.root)) for p in (host.root / "etc").rglob("*"))
    assert after == [path for path in before if path != "etc/k0s"]


def test_a_k0s_of_another_hand_is_left_as_it_is(host: Folder) -> None:
    made = leaving(host, C1, W1, leader=True)["reset/W1/ours"]
    assert isinstance(made, Run)
    (host.root / "etc/systemd/system/k0sworker.service").touch()
    assert host.run(made.script).returncode == 65
    (host.store / "runs").touch()
    assert host.run(made.script).returncode == 0
    (host.root / "etc/systemd/system/k0scontroller.service").touch()
    assert host.run(made.script).returncode == 65


def test_reads_of_tokens_are_of_one_form() -> None:
    made = k0s(C1, W1).context()
    assert made.selected
    steps = [s for w in k0s(C1, W1).driver.waves(made) for s in w.steps if isinstance(s, ReadSecret)]
    assert [s.pattern for s in steps] == [scripts.TOKEN_FORM]


def test_a_cluster_in_another_datastore_is_found_by_its_place(host: Folder) -> None:
    _, data = where(host)
    for comes in ("etcd", "kine", "elsewhere"):
        assert host.run(scripts.same_store(data, comes)).returncode == 0
    (host.root / "var/lib/k0s/db").mkdir(parents=True)
    assert host.run(scripts.same_store(data, "kine")).returncode == 0
    for comes in ("etcd", "elsewhere"):
        refused = host.run(scripts.same_store(data, comes))
        assert refused.returncode == 65
        assert "/db: k0s would start with another datastore, an empty one" in refused.stderr
