"""Scripts about what a node pulls: the registry and its password, the image endpoint, kubeadm's images.

kubelet and crictl ask image-cri-shim, which turns the names of public registries
into those of the cluster's own. kubeadm asks the runtime itself, past it: it
is told not to pull (`imagePullPolicy: Never`), and what it needs is pulled here
before, under the registry's name (as sealos does, 5.1.1,
`lifecycle/pkg/runtime/kubernetes/master.go` and `kubeadm.go`).
"""

from __future__ import annotations

import shlex

from sealboot.drivers.sealos_marks import DONE, MARK, REFUSED

#: What the registry of a published root filesystem lets in: `admin:passw0rd`, with which everything in the tree
#: signs in unless it is told otherwise (labring-actions/runtime, ENV of every Kubefile).
USER, PASSWORD = "admin", "passw0rd"
HTPASSWD = "admin:$2y$10$sealbootDefaultRegistOu6yqjJh6mSb0UpraByLRGhORZuUEJV6"
#: How a request signs in, beside the tree: a file, because words of programs can be read by everybody.
AUTH = f"{DONE}/registry-auth"

# A program that differs would not be replaced: the tree's script copies with `cp -u`, and all our files have
# one time. The unit would not be restarted either.
REGISTRY = f"""set -eu
{MARK}mkdir -p "$DATA/rootfs/registry" "${{registryData%/*}}"
if [ -L "$registryData" ]; then rm -f "$registryData"
elif [ -d "$registryData" ] && ! rmdir "$registryData" 2>/dev/null; then
  echo "$registryData holds something that is not this cluster's" >&2; exit {REFUSED}
fi
ln -s "$DATA/rootfs/registry" "$registryData"
(umask 077
  printf '%s\\n' "$HTPASSWD" >"$DATA/rootfs/etc/registry_htpasswd"
  printf '%s\\n' "$AUTH" >"$DATA/{AUTH}")
if [ -d /run/systemd/system ]; then systemctl stop registry 2>/dev/null || :; fi
if [ -f "$DATA/rootfs/cri/registry" ]; then rm -f "${{BIN_DIR:-/usr/bin}}/registry"; fi
cd "$DATA/rootfs/scripts"
bash init-registry.sh "$registryData" "$registryConfig"
mark registry
"""

#: A runtime that was just restarted is given half a minute; what the registry has not is not there later either.
PULLED = """pulled() {
  tries=15
  until said=$("$DATA/rootfs/bin/crictl" -r "unix://${SEALOS_SYS_CRI_ENDPOINT#unix://}" -i "unix://${SEALOS_SYS_IMAGE_ENDPOINT#unix://}" pull "$1" 2>&1); do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || {
      echo "$1 cannot be pulled through $SEALOS_SYS_IMAGE_ENDPOINT:" >&2; printf '%s\\n' "$said" >&2; return 1
    }
    sleep 2
  done
}
"""

#: The tree's scripts end well although no image can be pulled.
PROVE = f'{PULLED}pulled "$registryDomain:$registryPort/$sandboxImage"\n'

#: What kubeadm of this tree needs of a control plane.
PULL = f"""{PULLED}images=$("$DATA/rootfs/bin/kubeadm" config images list --kubernetes-version "$VERSION" 2>/dev/null) || {{
  echo 'kubeadm does not say which images it needs' >&2; exit 1
}}
for image in $images; do pulled "$registryDomain:$registryPort/${{image#*/}}" || exit 1; done
"""


def answers(data: str, address: str, port: int) -> str:
    """Succeeds when the registry lets its user in: a port that answers may still refuse every pull."""
    asked = (
        'read -r auth <"$1" || :; exec 3<>"/dev/tcp/$2/$3" || exit 1\n'
        'printf "GET /v2/ HTTP/1.0\\r\\nHost: %s:%s\\r\\nAuthorization: Basic %s\\r\\n\\r\\n" "$2" "$3" "$auth" >&3\n'
        'read -r said <&3 || said="nothing"\n'
        'case $said in "HTTP/1."?" 200"*) exit 0 ;; esac\n'
        "echo \"the registry at $2:$3 answers: ${said%$'\\r'}\" >&2; exit 1\n"
    )
    return (
        f"bash -c {shlex.quote(asked)} bash {shlex.quote(f'{data}/{AUTH}')} {shlex.quote(address)} {port}\n"
    )
