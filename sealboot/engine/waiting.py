"""Wait on the host itself until something answers: one script, one deadline, no round trip for each try."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from sealboot.engine.context import StepEnd, Work
from sealboot.engine.failures import tail
from sealboot.engine.shell import PRELUDE
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.steps import WaitFor
from sealboot.transport.base import Result

#: Exit status of the script where no tool on the host can ask (EX_UNAVAILABLE of sysexits.h).
_NO_TOOL = 69
_LATE = 124
#: Bytes of what a script said that are read back.
_SAID = 8192

# $1 kind, $2 target, $3 interval, $4 seconds in all, $5 host or wanted status, $6 port.
#
# A TCP port is asked with the first tool that is there. Without any, a port of this very host is
# looked up among the kernel's listening sockets (state 0A in /proc/net/tcp, Linux proc(5)).
_WAIT = (
    PRELUDE
    + r"""
sb_listens() {
  sb_hex=$(printf ':%04X' "$1")
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | while read -r _ sb_addr _ sb_st _; do
    case $sb_addr in *"$sb_hex") [ "$sb_st" = 0A ] && echo y;; esac
  done | grep -q y
}
sb_local() { case $1 in localhost|127.*|::1|0.0.0.0|::) return 0;; esac; return 1; }
sb_nc() {
  # The small busybox has no -z; it runs a program once it is connected.
  sb_within 5 $1 -z -w 2 "$2" "$3" </dev/null >/dev/null 2>&1 ||
    sb_within 5 $1 -w 2 "$2" "$3" -e true </dev/null >/dev/null 2>&1
}
sb_tcp() {
  if sb_has bash; then sb_within 5 bash -c 'exec 3<>"/dev/tcp/$1/$2"' bash "$1" "$2" 2>/dev/null
  elif sb_has python3; then sb_within 5 python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 4).close()' "$1" "$2" 2>/dev/null
  elif sb_has nc; then sb_nc nc "$1" "$2"
  elif sb_applet nc; then sb_nc 'busybox nc' "$1" "$2"
  elif sb_has curl; then
    case $1 in *:*) sb_u="telnet://[$1]:$2";; *) sb_u="telnet://$1:$2";; esac
    sb_within 5 curl -s --connect-timeout 4 --max-time 4 "$sb_u" </dev/null >/dev/null 2>&1
    case $? in 0|28) return 0;; *) return 1;; esac
  elif sb_local "$1"; then sb_listens "$2"
  else exit 69; fi
}
sb_http() {
  # Readiness, not trust: nothing is sent, and the certificate of a service that just came up is its own.
  if sb_has curl; then
    sb_status=$(curl -k -s -o /dev/null -w '%{http_code}' --max-time 5 "$1" 2>/dev/null)
  elif sb_has wget || sb_applet wget; then
    sb_wget=wget; sb_has wget || sb_wget='busybox wget'
    # No -T: the static busybox 1.35 crashes on it.
    sb_k=; $sb_wget --help 2>&1 | grep -q no-check-certificate && sb_k=--no-check-certificate
    sb_status=$(sb_within 6 $sb_wget $sb_k -S -q -O /dev/null "$1" 2>&1 | sed -n 's|^ *HTTP/[0-9.]* \([0-9][0-9][0-9]\).*|\1|p' | tail -n 1)
    # An old busybox shows no status: that it succeeded is all there is to know.
    [ -z "$sb_status" ] && [ -z "$2" ] && sb_within 6 $sb_wget $sb_k -q -O /dev/null "$1" 2>/dev/null && sb_status=200
  elif sb_has python3; then
    sb_status=$(python3 -c 'import ssl, sys, urllib.error, urllib.request as u
try: print(u.urlopen(sys.argv[1], timeout=5, context=ssl._create_unverified_context()).status)
except urllib.error.HTTPError as e: print(e.code)' "$1" 2>/dev/null)
  else exit 69; fi
  case $sb_status in ''|000|*[!0-9]*) return 1;; esac
  sb_last="HTTP status $sb_status"
  if [ -n "$2" ]; then [ "$sb_status" = "$2" ]; else [ "$sb_status" -lt 400 ]; fi
}
sb_active() {
  if sb_systemd; then systemctl -q is-active -- "$1"
  elif sb_openrc; then rc-service "$1" status >/dev/null 2>&1
  else exit 69; fi
}
# What an attempt said that came to its end; one that the deadline cut off tells nothing, unless it is the only one.
sb_script() {
  sb_within "$sb_left" /bin/sh -c "$1" </dev/null >/dev/null 2>"$sb_file" 9>&-
  sb_c=$?
  [ "$sb_c" -ne 0 ] || return 0
  case $sb_c in 124|137|143) [ "$(sb_tick)" -lt "$sb_end" ] || sb_cut=1;; esac
  if [ -n "$sb_cut" ]; then
    [ -z "$sb_last" ] || return 1
    sb_last="no end within $sb_left s"
  else sb_last="exit status $sb_c"
  fi
  sb_said=$(tail -c "$sb_much" "$sb_file" 2>/dev/null)
  return 1
}
sb_try() {
  case $1 in
    tcp) sb_tcp "$5" "$6";;
    http) sb_http "$2" "$5";;
    file) [ -e "$2" ];;
    script) sb_script "$2";;
    service) sb_active "$2";;
  esac
}
sb_last= sb_said= sb_cut= sb_much=@MUCH@
# Without a name, so that nothing is left behind, however this ends.
if sb_name=$(mktemp 2>/dev/null) && exec 9>"$sb_name"; then rm -f "$sb_name"; fi
sb_file=/proc/$$/fd/9; [ -w "$sb_file" ] || sb_file=/dev/null
# Uptime, because the clock of a machine that just came up may be set while we wait.
sb_tick() { if read -r sb_up _ </proc/uptime; then echo "${sb_up%%.*}"; else date +%s; fi; }
sb_end=$(( $(sb_tick) + $4 ))
while :; do
  sb_left=$(( sb_end - $(sb_tick) )); [ "$sb_left" -gt 0 ] || sb_left=1
  sb_try "$@" && exit 0
  [ "$(sb_tick)" -lt "$sb_end" ] || { printf '%s\n' "$sb_last"; printf '%s\n' "$sb_said" >&2; exit 124; }
  sleep "$3" 2>/dev/null || sleep 1
done
"""
).replace("@MUCH@", str(_SAID))


async def wait_for(work: Work, step: WaitFor) -> StepEnd:
    """Wait; SB514 when it does not come within the step's time, SB519 where the host cannot ask."""
    asked = _question(step)
    if asked is None:
        bad = f"{step.title}: {step.target!r} is no {_FORMS.get(step.kind, step.kind)}"
        return StepEnd("failed", Diagnostic("SB519", bad, host=work.host))
    interval = f"{max(0.05, step.interval):g}"
    result = await work.session.run(
        _WAIT,
        args=(step.kind, step.target, interval, str(max(1, round(step.timeout))), *asked),
        become=step.become,
        timeout=step.timeout + 20.0,
    )
    if result.ok:
        return StepEnd("same")
    if result.ending == "exited" and result.exit_status == _LATE:
        return StepEnd("failed", _late(work.host, step, result))
    if result.ending == "exited" and result.exit_status == _NO_TOOL:
        none = f"{step.title}: no tool on {work.host} can ask {step.kind} {step.target}"
        hints = ("install curl or bash there, or wait with a script",)
        return StepEnd("failed", Diagnostic("SB519", none, host=work.host, hints=hints))
    return work.ended(step, result)


_FORMS = {"tcp": "host:port", "http": "http or https URL"}
_HOST = re.compile(r"[0-9A-Za-z_.:%-]{1,255}")


def _question(step: WaitFor) -> tuple[str, ...] | None:
    """The rest of the script's arguments; `None` for a target that is not what its kind needs."""
    match step.kind:
        case "tcp":
            host, _, port = step.target.rpartition(":")
            host = host.removeprefix("[").removesuffix("]")
            usable = _HOST.fullmatch(host) and not host.startswith("-")
            return (host, port) if usable and port.isascii() and port.isdigit() else None
        case "http":
            usable = urlsplit(step.target).scheme in {"http", "https"}
            return ("" if step.status is None else str(step.status),) if usable else None
        case _:
            return ()


def _late(host: str, step: WaitFor, result: Result) -> Diagnostic:
    last, said = result.text.strip(), result.error_text
    if len(result.stderr) >= _SAID:
        said = said.partition("\n")[2]  # of a longer line only the end is there
    rows = [("waited for", f"{step.kind} {step.target}")] if step.kind != "script" else []
    rows += [("last answer", last)] if last else []
    rows += [("error", tail(said))] if said.strip() else []
    return Diagnostic(
        "SB514", f"{step.title}: not within {step.timeout:g} s", host=host, evidence=tuple(rows)
    )
