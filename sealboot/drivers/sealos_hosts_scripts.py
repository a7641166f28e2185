"""The scripts that write a hosts file, and the question whether a name is in it.

`sealctl hosts` is not used for it: it makes one line of lines that have the
same names, so that `127.0.0.1 localhost` is gone as soon as there is a
`::1 localhost` (which `init-kube.sh` of the published root filesystems adds),
appends a second line where a name stands among others, loses comments after
the last entry, and ends with 0 whatever became of it (sealos 5.1.1,
`lifecycle/pkg/utils/hosts/hosts.go`). Here every line that does not have the name
stays as it is; all other entries are compared before and after, and the file
is put back where one went missing. Appliances may have no hosts file at all: it
is made.
"""

from __future__ import annotations

import shlex

#: EX_DATAERR of sysexits.h: other entries of the hosts file changed, and it was put back.
LOST_ENTRIES = 65

# DOMAINS are the names that are ours. `written TEXT` puts back what was there where the text, or what became of
# it on the disk, has other entries than before.
_EDIT = f"""LC_ALL=C; export LC_ALL
ours() {{ case " $DOMAINS " in *" $1 "*) return 0 ;; esac; return 1; }}
entries() {{
  set -f
  while read -r ip names || [ -n "$ip" ]; do
    case $ip in ''|'#'*) continue ;; esac
    for name in ${{names%%#*}}; do ours "$name" || printf '%s %s\\n' "$ip" "$name"; done
  done <"$1" | sort -u
}}
without() {{
  set -f
  while IFS= read -r line || [ -n "$line" ]; do
    set -- ${{line%%#*}}
    found=no left=${{1:-}}
    [ $# = 0 ] || shift
    for name; do if ours "$name"; then found=yes; else left="$left $name"; fi; done
    case $found:$left in
    yes:*' '*) case $line in *'#'*) left="$left #${{line#*#}}" ;; esac; printf '%s\\n' "$left" ;;
    yes:*) ;;
    *) printf '%s\\n' "$line" ;;
    esac
  done <"$1"
}}
written() {{
  printf '%s' "${{1%.}}" >"$HOSTS_FILE" && [ "$(entries "$HOSTS_FILE")" = "$before" ] && return 0
  printf '%s' "${{kept%.}}" >"$HOSTS_FILE"
  echo "entries of $HOSTS_FILE other than $DOMAINS would have changed; the file was put back" >&2
  exit {LOST_ENTRIES}
}}
"""

ADD_HOST = f"""set -eu
DOMAINS=$DOMAIN
{_EDIT}[ -e "$HOSTS_FILE" ] || (umask 022; : >"$HOSTS_FILE")
kept=$(cat "$HOSTS_FILE"; echo .)
before=$(entries "$HOSTS_FILE")
written "$(without "$HOSTS_FILE"; printf '%s %s\\n.' "$IP" "$DOMAIN")"
"""

#: KEPT is the file as it was before the first of our entries. What the root filesystem's own scripts add, a
#: `localhost` where it lacked one, is no change of somebody else's.
REMOVE_HOSTS = f"""set -u
{_EDIT}[ -e "$HOSTS_FILE" ] || exit 0
if [ -e "$KEPT" ]; then
  was=$(entries "$KEPT")
  now=$(entries "$HOSTS_FILE" | while IFS= read -r entry; do
    case $entry in '127.0.0.1 localhost'|'::1 localhost')
      printf '%s\\n' "$was" | grep -qxF -e "$entry" || continue ;;
    esac
    printf '%s\\n' "$entry"
  done)
  if [ "$now" = "$was" ]; then cat "$KEPT" >"$HOSTS_FILE" || exit 1; exit 0; fi
fi
kept=$(cat "$HOSTS_FILE"; echo .)
before=$(entries "$HOSTS_FILE")
written "$(without "$HOSTS_FILE"; echo .)"
"""


def has_entry(hosts_file: str, address: str, domain: str) -> str:
    """Succeeds when `domain` has the one address `address` in the hosts file, in whatever layout."""
    return f"""set -f
found=1
while read -r ip names || [ -n "$ip" ]; do
  case $ip in ''|'#'*) continue ;; esac
  for name in ${{names%%#*}}; do
    [ "$name" = {shlex.quote(domain)} ] || continue
    [ "$ip" = {shlex.quote(address)} ] || exit 1
    found=0
  done
done <{shlex.quote(hosts_file)}
exit $found
"""


def has_none(hosts_file: str, domains: tuple[str, ...]) -> str:
    """Succeeds when none of these names is in the hosts file, or there is none."""
    return (
        "".join(
            f"grep -qwF -e {shlex.quote(domain)} {shlex.quote(hosts_file)} 2>/dev/null && exit 1\n"
            for domain in domains
        )
        + "exit 0\n"
    )
