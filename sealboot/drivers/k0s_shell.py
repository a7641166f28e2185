"""Shell functions that the scripts of the `k0s` driver share: what is there, what runs, what the API says of a node.

POSIX, for dash and busybox ash. A script is the values that it works on (`values`), `LIBRARY`, and its
own text; `BIN` is the program, `DATA` the data directory, `STORE` the folder beside the program where
we keep what is staged, what was proven, and what came before.
"""

from __future__ import annotations

import shlex
from typing import Final

#: Our folder beside the program: one file system, so that renames are whole.
STORE_NAME: Final = ".sealboot-k0s"
#: Where an upgrade writes down on the Node object how far it is: `draining.ID`, `drained.ID`, `done.ID`
#: (works, to be made schedulable), `undone.ID` (rolled back, likewise), `runs.ID`, `failed.ID`,
#: `broken.ID`; ID is the start of the program's SHA-256. `.kept` at the end: it was cordoned before us.
STATE: Final = "sealboot/k0s"
#: Why it failed, in words of kubectl.
WHY: Final = "sealboot/why"
#: What is asked about a node, in one form everywhere: unschedulable, state, kubelet's
#: version, Ready, when its kubelet last said so.
NODE_FORM: Final = (
    "{.spec.unschedulable}|{.metadata.annotations." + STATE + "}|{.status.nodeInfo.kubeletVersion}|"
    '{range .status.conditions[?(@.type=="Ready")]}{.status}|{.lastHeartbeatTime}{end}'
)

LIBRARY: Final = r"""
set -u
umask 077
LC_ALL=C TZ=UTC0; export LC_ALL TZ
sb_has() { command -v "$1" >/dev/null 2>&1; }
sb_within() {
  sb_l=$1; shift
  if timeout 1 true 2>/dev/null; then timeout "$sb_l" "$@"; else "$@"; fi
}
sb_sum() {
  if sb_has sha256sum; then sb_h=$(sha256sum <"$1"); else sb_h=$(busybox sha256sum <"$1"); fi 2>/dev/null || return 1
  printf '%s\n' "${sb_h%% *}"
}
sb_stat() { stat -c '%s:%y:%z:%i' -- "$1" 2>/dev/null | tr ' ' '_'; }
sb_sync() { sync "$1" 2>/dev/null || sync; }
sb_file() { [ -f "$1" ] && [ ! -L "$1" ] && [ "$(sb_sum "$1")" = "$2" ]; }
# The SHA-256 of the program: from what was proven while its stat is what it was, else by reading it.
sb_program() {
  [ -f "$BIN" ] && [ ! -L "$BIN" ] || return 1
  { read -r _ sb_a sb_b _ <"$STORE/runs"; } 2>/dev/null || sb_b=
  if [ -n "$sb_b" ] && [ "$sb_b" = "$(sb_stat "$BIN")" ]; then printf '%s\n' "$sb_a"; else sb_sum "$BIN"; fi
}
sb_systemd() { [ -d /run/systemd/system ] && sb_has systemctl; }
sb_active() {
  if sb_systemd; then systemctl -q is-active -- "$UNIT"; else rc-service "$UNIT" status >/dev/null 2>&1; fi
}
sb_enabled() {
  if sb_systemd; then systemctl -q is-enabled -- "$UNIT" 2>/dev/null
  else rc-update show default 2>/dev/null | grep -q "^ *$UNIT "; fi
}
# What `k0s status` says, without blanks; of the program that runs, whichever file it came from.
sb_status() { sb_within 20 "$BIN" status -o json 2>/dev/null | tr -d ' \t\r\n'; }
sb_version() { case $1 in *'"Version":"'*) sb_v=${1#*'"Version":"'}; printf '%s\n' "${sb_v%%'"'*}" ;; esac; }
sb_args() { printf '%s\n' "$1" | sed -n 's/.*"Args":\(\[[^]]*\]\).*/\1/p'; }
# The kubelet's own credentials: enough to read, annotate and uncordon its own node.
sb_kubelet() { sb_within 30 "$BIN" kubectl --kubeconfig "$DATA/kubelet.conf" "$@"; }
sb_node() { sb_kubelet get node "$NODE" -o jsonpath='@NODE_FORM@'; }
sb_api() { KUBECONFIG=$DATA/pki/admin.conf sb_within 60 "$BIN" kubectl "$@"; }
sb_field() { printf '%s\n' "$2" | cut -d '|' -f "$1"; }
""".replace("@NODE_FORM@", NODE_FORM)


def values(**said: str | int) -> str:
    """Assignments for the beginning of a script."""
    return "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in said.items())


def store(binary: str) -> str:
    """The folder beside the program."""
    return f"{binary.rpartition('/')[0]}/{STORE_NAME}"
