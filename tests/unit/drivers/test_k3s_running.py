"""A k3s that is there already: not begun twice, not skipped over, not taken from others."""

from __future__ import annotations

import datetime as dt
import http.server
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from driver_kit import Cluster
from requires import program_path

from sealboot.drivers import k3s_scripts as scripts
from sealboot.drivers.k3s_node import version_of
from sealboot.model.arch import Arch
from sealboot.model.artifact import Other
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.host import Host, Ignore, Inventory
from sealboot.model.steps import Run

S1 = Host("s1", "10.0.0.11", "server")
S2 = Host("s2", "fd00::12", "server")
A1 = Host("a1", "10.0.0.21", "agent")
Told = Mapping[str, Mapping[str, str]]


def k3s(*hosts: Host, options: Mapping[str, Any] | None = None, release: str | None = None) -> Cluster:
    inventory = Inventory("inventory.yaml", ".", "lab", "k3s", release, hosts, options=options or {})
    return Cluster(inventory, {host.name: Arch.ARM64 for host in hosts})


def found(cluster: Cluster, told: Told, *limit: str, version: str = "") -> dict[str, Diagnostic]:
    ctx = cluster.context(limit)
    facts = {name: replace(seen, observed=dict(told.get(name, {}))) for name, seen in ctx.facts.items()}
    layers = (Other("go", {"version": version}),)
    chosen = {k: replace(a, layers=(*a.layers, *layers)) for k, a in ctx.chosen.items()} if version else None
    ctx = replace(ctx, facts=facts, chosen=chosen or ctx.chosen)
    return {d.code: d for d in cluster.driver.checks(ctx) if d.code != "SB631"}


def test_an_empty_first_server_begins_no_second_cluster() -> None:
    second = found(k3s(S1, S2, A1), {"s2": {"k3s.state": "server\nagent\n"}})["SB638"]
    assert (second.host, second.also, second.severity) == ("s1", ("s2",), Severity.ERROR)
    assert "put s2 first" in second.hints[0]
    lost = found(k3s(S1, A1), {"a1": {"k3s.state": "agent\n"}})["SB638"]
    assert "the cluster is lost" in lost.hints[0]


def test_a_server_with_data_begins_nothing() -> None:
    told = {"s1": {"k3s.state": "server\n"}, "s2": {"k3s.state": "server\nagent\n"}}
    assert found(k3s(S1, S2), told) == {}
    assert found(k3s(S1, S2), {}) == {}
    assert found(k3s(S1, S2), {"s2": {"k3s.state": "server"}}, "s2") == {}


@pytest.mark.parametrize(
    ("old", "new", "severity"),
    [
        ("v1.35.9+k3s1", "v1.36.3+k3s1", None),
        ("v1.36.3+k3s1", "v1.36.3+k3s2", None),
        ("v1.34.1+k3s1", "v1.36.3+k3s1", Severity.ERROR),
        ("v1.36.3+k3s1", "v1.35.9+k3s1", Severity.ERROR),
        ("v1.36.3+k3s1", "v1.36.2+k3s1", Severity.WARNING),
        ("v2.0.0", "v1.36.3", Severity.ERROR),
    ],
)
def test_releases_go_by_one_and_not_back(old: str, new: str, severity: Severity | None) -> None:
    said = {"k3s.version": f"k3s version {old} (1a2b3c4d)\n", "k3s.state": "server\nagent\n"}
    step = found(k3s(S1), {"s1": said}, version=new).get("SB640")
    assert (step.severity if step else None) == severity
    assert found(k3s(S1), {"s1": {**said, "k3s.state": ""}}, version=new) == {}


def test_the_release_is_that_of_the_program_else_that_of_the_inventory() -> None:
    said = {"s1": {"k3s.version": "k3s version v1.30.1+k3s1 (x)", "k3s.state": "server"}}
    assert "SB640" in found(k3s(S1, release="v1.36.3+k3s1"), said)
    assert "SB640" not in found(k3s(S1, release="v1.36.3+k3s1"), said, version="v1.31.0+k3s1")
    assert found(k3s(S1), {"s1": {**said["s1"], "k3s.version": "Exec format error"}}) == {}
    assert version_of(None) == ""


def test_a_k3s_of_another_hand_is_taken_over_only_when_told() -> None:
    told = {"s1": {"k3s.foreign": "/etc/rancher/k3s/config.yaml\n", "k3s.state": "server"}}
    assert "config.yaml" in str(found(k3s(S1), told)["SB641"].evidence)
    assert found(k3s(S1, options={"adopt": "true"}), told) == {}
    kubeadm = {"s1": {"k3s.foreign": "/etc/kubernetes/kubelet.conf\n"}}
    assert "kubeadm" in found(k3s(S1, options={"adopt": "true"}), kubeadm)["SB641"].summary


@pytest.mark.parametrize(
    "paths",
    [{"data": "/"}, {"data": "/srv"}, {"data": "/srv/my data"}, {"data": "/a/$(id)"}, {"binary": "/x\"'; y"}],
)
@pytest.mark.parametrize("state", ["present", "absent"])
def test_paths_that_scripts_and_units_could_misread_are_refused(paths: dict[str, str], state: str) -> None:
    cluster = k3s(replace(S1, paths=paths), options={"state": state})
    assert found(cluster, {})["SB642"].host == "s1"
    assert cluster.driver.waves(cluster.context()) == ()


def alone(cluster: Cluster) -> Run | None:
    ctx = cluster.context()
    facts = {n: replace(f, observed={"k3s.https": "/usr/bin/curl"}) for n, f in ctx.facts.items()}
    steps = [s for w in cluster.driver.waves(replace(ctx, facts=facts)) for s in w.steps]
    made = next((step for step in steps if step.id == "alone/s1/cluster"), None)
    assert made is None or (isinstance(made, Run) and steps[0] is made)
    return made


def test_a_cluster_that_this_run_does_not_see_is_asked_for(tmp_path: Path) -> None:
    asked = alone(k3s(S1, S2, options={"endpoint": "vip.lan"}))
    assert asked is not None
    assert "https://[fd00::12]:6443/ping https://vip.lan:6443/ping" in asked.script.replace("'", "")
    assert alone(k3s(S1, A1)) is None
    assert alone(k3s(replace(S1, ignore=(Ignore("SB638", "anew"),)), S2)) is None

    curl, data = tmp_path / "curl", tmp_path / "da ta"
    curl.write_text('#!/bin/sh\ncase "$*" in *s2*) printf pong ;; *) exit 7 ;; esac\n')
    curl.chmod(0o755)
    for urls, code in ((["https://s3/ping"], 0), (["https://s3/ping", "https://s2/ping"], 65), ([], 0)):
        for shell in (["dash"], [program_path("busybox"), "ash"]):
            ran = subprocess.run(
                [*shell, "-c", scripts.alone(str(data), urls)],
                env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert (ran.returncode, "answers at https://s2/ping" in ran.stderr) == (code, code == 65)
    (data / "server/db").mkdir(parents=True)
    assert (
        subprocess.run(["sh", "-c", scripts.alone(str(data), ["https://s2/ping"])], check=False).returncode
        == 0
    )


def test_what_a_host_tells_of_its_k3s(tmp_path: Path) -> None:
    def told(script: str) -> str:
        done = subprocess.run(["dash", "-c", script], capture_output=True, text=True, check=False)
        assert done.stderr == ""
        return done.stdout

    tool, data = tmp_path / "k 3s", tmp_path / "da'ta"
    assert (told(scripts.version(str(tool))), told(scripts.state(str(data)))) == ("", "")
    tool.write_text("#!/bin/sh\necho 'k3s version v1.36.3+k3s1 (x)'; echo go\n")
    tool.chmod(0o755)
    (data / "server/db").mkdir(parents=True)
    (data / "agent").mkdir()
    (data / "agent/kubelet.kubeconfig").touch()
    assert told(scripts.version(str(tool))) == "k3s version v1.36.3+k3s1 (x)\n"
    assert told(scripts.state(str(data))) == "server\nagent\n"

    root = scripts.FOREIGN.replace("/etc/", f"{tmp_path}/etc/")
    assert told(root) == ""
    config = tmp_path / "etc/rancher/k3s/config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("token: x\n")
    assert told(root) == f"{config}\n"
    config.write_text("# Written by sealboot; changes are overwritten by its next apply.\n")
    assert told(root) == ""


class _Pong(http.server.BaseHTTPRequestHandler):
    """What a k3s server answers to everybody."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/ping" else 404)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"pong" if self.path == "/ping" else b"none")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's name)
        """Nothing: the test's output is not a log."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A server with a certificate that nobody vouches for, as that of a new cluster."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "k3s")])
    now = dt.datetime.now(dt.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(hours=1))
    pem = tmp_path / "server.pem"
    form = (
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    pem.write_bytes(key.private_bytes(*form) + made.sign(key, hashes.SHA256()).public_bytes(form[0]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Pong) as listening:
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"https://127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("tool", "program"),
    [("curl", "curl"), ("wget", "wget"), ("wget", "busybox"), ("python3", sys.executable)],
)
def test_every_tool_that_counts_as_one_gets_the_answer(
    tool: str, program: str, server: str, tmp_path: Path
) -> None:
    found = program if program == sys.executable else program_path(program)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / tool).symlink_to(found)
    for name in ("timeout", "grep", "openssl"):  # the small wget speaks TLS through the last one
        (tools / name).symlink_to(program_path(name))
    script = scripts.alone(str(tmp_path / "data"), [f"{server}/other", f"{server}/ping"])
    ran = subprocess.run(
        ["/bin/dash", "-c", script], env={"PATH": str(tools)}, capture_output=True, check=False
    )
    assert (ran.returncode, b"/ping: it would begin another" in ran.stderr) == (65, True)
