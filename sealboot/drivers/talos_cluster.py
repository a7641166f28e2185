"""From machines that answer on port 50000 to a cluster: `talosctl` on the controller, a step at a time.

Machine configurations and `talosconfig` are the operator's files and stay where they are: a step
names the path and compares the digest first, so that no secret is in a command line, a plan or a
journal, and nothing is applied that was changed after the plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from sealboot.drivers.base import Api, Context
from sealboot.drivers.talos_options import API_PORT, CONTROLPLANE, WORKER, TalosOptions
from sealboot.drivers.talos_steps import assigned
from sealboot.model.bootfiles import MachineConfig, TalosConfig, file_of, machine_config_of
from sealboot.model.host import Host
from sealboot.model.steps import Knocks, Run, Step, Succeeds, WaitFor
from sealboot.model.tree import Packed

#: The slot of each thing that is used on the controller, and the key of its hosts in `Context.chosen`.
TALOSCTL, TALOSCONFIG, ON_CONTROLLER = "talosctl", "talosconfig", ""

#: Seconds for one question: a machine that is down lets a connection hang.
_ASK = 20
_PATIENCE = 30.0
#: Seconds that a script which waits leaves to say why it gave up.
_RESERVE = 25

_PRELUDE = """same() {
  sum=$(sha256sum <"$1" 2>/dev/null || shasum -a 256 <"$1") && [ "${sum%% *}" = "$2" ] && return 0
  echo "$1 is not the file that the plan was made with" >&2
  exit 65
}
limit() { n=$1; shift; if command -v timeout >/dev/null 2>&1; then timeout "$n" "$@"; else "$@"; fi; }
ctl() { limit @ASK@ "$TALOSCTL" --talosconfig "$TALOSCONFIG" -e "$ADDRESS" -n "$ADDRESS" "$@"; }
""".replace("@ASK@", str(_ASK))

#: A machine that is configured, installed and up as far as it comes by itself. Since 1.14 a machine is up before
#: its installation has ended, and reboots when it has: what it began by then would be lost. That a machine knows
#: no such status is what a Talos before 1.14 says; that it does not answer says nothing.
_INSTALLED = """installed() {
  phase=$(ctl get unattendedinstallstatuses -o 'jsonpath={.spec.phase}' 2>/dev/null) || {
    phase=
    said=$(ctl get unattendedinstallstatuses 2>&1) || case $said in *'is not registered'*) ;; *) return 1 ;; esac
  }
  case $phase in installed) ;; '') [ -z "${UNATTENDED:-}" ] || return 1 ;; *) return 1 ;; esac
  stage=$(ctl get machinestatus -o 'jsonpath={.spec.stage}' 2>/dev/null) || return 1
  case $stage in booting|running) return 0 ;; esac
  return 1
}
"""

#: What has the configuration already, since a run that was cut off, is only waited for. Whether it has another
#: is seen by the certificate that it asks for: how talosctl says so is by chance one of several errors. KEY is
#: the key that was shown a moment ago: a machine in maintenance takes another whenever it gets an address.
#: A stage of `booting` is believed once it lasts: before it installs itself a machine is in it, too.
_APPLY = """same "$CONFIG" "$SHA256"
if ! ctl get machinestatus >/dev/null 2>&1; then
  case $API in
  open) ;;
  certificate)
    echo 'this machine is configured already, and not with the secrets of this talosconfig' >&2
    echo '(or the certificate in it has expired: `talosctl config info` says when)' >&2
    exit 65 ;;
  *) echo "nothing answers on port @PORT@ of $ADDRESS" >&2; sleep 2; exit 75 ;;
  esac
  said=$(limit 120 "$TALOSCTL" apply-config --insecure -n "$ADDRESS" ${KEY:+--cert-fingerprint "$KEY"} -f "$CONFIG" 2>&1) || {
    printf '%s\\n' "$said" >&2
    case $said in
      *fingerprint*) echo 'what answers there shows another key than a moment ago' >&2; exit 75 ;;
      *'certificate required'*|*'broken pipe'*|*'connection refused'*) sleep 2; exit 75 ;;
    esac
    exit 65
  }
fi
end=$(($(date +%s) + LIMIT)) seen=0
while :; do
  if installed; then
    seen=$((seen + 1))
    [ "$stage" = booting ] && [ "$seen" -lt 4 ] || break
    sleep 2
    continue
  fi
  seen=0
  [ "$phase" != failed ] || {
    echo 'Talos cannot install itself: `talosctl dmesg` says why, most often the disk or the installer image' >&2
    exit 65
  }
  [ "$(date +%s)" -lt "$end" ] || {
    echo 'Talos took its configuration, and does not come up installed: look at the console of the machine' >&2
    exit 1
  }
  sleep 2
done
""".replace("@PORT@", str(API_PORT))

_HAS_ETCD = """for ADDRESS in $CONTROLPLANES; do ctl etcd members >/dev/null 2>&1 && exit 0; done
exit 1
"""

#: `bootstrap` on a second machine, or a second time, makes a second cluster. So every control plane machine
#: is asked whether etcd runs anywhere, and only a machine that is up is asked to begin.
_BOOTSTRAP = """has_etcd() (
@HAS@)
has_etcd && exit 0
end=$(($(date +%s) + LIMIT))
until said=$(ctl bootstrap 2>&1); do
  case $said in *AlreadyExists*|*'already exists'*|*'already bootstrapped'*) break ;; esac
  [ "$(date +%s)" -lt "$end" ] || { printf '%s\\n' "$said" >&2; exit 1; }
  sleep 2
done
until has_etcd; do
  [ "$(date +%s)" -lt "$end" ] || { echo 'etcd does not answer on any control plane machine' >&2; exit 1; }
  sleep 2
done
""".replace("@HAS@", _HAS_ETCD)

_HEALTH = """limit 60 "$TALOSCTL" --talosconfig "$TALOSCONFIG" -e "$ADDRESS" -n "$ADDRESS" health \\
  ${CONTROL:+--control-plane-nodes "$CONTROL"} ${WORKERS:+--worker-nodes "$WORKERS"} --wait-timeout 45s
"""


@dataclass(frozen=True, slots=True)
class Tools:
    """What is used on the controller: the program, and the credentials by their path and digest."""

    talosctl: str
    talosconfig: Packed

    @classmethod
    def of(cls, ctx: Context) -> Tools | None:
        """The tools, or `None` where a file is missing; `checks` has told it then."""
        credentials = ctx.chosen.get((ON_CONTROLLER, TALOSCONFIG))
        layers = credentials.layers if credentials is not None else ()
        file = next((layer.file for layer in layers if isinstance(layer, TalosConfig)), None)
        program = ctx.chosen.get((ON_CONTROLLER, TALOSCTL))
        placed = file_of(program) if program is not None else None
        return cls(placed.path if placed is not None else "talosctl", file) if file is not None else None

    def script(self, body: str, **values: str) -> str:
        """A script with everything that it uses at its head."""
        head = assigned(TALOSCTL=self.talosctl, TALOSCONFIG=self.talosconfig.path, **values)
        return (
            head
            + _PRELUDE
            + assigned(DIGEST=self.talosconfig.sha256)
            + 'same "$TALOSCONFIG" "$DIGEST"\n'
            + body
        )


def config_of(ctx: Context, host: Host) -> MachineConfig | None:
    """The machine configuration of a host."""
    chosen = ctx.chosen.get((host.name, host.role))
    return machine_config_of(chosen) if chosen is not None else None


def configure(ctx: Context, options: TalosOptions, tools: Tools, host: Host) -> Iterator[Step]:
    """Give the machine its configuration, unless it has it or fetches it; wait until Talos runs from its disk."""
    config = config_of(ctx, host)
    unattended = {"UNATTENDED": "yes"} if config is not None and config.unattended else {}
    installed = tools.script(f"{_INSTALLED}installed\n", ADDRESS=host.address, **unattended)
    if config is not None and config.file is not None and options.config_url is None:
        facts = ctx.facts[host.name]
        target = _target(options, host, config, configured=facts.observed.get("api") == "configured")
        yield Run(
            id=f"configure/{host.name}/apply",
            host=host.name,
            title=f"apply the machine configuration of a {host.role}"
            + (f": Talos goes onto {target}" if target else ""),
            destroys=f"everything on {target} of {host.name}, where Talos installs itself" if target else "",
            timeout=float(options.install_timeout),
            become=False,
            on="controller",
            check=Succeeds(installed, become=False, timeout=_PATIENCE),
            script=tools.script(
                _INSTALLED + _APPLY,
                ADDRESS=host.address,
                CONFIG=config.file.path,
                SHA256=config.file.sha256,
                LIMIT=str(options.install_timeout - _RESERVE),
                **unattended,
            ),
            knocks=Knocks(API_PORT, Api(API_PORT).alpn),
        )
        return
    yield WaitFor(
        id=f"configure/{host.name}/installed",
        host=host.name,
        title="wait until Talos is installed and runs",
        timeout=float(options.install_timeout),
        become=False,
        on="controller",
        kind="script",
        target=installed,
        interval=5.0,
    )


def _target(options: TalosOptions, host: Host, config: MachineConfig, *, configured: bool) -> str:
    """The disk that Talos overwrites when it installs itself; empty where it runs from its disk already."""
    if configured or options.route_of(host) == "disk":
        return ""
    return config.disk or "the disk that its machine configuration chooses"


def bootstrap(ctx: Context, options: TalosOptions, tools: Tools, host: Host) -> Iterator[Step]:
    """Begin etcd once, on one machine, if it runs on none."""
    machines = " ".join(h.address for h in ctx.inventory.by_role(CONTROLPLANE))
    yield Run(
        id=f"bootstrap/{host.name}/etcd",
        host=host.name,
        title="bootstrap etcd, if no control plane machine has it",
        timeout=float(options.bootstrap_timeout),
        become=False,
        on="controller",
        check=Succeeds(tools.script(_HAS_ETCD, CONTROLPLANES=machines), become=False, timeout=_PATIENCE * 3),
        script=tools.script(
            _BOOTSTRAP,
            ADDRESS=host.address,
            CONTROLPLANES=machines,
            LIMIT=str(options.bootstrap_timeout - _RESERVE),
        ),
    )


def _number(address: str) -> bool:
    try:
        ip_address(address)
    except ValueError:
        return False
    return True


def health(ctx: Context, options: TalosOptions, tools: Tools, host: Host) -> Iterator[Step]:
    """Wait until every machine and Kubernetes itself are well.

    Which machines there are is told where all addresses are numbers, as `talosctl` takes them; else
    Talos finds them by its own discovery.
    """
    numbered = all(_number(h.address) for h in ctx.inventory.hosts)

    def addresses(role: str) -> str:
        return ",".join(h.address for h in ctx.inventory.by_role(role)) if numbered else ""

    yield WaitFor(
        id=f"health/{host.name}/cluster",
        host=host.name,
        title="wait until the whole cluster is healthy",
        timeout=float(options.health_timeout),
        become=False,
        on="controller",
        kind="script",
        target=tools.script(
            _HEALTH, ADDRESS=host.address, CONTROL=addresses(CONTROLPLANE), WORKERS=addresses(WORKER)
        ),
        interval=5.0,
    )
