"""POSIX shell functions that the engine's scripts share, and the names of what lies on a host.

Everything is written for the least shell and tools: dash or busybox ash, no
Python, no bash. Where a tool may be missing there is a chain of others.
"""

from __future__ import annotations

import hashlib
import secrets
import shlex
from dataclasses import dataclass

from sealboot.model.host import Host

#: Where a host keeps what the engine must remember, unless `paths.state` says otherwise.
DEFAULT_STATE = "/var/lib/sealboot"

#: Part of the name of every staged file, so that leftovers of dead runs can be told from other files.
STAGED = "sealboot-"

#: sb_hash FILE: its SHA-256 in hex; 127 where no tool is able to (fault matrix, row 30).
#: sb_stat FILE: what changes when the file does; nothing where `stat` is missing.
#: sb_sync PATH: to the disk before a rename makes it live.
#: sb_record FILE: remember the line on stdin atomically.
PRELUDE = r"""
umask 077
LC_ALL=C TZ=UTC0; export LC_ALL TZ
sb_has() { command -v "$1" >/dev/null 2>&1; }
sb_applet() { sb_has busybox && busybox --list 2>/dev/null | grep -qx "$1"; }
sb_hash() {
  if sb_has sha256sum; then sb_h=$(sha256sum <"$1")
  elif sb_applet sha256sum; then sb_h=$(busybox sha256sum <"$1")
  elif sb_has openssl; then sb_h=$(openssl dgst -sha256 -r <"$1")
  elif sb_has shasum; then sb_h=$(shasum -a 256 <"$1")
  else return 127; fi || return 1
  sb_h=${sb_h%% *}
  [ "${#sb_h}" -eq 64 ] && printf '%s\n' "$sb_h"
}
sb_stat() {
  sb_s=$(stat -c '%s:%y:%z:%i' -- "$1" 2>/dev/null) || return 0
  printf '%s\n' "$sb_s" | tr ' ' '_'
}
sb_mode() { stat -c %a -- "$1" 2>/dev/null; }
sb_sync() { sync "$1" 2>/dev/null || sync; }
sb_record() {
  mkdir -p "${1%/*}" && cat >"$1.new" && sb_sync "$1.new" && mv -f "$1.new" "$1"
}
sb_stamp() {
  sb_t=$(sb_stat "$1"); [ -n "$sb_t" ] || return 0
  printf '%s %s\n' "$2" "$sb_t" | sb_record "$3"
}
sb_known() {
  # The hash of FILE from its stamp when its stat is what it was, else by reading it.
  if [ -r "$2" ] && read -r sb_a sb_b <"$2" && [ -n "$sb_b" ] && [ "$sb_b" = "$(sb_stat "$1")" ]
  then printf '%s\n' "$sb_a"; else sb_hash "$1"; fi
}
sb_boot() { cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo none; }
sb_born() {
  # When a process started, in ticks since boot: with its id, the identity of a process.
  sb_p=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  sb_p=${sb_p##*) }; set -- $sb_p; shift 19; printf '%s\n' "$1"
}
sb_alive() { [ "$1" != "$$" ] && [ "$3" = "$(sb_boot)" ] && [ "$2" = "$(sb_born "$1")" ]; }
sb_flock() {
  if sb_has flock; then flock "$@"
  elif sb_applet flock; then busybox flock "$@"
  else return 127; fi
}
sb_can_flock() { sb_has flock || sb_applet flock; }
sb_systemd() { [ -d /run/systemd/system ] && sb_has systemctl; }
sb_openrc() { sb_has rc-service && sb_has rc-update; }
sb_within() {
  # Run the rest of the arguments for at most $1 seconds, where the host can limit that.
  sb_l=$1; shift
  if timeout 1 true 2>/dev/null; then timeout "$sb_l" "$@"; else "$@"; fi
}
"""


def key(text: str) -> str:
    """A file name that stands for `text` (a path, a step): 24 hex digits of its SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def quoted(*values: object) -> str:
    """The values as words of a POSIX shell command."""
    return " ".join(shlex.quote(str(value)) for value in values)


def nonce() -> str:
    """A fresh name that no other run has: 16 hex digits."""
    return secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class NodePaths:
    """Where things lie on one host.

    `state` belongs to one cluster; the lock lies above it where the default
    place is used, so that two clusters never work on one host together.
    """

    state: str
    lock: str

    @property
    def journal(self) -> str:
        """Lines of what was begun and what was done."""
        return f"{self.state}/journal"

    def stamp(self, path: str) -> str:
        """Where the hash of a live file is remembered."""
        return f"{self.state}/stamps/{key(path)}"

    def service(self, name: str) -> str:
        """Where the stamp of a service is remembered."""
        return f"{self.state}/services/{key(name)}"

    def previous(self, path: str) -> str:
        """The folder that keeps the file which `path` held before."""
        return f"{self.state}/previous/{key(path)}"

    @property
    def jobs(self) -> str:
        """The folder of detached jobs."""
        return f"{self.state}/jobs"

    @property
    def logs(self) -> str:
        """The folder of what detached jobs said that failed; gone once a run comes to its end."""
        return f"{self.state}/logs"


def node_paths(cluster: str, host: Host) -> NodePaths:
    """The engine's places on `host`: `paths.state`, or `/var/lib/sealboot/<cluster>`."""
    own = host.paths.get("state")
    if own:
        return NodePaths(state=own.rstrip("/") or own, lock=f"{own.rstrip('/')}/lock")
    return NodePaths(state=f"{DEFAULT_STATE}/{cluster}", lock=f"{DEFAULT_STATE}/lock")


def staged_name(dest: str, token: str) -> str:
    """The temporary name beside `dest`, in the same directory, so that a rename makes it live."""
    folder, _, name = dest.rpartition("/")
    return f"{folder}/.{name}.{STAGED}{token}"
