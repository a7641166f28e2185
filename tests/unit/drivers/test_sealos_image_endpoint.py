"""The registry's password and the way to its images, in real shells against a registry that asks who is there."""

from __future__ import annotations

import base64
import http.server
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sealos_kit import CTL, PI, STORE, Whole, tree_artifact, whole

from sealboot.drivers import sealos_image_scripts as scripts
from sealboot.drivers.sealos_marks import DONE
from sealboot.model.arch import Arch
from sealboot.model.archive import Image
from sealboot.model.plan import Wave
from sealboot.model.steps import Run, WaitFor

BOTH = ("linux/amd64", "linux/arm64")


def test_the_line_that_is_written_is_that_of_the_usual_password() -> None:
    """crypt(3) of libxcrypt knows bcrypt, as the registry does."""
    user, _, digest = scripts.HTPASSWD.partition(":")
    asked = ["perl", "-e", "print crypt($ARGV[0], $ARGV[1])", scripts.PASSWORD, digest]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert (user, said) == (scripts.USER, digest)
    assert (
        subprocess.run([*asked[:3], "wrong", digest], capture_output=True, text=True, check=True).stdout
        != digest
    )


class _Registry(http.server.BaseHTTPRequestHandler):
    """Distribution's registry with `auth: htpasswd`: 401 for whoever does not know the password."""

    def do_GET(self) -> None:
        known = base64.b64encode(b"admin:passw0rd").decode()
        self.send_response(200 if self.headers.get("Authorization") == f"Basic {known}" else 401)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Registry)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def sh(script: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", script],
        env={"PATH": "/usr/bin:/bin", **env},
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    made = tmp_path / "da ta"
    (made / "rootfs/etc").mkdir(parents=True)
    (made / "rootfs/scripts").mkdir()
    (made / "rootfs/bin").mkdir()
    (made / DONE).mkdir()
    return made


def test_a_registry_answers_when_it_lets_its_user_in(data: Path, port: int) -> None:
    """Its port did so all along while each pull was refused with 401."""
    asked = scripts.answers(str(data), "127.0.0.1", port)
    refused = sh(asked)
    assert (refused.returncode, refused.stderr) == (
        1,
        f"{refused.stderr.splitlines()[0]}\nthe registry at 127.0.0.1:{port} answers: HTTP/1.0 401 Unauthorized\n",
    )
    (data / scripts.AUTH).write_text(base64.b64encode(b"admin:wrong").decode() + "\n")
    assert sh(asked).stderr == f"the registry at 127.0.0.1:{port} answers: HTTP/1.0 401 Unauthorized\n"
    (data / scripts.AUTH).write_text(base64.b64encode(b"admin:passw0rd").decode() + "\n")
    assert sh(asked).returncode == 0
    assert sh(scripts.answers(str(data), "127.0.0.1", 1)).returncode != 0


def test_the_password_file_is_always_written(data: Path, port: int, tmp_path: Path) -> None:
    """What the plan's own step says is enough for the plan's own question."""
    (data / "rootfs/scripts/init-registry.sh").write_text(
        f'cp -a ../etc/registry_htpasswd "{tmp_path}/served"\n'
    )
    waves = {w.id: w for w in _waves(whole(CTL))}
    serve, answers = waves["registry"].steps
    assert isinstance(serve, Run)
    assert isinstance(answers, WaitFor)
    told = {**serve.env, "DATA": str(data), "registryData": str(tmp_path / "reg"), "BIN_DIR": str(tmp_path)}
    assert sh(f"umask 022\n{serve.script}", **told).returncode == 0
    assert (tmp_path / "served").read_text() == f"{scripts.HTPASSWD}\n"
    assert (tmp_path / "served").stat().st_mode & 0o777 == 0o600
    assert (data / scripts.AUTH).stat().st_mode & 0o777 == 0o600
    assert sh(scripts.answers(str(data), "127.0.0.1", port)).returncode == 0
    # No word of it where programs' words are seen.
    assert "passw0rd" not in answers.target
    assert told["AUTH"] not in answers.target


def test_an_older_registry_gives_way(data: Path, tmp_path: Path) -> None:
    """`cp -u` keeps what is not older, and everything that is sent has one time."""
    (data / "rootfs/cri").mkdir()
    for place, text in ((data / "rootfs/cri/registry", "new"), (tmp_path / "registry", "old")):
        place.write_text(text)
    subprocess.run(
        ["touch", "-d", "@1", str(data / "rootfs/cri/registry"), str(tmp_path / "registry")], check=True
    )
    (data / "rootfs/scripts/init-registry.sh").write_text('cp -au ../cri/registry "$BIN_DIR"/\n')
    env = {"DATA": str(data), "STAMP": "s", "registryData": str(tmp_path / "reg"), "registryConfig": "c"}
    ran = sh(scripts.REGISTRY, **env, HTPASSWD="a:b", AUTH="x", BIN_DIR=str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "registry").read_text() == "new"


CRICTL = """#!/bin/sh
echo "$*" >>@LOG@
[ "$(grep -c . @LOG@)" -ge @TRIES@ ] || { echo 'dial unix /var/run/image-cri-shim.sock: connect: connection refused' >&2; exit 1; }
"""
ENDPOINTS = {
    "SEALOS_SYS_CRI_ENDPOINT": "unix:///run/c.sock",
    "SEALOS_SYS_IMAGE_ENDPOINT": "/var/run/image-cri-shim.sock",
    "registryDomain": "sealos.hub",
    "registryPort": "5000",
    "sandboxImage": "pause:3.10.2",
}


@pytest.mark.parametrize(("tries", "works"), [(1, True), (3, True), (99, False)])
def test_the_image_endpoint_is_proved(tries: int, works: bool, data: Path, tmp_path: Path) -> None:
    """A shim that just restarts is waited for; one in a crash loop is told with its own words."""
    crictl = CRICTL.replace("@LOG@", str(tmp_path / "log")).replace("@TRIES@", str(tries))
    (tmp_path / "sleep").write_text("#!/bin/sh\n")
    for place, text in ((data / "rootfs/bin/crictl", crictl), (tmp_path / "sleep", "#!/bin/sh\n")):
        place.write_text(text)
        place.chmod(0o755)
    ran = sh(
        f"set -eu\n{scripts.PROVE}echo proved", DATA=str(data), **ENDPOINTS, PATH=f"{tmp_path}:/usr/bin:/bin"
    )
    assert (ran.stdout == "proved\n") is works
    assert (ran.returncode == 0) is works
    asked = "-r unix:///run/c.sock -i unix:///var/run/image-cri-shim.sock pull sealos.hub:5000/pause:3.10.2"
    assert set((tmp_path / "log").read_text().splitlines()) == {asked}
    if not works:
        assert "sealos.hub:5000/pause:3.10.2 cannot be pulled through" in ran.stderr
        assert "connection refused" in ran.stderr


@pytest.mark.parametrize(
    ("served", "expected"),
    [
        ([], "pause:3.9"),
        (["kube-apiserver:v1.36.3", "pause:3.10.2"], "pause:3.10.2"),
        (["pause:3.9", "pause:3.10.2", "pause:3.10"], "pause:3.10.2"),
        (["labring/pause:3.6", "mypause:9"], "labring/pause:3.6"),
    ],
)
def test_the_pause_image_is_the_one_that_the_registry_has(served: list[str], expected: str) -> None:
    """For every host, whichever tree it has itself."""
    store = tree_artifact(Arch.AMD64, images=[Image(name, BOTH) for name in served])
    made = whole(CTL, PI, STORE, artifacts={"store": store})
    steps = [s for w in _waves(made) if w.id == "init" for s in w.steps]
    assert {s.env["sandboxImage"] for s in steps if isinstance(s, Run)} == {expected}
    given = whole(CTL, options={"env": {"sandboxImage": "pause:x"}}, artifacts={"ctl1": store})
    (init,) = [s for w in _waves(given) if w.id == "init" for s in w.steps]
    assert isinstance(init, Run)
    assert init.env["sandboxImage"] == "pause:x"
    assert init.env["SEALOS_SYS_IMAGE_ENDPOINT"] == "/var/run/image-cri-shim.sock"
    assert init.env["SEALOS_SYS_CRI_ENDPOINT"] == "/run/containerd/containerd.sock"


def _waves(cluster: Whole) -> tuple[Wave, ...]:
    return cluster.driver.waves(cluster.context())
