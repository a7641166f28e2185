"""The shell scripts behind the host lock: take and hold it, show its holder, release it."""

from __future__ import annotations

from sealboot.engine.jobscript import JOB_STATE
from sealboot.engine.shell import PRELUDE

# $1 lock file, $2 state directory, $3 holder text (lines), $4 ready word; the rest: keys of jobs
# that this run adopts.
HOLD = (
    PRELUDE
    + JOB_STATE
    + r"""
sb_lock=$1 sb_state=$2 sb_text=$3 sb_ready=$4; shift 4
mkdir -p "${sb_lock%/*}" "$sb_state" || exit 73
sb_busy() { cat "$sb_lock.holder" 2>/dev/null; exit 75; }
sb_me="$$ $(sb_born $$) $(sb_boot)"
if sb_can_flock; then
  exec 9>>"$sb_lock" || exit 73
  sb_flock -n 9 || sb_busy
else
  printf '%s\n' "$sb_me" >"$sb_lock.$$" || exit 73
  if ! ln "$sb_lock.$$" "$sb_lock.pid" 2>/dev/null; then
    if read -r sb_1 sb_2 sb_3 <"$sb_lock.pid" && sb_alive "$sb_1" "$sb_2" "$sb_3"; then rm -f "$sb_lock.$$"; sb_busy; fi
    mv "$sb_lock.pid" "$sb_lock.dead.$$" 2>/dev/null
    if [ "$(cat "$sb_lock.dead.$$" 2>/dev/null)" != "$sb_1 $sb_2 $sb_3" ]; then
      ln "$sb_lock.dead.$$" "$sb_lock.pid" 2>/dev/null; rm -f "$sb_lock.$$" "$sb_lock.dead.$$"; sb_busy
    fi
    rm -f "$sb_lock.dead.$$"
    ln "$sb_lock.$$" "$sb_lock.pid" 2>/dev/null || { rm -f "$sb_lock.$$"; sb_busy; }
  fi
  rm -f "$sb_lock.$$"
fi
sb_let_go() {
  grep -qx "token=$sb_ready" "$sb_lock.holder" 2>/dev/null && rm -f "$sb_lock.holder"
  sb_can_flock || rm -f "$sb_lock.pid"
}
for sb_d in "$sb_state"/jobs/* "${sb_lock%/*}"/*/jobs/*; do
  [ -d "$sb_d" ] && [ "$(sb_job "$sb_d")" = running ] || continue
  sb_mine=0
  for sb_a in "$@"; do [ "$sb_d" = "$sb_state/jobs/$sb_a" ] && sb_mine=1; done
  [ "$sb_mine" = 1 ] && continue
  cat "$sb_d/holder" 2>/dev/null
  printf 'job=%s\n' "$(cat "$sb_d/title" 2>/dev/null)"
  sb_can_flock || rm -f "$sb_lock.pid"
  exit 75
done
{ printf '%s\n' "$sb_text"; printf 'pid=%s\nboot=%s\nsince=%s\nfrom=%s\ntoken=%s\n' \
  "$$ $(sb_born $$)" "$(sb_boot)" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "${SSH_CONNECTION%% *}" "$sb_ready"
} | sb_record "$sb_lock.holder" || { sb_let_go; exit 73; }
trap 'sb_let_go; exit 0' HUP INT TERM PIPE
printf '%s\n' "$sb_ready"
cat >/dev/null
sb_let_go
"""
)

# $1 lock file, $2 state directory. Prints the holder's text, `state=held` or `state=free`, and running jobs.
STATUS = (
    PRELUDE
    + JOB_STATE
    + r"""
sb_held=free
if sb_can_flock; then
  [ -e "$1" ] && ! ( sb_flock -n 9 ) 9<"$1" && sb_held=held
elif [ -r "$1.pid" ] && read -r sb_1 sb_2 sb_3 <"$1.pid" && sb_alive "$sb_1" "$sb_2" "$sb_3"; then sb_held=held
fi
[ "$sb_held" = held ] && cat "$1.holder" 2>/dev/null
for sb_d in "$2"/jobs/* "${1%/*}"/*/jobs/*; do
  [ -d "$sb_d" ] && [ "$(sb_job "$sb_d")" = running ] || continue
  [ "$sb_held" = held ] || { cat "$sb_d/holder" 2>/dev/null; sb_held=held; }
  printf 'job=%s\n' "$(cat "$sb_d/title" 2>/dev/null)"
done
printf 'state=%s\n' "$sb_held"
"""
)

# $1 lock file, $2 run id. Ends the process that holds the lock for that run.
RELEASE = (
    PRELUDE
    + r"""
grep -qxF "run=$2" "$1.holder" 2>/dev/null || exit 3
sb_1=$(sed -n 's/^pid=//p' "$1.holder")
sb_2=${sb_1#* } sb_1=${sb_1%% *}
sb_3=$(sed -n 's/^boot=//p' "$1.holder")
case $sb_1 in ''|*[!0-9]*|0|1) exit 4;; esac
if sb_alive "$sb_1" "$sb_2" "$sb_3"; then
  # Its child holds the lock too: the `cat` that waits for the end of the connection.
  for sb_c in $(cat "/proc/$sb_1/task/$sb_1/children" 2>/dev/null); do kill "$sb_c" 2>/dev/null; done
  kill "$sb_1" 2>/dev/null
  sb_n=0
  while sb_alive "$sb_1" "$sb_2" "$sb_3"; do
    sb_n=$((sb_n + 1)); [ "$sb_n" -gt 5 ] && kill -9 "$sb_1" 2>/dev/null; [ "$sb_n" -gt 8 ] && exit 5
    sleep 0.1 2>/dev/null || sleep 1
  done
fi
rm -f "$1.holder"
exit 0
"""
)
