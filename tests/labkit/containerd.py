"""The image half of the k3s stand-in over a real containerd: Debian's, of each architecture, as k3s has its own inside.

`RUNTIME` is the part of the stand-in's Perl that imports and tells of images.
It watches `agent/images` as k3s is known to, hands archives to containerd
through `ctr`, and answers `crictl inspecti` with what containerd's own CRI
service says: the question goes over its socket as gRPC, so that containerd
alone decides what is there and for which processor.
"""

from __future__ import annotations

import shutil

from labkit.debs import extract
from labkit.machines import Node

#: Debian 13 has containerd 1.7, which pins images by a label as the containerd inside k3s does.
SUITE = "trixie"
PROGRAMS = ("containerd", "ctr")


def install(*nodes: Node) -> None:
    """Put containerd and ctr of its own architecture on each machine; k3s brings them with it."""
    for node in nodes:
        folder = extract("containerd", node.about.debian, SUITE) / "usr/bin"
        for name in PROGRAMS:
            shutil.copyfile(folder / name, node.filesystem / "usr/bin" / name)
            (node.filesystem / "usr/bin" / name).chmod(0o755)


#: What the stand-in asks of it: `images_begin` before a node is ready, `images` again and again while it runs,
#: `images_end` when it stops, and the verbs `ctr` and `crictl`.
RUNTIME = r"""
my $sock = "/run/k3s/containerd/containerd.sock"; my ($runtime, %seen, %due) = (0);
my %how = ("tar" => "cat", "tar.gz" => "gzip -dc", "tgz" => "gzip -dc", "tar.zst" => "zstd -dcq --memory=33554432",
  "tzst" => "zstd -dcq --memory=33554432", "tar.bz2" => "bzip2 -dc", "tbz" => "bzip2 -dc", "tar.lz4" => "lz4 -dc");
sub ctr { return ("ctr", "-a", $sock, "-n", "k8s.io", @_) }
sub said { my $h; open($h, "-|", @_) or return ""; local $/; my $t = <$h>; close $h; return defined $t ? $t : "" }
sub images_end { return unless $runtime; kill "TERM", $runtime; waitpid($runtime, 0); $runtime = 0 }
sub images_begin { my $data = data(); my $conf = "$data/agent/etc/containerd"; tree($conf); tree("/run/k3s/containerd");
  spill("$conf/config.toml", <<"END"); unlink $sock;
version = 2
root = "$data/agent/containerd"
state = "/run/k3s/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
[grpc]
address = "$sock"
[plugins."io.containerd.grpc.v1.cri"]
disable_tcp_service = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
END
  $runtime = fork(); fail("fork: $!") unless defined $runtime;
  if (!$runtime) { $SIG{TERM} = "DEFAULT"; delete $ENV{NOTIFY_SOCKET};
    open(STDOUT, ">>", "$data/agent/containerd/containerd.log") if tree("$data/agent/containerd") || 1;
    open(STDERR, ">&", \*STDOUT); exec("containerd", "-c", "$conf/config.toml") or exit 127 }
  until (cri("RuntimeService/Version", "")) {
    fail("containerd ended") if waitpid($runtime, 1); select(undef, undef, undef, 0.05) }
  images(0) }
# The watcher: the ending decides and its case counts; names in lexical order; two seconds after the first
# event, whole or not; a failure is a line in the log, and nothing is tried again before the next event.
sub images { my $wait = @_ ? $_[0] : 2; my $dir = data() . "/agent/images"; opendir(my $d, $dir) or return;
  for my $n (sort readdir $d) {
    my ($end) = $n =~ /\.(tar|tar\.lz4|tar\.bz2|tbz|tar\.gz|tgz|tar\.zst|tzst)$/ or next;
    my $f = "$dir/$n"; my @s = stat $f or next; my $now = said("stat", "-c", "%y", $f) . $s[7];
    if (($seen{$f} || "") ne $now) { $seen{$f} = $now; $due{$f} = time_now() + $wait unless exists $due{$f} }
    if (exists $due{$f} && time_now() >= $due{$f}) { delete $due{$f}; import_file($f, $how{$end}) }
  } }
sub time_now { return (split / /, slurp("/proc/uptime"))[0] }
sub known { my %k;
  for (split /\n/, said(ctr("images", "ls"))) { my @w = split; $k{$w[0]} = $_ if @w > 2 && $w[2] =~ /^sha256:/ && $w[0] !~ /^sha256:/ }
  return \%k }
sub import_file { my ($f, $unpack) = @_; my $data = data(); my $before = known();
  say_err("level=info msg=\"Importing images from $f\"");
  # k3s imports all platforms and passes over what the archive lacks of them. `ctr` cannot pass over anything,
  # so an archive that lacks a platform of its index is imported for the platform of this machine alone.
  my ($bad, $why) = (1, "not found");
  for my $all ("--all-platforms", "") {
    next unless $bad && $why =~ /not found/;
    my $import = join " ", ctr("images", "import", $all, "--no-unpack", "-");
    $bad = system("bash", "-c", "set -o pipefail; { $unpack < \"\$0\" | $import; } >\"\$1\" 2>&1", $f, "$data/agent/import.log");
    $why = slurp("$data/agent/import.log") }
  if ($bad) { $why =~ tr/"\n/  /;
    say_err("level=error msg=\"Failed to process image event: failed to import $f: $why\""); return }
  my $after = known();
  for my $n (sort keys %$after) {
    next if ($before->{$n} || "") eq $after->{$n};
    # k3s tags each image by its digest as well, which takes a whole name with a tag.
    if ($n =~ /^import-/ || $n !~ m{/.*:}) {
      say_err("level=error msg=\"Failed to process image event: failed to retag $n: not a NamedTagged\""); return }
    said(ctr("images", "label", $n, "io.cattle.k3s.pinned=pinned", "io.cri-containerd.pinned=pinned"));
    say_err("level=info msg=\"Imported $n\"") }
  if (-e "$data/agent/images/.cache.json") { my $h; open($h, ">>", "$data/agent/images/.cache.json"); print $h "{\"$f\":{}}\n"; close $h }
  say_err("level=info msg=\"Imported images from $f\"") }
# One question to the CRI service of containerd: gRPC over HTTP/2, whose answer is a protocol buffer.
sub varint { my $n = shift; my $t = ""; while ($n > 127) { $t .= chr($n & 127 | 128); $n >>= 7 } return $t . chr($n) }
sub text { my ($k, $t) = @_; return varint($k << 3 | 2) . varint(length $t) . $t }
sub fields { my ($t, %f) = @_; my $at = 0;
  my $number = sub { my ($n, $s) = (0, 0); while ($at < length $t) { my $b = ord substr($t, $at++, 1); $n |= ($b & 127) << $s; $s += 7; last if $b < 128 } return $n };
  while ($at < length $t) { my $tag = $number->(); my $v;
    if (($tag & 7) == 0) { $v = $number->() } elsif (($tag & 7) == 2) { my $l = $number->(); $v = substr($t, $at, $l); $at += $l } else { last }
    push @{$f{$tag >> 3}}, $v }
  return \%f }
sub frame { my ($type, $flags, $stream, $t) = @_; return substr(pack("N", length $t), 1) . pack("CCN", $type, $flags, $stream) . $t }
sub cri { my ($method, $ask) = @_;
  my $s = IO::Socket::UNIX->new(Peer => $sock) or return undef;
  my %head = (":method" => "POST", ":scheme" => "http", ":path" => "/runtime.v1.$method", ":authority" => "localhost", "te" => "trailers", "content-type" => "application/grpc");
  my $head = join "", map { chr(0) . varint(length $_) . $_ . varint(length $head{$_}) . $head{$_} } sort keys %head;
  print $s "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(4, 0, 0, "") . frame(1, 4, 1, $head) . frame(0, 1, 1, chr(0) . pack("N", length $ask) . $ask);
  $s->flush; my $body = "";
  while (1) { my ($h, $t) = ("", ""); read($s, $h, 9) == 9 or return undef;
    my ($l, $type, $flags, $on) = (unpack("N", chr(0) . substr($h, 0, 3)), unpack("CCN", substr($h, 3)));
    !$l or read($s, $t, $l) == $l or return undef;
    if ($type == 0) { $body .= $t }
    if ($type == 4 && !($flags & 1)) { print $s frame(4, 1, 0, ""); $s->flush }
    if ($type == 6 && !($flags & 1)) { print $s frame(6, 1, 0, $t); $s->flush }
    last if $on == 1 && $type <= 1 && $flags & 1; return undef if $type == 3 || $type == 7 }
  return length $body > 5 ? substr($body, 5) : undef }
sub crictl { fail("crictl: unknown command") unless "@_[0..2]" eq "inspecti -o json";
  my $said = fields(cri("ImageService/ImageStatus", text(1, text(1, $_[3])) . varint(2 << 3) . chr(1)) || "");
  fail("no such image $_[3]") unless $said->{1};
  my $image = fields($said->{1}[0]); my %info = map { my $e = fields($_); ($e->{1}[0], $e->{2}[0]) } @{$said->{2} || []};
  my $list = sub { return join ", ", map { "\"$_\"" } @{$image->{$_[0]} || []} };
  print "{\n  \"status\": {\n    \"id\": \"$image->{1}[0]\",\n    \"repoTags\": [" . $list->(2) . "],\n    \"repoDigests\": [" . $list->(3)
    . "],\n    \"pinned\": " . ($image->{8} && $image->{8}[0] ? "true" : "false") . "\n  },\n  \"info\": " . ($info{info} || "{}") . "\n}\n" }
"""
