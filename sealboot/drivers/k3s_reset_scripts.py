"""The scripts that take k3s off a host: what they may remove, what is the operator's, and in which order."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

from sealboot.drivers.k3s_config import CONFIG_DIR, MADE_BY
from sealboot.drivers.k3s_install import MARK
from sealboot.drivers.k3s_scripts import OPEN, unpacked

#: What k3s makes outside of its data directory, and shares with every other kubelet.
ELSEWHERE: Final = ("/etc/rancher/node", "/run/k3s", "/run/flannel", "/var/lib/kubelet", "/var/lib/cni")
#: What k3s makes in it; anything else in a directory that the operator chose is not ours.
INSIDE: Final = ("agent", "data", "server", "storage")
LINKS: Final = ("cni0", "flannel.1", "flannel-v6.1", "flannel-wg", "flannel-wg-v6", "kube-ipvs0")
#: There while a removal that was found to be ours is under way: an uninstaller takes the other proofs away.
BEGUN: Final = "/run/sealboot-k3s-reset"
#: EX_DATAERR of sysexits.h: something is there that the step will not touch.
_REFUSED = 65

# sb_points FILE: the mount points of a table like /proc/mounts or fstab(5), their escapes undone.
# sb_below FILE: those below a place. sb_kept PLACE: it is a mount point itself, so the operator's: k3s
# mounts nothing there. A link is removed, never what it points to, so what is mounted below that is found too.
_MOUNTS = r"""
sb_real() { (CDPATH= cd -P -- "$1" 2>/dev/null && pwd -P); }
sb_all=$(for sb_place in $PLACES; do printf '%s\n' "$sb_place"; sb_real "$sb_place"; done 2>/dev/null | sort -u)
sb_points() (
  [ -r "$1" ] || exit 0
  while read -r sb_from sb_at _; do
    case $sb_from in '#'*) continue ;; esac
    case $sb_at in /*) ;; *) continue ;; esac
    case $sb_at in *\\0*) sb_at=$(printf '%b.' "$sb_at"); sb_at=${sb_at%.} ;; esac
    printf '%s\n' "$sb_at"
  done <"$1"
)
sb_below() {
  sb_points "$1" | (
    set -f
    IFS='
'
    while IFS= read -r sb_at; do
      for sb_place in $sb_all; do
        case $sb_at in "$sb_place"/*) printf '%s\n' "$sb_at"; break ;; esac
      done
    done
  ) | sort -r
}
sb_kept() {
  [ -d "$1" ] && [ ! -L "$1" ] || return 1
  { sb_points /proc/mounts; sb_points /etc/fstab; } | grep -qxF -e "$1" -e "$(sb_real "$1")"
}
sb_of_script() {
  for sb_unit in $UNITS; do
    if [ -e "$sb_unit" ] && [ -x "$UNINSTALL" ] && ! grep -qF @MADE_BY@ "$sb_unit"; then return 0; fi
  done
  return 1
}
""".replace("@MADE_BY@", shlex.quote(MADE_BY))

OURS: Final = f"""set -u
sb_config={CONFIG_DIR}/config.yaml
[ ! -e {BEGUN} ] || exit 0
sb_refuse() {{ echo "$1: it is left as it is" >&2; exit {_REFUSED}; }}
{_MOUNTS}
[ ! -e "$sb_config" ] || grep -qF {shlex.quote(MADE_BY)} "$sb_config" || sb_refuse "$sb_config is not of our making"
for sb_file in $UNITS; do
  [ ! -e "$sb_file" ] || grep -qF {shlex.quote(MADE_BY)} "$sb_file" || [ -e {MARK} ] ||
    sb_refuse "$sb_file is not of our making"
done
for sb_file in $OTHERS; do
  [ ! -e "$sb_file" ] || sb_refuse "the service of the other role is here, $sb_file"
done
if [ -e "$sb_config" ]; then
  sb_data=$(sed -n 's/^data-dir: *//p' "$sb_config")
  sb_data=${{sb_data:-/var/lib/rancher/k3s}}
  [ "$sb_data" = "$DATA" ] || sb_refuse "k3s keeps its data in $sb_data, the inventory says $DATA"
  [ ! -e /etc/kubernetes/kubelet.conf ] || sb_refuse 'this host is a node of a kubeadm cluster'
  sb_fixed=$(sb_below /etc/fstab)
  sb_held=$(sb_below /proc/mounts | while IFS= read -r sb_at; do
    printf '%s\\n' "$sb_fixed" | grep -xF -e "$sb_at"
  done)
  [ -z "$sb_held" ] || sb_refuse "/etc/fstab mounts $sb_held below what would be removed; unmount it first"
  if sb_of_script; then
    for sb_place in $DATA $PLACES; do
      ! sb_kept "$sb_place" || sb_refuse "$sb_place is mounted, and $UNINSTALL would unmount it"
    done
  fi
else
  for sb_part in server agent/containerd agent/kubelet.kubeconfig; do
    [ ! -e "$DATA/$sb_part" ] || sb_refuse "$DATA/$sb_part is there, and no config.yaml of ours"
  done
fi
exit 0
"""

CLEAN: Final = f"""set -u
sb_end() {{
  for sb_child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do sb_end "$sb_child"; done
  kill -9 "$1" 2>/dev/null
}}
{_MOUNTS}
sb_empty() {{
  for sb_entry in "$1"/* "$1"/.[!.]* "$1"/..?*; do
    if [ -e "$sb_entry" ] || [ -L "$sb_entry" ]; then rm -rf "$sb_entry" || return 1; fi
  done
}}
if [ -e {CONFIG_DIR}/config.yaml ] || [ -e {BEGUN} ]; then
  : >{BEGUN} || exit 1
  # What it says and how it ends is no proof of anything: what is left is looked at below.
  if sb_of_script; then "$UNINSTALL" >/dev/null 2>&1 </dev/null; fi
  for sb_proc in /proc/[0-9]*; do
    sb_line=$({{ tr '\\0' ' ' <"$sb_proc/cmdline"; }} 2>/dev/null)
    case ${{sb_line%% *}} in containerd-shim*|*/containerd-shim*) ;; *) continue ;; esac
    case $sb_line in
      "$DATA"/data/*|*' /run/k3s/containerd/'*) sb_end "${{sb_proc#/proc/}}" ;;
    esac
  done
  sb_below /proc/mounts | while IFS= read -r sb_at; do umount "$sb_at" || umount -l "$sb_at"; done
  sb_left=$(sb_below /proc/mounts)
  [ -z "$sb_left" ] || {{ echo "still mounted, so nothing was deleted: $sb_left" >&2; exit 1; }}
  for sb_link in $LINKS; do ip link delete "$sb_link" 2>/dev/null; done
  for sb_tables in iptables ip6tables; do
    command -v "$sb_tables-save" >/dev/null 2>&1 || continue
    sb_rules=$("$sb_tables-save") || continue
    printf '%s\\n' "$sb_rules" | grep -v -e KUBE- -e CNI- -e flannel | "$sb_tables-restore"
  done
  for sb_place in $PLACES; do
    if sb_kept "$sb_place"; then sb_empty "$sb_place"; else rm -rf "$sb_place"; fi || exit 1
  done
else
  rm -rf "$DATA/agent/images" || exit 1
  rmdir "$DATA/agent" 2>/dev/null
fi
rm -f $UNITS "$ENVIRONMENT" || exit 1
command -v systemctl >/dev/null 2>&1 && [ -d /run/systemd/system ] && systemctl daemon-reload
for sb_parent in "$DATA" /var/lib/rancher; do rmdir "$sb_parent" 2>/dev/null; done
rm -rf {CONFIG_DIR} || exit 1
rmdir /etc/rancher 2>/dev/null
rm -f {BEGUN}
exit 0
"""


def forgotten(binary: str, data: str, node: str, servers: Sequence[str]) -> str:
    """Succeeds where the cluster does not list this node, or none of these servers, nor this one, can tell."""
    form = shlex.quote('jsonpath={range .items[*]}{.metadata.name}{"\\n"}{end}')
    return (
        _each(binary, data, servers)
        + f"  sb_names=$(sb_ask get nodes --request-timeout=10s -o {form} 2>/dev/null) || continue\n"
        + f'  printf "%s\\n" "$sb_names" | grep -qxF {shlex.quote(node)} && exit 1\n  exit 0\ndone\nexit 0\n'
    )


def forget(binary: str, data: str, node: str, servers: Sequence[str]) -> str:
    """Delete the node; k3s itself then takes it out of etcd and forgets its password.

    The first of these servers that answers is asked, this one last: a member that is taken out of etcd has no API any more.
    """
    return (
        _each(binary, data, servers)
        + "  sb_ask get --raw /readyz --request-timeout=10s >/dev/null 2>&1 || continue\n"
        + f"  sb_ask delete node {shlex.quote(node)} --timeout=120s --ignore-not-found\n  exit $?\ndone\n"
        + "echo 'no server of the cluster answers' >&2\nexit 1\n"
    )


def _each(binary: str, data: str, servers: Sequence[str]) -> str:
    """Shell: a loop over the servers, in which `sb_ask` is kubectl for one of them."""
    program = shlex.quote(binary)
    listed = " ".join(shlex.quote(url) for url in (*servers, "https://127.0.0.1:6443"))
    return (
        f"[ -x {program} ] && {unpacked(data)} || exit 0\n{OPEN}"
        f'sb_ask() {{ {program} kubectl --server="$sb_url" "$@"; }}\nfor sb_url in {listed}; do\n'
    )
