"""Ask a host all checks of its steps in one read-only round trip for each privilege level."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from sealboot.engine.checking import effective_check
from sealboot.engine.failures import unanswered
from sealboot.engine.shell import PRELUDE, NodePaths, nonce, quoted
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.plan import Observation
from sealboot.model.steps import Check, FileIs, PathExists, ServiceIs, Step, Succeeds
from sealboot.transport.base import Session

#: Seconds for a round of checks beyond what its scripts ask for themselves: hashing large files takes time.
BASE_TIMEOUT = 120.0

_FUNCTIONS = r"""
sb_say() { printf '%s:%s:%s:%s\n' "$sb_nonce" "$1" "$2" "$3"; }
sb_file() {
  if [ ! -e "$2" ] && [ ! -L "$2" ]; then sb_say "$1" absent ''; return; fi
  if [ -L "$2" ]; then sb_say "$1" differs 'a symbolic link'; return; fi
  if [ ! -f "$2" ]; then sb_say "$1" differs 'not a regular file'; return; fi
  if [ ! -r "$2" ]; then sb_say "$1" unknown 'may not be read'; return; fi
  sb_v=$(sb_known "$2" "$5")
  case $? in 0) ;; 127) sb_say "$1" unknown 'no tool computes SHA-256'; return;;
    *) sb_say "$1" unknown 'cannot be hashed'; return;; esac
  if [ "$sb_v" != "$3" ]; then sb_say "$1" differs "sha256 $sb_v"; return; fi
  if [ -n "$4" ]; then
    sb_m=$(sb_mode "$2")
    if [ -n "$sb_m" ] && [ "$sb_m" != "$4" ]; then sb_say "$1" differs "mode $sb_m, wanted $4"; return; fi
  fi
  sb_say "$1" same ''
}
sb_path() {
  if [ -e "$2" ] || [ -L "$2" ]; then sb_x=1; else sb_x=0; fi
  if [ "$sb_x" = "$3" ]; then sb_say "$1" same ''
  elif [ "$3" = 1 ]; then sb_say "$1" absent ''; else sb_say "$1" differs 'exists'; fi
}
sb_script() {
  sb_within "$3" /bin/sh -c "$2" </dev/null >/dev/null 2>&1
  sb_c=$?
  # 1 is a plain no; anything else may tell the operator something.
  case $sb_c in 0) sb_say "$1" same '';; 124) sb_say "$1" unknown "no answer in $3 s";;
    1) sb_say "$1" differs '';; 66) sb_say "$1" absent '';; *) sb_say "$1" differs "its check exits with $sb_c";; esac
}
sb_service() {
  # $2 name, $3 active, $4 enabled (1, 0 or empty), $5 stamp, $6 where the stamp is kept
  if sb_systemd; then
    sb_y=$(sb_within 20 systemctl show -p LoadState -p ActiveState -p UnitFileState -- "$2" 2>/dev/null) ||
      { sb_say "$1" unknown 'systemctl does not answer'; return; }
    case $sb_y in *LoadState=not-found*) sb_f=0;; *) sb_f=1;; esac
    case $sb_y in *ActiveState=active*) sb_x=1;; *) sb_x=0;; esac
    case $sb_y in *UnitFileState=enabled*) sb_e=1;; *) sb_e=0;; esac
  elif sb_openrc; then
    if [ -e "/etc/init.d/$2" ]; then sb_f=1; else sb_f=0; fi
    if sb_within 20 rc-service "$2" status >/dev/null 2>&1; then sb_x=1; else sb_x=0; fi
    if rc-update show default 2>/dev/null | grep -q "^ *$2 "; then sb_e=1; else sb_e=0; fi
  else sb_say "$1" unknown 'neither systemd nor OpenRC runs here'; return; fi
  if [ "$sb_f" = 0 ]; then
    if [ "$3" = 0 ]; then sb_say "$1" same ''; else sb_say "$1" absent 'no such service'; fi; return
  fi
  if [ "$sb_x" != "$3" ]; then
    if [ "$sb_x" = 1 ]; then sb_say "$1" differs active; else sb_say "$1" differs 'not active'; fi; return
  fi
  if [ -n "$4" ] && [ "$sb_e" != "$4" ]; then
    if [ "$sb_e" = 1 ]; then sb_say "$1" differs enabled; else sb_say "$1" differs 'not enabled'; fi; return
  fi
  if [ -n "$5" ]; then
    sb_z=; [ -r "$6" ] && read -r sb_z <"$6"
    if [ "$sb_z" != "$5" ]; then sb_say "$1" differs 'not restarted since its files changed'; return; fi
  fi
  sb_say "$1" same ''
}
"""


async def observe(
    session: Session, steps: Iterable[Step], paths: NodePaths
) -> Mapping[str, Observation] | Diagnostic:
    """Ask the checks of `steps` (all of one host); steps without a check are left out.

    Reads only: not even the state directory is made. SB201-family diagnostics
    of the session come back when the connection is gone, SB507 when the host
    did not answer in time.
    """
    asked = [(step, check) for step in steps if (check := effective_check(step)) is not None]
    found: dict[str, Observation] = {}
    for become in (True, False):
        level = [(step, check) for step, check in asked if _become(step, check) is become]
        if not level:
            continue
        answer = await ask(session, [check for _, check in level], paths, become=become)
        if isinstance(answer, Diagnostic):
            return answer
        found |= {step.id: seen for (step, _), seen in zip(level, answer, strict=True)}
    return found


async def ask(
    session: Session, checks: Sequence[Check], paths: NodePaths, *, become: bool
) -> tuple[Observation, ...] | Diagnostic:
    """Ask some checks at one privilege level; the answers come in the order of `checks`."""
    token = nonce()
    script = compile_checks(checks, paths, token)
    patience = BASE_TIMEOUT + sum(c.timeout for c in checks if isinstance(c, Succeeds))
    result = await session.run(script, become=become, timeout=patience)
    if not result.ok:
        return unanswered(session.host, "its checks", result)
    return parse_answers(result.text, token, len(checks))


def compile_checks(checks: Sequence[Check], paths: NodePaths, token: str) -> str:
    """One script that answers each check with a line that begins with `token`."""
    lines = [PRELUDE, _FUNCTIONS, f"sb_nonce={quoted(token)}"]
    for number, check in enumerate(checks):
        match check:
            case FileIs(path, sha256, mode):
                octal = "" if mode is None else f"{mode:o}"
                lines.append("sb_file " + quoted(number, path, sha256, octal, paths.stamp(path)))
            case PathExists(path, present):
                lines.append("sb_path " + quoted(number, path, int(present)))
            case Succeeds(text, _, limit):
                lines.append("sb_script " + quoted(number, text, max(1, round(limit))))
            case ServiceIs(name, active, enabled, stamp):
                asks = "" if enabled is None else int(enabled)
                lines.append(
                    "sb_service " + quoted(number, name, int(active), asks, stamp, paths.service(name))
                )
    return "\n".join([*lines, "exit 0", ""])


def parse_answers(text: str, token: str, count: int) -> tuple[Observation, ...]:
    """Read the lines that carry `token`; a check without exactly one answer is unknown."""
    found: dict[int, Observation] = {}
    twice: set[int] = set()
    form = re.compile(re.escape(token) + r":(\d{1,9}):(same|absent|differs|unknown):(.{0,200})")
    for line in text.splitlines():
        match = form.fullmatch(line)
        if match is None:
            continue
        number = int(match[1])
        if number in found:
            twice.add(number)
        found[number] = Observation(_state(match[2]), match[3])
    silent = Observation("unknown", "the host gave no answer to this check")
    return tuple(silent if n in twice else found.get(n, silent) for n in range(count))


def _state(word: str) -> Literal["same", "absent", "differs", "unknown"]:
    match word:
        case "same" | "absent" | "differs":
            return word
        case _:
            return "unknown"


def _become(step: Step, check: Check) -> bool:
    return check.become if isinstance(check, Succeeds) else step.become
