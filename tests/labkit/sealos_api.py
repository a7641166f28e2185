"""A stand-in for the API server of a Sealos cluster and for the programs that talk to it.

The server keeps what a cluster keeps in etcd: its release, and of each node the
kubelet's version, whether it is ready, whether it is closed, and its pods. It
is as strict as an upgrade needs: a kubelet that is newer than the server, or
that was replaced below running pods, does not become ready; only an
administrator closes, empties, opens or deletes nodes. Requests are one line
over TCP: who asks, then what.
"""

from __future__ import annotations

#: Shell: `ask HOST:PORT WORDS...` prints the answer; `as_told FILE` sets `who` and `server` from a kubeconfig.
CLIENT = """\
ask() {
  where=$1; shift
  said=$(bash -c 'exec 3<>"/dev/tcp/${1%:*}/${1##*:}" && printf "%s\\n" "$2" >&3 && cat <&3' bash "$where" "$*" 2>/dev/null) ||
    fail "the connection to the server $where was refused"
  case $said in ok*) said=${said#ok}; printf %s "${said# }" ;; *) fail "${said:-no answer}" ;; esac
}
as_told() {
  [ -s "$1" ] || fail "$1: no such configuration"
  who=$(sed -n 's/^user: //p' "$1"); server=$(sed -n 's/^server: //p' "$1")
}
"""

#: Perl, started with the folder of etcd's data, the kubernetes folder and, on a further master, its peer.
SERVER = r"""
use strict; use warnings; use IO::Socket::INET; use POSIX ();
my ($data, $etc, $peer) = @ARGV;
POSIX::close($_) for 3 .. 63;
sub slurp { my $h; open($h, "<", $_[0]) or return ""; local $/; my $t = <$h>; return defined $t ? $t : "" }
sub spill { my $h; open($h, ">", "$_[0].new") or die $!; print $h $_[1]; close $h; rename("$_[0].new", $_[0]) or die $! }
sub minor { return $_[0] =~ /^v(\d+)\.(\d+)\./ ? $1 * 1000 + $2 : 0 }
sub node { my %n = map { split /=/, $_, 2 } split /\n/, slurp("$data/nodes/$_[0]"); return \%n }
sub keep { my ($name, $n) = @_; spill("$data/nodes/$name", join("", map { "$_=$n->{$_}\n" } sort keys %$n)) }
sub own { return slurp("$etc/manifests/kube-apiserver.yaml") =~ /kube-apiserver:(v\S+)/ ? $1 : "" }
sub status { my ($name, $version) = @_;
  my $n = -e "$data/nodes/$name" ? node($name) : { closed => "" };
  return "error kubelet $version is newer than this API server" if minor($version) > minor(own());
  if (($n->{version} // $version) ne $version) {
    return "error kubelet was replaced although the node was open" unless $n->{closed};
    return "error kubelet was replaced below running pods" if -s "$data/pods/$name";
  }
  @$n{qw(version ready)} = ($version, "True"); keep($name, $n); return "ok";
}
sub change { my ($verb, $name) = @_; my $n = node($name);
  if ($verb eq "cordon") { $n->{closed} = "true" } elsif ($verb eq "uncordon") { $n->{closed} = "" }
  elsif ($verb eq "delete") { unlink "$data/nodes/$name", "$data/pods/$name"; return "ok" }
  else { return "error the node is not closed" unless $n->{closed};
    return "error Cannot evict pod as it would violate the pod\x27s disruption budget." if slurp("$data/pods/$name") =~ /guarded/;
    unlink "$data/pods/$name"; return "ok" }
  keep($name, $n); return "ok";
}
sub answer { my ($who, $verb, $name, $more) = @_;
  return "ok " . own() if $verb eq "version";
  return "ok" if $verb eq "readyz";
  if ($peer) { my $s = IO::Socket::INET->new(PeerAddr => $peer) or return "error etcd: no leader";
    print $s join(" ", grep { defined } @_), "\n"; local $/; return <$s> }
  my ($kind, $sum) = split /:/, $who;
  return "error Unauthorized" unless ($sum // "") eq slurp("$etc/pki/ca.sum");
  return "ok " . slurp("$data/release") if $verb eq "release";
  return "ok " . join("", map { my $n = node($_); "$_ $n->{ready} $n->{version} $n->{closed}\n" } map { m{([^/]+)$} } sort glob("$data/nodes/*")) if $verb eq "nodes";
  return status($name, $more) if $verb eq "status";
  if ($verb eq "get") { return "error nodes \"$name\" not found" unless -e "$data/nodes/$name";
    my $n = node($name); return "ok $n->{version},$n->{ready},$n->{closed}" }
  return "error forbidden: $kind cannot $verb" unless $kind eq "admin";
  if ($verb eq "set-release") { spill("$data/release", $name); return "ok" }
  return "error nodes \"$name\" not found" unless -e "$data/nodes/$name";
  return change($verb, $name);
}
mkdir "$data/nodes"; mkdir "$data/pods";
my $l = IO::Socket::INET->new(LocalPort => 6443, Listen => 20, ReuseAddr => 1) or die $!;
while (my $c = $l->accept) {
  my $line = <$c>; next unless defined $line; chomp $line;
  print $c answer(split / /, $line), "\n"; close $c;
}
"""

KUBECTL = (
    """\
fail() { echo "error: $*" >&2; exit 1; }
"""
    + CLIENT
    + """\
[ "${1:-}" = --kubeconfig ] || fail 'no configuration'
as_told "$2"; shift 2
if [ "${1:-}" = --server ]; then server=${2#https://}; shift 2; fi
case "$*" in
'get --raw /readyz') ask "$server" "$who readyz"; echo ok ;;
'get --raw /version') version=$(ask "$server" "$who version") || exit 1; printf '{\\n  "gitVersion": "%s"\\n}\\n' "$version" ;;
'get nodes')
  printf 'NAME STATUS VERSION\\n'
  ask "$server" "$who nodes" | while read -r name ready version closed || [ -n "$name" ]; do
    case $ready in True) state=Ready ;; *) state=NotReady ;; esac
    echo "$name $state${closed:+,SchedulingDisabled} $version"
  done ;;
'get node '*' -o jsonpath='*)
  said=$(ask "$server" "$who get $3") || exit 1
  version=${said%%,*} closed=${said##*,}; ready=${said#*,}; ready=${ready%,*}
  case $5 in
  'jsonpath={.status.conditions[?(@.type=="Ready")].status}') printf %s "$ready" ;;
  'jsonpath={.status.conditions[?(@.type=="Ready")].message}') printf %s 'kubelet stopped posting node status' ;;
  'jsonpath={.spec.unschedulable}') printf %s "$closed" ;;
  'jsonpath={.status.nodeInfo.kubeletVersion} {.status.conditions[?(@.type=="Ready")].status}') printf %s "$version $ready" ;;
  *) fail "jsonpath: $5" ;;
  esac ;;
'cordon '*|'uncordon '*) [ $# = 2 ] || fail "$*"; ask "$server" "$who $1 $2" ;;
'drain '*)
  name=$2; shift 2
  for flag; do case $flag in --ignore-daemonsets|--timeout=[1-9]*s|--delete-emptydir-data) ;; *) fail "unknown flag $flag" ;; esac; done
  case "$*" in *--ignore-daemonsets*) ;; *) fail 'cannot delete DaemonSet-managed Pods' ;; esac
  ask "$server" "$who drain $name" ;;
'get nodes -o name --request-timeout='*)
  ask "$server" "$who nodes" | while read -r name rest || [ -n "$name" ]; do echo "node/$name"; done ;;
'delete node '*)
  shift 2; names= lenient=
  for word; do
    case $word in --ignore-not-found) lenient=1 ;; --request-timeout=*) ;; -*) fail "unknown flag $word" ;; *) names="$names $word" ;; esac
  done
  for name in $names; do (ask "$server" "$who delete $name") || [ -n "$lenient" ] || exit 1; done ;;
*) fail "unknown command: $*" ;;
esac
"""
)

#: What the unit says of the release is only true after `systemctl daemon-reload`.
KUBELET = (
    """\
fail() { echo "kubelet: $*" >&2; exit 1; }
"""
    + CLIENT
    + """\
[ "${1:-}" != --version ] || { echo "Kubernetes @VERSION@"; exit 0; }
[ $# = 0 ] || fail "unknown flag $1"
[ "${RELEASE:-@VERSION@}" = @VERSION@ ] || fail "the unit is that of $RELEASE: daemon-reload"
grep -qx 'release: @VERSION@' /var/lib/kubelet/config.yaml || fail "its configuration is not that of @VERSION@"
as_told /etc/kubernetes/kubelet.conf
stat -c %i /usr/bin/kubelet >/run/kubelet.inode; echo $$ >/run/kubelet.pid
name=$(uname -n | tr A-Z a-z)
until said=$(ask "$server" "$who status $name @VERSION@" 2>&1); do
  echo "$said" >&2
  sleep 1
done
exec sleep 2147483647
"""
)
