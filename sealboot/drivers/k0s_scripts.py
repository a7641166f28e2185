"""The small scripts of the `k0s` driver, and the read-only questions that go with them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import Final

from sealboot.drivers.k0s_config import CONFIG, MADE_BY, TOKEN
from sealboot.drivers.k0s_shell import LIBRARY, store, values

#: What a join token looks like: a compressed kubeconfig in base64.
TOKEN_FORM: Final = r"[A-Za-z0-9+/]{64,32768}={0,2}"  # noqa: S105 (a pattern)

#: The services of k0s that this host has, whoever put them there.
UNITS: Final = """for name in k0scontroller k0sworker; do
  for file in "/etc/systemd/system/$name.service" "/etc/init.d/$name"; do
    [ -e "$file" ] && { echo "$name"; break; }
  done
done
exit 0
"""
#: The addresses of this host.
ADDRESSES: Final = """if command -v ip >/dev/null 2>&1; then
  ip -o addr show 2>/dev/null | while read -r _ _ family place _; do
    case $family in inet|inet6) echo "${place%%/*}" ;; esac
  done
else hostname -I 2>/dev/null; fi
exit 0
"""


def proven(binary: str) -> str:
    """Tells what was proven to work here: the digest of it all, the program's SHA-256 and stat, its release."""
    return f"cat {shlex.quote(f'{store(binary)}/runs')} 2>/dev/null\nexit 0\n"


def installed(binary: str) -> str:
    """Tells the SHA-256 of the program that lies there: nothing where there is none, `unknown` where it may not be read."""
    return (
        values(BIN=binary, STORE=store(binary))
        + LIBRARY
        + '[ -e "$BIN" ] || exit 0\n[ -r "$BIN" ] && sb_program || echo unknown\n'
    )


def version(binary: str) -> str:
    """Tells which k0s is installed; it unpacks nothing for this."""
    program = shlex.quote(binary)
    return f"[ ! -x {program} ] || {program} version 2>/dev/null | head -n 1\nexit 0\n"


def state(data: str) -> str:
    """Tells of what this host is a member already, `controller`, `worker`; and what a controller's data are in.

    `etcd` is the member's own directory, `kine` that of SQLite (k0s `DefaultKineConfig`).
    """
    quoted = shlex.quote(data)
    return (
        f"[ ! -e {quoted}/etcd/member ] && [ ! -e {quoted}/db ] || echo controller\n"
        f"[ ! -e {quoted}/etcd/member ] || echo etcd\n"
        f"[ ! -e {quoted}/db ] || echo kine\n"
        f"[ ! -e {quoted}/kubelet.conf ] || echo worker\n"
    )


def same_store(data: str, comes: str) -> str:
    """Succeeds where the data directory holds no cluster, or one in the datastore that is to come."""
    stores = {"etcd": f"{data}/etcd/member", "kine": f"{data}/db"}
    there = " ".join(shlex.quote(place) for name, place in stores.items() if name != comes)
    here = f"[ ! -e {shlex.quote(stores[comes])} ] || exit 0\n" if comes in stores else ""
    return here + (
        f"for sb_place in {there}; do\n"
        '  [ ! -e "$sb_place" ] || { echo "its cluster is in $sb_place: k0s would start with another datastore, an empty one" >&2\n'
        "    exit 65; }\ndone\nexit 0\n"
    )


def members(binary: str, data: str) -> str:
    """Tells the members of etcd as a controller that runs knows them."""
    program, place = shlex.quote(binary), shlex.quote(data)
    return f"[ ! -x {program} ] || timeout 20 {program} etcd member-list --data-dir={place} 2>/dev/null\nexit 0\n"


def foreign(data: str) -> str:
    """Tells of a k0s, or of another node's kubelet, that is not of our making."""
    place = shlex.quote(data)
    return (
        f"[ ! -e {CONFIG} ] || grep -qF {shlex.quote(MADE_BY)} {CONFIG} || echo {CONFIG}\n"
        f"[ ! -e {place}/kubelet.conf ] || echo {place}/kubelet.conf\n"
        "[ ! -s /etc/kubernetes/kubelet.conf ] || echo /etc/kubernetes/kubelet.conf\nexit 0\n"
    )


def alone(data: str, urls: Sequence[str]) -> str:
    """Succeeds where this controller has a datastore, or nobody answers as another controller of this cluster.

    An empty controller that is told to begin a cluster begins one, whoever else runs one. Any answer
    counts, a refusal as well: only an API server speaks TLS on that port.
    """
    listed = " ".join(shlex.quote(url) for url in urls)
    return f"""[ ! -e {shlex.quote(f"{data}/etcd/member")} ] && [ ! -e {shlex.quote(f"{data}/db")} ] || exit 0
ask() {{
  if command -v curl >/dev/null 2>&1; then curl -ks -m 5 -o /dev/null "$1"
  elif command -v wget >/dev/null 2>&1; then
    wget -q -T 5 -t 1 --no-check-certificate -O /dev/null "$1" 2>/dev/null
    case $? in 0|6|8) return 0 ;; *) return 1 ;; esac
  else return 1; fi
}}
for url in {listed}; do
  ask "$url" || continue
  echo "this controller is empty, and a cluster answers at $url: it would begin another one" >&2
  exit 65
done
exit 0
"""


def is_awake(binary: str, unit: str) -> str:
    """Succeeds where the service runs, or nothing of ours was ever proven to."""
    return (
        values(BIN=binary, STORE=store(binary), UNIT=unit)
        + LIBRARY
        + '[ ! -e "$STORE/runs" ] || [ -e "$STORE/doing" ] || sb_active\n'
    )


def wake(binary: str, unit: str) -> str:
    """Start what is there, and give it a minute to answer; it is not asked whether it is ready."""
    return (
        values(BIN=binary, STORE=store(binary), UNIT=unit)
        + LIBRARY
        + """if sb_systemd; then sb_within 60 systemctl --no-ask-password start -- "$UNIT"
else ( umask 022; sb_within 60 rc-service "$UNIT" start >/dev/null ); fi || exit 1
sb_until=$(( $(date +%s) + 60 ))
until [ -n "$(sb_status)" ] || [ "$(date +%s)" -ge "$sb_until" ]; do sleep 0.5 2>/dev/null || sleep 1; done
sb_active
"""
    )


def not_members(binary: str, data: str, places: Sequence[str]) -> str:
    """Succeeds when etcd has no member at these addresses, at which empty controllers are to join.

    A member whose disk was made anew keeps its place in etcd, and cannot take it again.
    """
    listed = " ".join(shlex.quote(f"[{p}]" if ":" in p else p) for p in places)
    return (
        values(BIN=binary, DATA=data, STORE=store(binary))
        + LIBRARY
        + f"""sb_all=$(sb_within 30 "$BIN" etcd member-list --data-dir="$DATA" 2>/dev/null) || exit 0
for sb_place in {listed}; do
  case $sb_all in *"//$sb_place:"*) ;; *) continue ;; esac
  echo "etcd has a member at $sb_place, and that host is empty" >&2
  echo "if it was made anew: k0s etcd leave --peer-address $sb_place --data-dir=$DATA" >&2
  exit 65
done
exit 0
"""
    )


def is_validated(binary: str, key: str) -> str:
    """Succeeds when this program has accepted this configuration."""
    return f'[ "$(cat {shlex.quote(f"{store(binary)}/validated")} 2>/dev/null)" = {shlex.quote(key)} ] || exit 1\n'


def validate(binary: str, key: str, sha256: str, flags: Iterable[str]) -> str:
    """Have the program that is to come read the configuration that is to come; from staging, before either is live."""
    said = " ".join(shlex.quote(flag) for flag in flags)
    return (
        values(BIN=binary, STORE=store(binary), SHA=sha256, KEY=key, CONFIG=CONFIG)
        + LIBRARY
        + f"""sb_new=$STORE/k0s.next; sb_file "$sb_new" "$SHA" || sb_new=$BIN
sb_conf=$STORE/k0s.yaml.next; [ -e "$sb_conf" ] || sb_conf=$CONFIG
sb_within 90 "$sb_new" config validate --config="$sb_conf" {said} || exit 1
printf '%s\\n' "$KEY" >"$STORE/validated.new" && mv -f "$STORE/validated.new" "$STORE/validated"
"""
    )


def staged(binary: str, name: str, live: str, sha256: str, mode: int) -> str:
    """Succeeds when `live` is this content already, or it lies ready in our folder as `name`."""
    return (
        values(BIN=binary, STORE=store(binary))
        + LIBRARY
        + f"""sb_is() {{ sb_file "$1" {sha256} && [ "$(stat -c %a "$1")" = {mode:o} ]; }}
sb_is {shlex.quote(live)} || sb_is "$STORE/{name}"
"""
    )


def program_staged(binary: str, sha256: str) -> str:
    """Succeeds when the program is this one already, or it lies ready in our folder."""
    return (
        values(BIN=binary, STORE=store(binary), SHA=sha256)
        + LIBRARY
        + '[ "$(sb_program)" = "$SHA" ] || sb_file "$STORE/k0s.next" "$SHA"\n'
    )


def has_token(binary: str) -> str:
    """Succeeds when the token's file is well-formed, for root alone, and either spent by us or not tried yet.

    A node keeps it after it has joined: some releases of k0s do not start again without (k0s issue 7202).
    A token that a failed attempt has used up is replaced.
    """
    return f"""[ -f {TOKEN} ] && [ ! -L {TOKEN} ] && [ "$(stat -c %a {TOKEN})" = 600 ] || exit 1
base64 -d <{TOKEN} 2>/dev/null | gzip -t 2>/dev/null || exit 1
store={shlex.quote(store(binary))}
[ -e "$store/runs" ] || [ ! -e "$store/joining" ] || [ {TOKEN} -nt "$store/joining" ]
"""


def make_token(binary: str, data: str, role: str, expiry: str) -> str:
    """Make a join token and print it; its name is kept, so that it can be revoked whatever happens."""
    return (
        values(BIN=binary, DATA=data, STORE=store(binary))
        + LIBRARY
        + f"""sb_token=$(sb_within 60 "$BIN" token create --role {role} --expiry {expiry} --data-dir="$DATA") || exit 1
sb_id=$(printf '%s\\n' "$sb_token" | base64 -d | gzip -dc | sed -n 's/^ *token: *"\\{{0,1\\}}\\([a-z0-9]\\{{1,\\}}\\)[.].*/\\1/p' | head -n 1)
[ -n "$sb_id" ] || {{ echo 'the token has no name' >&2; exit 1; }}
printf '%s\\n' "$sb_id" >>"$STORE/tokens" && printf '%s\\n' "$sb_token"
"""
    )


def none_made(binary: str) -> str:
    """Succeeds when no token of ours waits to be revoked."""
    return f"[ ! -s {shlex.quote(f'{store(binary)}/tokens')} ]\n"


def revoke(binary: str, data: str) -> str:
    """Invalidate the tokens that were made for this run, or for one that died; expired ones are gone already."""
    return (
        values(BIN=binary, DATA=data, STORE=store(binary))
        + LIBRARY
        + """while read -r sb_id; do
  sb_within 60 "$BIN" token invalidate --data-dir="$DATA" "$sb_id" ||
    ! sb_within 60 "$BIN" token list --data-dir="$DATA" 2>/dev/null | grep -q "^$sb_id " || exit 1
done <"$STORE/tokens"
rm -f "$STORE/tokens"
"""
    )


def backup(binary: str, data: str, place: str) -> str:
    """A backup of the cluster in a folder that appears when it is whole."""
    return (
        values(BIN=binary, DATA=data, STORE=store(binary), PLACE=place)
        + LIBRARY
        + """( umask 022; mkdir -p "${PLACE%/*}" ) && rm -rf "$PLACE.new" && mkdir "$PLACE.new" || exit 1
"$BIN" backup --save-path "$PLACE.new" --data-dir "$DATA" || exit 1
sync; mv "$PLACE.new" "$PLACE"
"""
    )
