"""Nodes emptied before their k0s changes, and made schedulable again: asked by a controller, told on the Node.

A node cannot empty itself: its kubelet may evict pods, and `kubectl drain` also reads the sets that own
them. So a controller does it, and the Node object carries the result (`k0s_shell.STATE`) to the job on
the node, which looks there before it changes anything. Whoever dies, what was done stays visible there.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from sealboot.drivers.k0s_options import DrainOptions
from sealboot.drivers.k0s_shell import LIBRARY, NODE_FORM, STATE, WHY, store, values


@dataclass(frozen=True, slots=True)
class Turn:
    """One node whose program is to become the one with this SHA-256."""

    node: str
    sha256: str

    @property
    def pair(self) -> str:
        """The node and the start of the digest, as the scripts take them."""
        return f"{self.node}={self.sha256[:12]}"


_LOOK = f"""
sb_look() {{ sb_api get node "$1" -o jsonpath="$FORM"; }}
sb_mark() {{ sb_api annotate --overwrite node "$1" "{STATE}=$2" "{WHY}=$3" >/dev/null; }}
"""

_DRAIN = r"""
# What we cordoned ourselves stays ours; what somebody else cordoned is theirs, and stays so (`.kept`).
sb_empty() {
  sb_seen=$(sb_look "$1") || { echo "$1: the API server does not tell of it" >&2; return; }
  sb_state=$(sb_field 2 "$sb_seen")
  case $(sb_field 1 "$sb_seen").$sb_state in
    *.kept|true.|true.runs.*|true.failed.*) sb_kept=.kept ;;
    *) sb_kept= ;;
  esac
  if [ "$(sb_field 1 "$sb_seen").$sb_state" = "true.drained.$2$sb_kept" ]; then return; fi
  sb_mark "$1" "draining.$2$sb_kept" '' && sb_api cordon "$1" >/dev/null &&
    sb_why=$(KUBECONFIG=$DATA/pki/admin.conf sb_within "$LIMIT" "$BIN" kubectl drain @FLAGS@ "$1" 2>&1) &&
    sb_mark "$1" "drained.$2$sb_kept" '' && { echo "$1 is drained"; return; }
  sb_why=$(printf '%s\n' "${sb_why:-it cannot be cordoned}" | grep -v '^WARNING' | tail -n 3 | cut -c 1-300 | tr '\n"' " '")
  echo "$1 is not drained: $sb_why" >&2
  [ -n "$sb_kept" ] || sb_api uncordon "$1" >/dev/null
  sb_mark "$1" "failed.$2$sb_kept" "$sb_why"
}
for sb_turn in $TURNS; do sb_empty "${sb_turn%%=*}" "${sb_turn#*=}" & done
wait
exit 0
"""

# Nodes that a run left cordoned: by a job whose kubelet may not uncordon, or by a controller that died.
_LEFT = r"""
sb_left() {
  for sb_node in $NODES; do
    sb_seen=$(sb_look "$sb_node" 2>/dev/null) || continue
    case $(sb_field 2 "$sb_seen") in
      done.*|undone.*|draining.*|drained.*) printf '%s=%s\n' "$sb_node" "$(sb_field 2 "$sb_seen")" ;;
    esac
  done
}
"""
_FREE = r"""
sb_bad=0
for sb_turn in $(sb_left); do
  sb_node=${sb_turn%%=*} sb_state=${sb_turn#*=}
  case $sb_state in *.kept) ;; *) sb_api uncordon "$sb_node" >/dev/null || sb_bad=1 ;; esac
  sb_id=${sb_state#*.}; sb_id=${sb_id%.kept}
  case $sb_state in done.*) sb_end=runs ;; *) sb_end=failed ;; esac
  sb_mark "$sb_node" "$sb_end.$sb_id" '' || sb_bad=1
done
exit $sb_bad
"""


def flags(options: DrainOptions) -> str:
    """The flags of `kubectl drain`, as words of a shell."""
    wait = options.skip_wait_for_delete_timeout
    said = [
        *(["--force"] if options.force == "true" else []),
        f"--grace-period={options.grace_period}",
        f"--timeout={options.timeout}s",
        *(["--delete-emptydir-data"] if options.delete_emptydir_data == "true" else []),
        "--ignore-daemonsets",
        *([f"--pod-selector={options.pod_selector}"] if options.pod_selector else []),
        *([f"--skip-wait-for-delete-timeout={wait}"] if wait else []),
    ]
    return " ".join(shlex.quote(flag) for flag in said)


def drain(binary: str, data: str, options: DrainOptions, turns: Iterable[Turn]) -> str:
    """Cordon and drain these nodes at once; each tells its own end, and a failed one is made schedulable again."""
    head = _head(binary, data, TURNS=" ".join(turn.pair for turn in turns), LIMIT=options.timeout + 60)
    return head + _LOOK + _DRAIN.replace("@FLAGS@", flags(options))


def none_left(binary: str, data: str, nodes: Iterable[str]) -> str:
    """Succeeds when no upgrade has left one of these nodes cordoned, or the API server does not answer."""
    return _head(binary, data, NODES=" ".join(nodes)) + _LOOK + _LEFT + '[ -z "$(sb_left)" ]\n'


def release(binary: str, data: str, nodes: Iterable[str]) -> str:
    """Make them schedulable, but for those that somebody else had cordoned."""
    return _head(binary, data, NODES=" ".join(nodes)) + _LOOK + _LEFT + _FREE


def _head(binary: str, data: str, **more: str | int) -> str:
    return values(BIN=binary, DATA=data, STORE=store(binary), FORM=NODE_FORM, **more) + LIBRARY
