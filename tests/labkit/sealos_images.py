"""The registry of a root filesystem as the distribution registry lays it out on disk, and what serves it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sealboot.model.arch import Arch

_ROOT = "registry/docker/registry/v2"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"


def _blob(files: dict[str, bytes], data: bytes, kind: str) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    files[f"{_ROOT}/blobs/sha256/{digest[:2]}/{digest}/data"] = data
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}


def registry(images: Mapping[str, Sequence[Arch]], *, layer: int = 200) -> dict[str, bytes]:
    """Images by `NAME:TAG`, each for these architectures, with one layer of `layer` bytes that is its own."""
    files: dict[str, bytes] = {}
    for image, arches in images.items():
        name, _, tag = image.rpartition(":")
        rows = []
        for arch in arches:
            body = hashlib.shake_256(f"{image} {arch}".encode()).digest(layer)
            layers = [_blob(files, body, "application/vnd.oci.image.layer.v1.tar")]
            config = _blob(
                files,
                json.dumps({"architecture": arch.value, "os": "linux"}).encode(),
                "application/vnd.oci.image.config.v1+json",
            )
            text = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": config, "layers": layers}
            row = _blob(files, json.dumps(text).encode(), _MANIFEST)
            rows.append(row | {"platform": {"architecture": arch.value, "os": "linux"}})
        index = _blob(
            files, json.dumps({"schemaVersion": 2, "mediaType": _INDEX, "manifests": rows}).encode(), _INDEX
        )
        place = f"{_ROOT}/repositories/{name}/_manifests/tags/{tag}/current/link"
        files[place] = index["digest"].encode()
    return files


#: Perl: serves manifests by tag or digest, and blobs, from the folder of the second argument, to those whom the
#: htpasswd file of the third lets in. As docker-registry 2.8.2 does: where the file is missing it makes one with a
#: random password for somebody called `docker`, and everybody else gets 401.
SERVER = r"""
use strict; use warnings; use IO::Socket::INET; use POSIX ();
my ($port, $root, $htpasswd) = @ARGV;
my %known;
sub allowed { my ($auth) = @_; return 0 unless defined $auth;
  return $known{$auth} if exists $known{$auth};
  (my $u = $auth) =~ tr{A-Za-z0-9+/}{}cd; $u =~ tr{A-Za-z0-9+/}{ -_};
  my ($user, $password) = split /:/, unpack("u", chr(32 + length($u) * 3 / 4) . $u), 2;
  my ($digest) = (slurp($htpasswd) // "") =~ /^\Q$user\E:(\S+)/m;
  return $known{$auth} = defined $digest && (crypt($password, $digest) // "") eq $digest ? 1 : 0;
}
if (!-e $htpasswd) { open(my $h, ">", $htpasswd) or die $!; print $h "docker:*\n"; close $h }
POSIX::close($_) for 3 .. 63;
$root .= "/docker/registry/v2";
sub slurp { my $h; open($h, "<", $_[0]) or return undef; binmode $h; local $/; return scalar <$h> }
sub blob { return $_[0] =~ /^sha256:([0-9a-f]{2})([0-9a-f]{62})$/ ? slurp("$root/blobs/sha256/$1/$1$2/data") : undef }
my $l = IO::Socket::INET->new(LocalPort => $port, Listen => 20, ReuseAddr => 1) or die $!;
while (my $c = $l->accept) {
  my $line = <$c>; next unless defined $line;
  my $auth; while (my $head = <$c>) { last if $head =~ /^\r?\n$/; $auth = $1 if $head =~ /^Authorization: Basic (\S+)/i }
  if (!allowed($auth)) { print $c "HTTP/1.0 401 Unauthorized\r\nWww-Authenticate: Basic realm=\"Registry\"\r\n\r\n"; close $c; next }
  my $body;
  if ($line =~ m{^GET /v2/ }) { $body = "{}" }
  elsif ($line =~ m{^GET /v2/(\S+)/manifests/(sha256:\S+) }) { $body = blob($2) }
  elsif ($line =~ m{^GET /v2/(\S+)/manifests/(\S+) }) { $body = blob(slurp("$root/repositories/$1/_manifests/tags/$2/current/link") // "") }
  elsif ($line =~ m{^GET /v2/(\S+)/blobs/(\S+) }) { $body = blob($2) }
  print $c defined $body ? "HTTP/1.0 200 OK\r\n\r\n$body" : "HTTP/1.0 404 Not Found\r\n\r\n";
  close $c;
}
"""
