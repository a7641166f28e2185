"""k0s taken off hosts again: told to the cluster first, by a controller that stays, then removed by k0s itself.

A controller leaves etcd while etcd lives: by a peer that stays, else by itself before it is stopped. What
is not of our making is not touched; `runs` or `installed`, which show that it is ours, go last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sealboot.drivers import k0s_drain
from sealboot.drivers.base import Context
from sealboot.drivers.k0s_config import CONFIG, TOKEN, address_of, environment_file, node_name, unit_of
from sealboot.drivers.k0s_node import Node
from sealboot.drivers.k0s_options import CONTROLLERS, NODES, K0sOptions
from sealboot.drivers.k0s_shell import LIBRARY, store, values
from sealboot.model.host import Host
from sealboot.model.plan import Wave
from sealboot.model.steps import Run, Step, Succeeds

_OURS = r"""
[ -e "$UNIT_FILE" ] || [ -e "$BIN" ] || exit 0
for sb_f in runs installed doing; do [ ! -e "$STORE/$sb_f" ] || sb_ours=1; done
[ "${sb_ours:-0}" = 1 ] || [ ! -e "$UNIT_FILE" ] || { echo "the k0s here is not of our making: it is left as it is" >&2; exit 65; }
[ ! -e "$OTHER" ] || { echo "the service of the other role is here: it is left as it is" >&2; exit 65; }
exit 0
"""

# Emptied, deleted; out of etcd through this member, which stays. All of it may have been done already.
_FORGET = r"""
sb_gone() {
  sb_here=$(sb_api get node "$1" -o name 2>&1) && return 1
  case $sb_here in *NotFound*|*'not found'*) return 0 ;; *) return 1 ;; esac
}
sb_out() {
  sb_all=$(sb_within 30 "$BIN" etcd member-list --data-dir="$DATA" 2>/dev/null) || return 1
  case $sb_all in *"//$1:"*) return 1 ;; esac
}
sb_told() {
  for sb_n in $NODES; do sb_gone "$sb_n" || return 1; done
  for sb_p in $PEERS; do sb_out "$sb_p" || return 1; done
}
"""
_FORGETS = r"""
for sb_n in $NODES; do
  sb_gone "$sb_n" && continue
  sb_api cordon "$sb_n" >/dev/null
  KUBECONFIG=$DATA/pki/admin.conf sb_within "$LIMIT" "$BIN" kubectl drain @FLAGS@ "$sb_n" ||
    echo "$sb_n could not be emptied; its pods end with it" >&2
  sb_api delete node "$sb_n" || exit 1
done
for sb_p in $PEERS; do
  sb_out "$sb_p" || sb_within 60 "$BIN" etcd leave --peer-address="$sb_p" --data-dir="$DATA" || exit 1
done
exit 0
"""

_LEAVE = r"""
# The last member cannot leave; one that does not run has nobody to tell.
sb_active || exit 0
sb_all=$(sb_within 30 "$BIN" etcd member-list --data-dir="$DATA" 2>/dev/null) || exit 0
sb_count=$(printf '%s\n' "$sb_all" | tr ',{' '\n\n' | grep -c '"http')
case $sb_all in *"//$PEER:"*) ;; *) exit 0 ;; esac
[ "$sb_count" -gt 1 ] || exit 0
"""
_LEAVES = r"""
sb_within 60 "$BIN" etcd leave --data-dir="$DATA"
"""

_GONE = r"""
for sb_f in "$BIN" "$STORE" "$CONFIG" "$TOKEN" "$ENV_FILE" "$UNIT_FILE" "$DATA"; do [ ! -e "$sb_f" ] || exit 1; done
"""
_CLEAN = r"""
if sb_systemd; then
  if [ "$(systemctl show -p LoadState -- "$UNIT")" = LoadState=loaded ]; then
    sb_within 150 systemctl --no-ask-password stop -- "$UNIT" || sb_within 60 systemctl kill -s KILL -- "$UNIT"
    systemctl -q disable -- "$UNIT"
  fi
elif [ -e "$UNIT_FILE" ]; then sb_within 150 rc-service "$UNIT" stop; rc-update -q del "$UNIT" default; fi >/dev/null 2>&1
if sb_active; then echo "$UNIT does not stop: nothing was removed" >&2; exit 1; fi
if [ -x "$BIN" ] && { [ -d "$DATA" ] || [ -e "$UNIT_FILE" ]; }; then
  sb_within 600 "$BIN" reset --data-dir="$DATA" $FLAGS || exit 1
fi
sb_real=$(CDPATH= cd -P -- "$DATA" 2>/dev/null && pwd -P) || sb_real=$DATA
while read -r _ sb_at _; do
  case $sb_at in "$sb_real"|"$sb_real"/*) echo "still mounted, so nothing more was removed: $sb_at" >&2; exit 1 ;; esac
done </proc/mounts
rm -rf "$DATA" || exit 1
rm -f "$CONFIG" "$TOKEN" "$UNIT_FILE" "$ENV_FILE" || exit 1
for sb_d in "${ENV_FILE%/*}" "${CONFIG%/*}"; do
  case $sb_d in */conf.d) ;; *) rmdir "$sb_d" 2>/dev/null ;; esac
done
! sb_systemd || sb_within 60 systemctl daemon-reload
rm -f "$BIN" && rm -rf "$STORE"
"""


def waves(ctx: Context, options: K0sOptions, leader: Node | None) -> tuple[Wave, ...]:
    """What takes k0s off the leaving hosts: workers at once, then controllers from the last to the first."""
    hosts = tuple(host for host in ctx.reached if options.leaving(host))
    workers = tuple(_clean(options, h) for h in hosts if h.role == "worker")
    controllers = tuple(
        step
        for host in reversed(hosts)
        if host.role in CONTROLLERS
        for step in (*(_leave(ctx, options, host) if leader is None else ()), _clean(options, host))
    )
    ours = tuple(_ours(options, host) for host in hosts)
    told = tuple(_forget(ctx, leader, hosts)) if leader is not None and hosts else ()
    stages = (
        Wave("leaving", "Look at what is to be taken off", ours),
        Wave("forget", "Tell the cluster who leaves", told),
        Wave("reset-workers", "Take k0s off the workers", workers),
        Wave("reset-controllers", "Take k0s off the controllers", controllers, 1),
    )
    return tuple(wave for wave in stages if wave.steps)


def _values(options: K0sOptions, host: Host) -> str:
    binary, unit = options.binary(host), unit_of(host.role)
    other = "k0sworker" if unit == "k0scontroller" else "k0scontroller"
    return values(BIN=binary, DATA=options.data(host), STORE=store(binary), UNIT=unit) + (
        f"if [ -d /run/systemd/system ]; then UNIT_FILE=/etc/systemd/system/{unit}.service\n"
        f"  OTHER=/etc/systemd/system/{other}.service ENV_FILE={environment_file(unit, openrc=False)}\n"
        f"else UNIT_FILE=/etc/init.d/{unit} OTHER=/etc/init.d/{other} ENV_FILE={environment_file(unit, openrc=True)}; fi\n"
        + values(
            CONFIG=CONFIG,
            TOKEN=TOKEN,
            FLAGS=f"--kubelet-root-dir={options.kubelet_root_dir}" if options.kubelet_root_dir else "",
        )
        + LIBRARY
    )


def _ours(options: K0sOptions, host: Host) -> Step:
    script = _values(options, host) + _OURS
    return Run(
        id=f"reset/{host.name}/ours",
        host=host.name,
        title="make sure that its k0s is of our making",
        timeout=60.0,
        check=Succeeds(script),
        script=script,
    )


def _forget(ctx: Context, leader: Node, hosts: Sequence[Host]) -> Iterator[Step]:
    nodes = [node_name(h, ctx.facts.get(h.name)) for h in hosts if h.role in NODES]
    peers = [address_of(h, ctx.facts.get(h.name)) for h in hosts if h.role in CONTROLLERS]
    shown = [f"[{p}]" if ":" in p else p for p in peers if p]
    drain = leader.options.drain
    head = (
        values(
            BIN=leader.binary,
            DATA=leader.data,
            STORE=store(leader.binary),
            NODES=" ".join(nodes),
            PEERS=" ".join(shown),
            LIMIT=drain.timeout + 60,
        )
        + LIBRARY
        + _FORGET
    )
    yield Run(
        id=f"forget/{leader.name}/hosts",
        host=leader.name,
        title=f"take {' '.join(h.name for h in hosts)} out of the cluster",
        timeout=(drain.timeout + 180.0) * max(1, len(hosts)),
        check=Succeeds(head + "sb_told\n", timeout=120.0),
        script=head + _FORGETS.replace("@FLAGS@", k0s_drain.flags(drain)),
    )


def _leave(ctx: Context, options: K0sOptions, host: Host) -> Iterator[Step]:
    """Where no controller of this run stays, each leaves by itself before it is stopped."""
    place = address_of(host, ctx.facts.get(host.name))
    if not place:
        return
    alone = _values(options, host) + values(PEER=f"[{place}]" if ":" in place else place) + _LEAVE
    yield Run(
        id=f"reset/{host.name}/etcd",
        host=host.name,
        title="leave etcd while it lives",
        timeout=120.0,
        check=Succeeds(f"{alone}exit 1\n", timeout=60.0),
        script=alone + _LEAVES,
    )


def _clean(options: K0sOptions, host: Host) -> Step:
    head = _values(options, host)
    return Run(
        id=f"reset/{host.name}/clean",
        host=host.name,
        title="stop k0s, let it clean up, and remove what it kept",
        timeout=1200.0,
        check=Succeeds(head + _GONE),
        script=head + _CLEAN,
        detached=True,
    )
