"""Shell text about detached jobs that both the lock and the jobs themselves need.

A job is a folder `jobs/<key>` with `log`, `lock`, `owner` (process id, its
start time, boot id), `title`, and `rc` once it ended.
"""

from __future__ import annotations

#: sb_job DIR: prints `running`, `ended STATUS`, `dead` (it ended and nobody knows how) or `none`.
#:
#: Running means: no exit status was recorded, and the job's lock is held or its process lives. The
#: status decides first, because a daemon that a finished job left behind inherits the lock; and it
#: is asked for again last, because a job may end between the first look and the look at its lock.
JOB_STATE = r"""
sb_rc() { [ -r "$1/rc" ] && read -r sb_r <"$1/rc" && echo "ended $sb_r"; }
sb_job() {
  [ -d "$1" ] || { echo none; return; }
  sb_rc "$1" && return
  [ -e "$1/lock" ] || { echo none; return; }
  if sb_can_flock && ! ( sb_flock -n 7 ) 7<"$1/lock"; then echo running; return; fi
  if [ -r "$1/owner" ] && read -r sb_i sb_j sb_k <"$1/owner" && sb_alive "$sb_i" "$sb_j" "$sb_k"
  then echo running; else sb_rc "$1" || echo dead; fi
}
"""
