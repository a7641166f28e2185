"""The one step that changes a running k0s: stop, swap, install, start, prove; or everything put back as it was.

It runs detached on the host itself, so that it ends well whether or not the machine that asked for it
lives. `doing` is its memory and is written before what it tells of:

    (none)                          nothing has changed; what must hold first is asked now
    first  -    DIGEST              nothing came before: there is nothing to put back
    swap   OLD  DIGEST              what was there is in `previous`, whole; files may be the old or the new ones
    wait   OLD  DIGEST  SINCE       all files are new and the service was started at SINCE (UTC)
    undo   OLD  DIGEST              it is being put back

Killed between any two lines, or its power cut, the next run finds each live path whole (files appear by
a rename) and one of these lines. `first` and `swap` are done again from the stop on; `wait` only asks for
health, where the service still runs these very files; `undo` is finished first, and is reported. Only a
proof of health writes `runs`, which says what works; only then is `doing` removed. `previous` is made
under another name and renamed before `swap` is written, so that it is never half a copy.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sealboot.drivers.k0s_config import CONFIG
from sealboot.drivers.k0s_shell import LIBRARY, STATE, WHY, store, values

#: EX_DATAERR of sysexits.h: something is not as it must be, and nothing was changed.
REFUSED: Final = 65

# -- is it as it should be? -----------------------------------------------------------------------------

_SAME = r"""
sb_installed() { printf '%s %s\n' "$WORDS" "$(sb_sum "$UNIT_FILE")"; }
sb_kept_word() { cat "$STORE/$1" 2>/dev/null; }
sb_config() {
  [ -z "$CONFIG_SHA" ] || { sb_file "$CONFIG" "$CONFIG_SHA" && [ "$(stat -c %a "$CONFIG")" = 600 ]; }
}
sb_env() { if [ -n "$ENV_SHA" ]; then sb_file "$ENV_FILE" "$ENV_SHA"; else [ ! -e "$ENV_FILE" ]; fi; }
sb_unit() { [ -e "$UNIT_FILE" ] && [ "$(sb_kept_word installed)" = "$(sb_installed)" ]; }
sb_files() { [ "$(sb_program)" = "$SHA" ] && sb_config && sb_env && sb_unit; }
# The program that runs is the release that it should be, in the role that it should have.
sb_right() {
  sb_said=$(sb_status)
  [ -n "$sb_said" ] || { sb_last='k0s status does not answer'; return 1; }
  sb_v=$(sb_version "$sb_said")
  case $1 in ''|"$sb_v") ;; *) sb_last="k0s status says $sb_v, not $1"; return 1 ;; esac
  for sb_want in $SAYS; do
    case $sb_said in *"$sb_want"*) ;; *) sb_last="k0s status does not say $sb_want"; return 1 ;; esac
  done
}
"""

_DONE = r"""
[ ! -e "$STORE/doing" ] || exit 1
read -r sb_digest sb_rest 2>/dev/null <"$STORE/runs" || exit 1
[ "$sb_digest" = "$DIGEST" ] && sb_files && sb_active && sb_enabled && sb_right "$VERSION" || exit 1
# Flags that somebody else gave it differ from those that were proven.
[ "$(sb_args "$sb_said")" = "$(sb_kept_word args)" ]
"""

# -- the way there ----------------------------------------------------------------------------------------

_STEPS = r"""
sb_say() { printf '%s\n' "$*" >&2; }
sb_refuse() { sb_say "$*: nothing was changed"; exit 65; }
sb_record() { cat >"$1.new" && sb_sync "$1.new" && mv -f "$1.new" "$1" && sb_sync "$STORE"; }
sb_note() { printf '%s\n' "$*" | sb_record "$STORE/doing"; }
sb_tick() { if read -r sb_up _ </proc/uptime; then echo "${sb_up%%.*}"; else date +%s; fi; }
# So much of it as a finding shows.
sb_log() {
  if sb_systemd && sb_has journalctl; then sb_within 10 journalctl -u "$UNIT" -n 12 --no-pager -q -o cat
  else tail -q -n 6 "/var/log/$UNIT.err" "/var/log/$UNIT.log"; fi 2>/dev/null | cut -c 1-140
}
sb_stop() {
  if sb_systemd; then
    [ "$(systemctl show -p LoadState -- "$UNIT")" = LoadState=loaded ] || return 0
    sb_within 150 systemctl --no-ask-password stop -- "$UNIT" || sb_within 60 systemctl kill -s KILL -- "$UNIT"
    ! systemctl -q is-active -- "$UNIT"
  else
    [ -e "$UNIT_FILE" ] || return 0
    sb_within 150 rc-service "$UNIT" stop >/dev/null 2>&1; ! sb_active
  fi
}
# Told, and not waited for: the unit has no limit of its own. What waits is `sb_healthy`.
sb_start() {
  if sb_systemd; then
    sb_within 60 systemctl --no-ask-password daemon-reload && sb_within 60 systemctl -q --no-ask-password enable -- "$UNIT" || return 1
    systemctl -q reset-failed -- "$UNIT" 2>/dev/null
    sb_within 60 systemctl --no-ask-password --no-block start -- "$UNIT"
  else
    rc-update -q add "$UNIT" default; ( umask 022; sb_within 120 rc-service "$UNIT" start >/dev/null )
  fi
}
# Its unit starts it again ten seconds after each end (RestartSec=10): one that waits for others comes up before that.
sb_hopeless() {
  sb_systemd || return 1
  if [ "$(systemctl show -p ExecMainStatus -- "$UNIT")" = ExecMainStatus=203 ]; then
    sb_last='the kernel refused to start the program (203/EXEC)'; return 0
  fi
  sb_starts=$(systemctl show -p NRestarts -- "$UNIT")
  case ${sb_starts#NRestarts=} in ''|*[!0-9]*|[0-4]) return 1 ;; esac
  sb_last='it ended and was started again, five times'
}
# A Node that says Ready may say so from before: its kubelet must have said it since the start.
sb_ready_node() {
  [ -n "$NODE" ] || return 0
  sb_seen=$(sb_node) || { sb_last="the API server does not tell of node $NODE"; return 1; }
  [ "$(sb_field 4 "$sb_seen")" = True ] || { sb_last="node $NODE is not Ready"; return 1; }
  case $2.$(sb_field 3 "$sb_seen") in .*|"$2.${2%%+*}"|"$2.${2%%+*}"[+-]*) ;; *)
    sb_last="the kubelet of $NODE is another release"; return 1 ;; esac
  sb_beat=$(sb_field 5 "$sb_seen" | tr -cd 0-9)
  [ "${sb_beat:-0}" -ge "$1" ] || { sb_last="the kubelet of $NODE has not said that it is Ready since the start"; return 1; }
}
sb_ready_api() {
  [ "$API" = 1 ] || return 0
  [ "$(sb_api get --raw=/readyz 2>/dev/null)" = ok ] || { sb_last='/readyz does not answer ok'; return 1; }
}
# $1 release, $2 since when.
sb_healthy() {
  sb_until=$(( $(sb_tick) + LIMIT ))
  until sb_active && sb_right "$1" && sb_ready_api && sb_ready_node "$2" "$1"; do
    ! sb_hopeless || return 1
    if [ "$(sb_tick)" -ge "$sb_until" ]; then sb_last="not within $LIMIT s: ${sb_last:-the service does not run}"; return 1; fi
    sleep 0.5 2>/dev/null || sleep 1
  done
}
# $1 staged, $2 live, $3 mode: whole, by a rename in its own directory.
sb_put() {
  ( umask 022; mkdir -p "${2%/*}" ) && cp -p "$1" "$2.sealboot-new" && chmod "$3" "$2.sealboot-new" &&
    sb_sync "$2.sealboot-new" && mv -f "$2.sealboot-new" "$2" && sb_sync "${2%/*}" || return 1
  if [ -d /sys/fs/selinux ] && sb_has restorecon; then restorecon "$2" 2>/dev/null; fi
  return 0
}
sb_link() {
  rm -f "$2"; ln "$1" "$2" 2>/dev/null || cp -p "$1" "$2" || return 1
  sb_sync "$2"
}
"""

# What was there, as one folder that appears by a rename.
_KEEP = r"""
sb_keep() {
  sb_k=$STORE/previous.new
  rm -rf "$sb_k" && mkdir "$sb_k" && sb_link "$BIN" "$sb_k/k0s" || return 1
  stat -c %a "$BIN" >"$sb_k/mode" && printf '%s\n' "$1" >"$sb_k/sha" || return 1
  sb_version "$(sb_status)" >"$sb_k/version"
  for sb_f in "config $CONFIG" "env $ENV_FILE" "unit $UNIT_FILE" "installed $STORE/installed"; do
    [ ! -e "${sb_f#* }" ] || cp -p "${sb_f#* }" "$sb_k/${sb_f%% *}" || return 1
  done
  sync
  rm -rf "$STORE/previous" && mv "$sb_k" "$STORE/previous" && sb_sync "$STORE"
}
# Back to it, byte for byte. It leaves the node cordoned where even that is not well.
sb_undo() {
  sb_p=$STORE/previous
  sb_old=$(cat "$sb_p/sha" 2>/dev/null) && [ "$(sb_sum "$sb_p/k0s")" = "$sb_old" ] || {
    sb_say 'the kept k0s is gone or damaged, so that nothing was put back'; sb_told broken "$sb_last"
    rm -f "$STORE/doing"; return 1; }
  sb_stop || sb_say "$UNIT does not stop"
  if ! sb_file "$BIN" "$sb_old"; then
    sb_link "$sb_p/k0s" "$BIN.sealboot-new" && chmod "$(cat "$sb_p/mode")" "$BIN.sealboot-new" &&
      mv -f "$BIN.sealboot-new" "$BIN" && sb_sync "${BIN%/*}" || { sb_say "$BIN could not be put back"; return 1; }
  fi
  for sb_f in "config $CONFIG" "env $ENV_FILE" "unit $UNIT_FILE" "installed $STORE/installed"; do
    if [ -e "$sb_p/${sb_f%% *}" ]; then sb_put "$sb_p/${sb_f%% *}" "${sb_f#* }" "$(stat -c %a "$sb_p/${sb_f%% *}")"
    else rm -f "${sb_f#* }"; fi || sb_say "${sb_f#* } could not be put back"
  done
  sb_why=$sb_last
  sb_now=$(date +%Y%m%d%H%M%S)
  sb_start
  if sb_healthy "$(cat "$sb_p/version")" "$sb_now"; then
    sb_told undone "$sb_why"
    sb_say "rolled back: $BIN is sha256 $sb_old again, and works"
  else
    sb_told broken "$sb_why"
    sb_say "rolled back: $BIN is sha256 $sb_old again, and does not work either: $sb_last"
  fi
  rm -f "$STORE/doing"
}
"""

# How far it is, on the node object; and schedulable again unless somebody else had cordoned it.
_TOLD = r"""
sb_told() {
  [ -n "$NODE" ] && [ -e "$DATA/kubelet.conf" ] || return 0
  sb_seen=$(sb_node) || return 0
  case $(sb_field 2 "$sb_seen") in *.kept) sb_kept=.kept ;; *) sb_kept= ;; esac
  case $(sb_field 2 "$sb_seen") in draining.*|drained.*|done.*|undone.*|broken.*) ;; *) [ "$1" != done ] || return 0 ;; esac
  sb_kubelet annotate --overwrite node "$NODE" "@STATE@=$1.$ID$sb_kept" "@WHY@=$2" >/dev/null || return 0
  case $1 in done) sb_end=runs ;; undone) sb_end=failed ;; *) return 0 ;; esac
  # Refused: the controller that drained it makes it schedulable.
  if [ -z "$sb_kept" ]; then sb_kubelet uncordon "$NODE" >/dev/null || return 0; fi
  sb_kubelet annotate --overwrite node "$NODE" "@STATE@=$sb_end.$ID" >/dev/null || return 0
}
# An API server that is older than its kubelet is not supported.
sb_api_first() {
  [ -n "$VERSION" ] || return 0
  sb_said=$(sb_kubelet get --raw=/version | tr -d ' \t\r\n') || sb_refuse 'the API server does not tell its release'
  case $sb_said in *'"gitVersion":"'*) ;; *) sb_refuse 'the API server does not tell its release' ;; esac
  sb_v=${sb_said#*'"gitVersion":"v'}; sb_v=${sb_v%%'"'*}
  sb_x=${VERSION#v}; sb_x=${sb_x#*.}; sb_y=${sb_v#*.}
  [ "${sb_x%%.*}" -le "${sb_y%%.*}" ] || sb_refuse "the API server is v$sb_v and older than $VERSION: the controllers go first"
}
sb_drained() {
  sb_seen=$(sb_node) || sb_refuse "the API server does not tell of node $NODE"
  sb_state=$(sb_field 2 "$sb_seen")
  case $(sb_field 1 "$sb_seen").$sb_state in
    true.drained."$ID"|true.drained."$ID".kept) return 0 ;;
    *.failed."$ID"*) sb_refuse "$NODE was not drained ($(sb_kubelet get node "$NODE" -o jsonpath='{.metadata.annotations.@WHY@}'))" ;;
  esac
  sb_refuse "$NODE was not drained: a controller of this run has to do it"
}
""".replace("@STATE@", STATE).replace("@WHY@", WHY)

_GO = r"""
sb_last=
( umask 022; mkdir -p "$STORE" "${CONFIG%/*}" ) || exit 73
sb_phase= sb_old= sb_want= sb_since=
[ ! -e "$STORE/doing" ] || read -r sb_phase sb_old sb_want sb_since <"$STORE/doing"
if [ "$sb_phase" = undo ]; then
  sb_last='a rollback was cut off'
  sb_undo
  sb_say 'a rollback that was cut off is finished; run again to try anew'
  exit 1
fi
sb_now=$(sb_program) || sb_now=
if [ "$sb_now" != "$SHA" ]; then
  sb_file "$STORE/k0s.next" "$SHA" || sb_refuse 'the staged k0s is not the one that was proved'
  # A node that has joined: what nobody has emptied is not touched, whatever the plan knew.
  if [ -z "$sb_phase" ] && [ -n "$sb_now" ] && [ -n "$NODE" ] && [ -e "$DATA/kubelet.conf" ]; then
    [ "$API" = 1 ] || sb_api_first
    [ "$DRAIN" = 0 ] || sb_drained
  fi
fi
sb_config || sb_file "$STORE/k0s.yaml.next" "$CONFIG_SHA" || sb_refuse 'the staged k0s.yaml is not the one that was proved'
sb_env || [ -z "$ENV_SHA" ] || sb_file "$STORE/env.next" "$ENV_SHA" || sb_refuse 'the staged environment is not the one that was planned'
# A token is good for one try: the next one gets another (its file is then newer than this).
[ -e "$STORE/runs" ] || : >"$STORE/joining"

if [ "$sb_phase" != wait ] || [ "$sb_want" != "$DIGEST" ] || ! sb_files || ! sb_active; then
  case $sb_phase in
    '') if [ -n "$sb_now" ] && { [ -e "$STORE/runs" ] || [ -e "$UNIT_FILE" ]; }
        then sb_keep "$sb_now" || sb_refuse 'what is there cannot be kept'; sb_phase=swap sb_old=$sb_now
        else sb_phase=first sb_old=-; fi ;;
    wait) if [ "$sb_old" = - ]; then sb_phase=first; else sb_phase=swap; fi ;;
  esac
  sb_note "$sb_phase" "$sb_old" "$DIGEST" || exit 73
  sb_forward() {
    sb_stop || { sb_last="$UNIT does not stop"; return 1; }
    if [ "$sb_now" != "$SHA" ]; then
      chmod 755 "$STORE/k0s.next" && sb_sync "$STORE/k0s.next" && mv -f "$STORE/k0s.next" "$BIN" && sb_sync "${BIN%/*}" || return 1
      if [ -d /sys/fs/selinux ] && sb_has restorecon; then restorecon "$BIN" 2>/dev/null; fi
    fi
    sb_config || sb_put "$STORE/k0s.yaml.next" "$CONFIG" 600 || return 1
    if [ -z "$ENV_SHA" ]; then rm -f "$ENV_FILE"; else sb_env || sb_put "$STORE/env.next" "$ENV_FILE" 600 || return 1; fi
    sb_unit || sb_install || { sb_last='k0s install fails'; return 1; }
    sb_since=$(date +%Y%m%d%H%M%S)
    sb_start || { sb_last="$UNIT does not start"; return 1; }
    sb_note wait "$sb_old" "$DIGEST" "$sb_since"
  }
  sb_forward; sb_went=$?
else sb_went=0; fi

if [ "$sb_went" = 0 ] && sb_healthy "$VERSION" "$sb_since" && sb_right "$VERSION"; then
  sb_args "$sb_said" | sb_record "$STORE/args"
  sb_told done ''
  printf '%s %s %s %s\n' "$DIGEST" "$SHA" "$(sb_stat "$BIN")" "$(sb_version "$sb_said")" >"$STORE/runs.new" &&
    chmod 644 "$STORE/runs.new" && sb_sync "$STORE/runs.new" && mv -f "$STORE/runs.new" "$STORE/runs" &&
    rm -f "$STORE/doing" "$STORE/joining" "$STORE"/*.next && sb_sync "$STORE"
  exit
fi
sb_say "$UNIT is not well: ${sb_last:-a file cannot be put in place}"
sb_tale=$(sb_log)
if [ "$sb_old" = - ]; then rm -f "$STORE/doing"
else sb_note undo "$sb_old" "$DIGEST"; sb_undo; fi
[ -z "$sb_tale" ] || sb_say "the end of its journal:
$sb_tale"
exit 1
"""


@dataclass(frozen=True, slots=True)
class Target:
    """What a host is to run. Digests are SHA-256 in hex; `digest` covers everything, `words` the flags.

    `drain`: a node that has joined must have been emptied before its program changes. Nothing here depends
    on what a host was found as, so that a run which was cut off is taken up by the same script.
    """

    binary: str
    data: str
    unit: str
    openrc: bool
    sha256: str
    config_sha256: str
    environment: str
    environment_sha256: str
    words: Sequence[str]
    words_sha256: str
    digest: str
    version: str
    says: Sequence[str]
    api: bool
    node: str
    drain: bool
    limit: int

    @property
    def unit_file(self) -> str:
        """What `k0s install` writes."""
        return f"/etc/init.d/{self.unit}" if self.openrc else f"/etc/systemd/system/{self.unit}.service"

    def _values(self) -> str:
        return values(
            BIN=self.binary,
            DATA=self.data,
            STORE=store(self.binary),
            UNIT=self.unit,
            UNIT_FILE=self.unit_file,
            CONFIG=CONFIG,
            CONFIG_SHA=self.config_sha256,
            ENV_FILE=self.environment,
            ENV_SHA=self.environment_sha256,
            WORDS=self.words_sha256,
            SHA=self.sha256,
            ID=self.sha256[:12],
            DIGEST=self.digest,
            VERSION=self.version,
            SAYS=" ".join(self.says),
            API=int(self.api),
            NODE=self.node,
            DRAIN=int(self.drain),
            LIMIT=self.limit,
        )

    @property
    def done(self) -> str:
        """A script that succeeds when all of it is so, and was proven to work."""
        return self._values() + LIBRARY + _SAME + _DONE

    @property
    def script(self) -> str:
        """The script that makes it so, or puts everything back and exits with 1; `REFUSED`: nothing was changed."""
        flags = " ".join(shlex.quote(word) for word in self.words)
        install = f"""
sb_install() {{
  rm -f "$STORE/installed"
  set --
  [ ! -e "$UNIT_FILE" ] || set -- --force
  ( umask 022; sb_within 120 "$BIN" install {flags} "$@" ) && sb_installed | sb_record "$STORE/installed"
}}
"""
        return self._values() + LIBRARY + _SAME + _STEPS + _KEEP + _TOLD + install + _GO
