"""The scripts themselves, run by the shells that hosts have, against stand-ins for kexec and talosctl."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from requires import shells
from talos_kit import CP1, CP2, TALOSCTL, W1, Talos, config, maintenance

from sealboot.drivers import talos_facts, talos_kexec
from sealboot.drivers.talos_facts import Machine
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact
from sealboot.model.bootfiles import OnController, TalosConfig
from sealboot.model.facts import Facts
from sealboot.model.steps import Run, Succeeds, WaitFor
from sealboot.model.tree import Packed

SHELLS = shells("dash", "bash", "busybox")


def run(
    script: str, tools: Path, shell: Sequence[str] = ("/bin/sh",), env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*shell, "-c", script],
        env={"PATH": f"{tools}:{os.environ['PATH']}", **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def tool(folder: Path, name: str, body: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}")
    path.chmod(0o755)
    return path


# -- kexec


def kexec(folder: Path, body: str, shell: Sequence[str] = ("/bin/sh",)) -> subprocess.CompletedProcess[str]:
    """Run the script that loads, with a kexec of the test's; `LOADED` is what it writes to where it loads."""
    tool(folder, "kexec", f"LOADED={folder}/kexec_loaded\n{body}")
    (folder / "kexec_loaded").write_text("0\n")
    script = talos_kexec.load_script().replace("/sys/kernel", str(folder))
    env = {"KERNEL": "/k", "INITRD": "/i", "CMDLINE": "a=\"b c\" d='e' $(f)"}
    return run(script, folder, shell, env)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_command_line_arrives_as_it_is(shell: Sequence[str], tmp_path: Path) -> None:
    done = kexec(tmp_path, f'printf "%s\\n" "$@" >{tmp_path}/argv; echo 1 >"$LOADED"\n', shell)
    assert (done.returncode, done.stderr) == (0, "")
    told = (tmp_path / "argv").read_text().splitlines()
    assert told == ["-s", "-l", "/k", "--initrd=/i", "--command-line=a=\"b c\" d='e' $(f)"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_kernel_without_kexec_file_load_takes_the_old_call(shell: Sequence[str], tmp_path: Path) -> None:
    """Debian's arm64 kernels have KEXEC and not KEXEC_FILE."""
    body = 'case $1 in -s) echo "syscall kexec_file_load not available." >&2; exit 1 ;; esac\necho 1 >"$LOADED"\n'
    assert kexec(tmp_path, body, shell).returncode == 0


FAILURES = [
    ("kexec_file_load failed: Function not implemented", "without kexec"),
    ("kexec_load failed: Operation not permitted", "forbids it"),
    ("kexec_load failed: Device or resource busy", "another kexec"),
    ("kexec_file_load failed: Key was rejected by service", "signed kernels alone"),
    ("kexec_file_load failed: Operation not supported", "of this format"),
    ("kexec_file_load failed: Exec format error", "for a machine"),
    ("kexec_file_load failed: Invalid argument", "for a machine"),
    ("Cannot determine the file type of /k", "for a machine"),
    ("Could not find a free area of memory of 0x8000 bytes...", "memory in one piece"),
    ("kexec_load failed: Cannot allocate memory", "memory in one piece"),
    ("something new", "kexec failed"),
]


@pytest.mark.parametrize(("said", "meant"), FAILURES)
def test_what_kexec_says_is_put_into_words(said: str, meant: str, tmp_path: Path) -> None:
    done = kexec(tmp_path, f"echo '{said}' >&2\nexit 255\n", ["dash"])
    first, *rest = done.stderr.splitlines()
    assert done.returncode == 65
    assert meant in first
    assert all(said in line for line in rest), "its own words stand beside it"


def test_a_call_that_does_not_exist_is_no_reason_where_the_other_gave_one(tmp_path: Path) -> None:
    body = (
        'case $1 in -s) echo "kexec_file_load failed: Cannot allocate memory" ;;\n'
        '*) echo "kexec_load failed: Function not implemented" ;; esac\nexit 255\n'
    )
    assert "memory in one piece" in kexec(tmp_path, body).stderr.splitlines()[0]


def test_success_without_a_loaded_kernel_is_none(tmp_path: Path) -> None:
    done = kexec(tmp_path, "exit 0\n")
    assert (done.returncode, "no kernel is loaded" in done.stderr) == (65, True)


def test_nobody_leaves_when_the_loaded_kernel_is_gone(tmp_path: Path) -> None:
    tool(tmp_path, "kexec", f"echo left >{tmp_path}/left\n")
    script = talos_kexec.START.replace("/sys/kernel", str(tmp_path))
    (tmp_path / "kexec_loaded").write_text("0\n")
    assert run(script, tmp_path).returncode == 65
    assert not (tmp_path / "left").exists()
    (tmp_path / "kexec_loaded").write_text("1\n")
    assert run(script, tmp_path).returncode == 0
    assert (tmp_path / "left").exists()


# -- questions


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_answers_the_questions_about_this_machine(shell: Sequence[str], tmp_path: Path) -> None:
    asked = talos_facts.questions("/dev/null")
    observed = {key: run(script, tmp_path, shell) for key, script in asked.items()}
    assert {key: done.returncode for key, done in observed.items()} == dict.fromkeys(asked, 0)
    facts = Facts(
        "here", "", Arch.AMD64, None, None, None, observed={k: d.stdout for k, d in observed.items()}
    )
    machine = Machine.of(facts)
    memory = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    assert machine.available is not None
    assert machine.available <= int(memory["MemTotal"].split()[0]) << 10
    sizes = {d.name: int(Path(f"/sys/block/{d.name}/size").read_text()) * 512 for d in machine.disks}
    assert {d.name: d.size for d in machine.disks} == sizes
    assert not any(name.startswith(("loop", "ram", "dm-")) for name in sizes)
    assert machine.uefi is Path("/sys/firmware/efi").is_dir()
    assert machine.named == "", "it is no block device"


def test_answers_that_make_no_sense_are_no_answers() -> None:
    junk = {
        "talos.kernel": "a=b\n\x1b[2J\navailable=-4\nuefi=maybe",
        "talos.disks": "disk\ndisk a b c\nused\npart x",
        "talos.network": "address\nroute dev\nroute via 1 dev",
    }
    machine = Machine.of(Facts("x", "", None, None, None, None, observed=junk))
    assert (machine.disks, machine.addresses, machine.static, machine.available, machine.uefi) == (
        (),
        (),
        (),
        None,
        None,
    )


# -- talosctl

STATES = """state=$(cat "$STATE/$ADDRESS" 2>/dev/null || echo down)
echo "$ADDRESS $*" >>"$STATE/calls"
case $state in down) echo "connection refused" >&2; exit 1 ;; esac
"""
#: A stand-in for the machines: `STATE/<address>` holds down, maintenance, foreign, booting or running; `STATE/etcd`
#: exists once etcd was begun, `STATE/older` for a Talos before 1.14, `STATE/away` for a moment after `apply-config`
#: (all as seen with 1.14.0-rc.1). Like the real program it finds the machine in -n, and certificates before all.
FAKE = (
    """STATE=@STATE@
ADDRESS= insecure= verb= key=
for word in "$@"; do
  case $last in -n) ADDRESS=$word ;; --cert-fingerprint) key=$word ;; esac
  case $word in --insecure) insecure=1 ;; apply-config|get|etcd|bootstrap|health) verb=${verb:-$word} ;; esac
  last=$word
done
"""
    + STATES
    + """
case $insecure$state in
  1maintenance) [ -z "$key" ] || [ "$key" = "$(cat $STATE/key)" ] || { echo "leaf peer certificate doesn't match the provided fingerprints: [$key]" >&2; exit 1; } ;;
  1*) echo "remote error: tls: certificate required" >&2; exit 1 ;;
  maintenance|foreign) echo "x509: certificate signed by unknown authority" >&2; exit 1 ;;
esac
case $verb in
  apply-config) echo installing >"$STATE/$ADDRESS"; : >"$STATE/away"; echo "Applied configuration without a reboot" >&2 ;;
  get)
    case $* in *unattendedinstallstatuses*)
      [ ! -e "$STATE/away" ] || { rm "$STATE/away"; : >"$STATE/away2"; echo "dial tcp: connect: connection refused" >&2; exit 1; }
      [ ! -e "$STATE/away2" ] || { rm "$STATE/away2"; echo "dial tcp: connect: connection refused" >&2; exit 1; }
      [ ! -e "$STATE/older" ] || { echo 'rpc error: code = NotFound desc = resource "unattendedinstallstatuses" is not registered' >&2; exit 1; }
      [ -e "$STATE/phase" ] || exit 0
      cat "$STATE/phase"
      [ ! -e "$STATE/next" ] || mv "$STATE/next" "$STATE/phase"
      exit 0 ;;
    esac
    echo "stage $state" >>"$STATE/stages"
    case $state in
    early) echo installing >"$STATE/$ADDRESS"; state=booting ;;
    installing) echo booting >"$STATE/$ADDRESS" ;;
    esac
    printf %s "$state" ;;
  etcd) [ -e "$STATE/etcd" ] || { echo "etcd is not running" >&2; exit 1; }; echo "1 cp1" ;;
  bootstrap) [ ! -e "$STATE/etcd" ] || { echo "rpc error: code = AlreadyExists" >&2; exit 1; }; : >"$STATE/etcd" ;;
  health) : ;;
esac
"""
)


class Site:
    """The operator's folder and the machines."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.state.mkdir()
        self.program = tool(folder, "talosctl", FAKE.replace("@STATE@", str(self.state)))
        (self.state / "key").write_text("bWFpbnRlbmFuY2U=")
        self.folder = folder
        for name in ("controlplane.yaml", "worker.yaml", "talosconfig"):
            (folder / name).write_text(f"{name}: secret\n")

    def packed(self, name: str) -> Packed:
        data = (self.folder / name).read_bytes()
        return Packed(str(self.folder / name), hashlib.sha256(data).hexdigest(), len(data))

    def machine(self, address: str, state: str) -> None:
        (self.state / address).write_text(state)

    @property
    def calls(self) -> list[str]:
        path = self.state / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def cluster(self) -> Talos:
        program = replace(TALOSCTL, layers=(OnController("x", file=self.packed("talosctl")),))
        credentials = Artifact(
            "talosconfig", TALOSCTL.kind, layers=(TalosConfig("x", file=self.packed("talosconfig")),)
        )
        chosen: dict[tuple[str, str], Artifact | None] = {
            ("", "talosctl"): program,
            ("", "talosconfig"): credentials,
        }
        for host in (CP1, CP2, W1):
            chosen[host.name, host.role] = config(host.role, file=self.packed(f"{host.role}.yaml"))
        facts = {h.name: maintenance(h.name, Arch.AMD64) for h in (CP1, CP2, W1)}
        options = {"install_timeout": "30", "bootstrap_timeout": "30"}
        return Talos(CP1, CP2, W1, facts=facts, chosen=chosen, options=options)

    def do(
        self, step_id: str, *, api: str = "open", key: str = "bWFpbnRlbmFuY2U="
    ) -> subprocess.CompletedProcess[str]:
        """`api` and `key` are what the engine has seen right before."""
        step = self.cluster().steps()[step_id]
        if isinstance(step, WaitFor):
            return run(step.target, self.folder)
        assert isinstance(step, Run)
        seen = {"API": api, "KEY": key} if step.knocks is not None else {}
        return run(step.script.replace("sleep 2", "sleep 0.1"), self.folder, env={**step.env, **seen})

    def holds(self, step_id: str) -> bool:
        step = self.cluster().steps()[step_id]
        assert isinstance(step.check, Succeeds)
        return run(step.check.script, self.folder).returncode == 0


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_machine_in_maintenance_mode_is_configured_once(site: Site) -> None:
    site.machine(CP1.address, "maintenance")
    assert not site.holds("configure/cp1/apply")
    done = site.do("configure/cp1/apply")
    assert (done.returncode, done.stderr) == (0, "")
    assert site.holds("configure/cp1/apply")
    applied = [call for call in site.calls if "apply-config" in call]
    assert applied == [
        f"{CP1.address} apply-config --insecure -n {CP1.address} --cert-fingerprint bWFpbnRlbmFuY2U= -f {site.folder}/controlplane.yaml"
    ]
    assert "secret" not in "".join(site.calls)


def test_a_machine_that_has_its_configuration_is_only_waited_for(site: Site) -> None:
    site.machine(CP1.address, "installing")
    assert not site.holds("configure/cp1/apply"), "what is being installed is not up"
    assert site.do("configure/cp1/apply").returncode == 0
    assert not [call for call in site.calls if "apply-config" in call]


def test_a_machine_that_is_up_and_still_installing_is_waited_for(site: Site) -> None:
    """Since 1.14: what is begun before its reboot would be lost."""
    site.machine(CP1.address, "running")
    (site.state / "phase").write_text("waiting-for-reboot")
    assert not site.holds("configure/cp1/apply")
    (site.state / "next").write_text("installed")
    assert site.do("configure/cp1/apply").returncode == 0
    assert site.holds("configure/cp1/apply")


def test_an_installation_that_failed_is_not_waited_for(site: Site) -> None:
    site.machine(CP1.address, "running")
    (site.state / "phase").write_text("failed")
    done = site.do("configure/cp1/apply")
    assert done.returncode == 65
    assert "cannot install itself" in done.stderr


def test_a_machine_of_another_cluster_is_left_alone(site: Site) -> None:
    """It asks for a certificate: that is seen, not read from what talosctl says, which is another text each time."""
    site.machine(CP1.address, "foreign")
    done = site.do("configure/cp1/apply", api="certificate")
    assert done.returncode == 65
    assert "not with the secrets of this talosconfig" in done.stderr
    assert "expired" in done.stderr
    assert not [call for call in site.calls if "apply-config" in call], "it is sent nothing"


def test_a_key_that_changed_a_moment_ago_is_looked_at_again(site: Site) -> None:
    """And never sent the configuration under the other."""
    site.machine(CP1.address, "maintenance")
    (site.state / "key").write_text("YW5vdGhlcg==")
    done = site.do("configure/cp1/apply")
    assert done.returncode == 75
    assert "another key than a moment ago" in done.stderr
    assert "doesn't match the provided fingerprints" in done.stderr
    assert site.do("configure/cp1/apply", key="YW5vdGhlcg==").returncode == 0


def test_a_machine_that_does_not_answer_is_looked_at_again(site: Site) -> None:
    site.machine(CP1.address, "down")
    done = site.do("configure/cp1/apply", api="", key="")
    assert done.returncode == 75
    assert "nothing answers on port 50000" in done.stderr


def test_a_question_that_fails_is_no_older_talos(site: Site) -> None:
    """The first ones after `apply-config` fall into the restart of its API; it was called installed 2 s later."""
    site.machine(CP1.address, "early")
    (site.state / "away").touch()
    assert not site.holds("configure/cp1/apply")
    (site.state / "older").touch()
    assert site.holds("configure/cp1/apply")


def test_booting_is_believed_once_it_lasts(site: Site) -> None:
    """Before the installation begins a machine is in this stage, too."""
    site.machine(CP1.address, "early")
    assert site.do("configure/cp1/apply").returncode == 0
    stages = (site.state / "stages").read_text().splitlines()
    assert stages[:3] == ["stage early", "stage early", "stage installing"] or "stage installing" in stages
    assert stages[-4:] == ["stage booting"] * 4


def test_where_a_document_installs_nothing_but_installed_will_do(site: Site) -> None:
    cluster = site.cluster()
    site.machine(CP1.address, "running")
    told = config("controlplane", file=site.packed("controlplane.yaml"), unattended=True)
    cluster._chosen["cp1", "controlplane"] = told
    step = cluster.steps()["configure/cp1/apply"]
    assert isinstance(step.check, Succeeds)
    assert run(step.check.script, site.folder).returncode == 1
    (site.state / "phase").write_text("installed")
    assert run(step.check.script, site.folder).returncode == 0


@pytest.mark.parametrize("name", ["controlplane.yaml", "talosconfig"])
def test_a_file_that_changed_since_the_plan_is_not_applied(site: Site, name: str) -> None:
    site.machine(CP1.address, "maintenance")
    step = site.cluster().steps()["configure/cp1/apply"]
    assert isinstance(step, Run)
    (site.folder / name).write_text("machine: of somebody else\n")
    done = run(step.script, site.folder, env={"API": "open", "KEY": ""})
    assert done.returncode == 65
    assert "not the file that the plan was made with" in done.stderr
    assert site.calls == []


def test_etcd_is_begun_once_and_on_one_machine(site: Site) -> None:
    for host in (CP1, CP2):
        site.machine(host.address, "booting")
    assert not site.holds("bootstrap/cp1/etcd")
    assert site.do("bootstrap/cp1/etcd").returncode == 0
    assert site.holds("bootstrap/cp1/etcd")
    assert [c.split()[0] for c in site.calls if c.endswith("bootstrap")] == [CP1.address]


def test_a_new_first_machine_does_not_begin_a_second_cluster(site: Site) -> None:
    """cp1 was replaced and is empty; etcd lives on cp2."""
    site.machine(CP1.address, "down")
    site.machine(CP2.address, "running")
    (site.state / "etcd").touch()
    assert site.holds("bootstrap/cp1/etcd")
    assert site.do("bootstrap/cp1/etcd").returncode == 0
    assert not [c for c in site.calls if c.endswith("bootstrap")]


def test_health_is_asked_of_all_machines(site: Site) -> None:
    site.machine(CP1.address, "running")
    assert site.do("health/cp1/cluster").returncode == 0
    assert f"--control-plane-nodes {CP1.address},{CP2.address} --worker-nodes {W1.address}" in site.calls[-1]


def test_machines_with_names_are_found_by_talos_itself() -> None:
    """`talosctl health` takes numbers alone."""
    for address, flags in (("10.0.0.11", True), ("cp1.lan", False)):
        host = replace(CP1, address=address)
        step = Talos(host, facts={"cp1": maintenance("cp1", Arch.AMD64)}).steps()["health/cp1/cluster"]
        assert isinstance(step, WaitFor)
        assert ("CONTROL=10.0.0.11\n" in step.target) is flags
        assert ("CONTROL=''\n" in step.target) is not flags
