"""A host in a folder: the scripts of the `k0s` driver run for real, against a k0s, a systemd and an API made of files.

Every program that changes something counts its calls, and may take the place of a power cut: the whole
process group of the script is killed before or after the Nth of them.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from sealboot.drivers.k0s_config import environment_file
from sealboot.drivers.k0s_golive import Target
from sealboot.drivers.k0s_shell import STORE_NAME

_COUNTED = """#!/bin/sh
if [ -n "${CUT:-}" ]; then
  n=$(( $(/bin/cat "$ROOT/calls" 2>/dev/null || echo 0) + 1 )); echo $n >"$ROOT/calls"
  if [ "$CUT" = "$n" ]; then kill -9 0; fi
fi
exec @REAL@ "$@"
"""

_SYSTEMCTL = """#!/bin/sh
run=$ROOT/run/systemd
verb= unit= block=
for word in "$@"; do case $word in
  -*) ;; *) if [ -z "$verb" ]; then verb=$word; else unit=$word; fi ;; esac; done
case $verb in
  show)
    case "$*" in
      *LoadState*) if [ -e "$ROOT/etc/systemd/system/$unit.service" ]; then echo LoadState=loaded; else echo LoadState=not-found; fi ;;
      *ExecMainStatus*) echo ExecMainStatus=0 ;;
      *NRestarts*) echo NRestarts=$(cat "$run/restarts" 2>/dev/null || echo 0) ;;
    esac ;;
  is-active) [ -e "$run/active" ] ;;
  is-enabled) [ -e "$run/enabled" ] ;;
  enable) : >"$run/enabled" ;;
  daemon-reload|reset-failed) rm -f "$run/restarts" ;;
  stop|kill) rm -f "$run/active" "$ROOT/run/status" ;;
  start)
    rm -f "$run/restarts"
    line=$(sed -n 's/^ExecStart=//p' "$ROOT/etc/systemd/system/$unit.service")
    [ -n "$line" ] || exit 1
    ROOT=$ROOT $line ;;
  *) echo "systemctl: $*" >&2; exit 64 ;;
esac
"""

_RC_SERVICE = """#!/bin/sh
run=$ROOT/run/systemd
case $2 in
  status) [ -e "$run/active" ] ;;
  stop) rm -f "$run/active" "$ROOT/run/status" ;;
  start) ROOT=$ROOT $(sed -n 's/^ExecStart=//p' "$ROOT/etc/init.d/$1") ;;
  *) echo "rc-service: $*" >&2; exit 64 ;;
esac
"""

_RC_UPDATE = """#!/bin/sh
case "$*" in
  'show default') [ ! -e "$ROOT/run/systemd/enabled" ] || cat "$ROOT/run/systemd/enabled" ;;
  '-q add '*' default') echo " $3 | default" >"$ROOT/run/systemd/enabled" ;;
  *) echo "rc-update: $*" >&2; exit 64 ;;
esac
"""

_K0S = """#!/bin/sh
version=@VERSION@ health=@HEALTH@
run=$ROOT/run/systemd api=$ROOT/api
case $1 in
  version) echo $version ;;
  install)
    shift; force=; words=
    for word in "$@"; do if [ "$word" = --force ]; then force=1; else words="$words $word"; fi; done
    role=${words%% --*}; unit=$ROOT/etc/systemd/system/k0s${role# }.service
    [ -d "$ROOT/run/systemd/system" ] || unit=$ROOT/etc/init.d/k0s${role# }
    [ ! -e "$unit" ] || [ -n "$force" ] || { echo 'Init already exists' >&2; exit 1; }
    printf 'ExecStart=%s\\n' "$0$words" >"$unit" ;;
  controller|worker)
    [ $health != dies ] || { echo 5 >"$run/restarts"; exit 0; }
    args=$(for word in "$0" "$@"; do printf '"%s",' "$word"; done)
    printf '{"Version": "%s", "Role": "%s", "Workloads": true, "Args": [%s]}\\n' $version "$1" "${args%,}" >"$ROOT/run/status"
    : >"$run/active"
    [ $health = good ] || exit 0
    [ ! -e "$api/node" ] || { echo "${version%.*}" >"$api/node/kubelet"; echo True >"$api/node/ready"; date -u +%Y-%m-%dT%H:%M:%SZ >"$api/node/beat"; } ;;
  status) cat "$ROOT/run/status" ;;
  kubectl)
    case "$*" in
      *get*--raw=/readyz*) [ -e "$run/active" ] && [ $health = good ] && printf ok ;;
      *get*--raw=/version*) echo '{"gitVersion": "'$(cat "$api/version")'"}' ;;
      *get*node*sealboot/why*) cat "$api/node/why" ;;
      *get*node*) for f in cordoned state kubelet ready beat; do printf '%s|' "$(cat "$api/node/$f" 2>/dev/null)"; done ;;
      *annotate*) for word in "$@"; do case $word in
          sealboot/k0s=*) echo "${word#*=}" >"$api/node/state"; echo "${word#*=}" >>"$api/states" ;;
          sealboot/why=*) echo "${word#*=}" >"$api/node/why" ;; esac; done ;;
      *uncordon*) rm -f "$api/node/cordoned" ;;
      *cordon*) echo true >"$api/node/cordoned" ;;
      *drain*) if [ -e "$api/budget" ]; then echo "error: Cannot evict pod: violates the pod's disruption budget" >&2; exit 1; fi ;;
      *) echo "kubectl: $*" >&2; exit 64 ;;
    esac ;;
  *) echo "k0s: $*" >&2; exit 64 ;;
esac
"""


class Folder:
    """The host. `shell` runs its scripts (dash, or busybox with its own applets)."""

    def __init__(self, root: Path, shell: tuple[str, ...] = ("/bin/sh",), *, openrc: bool = False) -> None:
        self.root, self.shell, self.openrc = root, shell, openrc
        self.bin = root / "usr/local/bin"
        self.store = self.bin / STORE_NAME
        self.tools = root / "tools"
        for folder in ("usr/local/bin", "etc/systemd/system", "etc/k0s", "run/systemd/system", "var/lib/k0s"):
            (root / folder).mkdir(parents=True)
        for place in (self.tools, self.store, root / "api"):
            place.mkdir()
        for name in ("mv", "cp", "ln", "rm", "mkdir", "chmod", "sync"):
            real = shutil.which(name, path="/usr/bin:/bin")
            self._program(self.tools / name, _COUNTED.replace("@REAL@", str(real)))
        self._program(self.tools / "systemctl.real", _SYSTEMCTL)
        self._program(
            self.tools / "systemctl", _COUNTED.replace("@REAL@", str(self.tools / "systemctl.real"))
        )
        if openrc:
            (root / "run/systemd/system").rmdir()
            (root / "etc/init.d").mkdir()
            self._program(self.tools / "rc-service", _RC_SERVICE)
            self._program(self.tools / "rc-update", _RC_UPDATE)
        self._program(self.tools / "journalctl", "#!/bin/sh\necho a line of the journal\n")

    @staticmethod
    def _program(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def k0s(self, version: str, health: str = "good") -> bytes:
        """A k0s of this release; `sick` is never ready, `dies` does not even stay up."""
        text = _K0S.replace("@VERSION@", version).replace("@HEALTH@", health)
        return text.encode()

    def stage(self, program: bytes, config: str = "", environment: str = "") -> None:
        """What uploads and written files have left in our folder."""
        for name, data, mode in (
            ("k0s.next", program, 0o755),
            ("k0s.yaml.next", config.encode(), 0o600),
            ("env.next", environment.encode(), 0o600),
        ):
            if data:
                (self.store / name).write_bytes(data)
                (self.store / name).chmod(mode)

    def node(self, name: str = "", **said: str) -> None:
        """The node object as the API server has it."""
        place = self.root / "api/node"
        place.mkdir(exist_ok=True)
        (self.root / "api/version").write_text(said.pop("version", "v1.30.2+k0s"))
        (self.root / "var/lib/k0s/kubelet.conf").write_text(name)
        for key, value in said.items():
            (place / key).write_text(f"{value}\n")

    def said(self, key: str) -> str:
        """One field of the node object."""
        path = self.root / "api/node" / key
        return path.read_text().strip() if path.exists() else ""

    def target(
        self,
        program: bytes,
        version: str,
        *,
        config: str = "",
        environment: str = "",
        worker: bool = False,
        drain: bool = True,
        flags: tuple[str, ...] = (),
    ) -> Target:
        """What the driver would ask for."""
        sums = [hashlib.sha256(part).hexdigest() for part in (program, config.encode(), environment.encode())]
        unit = "k0sworker" if worker else "k0scontroller"
        words = ("worker" if worker else "controller", *flags)
        return Target(
            binary=str(self.bin / "k0s"),
            data=str(self.root / "var/lib/k0s"),
            unit=unit,
            openrc=self.openrc,
            sha256=sums[0],
            config_sha256=sums[1] if config else "",
            environment=environment_file(unit, openrc=self.openrc),
            environment_sha256=sums[2] if environment else "",
            words=words,
            words_sha256=hashlib.sha256(" ".join(words).encode()).hexdigest(),
            digest=hashlib.sha256(repr((sums, words)).encode()).hexdigest(),
            version=version,
            says=('"Role":"worker"',) if worker else ('"Role":"controller"',),
            api=not worker,
            node="w1" if worker else "",
            drain=drain,
            limit=0,
        )

    def here(self, script: str) -> str:
        """A script of the driver's that brings its own surroundings."""
        for place in ("/etc/", "/run/systemd/"):
            script = script.replace(place, f"{self.root}{place}")
        return f"ROOT={self.root} PATH={self.tools}:/usr/bin:/bin\nexport ROOT PATH\n{script}"

    def run(self, script: str, cut: int = 0) -> subprocess.CompletedProcess[str]:
        """Run one of the driver's scripts here, with the system's own folders below this one."""
        for place in ("/etc/", "/run/systemd/"):
            script = script.replace(place, f"{self.root}{place}")
        (self.root / "calls").unlink(missing_ok=True)
        env = {"PATH": f"{self.tools}:/usr/bin:/bin", "ROOT": str(self.root)} | (
            {"CUT": str(cut)} if cut else {}
        )
        return subprocess.run(
            [*self.shell, "-c", script],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            start_new_session=True,
        )

    def calls(self) -> int:
        """How many counted programs the last run has called."""
        path = self.root / "calls"
        return int(path.read_text()) if path.exists() else 0

    @property
    def live(self) -> bytes:
        """What the program's path holds."""
        path = self.bin / "k0s"
        return path.read_bytes() if path.exists() else b""

    @property
    def running(self) -> str:
        """What `k0s status` would say."""
        path = self.root / "run/status"
        return path.read_text() if path.exists() else ""

    def save(self, to: Path) -> None:
        """Keep the host as it is now."""
        shutil.copytree(self.root, to, symlinks=True)

    def restore(self, kept: Path) -> None:
        """The host as it was kept."""
        shutil.rmtree(self.root)
        shutil.copytree(kept, self.root, symlinks=True)
