"""Stand-ins for what lies between kubelet, kubeadm and the registry: the runtime, image-cri-shim and crictl.

Written after what the real ones were seen to do (containerd 2.3.3, image-cri-shim 5.1.1, crictl 1.36; sources:
labring/sealos `staging/src/github.com/labring/image-cri-shim/pkg/server/server.go`, labring-actions/runtime
`containerd/etc/crictl.yaml` and `k8s/scripts/init-shim.sh`):

- the runtime pulls from the cluster's own registry alone, and signs in there; for any other registry there is
  no such host;
- the shim refuses a socket on which somebody answers already, and ends; it asks the registry which names it has,
  and turns names of public registries into those;
- crictl asks the endpoints that it is told, else those of `/etc/crictl.yaml`.
"""

from __future__ import annotations

#: Perl. Arguments: the socket, the runtime's socket behind it (none: this is the runtime), the registry, who signs in.
CRI = r"""
use strict; use warnings; use IO::Socket::UNIX; use IO::Socket::INET; use POSIX ();
my ($path, $runtime, $registry, $auth) = @ARGV;
POSIX::close($_) for 3 .. 63;
die "failed to create server: socket $path already in use\n" if IO::Socket::UNIX->new(Peer => $path);
system("mkdir", "-p", $path =~ m{(.*)/}); unlink $path;
my $l = IO::Socket::UNIX->new(Local => $path, Listen => 20) or die "$path: $!\n";
sub why { my ($name) = @_;
  $name =~ m{^(.*):([^:/]+)$} or return "invalid reference format";
  my $s = IO::Socket::INET->new(PeerAddr => $registry) or return "dial tcp: lookup $registry: connection refused";
  print $s "GET /v2/$1/manifests/$2 HTTP/1.0\r\nAuthorization: Basic $auth\r\n\r\n";
  my $said = <$s> // ""; return $said =~ / 200 / ? "" : "unexpected status from HEAD request: $said";
}
sub pull { my ($image) = @_;
  my ($host, $name) = $image =~ m{^([^/]+)/(.+)$} or return "invalid reference format";
  if ($runtime) {
    $image = "$registry/$name" if $host ne $registry && why($name) eq "";
    my $s = IO::Socket::UNIX->new(Peer => $runtime) or return "dial unix $runtime: connect: connection refused";
    print $s "pull $image\n"; my $said = <$s> // "no answer"; chomp $said; return $said eq "ok" ? "" : $said;
  }
  return "failed to resolve reference \"$image\": dial tcp: lookup $host: no such host" if $host ne $registry;
  my $said = why($name); $said =~ s/\s+$//; return $said ? "failed to pull and unpack image \"$image\": $said" : "";
}
while (my $c = $l->accept) {
  my $line = <$c>; next unless defined $line; chomp $line;
  my $said = $line =~ /^pull (.+)/ ? pull($1) : "unknown method";
  print $c $said ? "$said\n" : "ok\n"; close $c;
}
"""

#: Shell: `cri SOCKET IMAGE` pulls through whoever answers there.
CRI_CLIENT = """\
cri() {
  said=$(perl -e 'use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "dial unix $ARGV[0]: connect: $!\\n"; print $s "pull $ARGV[1]\\n"; print <$s>' "${1#unix://}" "$2" 2>&1)
  [ "$said" = ok ] || { echo "rpc error: code = Unavailable desc = ${said:-no answer}" >&2; return 1; }
}
"""

CRICTL = (
    CRI_CLIENT
    + """\
[ "${1:-}" != --version ] || { echo "crictl version @VERSION@"; exit 0; }
runtime= image=
while [ $# -gt 0 ]; do
  case $1 in -r) runtime=$2 ;; -i) image=$2 ;; *) break ;; esac
  shift 2
done
[ -n "$image" ] || image=$(sed -n 's/^image-endpoint: //p' /etc/crictl.yaml)
[ "${1:-}" = pull ] && [ $# = 2 ] || { echo "crictl: $*" >&2; exit 1; }
[ -z "$runtime" ] || [ -S "${runtime#unix://}" ] || { echo "dial unix ${runtime#unix://}: no such file" >&2; exit 1; }
cri "$image" "$2" && echo "Image is up to date for $2"
"""
)

CONTAINERD = """\
[ "${1:-}" != --version ] || { echo "containerd @VERSION@"; exit 0; }
told() { sed -n "s/^$1 = \\"\\(.*\\)\\"/\\1/p" /etc/containerd/config.toml; }
exec perl -e '@CRI@' "$(told address)" '' "$(told registry)" "$(told auth)"
""".replace("@CRI@", CRI)

SHIM = """\
told() { sed -n "s/^$1: //p" /etc/image-cri-shim.yaml; }
exec perl -e '@CRI@' "$(told shim)" "$(told cri)" "$(told address)" "$(printf %s "$(told auth)" | base64)"
""".replace("@CRI@", CRI)

#: Shell, in the tree's scripts: `running PROGRAM ARGUMENTS...` (re)starts it as a unit, or by itself where there is no systemd.
RUNNING = """\
running() {
  name=${1##*/}
  if [ -d /run/systemd/system ]; then
    printf '[Unit]\\nDescription=%s\\n[Service]\\nExecStart=%s\\nRestart=always\\nRestartSec=5\\n[Install]\\nWantedBy=multi-user.target\\n' "$name" "$*" >"/etc/systemd/system/$name.service"
    systemctl -q enable "$name"; systemctl daemon-reload; systemctl restart "$name"
    return
  fi
  mkdir -p /run/sealos
  [ ! -e "/run/sealos/$name" ] || { kill "$(cat "/run/sealos/$name")"; while kill -0 "$(cat "/run/sealos/$name")" 2>/dev/null; do sleep 0.1; done; }
  setsid "$@" </dev/null >/dev/null 2>&1 &
  echo $! >"/run/sealos/$name"
}
stopped() {
  if [ -d /run/systemd/system ]; then
    systemctl -q disable --now "$1"; rm -f "/etc/systemd/system/$1.service"; systemctl daemon-reload; return
  fi
  [ ! -e "/run/sealos/$1" ] || kill "$(cat "/run/sealos/$1")"
  rm -f "/run/sealos/$1"; rmdir /run/sealos 2>/dev/null || :
}
"""
