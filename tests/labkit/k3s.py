"""A stand-in for k3s: true ELF programs that behave as k3s is documented to, made without a compiler.

Like the stand-in for `sealctl`, each is a small static program of its own
architecture that hands its arguments to a script; this one is Perl, which
every Debian has. It keeps state, enforces order, and fails when called
wrongly:

* `server` and `agent` take everything from /etc/rancher/k3s/config.yaml and tell systemd when they are up;
* a joining node must bring the right token; while one server joins, a second one is turned away
  (etcd admits one learner); an agent asks for its server until it answers; a machine that was made anew
  is turned away under the name it had, because its password is another, until the node is deleted, and so
  is a server without its data that etcd still counts;
* the images folder is imported from as k3s does it: by ending, by name, whatever the architecture; what
  fails is logged and not tried again before the file changes (`containerd` makes a real import of it);
* `kubectl`, `crictl` and `etcd-snapshot` know what the driver asks for, and nothing else;
* etcd has its majority: a server that is stopped stays a member and misses its vote until its node is deleted,
  and without a majority the API says nothing;
* all verbs but `--version` unpack the program into its data directory, with the caller's umask;
* from 1.35 on the kubelet ends on control groups of version 1, after systemd was told that all is well;
* `--version` tells the name of its file, as every release does, and its compiler's in a second line.

Nodes speak a line protocol of their own over TCP port 6443.
"""

from __future__ import annotations

from labkit.sealctl import program
from sealboot.model.arch import Arch

VERSION = "v1.36.3+k3s1"

_PERL = r"""
use strict; use warnings; use Socket; use IO::Socket::INET; use IO::Socket::UNIX; use IO::Select;
$| = 1; $SIG{PIPE} = "IGNORE"; $SIG{TERM} = sub { images_end(); exit 0 };
my ($arch, $version) = ("@ARCH@", "@VERSION@");
my $etc = "/etc/rancher/k3s";
sub say_err { print STDERR "$_[0]\n" }
sub fail { say_err("level=fatal msg=\"$_[0]\""); exit 1 }
sub slurp { my $h; open($h, "<", $_[0]) or return undef; local $/; my $t = <$h>; return defined $t ? $t : "" }
sub spill { my ($p, $t, $m) = @_; my $h; open($h, ">", "$p.new") or fail("$p: $!"); print $h $t; close $h;
  chmod($m || 0600, "$p.new"); rename("$p.new", $p) or fail("$p: $!") }
sub config { my %c; my $k = "";
  my $t = slurp("$etc/config.yaml"); fail("no config.yaml") unless defined $t;
  fail("config.yaml can be read by others") if (stat("$etc/config.yaml"))[2] & 077;
  for (split /\n/, $t) {
    next if /^#/;
    if (/^- (.*)$/) { push @{$c{$k}}, $1 } elsif (/^([a-z-]+): *(.*)$/) { $k = $1; $c{$k} = $2 eq "" ? [] : $2 }
  }
  return \%c }
sub data { my $c = config(); return $c->{"data-dir"} || "/var/lib/rancher/k3s" }
sub ask { my ($where, $line) = @_;
  my $s = IO::Socket::INET->new(PeerAddr => $where, PeerPort => 6443, Proto => "tcp", Timeout => 2) or return undef;
  print $s "$line\n"; my $said = <$s>; close $s; return undef unless defined $said; chomp $said; return $said }
sub notify { my $n = $ENV{NOTIFY_SOCKET} or return; $n =~ s/^@/\0/;
  socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or return; send($s, "READY=1", 0, sockaddr_un($n)) }
sub tree { my $p = ""; for (split m{/}, $_[0]) { next if $_ eq ""; $p .= "/$_"; mkdir($p, $_[1] || 0755) } }
# Whatever is called for the first time unpacks the rest of itself, as readable as the caller makes files.
sub unpacked { return if $>; my $data = -e "$etc/config.yaml" ? data() : "/var/lib/rancher/k3s";
  my $here = "$data/data/" . unpack("H*", $version); return if -e "$here/bin/k3s";
  say_err("level=info msg=\"Preparing data dir $here\""); tree("$here/bin", 0777);
  spill("$here/bin/k3s", "multicall of $version\n", 0777 & ~umask);
  unlink "$data/data/current"; symlink($here, "$data/data/current") or fail("current: $!") }

@RUNTIME@# -- nodes ---------------------------------------------------------------------------------------
sub password { tree("/etc/rancher/node"); my $p = "/etc/rancher/node/password"; my $said = slurp($p);
  unless (defined $said && length $said) { open(my $h, "<", "/dev/urandom") or fail("urandom"); read($h, $said, 16);
    $said = unpack("H*", $said); spill($p, "$said\n") }
  chomp $said; return $said }
sub nodes { my %n = map { (split / /)[0] => $_ } split /\n/, slurp(data() . "/server/db/nodes") || ""; return \%n }
sub connects { my $s = IO::Socket::INET->new(PeerAddr => $_[0], PeerPort => 6443, Proto => "tcp", Timeout => 2) or return 0;
  close $s; return 1 }
# The members of etcd are the servers whose nodes were not deleted; this one is none of those that joined.
sub members { my $n = nodes(); my %m;
  for (grep { (split / /, $n->{$_})[1] eq "server" } keys %$n) {
    my $ip = slurp(data() . "/server/db/peer-$_"); $m{$_} = !defined $ip || connects($ip) ? "True" : "Unknown" }
  return \%m }
sub quorum { my $m = members(); return 2 * (grep { $_ eq "True" } values %$m) > keys %$m || !%$m }
sub keep { my $n = shift; spill(data() . "/server/db/nodes", join("", map { "$n->{$_}\n" } sort keys %$n)) }
my $learner = "";
sub answer { my ($line, $token, $upstream, $from) = @_;
  return ask($upstream, $line) || "ERR no answer" if $upstream && $line !~ /^PING/;
  my ($verb, @w) = split / /, $line;
  return "pong" if $verb eq "PING";
  return "ERR etcdserver: no leader" unless quorum();
  return "ok" if $verb eq "READYZ";
  my $n = nodes();
  if ($verb eq "JOIN") {
    my ($role, $name, $theirs, $password, $fresh) = @w;
    return "ERR token" unless ($theirs || "") eq $token;
    my $known = slurp(data() . "/server/db/passwd-$name");
    return "ERR Node password rejected, duplicate hostname $name" if defined $known && $known ne $password;
    return "ERR duplicate node name found" if $fresh && exists $n->{$name};
    return "ERR learner" if $role eq "server" && $learner ne "" && $learner ne $name;
    spill(data() . "/server/db/passwd-$name", $password);
    spill(data() . "/server/db/peer-$name", $from) if $role eq "server";
    $learner = $name if $role eq "server"; return "OK";
  }
  if ($verb eq "UP") { $n->{$w[0]} = "@w True"; keep($n); $learner = "" if $learner eq $w[0]; return "OK" }
  if ($verb eq "NODE") { return exists $n->{$w[0]} ? (split / /, $n->{$w[0]})[4] : "ERR not found" }
  if ($verb eq "MEMBERS") { my $m = members(); return join(";", map { "$_=$m->{$_}" } sort keys %$m) }
  if ($verb eq "DELETE") { return "ERR not found" unless delete $n->{$w[0]}; keep($n);
    unlink data() . "/server/db/passwd-$w[0]", data() . "/server/db/peer-$w[0]"; return "OK" }
  if ($verb eq "NODES") { return join(";", map { $n->{$_} } sort keys %$n) }
  return "ERR $verb" }
# The kubelet is looked at when systemd has been told that all is well.
sub old_cgroups { return 0 if -e "/sys/fs/cgroup/cgroup.controllers";
  return (slurp("/proc/self/mounts") || "") =~ m{^cgroup /sys/fs/cgroup/}m }
sub kubelet { my $c = shift; my ($minor) = $version =~ /^v1[.](\d+)/; return if $minor < 35 || !old_cgroups();
  my $arg = $c->{"kubelet-arg"} || []; return if grep { $_ eq "fail-cgroupv1=false" } ref $arg ? @$arg : $arg;
  say_err("level=error msg=\"Shutdown request received: kubelet exited: failed to validate kubelet configuration, error: " .
    "kubelet is configured to not run on a host using cgroup v1\""); images_end(); exit 0 }
sub run_node { my $role = shift; my $c = config(); my $data = data();
  fail("arguments") if @_;
  my $name = $c->{"node-name"} or fail("node-name is missing");
  my $token = slurp($c->{"token-file"} || ""); fail("no token") unless defined $token && length $token;
  fail("token can be read by others") if (stat($c->{"token-file"}))[2] & 077;
  chomp $token; $token =~ s/^K10[0-9a-f]+::server://;
  my $up = ""; if ($c->{server}) { ($up) = $c->{server} =~ m{^https://([^:/]+):6443$} or fail("bad server") }
  fail("an agent needs a server") if $role eq "agent" && !$up;
  fail("a server begins the cluster or joins one") if $role eq "server" && !$up == !$c->{"cluster-init"};
  my $fresh = $role eq "server" && ! -d "$data/server/db/etcd" ? 1 : 0;
  tree("$data/agent/images"); tree("$data/server/db/etcd") if $role eq "server";
  my $listen;
  if ($role eq "server") {
    $listen = IO::Socket::INET->new(LocalPort => 6443, Listen => 64, ReuseAddr => 1) or fail("port 6443: $!");
  }
  if ($up) {
    my $said;
    until (defined($said = ask($up, "JOIN $role $name $token " . password() . " $fresh"))) { select(undef, undef, undef, 0.1) }
    fail("joining failed: $said") unless $said eq "OK";
  }
  spill("$data/server/token", "K10" . ("0" x 64) . "::server:$token\n") if $role eq "server";
  my $api = $role eq "server" ? "127.0.0.1" : $up;
  spill("$etc/k3s.yaml", "clusters:\n- cluster:\n    server: https://127.0.0.1:6443\n  name: default\n") if $role eq "server";
  spill("$data/agent/kubelet.kubeconfig", "server: $api\n");
  images_begin();
  my $me = "UP $name $role $arch $version";
  if ($up) { (ask($up, $me) || "") eq "OK" or fail("cannot report") }
  else { until (answer($me, $token, "") eq "OK") { select(undef, undef, undef, 0.1) } }
  notify(); kubelet($c);
  my $sel = IO::Select->new($listen ? ($listen) : ());
  while (1) {
    if ($listen) {
      for ($sel->can_read(0.1)) { my $s = $listen->accept or next; my $l = <$s>; next unless defined $l;
        chomp $l; print $s answer($l, $token, $up, $s->peerhost), "\n"; close $s }
    } else { select(undef, undef, undef, 0.1) }
    images();
  } }
sub kubectl { my @a = @_; my $kc = "$etc/k3s.yaml";
  if (($a[0] || "") eq "--kubeconfig") { shift @a; $kc = shift @a }
  my $t = slurp($kc); fail("$kc: no such file") unless defined $t;
  my ($api) = $t =~ /server: (?:https:..)?([0-9.]+)/;
  if (($a[0] || "") =~ m{^--server=https://([0-9.]+):6443$}) { shift @a; $api = $1 } my $all = join " ", @a; my $said;
  if ($all =~ m{^get --raw /readyz( --request-timeout=\d+s)?$}) { $said = ask($api, "READYZ") }
  elsif ($all =~ /^get node ([a-z0-9.-]+) -o jsonpath=\{range .*Ready/) { $said = ask($api, "NODE $1") }
  elsif ($all =~ m{^get nodes --request-timeout=\d+s -l node-role[.]kubernetes[.]io/etcd=true -o jsonpath=\{range }) {
    $said = ask($api, "MEMBERS"); $said =~ s/;/\n/g if defined $said }
  elsif ($all =~ /^get nodes( --request-timeout=\d+s)? -o jsonpath=\{range .items\[\*\]\}/) {
    $said = ask($api, "NODES"); $said =~ s/ [^;]*(;|$)/$1 ? "\n" : ""/ge if defined $said }
  elsif ($all =~ /^delete node ([a-z0-9.-]+) --timeout=\d+s( --ignore-not-found)?$/) { $said = ask($api, "DELETE $1");
    $said = "OK" if $2 && ($said || "") eq "ERR not found" }
  elsif ($all eq "get nodes") { $said = ask($api, "NODES"); $said =~ s/;/\n/g if defined $said }
  else { fail("kubectl: unknown command $all") }
  fail("the server does not answer") unless defined $said; fail($said) if $said =~ /^ERR/;
  print "$said\n"; exit 0 }
my $called = shift @ARGV; my $verb = shift @ARGV || "";
if ($verb eq "--version") { print "$called version $version (0123abcd)\ngo version go1.27.3\n" }
elsif ($verb eq "server" || $verb eq "agent") { unpacked(); run_node($verb, @ARGV) }
elsif ($verb eq "kubectl") { unpacked(); kubectl(@ARGV) }
elsif ($verb eq "crictl") { unpacked(); crictl(@ARGV) }
elsif ($verb eq "ctr") { unpacked(); exec(ctr(@ARGV)) or exit 127 }
elsif ($verb eq "etcd-snapshot") { unpacked();
  fail("etcd-snapshot: unknown command") unless @ARGV == 3 && "$ARGV[0] $ARGV[1]" eq "save --name";
  fail("the server does not run") unless defined ask("127.0.0.1", "PING");
  my $d = data() . "/server/db/snapshots"; tree($d); spill("$d/$ARGV[2]-node-" . time(), "snapshot of $version\n") }
else { fail("unknown command $verb") }
"""


#: Images where a machine has no containerd: what the watcher of k3s takes is remembered, and nothing imported.
_IMITATED = r"""
sub images_begin { images() }
sub images_end { }
sub ctr { fail("ctr: this one has no containerd") }
my %tried;
sub member { my ($f, $n) = @_; my $t = `tar -xOf "$f" "$n" 2>/dev/null`; return $? ? undef : $t }
sub images { my $dir = data() . "/agent/images"; my $known = data() . "/agent/imported";
  opendir(my $d, $dir) or return;
  for my $n (sort readdir $d) {
    next unless $n =~ /\.(tar|tar\.gz|tgz|tar\.zst|tzst|tar\.bz2|tbz|tar\.lz4)$/;
    my $f = "$dir/$n"; my @s = stat $f or next; my $key = "$s[7]:$s[9]";
    next if ($tried{$f} || "") eq $key; $tried{$f} = $key;
    my $m = system("tar -tf $f >/dev/null 2>&1") ? undef : member($f, "manifest.json");
    my @told;
    while (defined $m && $m =~ /\{"Config":"([^"]+)","RepoTags":\["([^"]+)"\]/g) {
      my ($c, $r) = ($1, $2); my $conf = member($f, $c);
      my $of = defined $conf && $conf =~ /"architecture":"([^"]+)"/ ? $1 : "";
      my $sum = `tar -xOf "$f" "$c" | sha256sum`; $sum =~ s/ .*//s;
      push @told, "$r sha256:$sum $of";
    }
    if (!@told) { say_err("level=error msg=\"Failed to process image event: failed to import $f\""); next }
    my %have = map { (split / /)[0] => $_ } (split(/\n/, slurp($known) || ""), @told);
    spill($known, join("", map { "$have{$_}\n" } sort keys %have));
    spill("$dir/.cache.json", "{\"$f\":{}}\n") if -e "$dir/.cache.json";
    say_err("level=info msg=\"Imported images from $f\"");
  } }

sub crictl {
  my $ref = "@_[0..2]" eq "inspecti -o json" ? $_[3] : fail("crictl: unknown command");
  my ($line) = grep { /^\Q$ref\E / } split /\n/, slurp(data() . "/agent/imported") || "";
  fail("no such image $ref") unless $line; my (undef, $id, $of) = split / /, $line;
  print "{\n  \"status\": {\n    \"id\": \"$id\"\n  },\n  \"info\": {\"imageSpec\": {\"architecture\": \"$of\"}}\n}\n" }
"""


def k3s(arch: Arch, version: str = VERSION, *, runtime: str = "") -> bytes:
    """The program for `arch`; its text tells `version`, so that two versions are two files.

    `runtime` is Perl that imports and tells of images (`containerd.RUNTIME`: a real containerd); without
    it the program only remembers what it would have imported.
    """
    text = _PERL.replace("@RUNTIME@", runtime or _IMITATED)
    assert "'" not in text
    return program(arch, f'exec perl -e \'{text}\' -- "${{0##*/}}" "$@"\n', version)
