"""`install: script`: k3s' own installer, run offline and with nothing in its environment but its orders."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from driver_kit import Cluster, compare, done, fresh
from labkit.k3s_install import INSTALL_SH
from requires import shells

from sealboot.drivers import k3s_scripts
from sealboot.drivers.base import Context
from sealboot.drivers.k3s_install import MARK, Install, uninstaller
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Kind
from sealboot.model.host import Host, Inventory
from sealboot.model.plan import Observation
from sealboot.model.steps import Run, Service, Succeeds, Upload

S1 = Host("s1", "10.0.0.11", "server")
A1 = Host("a1", "10.0.0.21", "agent", paths={"binary": "/opt/bin"})
SCRIPT = Artifact("binaries/install.sh", Kind.SCRIPT, 40_000, "5c" * 32)
SHELLS = shells("dash", "busybox")


class WithScript(Cluster):
    """A cluster for which the operator has an install.sh."""

    script = SCRIPT

    def context(self, limit: Sequence[str] = ()) -> Context:
        ctx = super().context(limit)
        return replace(
            ctx, chosen={k: self.script if k[1] == "install" else f for k, f in ctx.chosen.items()}
        )


def k3s(*hosts: Host, options: Mapping[str, Any] | None = None) -> WithScript:
    told = {"install": "script", **(options or {})}
    inventory = Inventory("inventory.yaml", ".", "lab", "k3s", None, hosts, options=told)
    return WithScript(inventory, {host.name: Arch.ARM64 for host in hosts})


def test_a_script_is_asked_for_only_where_it_is_wanted() -> None:
    made = k3s(S1)
    slots = {slot.name: slot for slot in made.driver.slots(made.inventory, made.context().options)}
    assert (slots["install"].kinds, slots["install"].executable) == ((Kind.SCRIPT,), False)
    plain = k3s(S1, options={"install": "unit"})
    assert [s.name for s in plain.driver.slots(plain.inventory, plain.context().options)] == ["k3s"]


def test_the_plan_of_an_installation_by_script() -> None:
    plan = k3s(S1, A1).plan(fresh)
    compare("k3s-script", plan)
    ids = [p.step.id for w in plan.waves for p in w.steps]
    assert not [one for one in ids if one.endswith("/unit")]
    assert ids.index("configure/s1/config") < ids.index("install/s1/service") < ids.index("start/s1/service")
    assert k3s(S1, A1).plan(done).changes == 0


def test_nothing_is_planned_for_a_host_whose_script_is_missing() -> None:
    ctx = k3s(S1).context()
    without = replace(ctx, chosen={k: f for k, f in ctx.chosen.items() if k[1] != "install"})
    assert k3s(S1).driver.waves(without) == ()


def _service(cluster: Cluster) -> Service:
    steps = {p.step.id: p.step for w in cluster.plan(fresh).waves for p in w.steps}
    service = steps["start/s1/service"]
    assert isinstance(service, Service)
    return service


def test_the_service_restarts_when_the_program_or_the_script_changes() -> None:
    other = k3s(S1)
    other.script = replace(SCRIPT, sha256="ab" * 32)
    stamps = {_service(c).stamp for c in (k3s(S1), other, k3s(S1, options={"install": "unit"}))}
    assert len(stamps) == 3


def test_a_token_of_the_operators_is_in_no_order_to_the_script() -> None:
    plan = k3s(S1, options={"token_from": "env:K3S_TOKEN"}).plan(fresh)
    ran = [p.step for w in plan.waves for p in w.steps if w.id == "install" and isinstance(p.step, Run)]
    assert len(ran) == 1
    assert (dict(ran[0].env), dict(ran[0].env_secrets), "secret" in ran[0].script) == ({}, {}, False)


# -- the script itself, in a root made by other paths


class Machine:
    """A folder that stands for a host with systemd."""

    def __init__(self, root: Path, role: str = "server") -> None:
        self.root = root
        self.binary = root / "usr/local/bin/k3s"
        for folder in ("usr/local/bin", "etc/systemd/system", "etc/rancher/k3s", "tools"):
            (root / folder).mkdir(parents=True)
        self.tool("tools/systemctl", f'echo "$@" >>{root}/ctl')
        self.tool("usr/local/bin/k3s", "exit 0")
        self.put("etc/rancher/k3s/install.sh", self.here(INSTALL_SH))
        self.install = Install("s1", role, "/usr/local/bin/k3s", openrc=False, artifact=SCRIPT)
        (step,) = self.install.run()
        assert isinstance(step, Run)
        assert isinstance(step.check, Succeeds)
        self.step, self.check = step, step.check

    def here(self, text: str) -> str:
        for top in ("/usr/local/bin", "/etc/systemd/", "/etc/rancher", "/etc/init.d"):
            text = text.replace(top, f"{self.root}{top}")
        return text

    def put(self, path: str, text: str) -> None:
        (self.root / path).write_text(text)

    def tool(self, path: str, text: str) -> None:
        self.put(path, f"#!/bin/sh\n{text}\n")
        (self.root / path).chmod(0o755)

    def run(self, shell: Sequence[str] = ("dash",), **env: str) -> subprocess.CompletedProcess[str]:
        return self._shell(self.step.script, shell, env)

    def done(self, shell: Sequence[str] = ("dash",)) -> bool:
        return self._shell(self.check.script, shell, {}).returncode == 0

    def _shell(
        self, script: str, shell: Sequence[str], env: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        known = {**env, "PATH": f"{self.root}/tools:/usr/bin:/bin"}
        command = [*shell, "-c", self.here(script)]
        return subprocess.run(command, env=known, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_makes_the_service_once_and_starts_nothing(shell: list[str], tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert not machine.done(shell)
    ran = machine.run(shell, K3S_TOKEN="hunter2hunter2", ARCH="amd64", HTTP_PROXY="http://p")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert machine.done(shell)
    unit = (tmp_path / "etc/systemd/system/k3s.service").read_text()
    assert f"ExecStart={machine.binary} server\n" in unit
    assert (tmp_path / "etc/systemd/system/k3s.service.env").read_text() == ""
    assert "hunter2" not in "".join(p.read_text() for p in tmp_path.rglob("*") if p.is_file())
    assert not [line for line in (tmp_path / "ctl").read_text().splitlines() if "start" in line]
    assert Path(machine.here(uninstaller("/usr/local/bin/k3s", "server"))).exists()

    (tmp_path / "etc/systemd/system/k3s.service").write_text("[Service]\nExecStart=/bin/true\n")
    assert not machine.done(shell)
    assert machine.run(shell).returncode == 0
    assert machine.done(shell)


def test_an_agent_has_its_own_service_and_uninstaller(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "agent")
    assert machine.run().returncode == 0
    assert "k3s agent\n" in (tmp_path / "etc/systemd/system/k3s-agent.service").read_text()
    assert Path(machine.here(uninstaller("/usr/local/bin/k3s", "agent"))).exists()


def test_a_script_that_fails_or_makes_no_unit_is_not_taken_for_done(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert machine.run().returncode == 0
    machine.put("etc/rancher/k3s/install.sh", "#!/bin/sh\necho broken >&2\nexit 3\n")
    assert machine.run().returncode == 3
    assert not machine.done()
    (tmp_path / "etc/systemd/system/k3s.service").unlink()
    machine.put("etc/rancher/k3s/install.sh", "#!/bin/sh\nexit 0\n")
    ran = machine.run()
    assert (ran.returncode, "made no" in ran.stderr) == (1, True)
    assert not machine.done()


@pytest.mark.parametrize(("text", "good"), [(INSTALL_SH, True), ("<html>\n", False), ("#!/bin/sh\n", False)])
def test_what_is_no_install_sh_does_not_go_live(text: str, good: bool, tmp_path: Path) -> None:
    (upload,) = Install("s1", "server", "/usr/local/bin/k3s", openrc=False, artifact=SCRIPT).ship()
    assert isinstance(upload, Upload)
    file = tmp_path / "staged"
    file.write_text(text)
    smoke = ["sh", "-c", upload.smoke, "sh", str(file)]
    ran = subprocess.run(smoke, capture_output=True, text=True, check=False)
    assert (ran.returncode == 0 and all(word in ran.stdout for word in upload.smoke_expects)) is good


def test_a_unit_of_the_script_is_of_our_making_by_the_mark_beside_it(tmp_path: Path) -> None:
    script = k3s_scripts.FOREIGN.replace("/etc/", f"{tmp_path}/etc/")
    unit = tmp_path / "etc/systemd/system/k3s.service"
    mark = Path(f"{tmp_path}{MARK}")
    for path in (unit, mark):
        path.parent.mkdir(parents=True)
    unit.write_text("[Service]\n")
    config = mark.with_name("config.yaml")
    config.write_text("token: theirs\n")
    told = subprocess.run(["dash", "-c", script], capture_output=True, text=True, check=True).stdout
    assert told.split() == [str(config), str(unit)]
    mark.touch()
    told = subprocess.run(["dash", "-c", script], capture_output=True, text=True, check=True).stdout
    assert told.split() == [str(config)]


def test_a_changed_script_is_run_again_and_nothing_else_is_done() -> None:
    def stale(step: object) -> Observation:
        name = getattr(step, "id", "")
        return Observation("differs" if name in {"ship/s1/install", "install/s1/service"} else "same")

    plan = k3s(S1).plan(stale)
    assert [p.step.id for w in plan.waves for p in w.steps if p.action == "~"] == [
        "ship/s1/install",
        "install/s1/service",
    ]
