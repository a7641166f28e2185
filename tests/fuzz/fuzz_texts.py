"""Parsers of what operators write, and of what publishers sign: inventories, settings, keys, checksums, plans."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import importlib
import json
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import access_kit
import boot_kit
import elf_corpus
import image_kit
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fuzz_target import Target, memory_file, shown, still, told, utf8

from sealboot.artifacts.cache import _read as cache_entry
from sealboot.artifacts.cache_codec import decode, encode
from sealboot.artifacts.checksums import parse_sums
from sealboot.artifacts.image_list import read_image_list
from sealboot.artifacts.inspect import inspect
from sealboot.artifacts.name import arch_in_name
from sealboot.artifacts.reader import Memory
from sealboot.artifacts.signatures import minisign_key_id, sshsig_fingerprint, verify_minisign, verify_sshsig
from sealboot.cli.options import TASTE, taste
from sealboot.drivers.template import Member, Scope, TemplateError, render
from sealboot.inventory import hygiene
from sealboot.inventory.hygiene import UnsafeError
from sealboot.inventory.secrets import parse_secret_ref
from sealboot.inventory.starter import starter
from sealboot.inventory.tree import parse as parse_tree
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Host, SshSettings
from sealboot.model.names import expand, fold, split
from sealboot.plan.planfile import dumps, loads, stale
from sealboot.render.text import safe
from sealboot.transport.endpoint import Routes
from sealboot.transport.knownhosts import HostKey, KnownHosts
from sealboot.transport.resolve import hostname, literal
from sealboot.transport.sshconfig import Resolved, SshConfig
from sealboot.workflow import kubeconfig_text as kubeconfig
from sealboot.workflow.prepare import Prepared, prepare

ROOT = Path(__file__).parents[2]


# -- inventory


def feed_inventory(data: bytes) -> None:
    """A whole preparation: tree, values, hosts, driver and its options; findings are shown."""
    tree = parse_tree(data, "f")
    if isinstance(tree, Diagnostic):
        told(tree)
    found = prepare(["-"], stdin=data)
    if isinstance(found, Prepared):
        told(*found.diagnostics)
        assert found.inventory.hosts is not None
    else:
        assert found
        told(*found)


def inventory_seeds() -> list[bytes]:
    """The example, starters of both drivers, and small ones of every feature."""
    small = b"version: 1\ncluster: {name: lab, driver: phases}\n"
    return [
        (ROOT / "inventory.example.yaml").read_bytes(),
        starter("sealos", ()).encode(),
        starter("phases", ("a", "b")).encode(),
        small + b"hosts: {'n[1-3]': {address: '10.0.0.[1-3]', ssh: {port: 22, jump: a@g}}, g: {}}\n",
        small + b"groups: {g: {vars: {a: 'x'}}}\nhosts: {n1: {groups: [g], arch: arm/v7, x-note: z}}\n",
        small + b"phases:\n- name: p\n  steps:\n  - {name: s, run: 'echo {{ host.name }}', unless: 'true'}\n"
        b"  - {name: u, upload: {artifact: t, dest: /x, mode: '0755', smoke: 'true'}}\nhosts: {n1: {}}\nartifacts: {t: ['b/*']}\n",
        small
        + b"hosts:\n  nas1: {ignore: [{code: SB304, reason: clock}], become: {password_from: 'env:A'}}\n",
    ]


def feed_clusterfile(data: bytes) -> None:
    """A Clusterfile of Sealos taken over as an inventory."""
    with memory_file(data) as path:
        found = prepare([f"sealos:{path}"])
    told(*(found.diagnostics if isinstance(found, Prepared) else found))


def clusterfile_seeds() -> list[bytes]:
    """Masters and nodes, ssh, images and what follows in further documents."""
    return [
        (
            b"apiVersion: apps.sealos.io/v1beta1\nkind: Cluster\nmetadata: {name: lab}\nspec:\n"
            b"  hosts:\n  - ips: ['10.0.0.1:22', 10.0.0.2]\n    roles: [master, amd64]\n  - ips: [10.0.0.3]\n"
            b"    roles: [node, arm64]\n  image: ['labring/kubernetes:v1.33.0']\n  ssh: {pk: /root/.ssh/id, user: root, port: 22}\n"
            b"---\napiVersion: x\nkind: Config\n"
        ),
        b"# c\n---\nkind: Cluster\nspec: {hosts: [], ssh: {passwd: hunter22}}\n",
    ]


def feed_k0sctl(data: bytes) -> None:
    """A file of k0sctl taken over as an inventory."""
    with memory_file(data) as path:
        found = prepare([f"k0sctl:{path}"])
    told(*(found.diagnostics if isinstance(found, Prepared) else found))


def k0sctl_seeds() -> list[bytes]:
    """Hosts of each role with what is taken over and what is only told, and the config in both places."""
    return [
        (
            b"apiVersion: k0sctl.k0sproject.io/v1beta1\nkind: Cluster\nmetadata: {name: lab}\nspec:\n  hosts:\n"
            b"  - role: controller+worker\n    noTaints: true\n    privateAddress: 10.0.0.1\n"
            b"    ssh: {address: 10.0.0.1, user: root, port: 22, keyPath: /k, bastion: {address: 10.0.0.9}}\n"
            b"    installFlags: ['--profile=edge']\n    environment: {A: b}\n    k0sBinaryPath: k0s\n"
            b"  - role: worker\n    reset: true\n    openSSH: {address: w1}\n    files: [{src: a.tar, dstDir: /var/lib/k0s/images}]\n"
            b"    hooks: {apply: {before: [date]}}\n"
            b"  k0s: {version: v1.33.1+k0s.0, dynamicConfig: true, config: {spec: {network: {provider: calico}}}}\n"
            b"  options: {drain: {timeout: 5m0s}, concurrency: {workerDisruptionPercent: 20}}\n"
        ),
        b"kind: Cluster\nspec: {hosts: []}\n---\nkind: ClusterConfig\nspec: {api: {port: 6443}}\n",
    ]


def feed_kubeconfig(data: bytes) -> None:
    """What a host gives for the administrator's kubeconfig, alone and beside another one; no key is shown."""
    found = kubeconfig.read(data)
    if isinstance(found, str):
        still(safe(found))
        return
    made = kubeconfig.text(found, "lab", "https://10.0.0.1:6443")
    assert not isinstance(kubeconfig.read(made.encode()), str)


def kubeconfig_seeds() -> list[bytes]:
    """One cluster with embedded certificates, and some of what is refused."""
    return [
        access_kit.admin().text().encode(),
        b"clusters: [{name: a, cluster: {server: 'https://a', certificate-authority: /x}}]\nusers: []\n",
        b"users: [{name: a, user: {exec: {command: sh}}}]\n",
    ]


def feed_image_list(data: bytes) -> None:
    """A file of image names; what is told of it is one layer or none."""
    with memory_file(data) as path:
        told(*inspect(Path(path), "list").diagnostics)
    found = read_image_list(Memory(data))
    if found is not None:
        assert int(found.facts["count"]) == len(found.facts["images"].split(" "))


def image_list_seeds() -> list[bytes]:
    """Names as k0s publishes them, with what may stand around them."""
    return [
        b"# v1.33\nquay.io/k0sproject/coredns:1.12.0\n\nregistry.k8s.io/pause:3.10@sha256:"
        + b"a" * 64
        + b"\n"
    ]


def feed_words(data: bytes) -> None:
    """Single values: addresses, users, hops, ports, paths, secrets, names, ranges, file names."""
    text = utf8(data)
    for check in (
        hygiene.address,
        hygiene.user_name,
        hygiene.host_name,
        hygiene.hop,
        hygiene.port,
        hygiene.absolute_path,
    ):
        try:
            check(text)
        except UnsafeError:
            continue
        assert text.isprintable()
    literal(text, 22)
    hostname(text)
    parse_secret_ref(text)
    arch_in_name(text)
    split(text)
    still(safe(text))
    try:
        names = expand(text)
    except ValueError:
        return
    assert len(names) <= 100_000
    if len(names) < 2000:
        fold(names)


def word_seeds() -> list[bytes]:
    """Good and odd ones."""
    return [
        b"10.0.0.1",
        b"[fe80::1%eth0]",
        b"0x7f.1",
        "bücher.example".encode(),
        b"ops@gate:2222",
        b"/usr/local/bin",
        b"file:~/secret",
        b"keyring:a/b",
        b"fd:3",
        b"pi[01-10,13,2-4]",
        b"pi[01-03],!pi02,@agents,role=server",
        b"k3s-armhf_v1.30.linux-x86_64.tar.gz",
    ]


def feed_settings(data: bytes) -> None:
    """The settings file of the operator's own taste."""
    with memory_file(data) as path, suppress(ValueError):
        assert set(taste(path)) <= set(TASTE)


def settings_seeds() -> list[bytes]:
    """All of it, and what TOML allows beyond."""
    return [
        b'format = "plain"\ncolor = "never"\njobs = 4\nuploads = 0x2\ntimeout = 1e1\n',
        b"[a.b]\nc = [1, {d = 1979-05-27T07:32:00Z}]\n",
        b"jobs = " + b"[" * 900,
    ]


def feed_template(data: bytes) -> None:
    """Templates of phases."""
    names = {"host.name": "n1", "vars.a": "x'y", "cluster.name": "lab"}
    scope = Scope(names, (Member("n1", "server", names), Member("n2", "agent", names)), frozenset({"token"}))
    with suppress(TemplateError):
        render(utf8(data), scope)


def template_seeds() -> list[bytes]:
    """Look-ups, filters, loops and secrets."""
    return [
        b"a {{ host.name | sh }} {{ vars.a | json }} {{ secret.token }}",
        b'{{ each role=server sep="\\n" : - {host.name}: {vars.a} }}',
        b"{{ each: {name} }}",
        b"{{ '{{' }}",
    ]


# -- trust


def feed_known_hosts(data: bytes) -> None:
    """Any file; and a revocation in it that nobody can read is never taken for none."""
    known = KnownHosts()
    known.add("known_hosts", data)
    told(*known.findings[:20])
    for name, port in (("nas1.lan", 22), ("10.0.0.1", 2222)):
        found = known.lookup(name, port)
        assert found == known.lookup(name, port)
    known.add("more", b"@revoked nas1.lan ssh-ed25519 broken\n")
    assert known.lookup("nas1.lan", 22).unreadable


def known_hosts_seeds() -> list[bytes]:
    """Plain, hashed, wildcard, authority, revoked, and lines of every fault."""
    key = HostKey("ssh-ed25519", b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)).line.encode()
    salt, digest = (base64.b64encode(bytes(20)).decode() for _ in "ab")
    return [
        b"nas1.lan,10.0.0.1 " + key + b" comment\n[10.0.0.1]:2222 " + key + b"\n",
        f"|1|{salt}|{digest} ".encode() + key + b"\n",
        b"*.lan,!bad.lan " + key + b"\n@cert-authority *.lan " + key + b"\n",
        b"@revoked * " + key + b"\n# note\n\njustoneword\n\xff\xfe\n",
        ("nas1.lan " + key.decode()).encode("utf-16"),
    ]


def feed_ssh_config(data: bytes) -> None:
    """A user's configuration, looked up for two hosts. Included files are those of an empty home."""
    with memory_file(data) as path:
        config = SshConfig(path, home=Path("/nonexistent"), local_user="me")
    told(*config.findings[:20])
    for alias, user in (("nas1", None), ("10.0.0.1", "ops")):
        found = config.lookup(alias, user=user)
        if isinstance(found, Resolved):
            assert found.port is None or 0 < found.port < 1 << 16
    routes = Routes({"h": Host("h", "nas1", "node", ssh=SshSettings(config=True))}, config, "me")
    route = routes.route("h")
    if isinstance(route, Diagnostic):
        told(route)
    told(*routes.told()[:20])


def ssh_config_seeds() -> list[bytes]:
    """Every option that is understood, and some that must not be."""
    return [
        b"Host nas1 *.lan !bad\n  HostName %h.lan\n  Port 2222\n  User ops\n  IdentityFile ~/.ssh/%r_%h\n",
        b"Match host nas1 user ops\n ProxyJump a@b:22,c\n ConnectTimeout 1m30s\n",
        b'Match final exec "touch /x"\nStrictHostKeyChecking no\nUserKnownHostsFile=none\n',
        b'Include conf.d/* ~/x\nIdentityAgent "$SSH_AUTH_SOCK"\nIdentitiesOnly yes\nProxyCommand nc %h %p\n',
        b"CanonicalizeHostname yes\nCanonicalDomains lab.test\nMatch final host nas?\n Tag x\nMatch tagged=x\n User y\n",
        b"IgnoreUnknown Foo*\nFooBar 1\nHost nas1 !b\n IdentityFile ~root/k%%\n ProxyJump none\n HostKeyAlias a\\b\n",
    ]


# -- checksums and signatures


@cache
def _signer() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


DATA = b"a" * 64 + b"  k3s-arm64\n"


def _public() -> bytes:
    return _signer().public_key().public_bytes_raw()


def _string(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _ssh_key() -> bytes:
    return _string(b"ssh-ed25519", _public())


def _armoured(blob: bytes) -> bytes:
    text = base64.b64encode(blob)
    return b"-----BEGIN SSH SIGNATURE-----\n" + text + b"\n-----END SSH SIGNATURE-----\n"


def _sshsig_blob() -> bytes:
    fields = (b"sealboot", b"", b"sha512")
    signed = b"SSHSIG" + _string(*fields, hashlib.sha512(DATA).digest())
    return b"SSHSIG\0\0\0\1" + _string(_ssh_key(), *fields, _string(b"ssh-ed25519", _signer().sign(signed)))


def feed_sums(data: bytes) -> None:
    """A checksum file: digests for plain names, or a reason, never both."""
    found = parse_sums(data)
    assert bool(found.problem) != bool(found.digests)
    for name, digest in found.digests.items():
        assert len(digest) == 64
        assert "/" not in name
        assert name.isprintable()
    safe(found.problem)


def sums_seeds() -> list[bytes]:
    """Both forms, and lines that spoil the file."""
    return [
        DATA,
        b"# c\n\nSHA256 (k3s) = " + b"B" * 64 + b"\n" + b"0" * 64 + b" *x y\n",
        b"a" * 64 + b"  ../x\n",
    ]


def feed_sshsig(data: bytes) -> None:
    """A signature as a file and as what is in its armour: no change makes it good for other data."""
    ours = b"* " + b"ssh-ed25519 " + base64.b64encode(_ssh_key()) + b"\n"
    for signature in (data, _armoured(data)):
        assert verify_sshsig(DATA + b"x", signature, ours)
        verify_sshsig(DATA, signature, ours)
        sshsig_fingerprint(signature)
    assert verify_sshsig(DATA + b"x", _armoured(_sshsig_blob()), data)
    verify_sshsig(DATA, _armoured(_sshsig_blob()), data)


def sshsig_seeds() -> list[bytes]:
    """The signature, its armour, and files of allowed signers."""
    line = b"ssh-ed25519 " + base64.b64encode(_ssh_key())
    assert not verify_sshsig(DATA, _armoured(_sshsig_blob()), line)
    return [
        _sshsig_blob(),
        _armoured(_sshsig_blob()),
        line,
        b'# c\nme@x,you namespaces="git,sealboot" ' + line + b' note\n* valid-before="2020" ' + line,
    ]


def feed_minisign(data: bytes) -> None:
    """The same for minisign, signature and key."""
    key = base64.b64encode(b"Ed" + bytes(8) + _public())
    assert verify_minisign(DATA + b"x", data, key)
    verify_minisign(DATA, data, key)
    assert verify_minisign(DATA + b"x", _minisig(), data)
    verify_minisign(DATA, _minisig(), data)
    minisign_key_id(data)


def _minisig() -> bytes:
    made = _signer().sign(hashlib.blake2b(DATA).digest())
    over = _signer().sign(made + b"release 1")
    first = base64.b64encode(b"ED" + bytes(8) + made)
    return b"untrusted comment: x\n%s\ntrusted comment: release 1\n%s\n" % (first, base64.b64encode(over))


def minisign_seeds() -> list[bytes]:
    """A signature and a key."""
    key = b"untrusted comment: key\n" + base64.b64encode(b"Ed" + bytes(8) + _public()) + b"\n"
    assert not verify_minisign(DATA, _minisig(), key)
    return [_minisig(), key]


# -- plan files


def feed_plan(data: bytes) -> None:
    """A plan that is read is written back equal and is not stale beside itself."""
    found = loads(data, Path("p.json"))
    if isinstance(found, Diagnostic):
        told(found)
        return
    assert stale(found, found) == ()
    assert loads(dumps(found), Path("p.json")) == found
    other = dataclasses.replace(found, cluster=found.cluster + "x", hosts=found.hosts[1:])
    told(*stale(found, other))


def plan_seeds() -> list[bytes]:
    """One plan of every step."""
    sys.path.append(str(ROOT / "tests" / "unit" / "plan"))
    made = importlib.import_module("test_planfile").plan()
    empty = dataclasses.replace(made, waves=(), hosts=(), artifacts={}, fingerprints={})
    return [dumps(made), dumps(empty), b'{"format": 1, "waves": []}']


# -- what was remembered


def feed_cache(data: bytes) -> None:
    """An entry of the cache, whole and in its frame: what is not exactly what was written is nothing."""
    for text in (data, hashlib.sha256(data).hexdigest().encode() + b"\n" + data):
        with suppress(ValueError, RecursionError):
            cache_entry(text, _KEY, _STAMP)
    with suppress(ValueError, RecursionError):
        tree = json.loads(data)
        found = decode(tree["artifact"] if isinstance(tree, dict) and "artifact" in tree else tree)
        assert decode(encode(found)) == found
        shown(found)


_KEY: list[object] = [1, "file", False]
_STAMP = [0, 0, 0]


def cache_seeds() -> list[bytes]:
    """Artifacts of several kinds as they are remembered."""
    found = []
    for data in (elf_corpus.samples()[0].bytes, boot_kit.uki(), image_kit.image("linux/arm64").tar()):
        with memory_file(data) as path:
            found.append(json.dumps(encode(inspect(path, "file"))).encode())
    entry = {"key": _KEY, "stamp": _STAMP, "artifact": json.loads(found[0])}
    return [*found, json.dumps(entry).encode()]


TEXTS = (
    Target("inventory", feed_inventory, inventory_seeds, 1 << 14),
    Target("clusterfile", feed_clusterfile, clusterfile_seeds, 1 << 13),
    Target("k0sctl", feed_k0sctl, k0sctl_seeds, 1 << 13),
    Target("kubeconfig", feed_kubeconfig, kubeconfig_seeds, 1 << 13),
    Target("image-list", feed_image_list, image_list_seeds, 1 << 11),
    Target("values", feed_words, word_seeds, 1 << 10),
    Target("settings", feed_settings, settings_seeds, 1 << 12),
    Target("template", feed_template, template_seeds, 1 << 12),
    Target("known-hosts", feed_known_hosts, known_hosts_seeds, 1 << 13),
    Target("ssh-config", feed_ssh_config, ssh_config_seeds, 1 << 12),
    Target("checksums", feed_sums, sums_seeds, 1 << 12),
    Target("sshsig", feed_sshsig, sshsig_seeds, 1 << 12),
    Target("minisign", feed_minisign, minisign_seeds, 1 << 12),
    Target("cache", feed_cache, cache_seeds, 1 << 13),
    Target("plan-file", feed_plan, plan_seeds, 1 << 14),
)
