"""Services through the host's own init system: systemd or OpenRC."""

from __future__ import annotations

from sealboot.engine.context import StepEnd, Work
from sealboot.engine.failures import quotes, step_failed
from sealboot.engine.shell import PRELUDE
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.steps import Service

# $1 name, $2 state, $3 enabled (1, 0, empty), $4 daemon-reload, $5 seconds, $6 stamp, $7 stamp file,
# $8 no-block. A queued job counts as under way; a program that the kernel refused (203) or that ends
# again and again does not get better by waiting.
# The stamp is forgotten before the first change and written after the last: a run that is cut off
# between them restarts again.
_SERVICE = (
    PRELUDE
    + r"""
sb_name=$1
sb_fail() {
  if sb_systemd && sb_has journalctl; then
    sb_within 10 journalctl -u "$sb_name" -n 50 --no-pager -q -o cat 2>/dev/null
  fi
  exit 1
}
sb_ctl() { sb_within "$sb_left" systemctl --no-ask-password "$@"; }
# A job that is queued or runs; only of interest where nobody waited for it.
sb_jobs() { [ "$sb_poll" = 1 ] && systemctl show -p Job -- "$1" | grep -v '^Job=0*$'; }
sb_hopeless() {
  if [ "$(systemctl show -p ExecMainStatus -- "$1")" = ExecMainStatus=203 ]; then
    echo 'the kernel refused to start the program (203/EXEC)' >&2; return 0
  fi
  sb_starts=$(systemctl show -p NRestarts -- "$1")
  case ${sb_starts#NRestarts=} in ''|*[!0-9]*|[0-4]) return 1;; esac
  echo 'it ended and was started again, five times' >&2
}
# A daemon inherits the mask of whoever started it.
sb_rcs() { ( umask 022; sb_within "$sb_left" rc-service "$@" ); }
sb_poll=$8
sb_left=$5
rm -f "$7"
if sb_systemd; then
  if [ "$4" = 1 ]; then sb_ctl daemon-reload || sb_fail; fi
  case $3 in 1) sb_ctl -q enable -- "$1" || sb_fail;; 0) sb_ctl -q disable -- "$1" || sb_fail;; esac
  case $2 in
    stopped) sb_ctl stop -- "$1" || sb_fail;;
    *)
      systemctl -q reset-failed -- "$1" 2>/dev/null
      sb_verb=start; if [ "$2" = restarted ] || [ -n "$6" ]; then sb_verb=restart; fi
      if [ "$8" = 1 ]; then sb_ctl --no-block "$sb_verb" -- "$1"; else sb_ctl "$sb_verb" -- "$1"; fi || sb_fail
      sb_until=$(( $(date +%s) + $5 ))
      # The job first: a state that is read before a job ends is not the one it ended in.
      while sb_job=$(sb_jobs "$1"); sb_now=$(systemctl show -p ActiveState -- "$1")
        [ "$sb_now" != ActiveState=active ] || [ -n "$sb_job" ]; do
        case $sb_now$sb_job in *activating|*reloading|*Job=*) ;; *) echo "$sb_now" >&2; sb_fail;; esac
        if [ "$8" = 1 ] && [ -z "$sb_job" ] && sb_hopeless "$1"; then sb_fail; fi
        [ "$(date +%s)" -lt "$sb_until" ] || sb_fail
        sleep 0.2 2>/dev/null || sleep 1
      done;;
  esac
elif sb_openrc; then
  case $3 in 1) rc-update -q add "$1" default || sb_fail;; 0) rc-update -q del "$1" default || :;; esac
  case $2 in
    stopped) sb_rcs "$1" stop || sb_fail;;
    started) if [ -n "$6" ]; then sb_rcs "$1" restart; else sb_rcs "$1" start; fi || sb_fail;;
    restarted) sb_rcs "$1" restart || sb_fail;;
  esac
  [ "$2" = stopped ] || rc-service "$1" status >/dev/null 2>&1 || sb_fail
else exit 78; fi
if [ -n "$6" ] && [ "$2" != stopped ]; then printf '%s\n' "$6" | sb_record "$7"; fi
exit 0
"""
)
#: Exit status of the script where neither init system runs (EX_CONFIG of sysexits.h).
_NO_INIT = 78


async def service(work: Work, step: Service) -> StepEnd:
    """Bring a service into its state; on failure its last journal lines are the evidence.

    A `started` service with a stamp is restarted: its check failed, so either
    it does not run or it runs from files that were replaced. SB511 where the
    host has neither systemd nor OpenRC.
    """
    enabled = "" if step.enabled is None else str(int(step.enabled))
    limit = max(5, round(step.timeout - 10))
    result = await work.session.run(
        _SERVICE,
        args=(
            step.name,
            step.state,
            enabled,
            str(int(step.daemon_reload)),
            str(limit),
            step.stamp,
            work.paths.service(step.name),
            str(int(step.no_block)),
        ),
        become=step.become,
        timeout=step.timeout + 20.0,
    )
    if result.ok:
        return StepEnd("changed")
    if result.ending == "exited" and result.exit_status == _NO_INIT:
        why = f"{step.title}: neither systemd nor OpenRC runs on {work.host}"
        return StepEnd("failed", Diagnostic("SB511", why, host=work.host))
    if result.ending == "exited":
        why = f"the service {step.name} could not be {step.state}"
        hints = (f"on the host: systemctl status {step.name}",)
        return StepEnd(
            "failed", step_failed(work.host, step.title, why, evidence=quotes(result), hints=hints)
        )
    return work.ended(step, result)
