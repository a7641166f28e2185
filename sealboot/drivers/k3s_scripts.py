"""The scripts of the `k3s` driver, and the read-only questions that go with them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

from sealboot.drivers.k3s_config import CONFIG_DIR, MADE_BY
from sealboot.drivers.k3s_install import MARK

TOKEN: Final = f"{CONFIG_DIR}/token"
#: k3s unpacks the rest of itself into its data directory at the first call of a program in it, as readable as the
#: caller makes files: whoever is not root would unpack another copy, and other CNI programs would not find theirs.
OPEN: Final = "umask 022\n"

#: Succeeds when the token's file is there for root alone.
HAS_TOKEN: Final = f'[ -s {TOKEN} ] && [ ! -L {TOKEN} ] && [ "$(stat -c %a {TOKEN})" = 600 ]\n'
READ_TOKEN: Final = f"cat {TOKEN}\n"
#: What k3s takes for a token: a secret of the operator's, or the full form with the digest of the CA.
TOKEN_FORM: Final = r"[!-~]{8,512}"  # noqa: S105 (a pattern)

#: What another hand has set up here: a k3s that is not of our making, or a node of a kubeadm cluster.
FOREIGN: Final = f"""for file in {CONFIG_DIR}/config.yaml /etc/systemd/system/k3s.service /etc/systemd/system/k3s-agent.service \\
    /etc/init.d/k3s /etc/init.d/k3s-agent; do
  [ ! -r "$file" ] || grep -qF {shlex.quote(MADE_BY)} "$file" && continue
  case $file in
    */config.yaml) ;;
    *) if [ -e {MARK} ] || {{ [ -d {CONFIG_DIR} ] && [ ! -x {CONFIG_DIR} ]; }}; then continue; fi ;;
  esac
  echo "$file"
done
[ ! -s /etc/kubernetes/kubelet.conf ] || echo /etc/kubernetes/kubelet.conf
exit 0
"""


def state(data: str) -> str:
    """Tells of what this host is a member already: `server`, `agent`; and `password`, which its node object knows."""
    return (
        f"[ ! -e {shlex.quote(f'{data}/server/db')} ] || echo server\n"
        f"[ ! -e {shlex.quote(f'{data}/agent/kubelet.kubeconfig')} ] || echo agent\n"
        "[ ! -s /etc/rancher/node/password ] || echo password\n"
        "exit 0\n"
    )


def unpacked(data: str) -> str:
    """Succeeds where k3s has unpacked itself already: a question that ran it before would change the host."""
    return f"[ -e {shlex.quote(f'{data}/data/current/bin/k3s')} ]"


def etcd_members(binary: str, data: str) -> str:
    """Tells the members of etcd where this host is a server that answers: `NAME=True`, or what else Ready is.

    k3s labels the nodes whose servers are members.
    """
    form = '{range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}'
    return _asked(binary, data, f"-l node-role.kubernetes.io/etcd=true -o {shlex.quote(f'jsonpath={form}')}")


def nodes(binary: str, data: str) -> str:
    """Tells the names of the cluster's nodes where this host is a server that answers."""
    form = '{range .items[*]}{.metadata.name}{"\\n"}{end}'
    return _asked(binary, data, f"-o {shlex.quote(f'jsonpath={form}')}")


def _asked(binary: str, data: str, words: str) -> str:
    program, there = shlex.quote(binary), shlex.quote(f"{data}/server/db")
    return f"""[ -x {program} ] && [ -e {there} ] && {unpacked(data)} || exit 0
{OPEN}t=; timeout 1 true 2>/dev/null && t='timeout 8'
$t {program} kubectl get nodes --request-timeout=5s {words} 2>/dev/null
exit 0
"""


def version(binary: str) -> str:
    """Tells which k3s is installed: `--version` unpacks nothing."""
    program = shlex.quote(binary)
    return f"[ ! -x {program} ] || {program} --version 2>/dev/null | head -n 1\nexit 0\n"


def alone(data: str, urls: Sequence[str]) -> str:
    """Succeeds where this server has a datastore, or none of the other servers answers.

    An empty server that is told to begin a cluster begins one, whoever else runs one.
    """
    listed = " ".join(shlex.quote(url) for url in urls)
    return f"""[ -e {shlex.quote(f"{data}/server/db")} ] && exit 0
t=; timeout 1 true 2>/dev/null && t='timeout 6'
k=; wget --help 2>&1 | grep -q no-check-certificate && k=--no-check-certificate
ask() {{
  if command -v curl >/dev/null 2>&1; then curl -ks -m 5 "$1"
  elif command -v wget >/dev/null 2>&1; then $t wget -q $k -O - "$1"
  elif command -v python3 >/dev/null 2>&1; then python3 -c 'import ssl, sys, urllib.request as u
print(u.urlopen(sys.argv[1], timeout=5, context=ssl._create_unverified_context()).read().decode())' "$1"
  fi 2>/dev/null
}}
for url in {listed}; do
  [ "$(ask "$url")" = pong ] || continue
  echo "this server is empty, and a cluster answers at $url: it would begin another one" >&2
  exit 65
done
exit 0
"""


def make_token(data: str) -> str:
    """Keep the token of a cluster that is there already, or make one: 256 bits from the kernel."""
    there = shlex.quote(f"{data}/server/token")
    return f"""set -eu
umask 077
(umask 022; mkdir -p {CONFIG_DIR})
if [ -s {TOKEN} ]; then chmod 600 {TOKEN}; exit 0; fi
new={TOKEN}.new
rm -f "$new"
if [ -s {there} ]; then cat {there} >"$new"
else head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \\n' >"$new"; fi
[ -s "$new" ]
sync "$new" 2>/dev/null || sync
mv -f "$new" {TOKEN}
"""


def has_directory(path: str) -> str:
    """Succeeds when the directory is there."""
    return f"[ -d {shlex.quote(path)} ]\n"


def make_directory(path: str) -> str:
    """Make it with its parents, as k3s itself would."""
    return f"umask 022\nmkdir -p {shlex.quote(path)}\n"


def api_ready(binary: str, data: str) -> str:
    """Succeeds when the API server says that all of it is ready."""
    return f"{unpacked(data)} || exit 1\n{OPEN}{shlex.quote(binary)} kubectl get --raw /readyz\n"


def node_ready(binary: str, data: str, node: str) -> str:
    """Succeeds when Kubernetes calls this node Ready; asked on the node itself, as its kubelet.

    A kubelet may read its own node and nothing else of others, so that an agent needs no administrator's
    rights for this, and no server has to be part of the run.
    """
    form = '{range .status.conditions[?(@.type=="Ready")]}{.status}{end}'
    return (
        f"{unpacked(data)} || exit 1\n{OPEN}"
        f"state=$({shlex.quote(binary)} kubectl --kubeconfig {shlex.quote(f'{data}/agent/kubelet.kubeconfig')}"
        f" get node {shlex.quote(node)} -o jsonpath={shlex.quote(form)}) || exit $?\n"
        '[ "$state" = True ]\n'
    )


def needs_no_snapshot(binary: str, data: str, sha256: str, size: int) -> str:
    """Succeeds where there is nothing to keep: no datastore, one that does not answer, the same program, or it is kept.

    etcd writes to `….part` first: what a cut run left of that is none. A server that is down may be down because of the program that is to be replaced.
    """
    program = shlex.quote(binary)
    return f"""[ -x {program} ] && [ -d {shlex.quote(f"{data}/server/db/etcd")} ] || exit 0
for kept in {shlex.quote(f"{data}/server/db/snapshots/{_snapshot(sha256)}")}*; do
  case $kept in *.part) ;; *) [ -e "$kept" ] && exit 0 ;; esac
done
if [ "$(stat -c %s {program})" = {size} ]; then
  sum=$(sha256sum <{program} 2>/dev/null || busybox sha256sum <{program}) && [ "${{sum%% *}}" = {sha256} ] && exit 0
fi
{unpacked(data)} || exit 0
{OPEN}{program} kubectl get --raw /readyz >/dev/null 2>&1 || exit 0
exit 1
"""


def save_snapshot(binary: str, sha256: str) -> str:
    """Save it on the server itself, where k3s keeps its own."""
    return f"{OPEN}{shlex.quote(binary)} etcd-snapshot save --name {_snapshot(sha256)}\n"


def _snapshot(sha256: str) -> str:
    return f"before-{sha256[:12]}"
