"""A stand-in for Talos: UKIs and disk images that boot into its API, and `talosctl` for the controller.

The source lies in `talos_standin`, a Go program with nothing but the standard
library. A machine that boots it has the lab's own kernel and a small initrd
whose init starts the API and no SSH. Addresses come from the kernel's command
line, as those of Talos may.
"""

from __future__ import annotations

import base64
import datetime as dt
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

from boot_kit import zboot
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

from labkit import bootdisk, gobuilds, vm
from labkit.apt import repository
from labkit.bridge import GATEWAY
from labkit.cache import CACHE, key, made
from labkit.cpio import Archive
from labkit.debs import unpack
from labkit.machines import KINDS, Node
from labkit.wheels import wheel
from sealboot.artifacts.zstd import zstd

VERSION = "v1.14.0"
SOURCE = Path(__file__).with_name("talos_standin")
_TARGETS = {
    "amd64": gobuilds.Target("amd64", "GOAMD64", "v1"),
    "arm64": gobuilds.Target("arm64", "GOARM64", "v8.0"),
}
_CONSOLES = {"amd64": "ttyS0", "arm64": "ttyAMA0"}
_OS_RELEASE = f'NAME="Talos"\nID=talos\nVERSION_ID={VERSION}\nPRETTY_NAME="Talos ({VERSION})"\n'.encode()
_INITTAB = b"::respawn:/usr/local/sbin/apid\n"
_FOREVER = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
_PAST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


def program(debian: str) -> bytes:
    """The stand-in for Debian's architecture `debian`: 25 s for the first, then from the cache."""
    sources = sorted(SOURCE.iterdir())
    digest = key(gobuilds.TOOLCHAIN, [path.read_bytes() for path in sources], debian)

    def make(part: Path) -> None:
        settings = gobuilds.settings(_TARGETS[debian], wheel(gobuilds.TOOLCHAIN) / "go", CACHE / "go-cache")
        gobuilds.compiled(SOURCE, ".", "-s -w", settings, part)

    return made(CACHE / "talos" / digest, make).read_bytes()


def uki(debian: str, *, words: str = "") -> bytes:
    """A UKI that boots into the API, its kernel wrapped where Talos wraps it."""
    kernel, common = vm.prepare(KINDS[f"{debian}-vm"])
    image = kernel.read_bytes()
    own = Archive()
    own.add_file("usr/local/sbin/apid", program(debian), 0o755)
    own.add_file("etc/inittab", _INITTAB)
    cmdline = f"talos.platform=metal console={_CONSOLES[debian]} panic=-1 quiet {words}".strip()
    wrapped = zboot(image) if debian == "arm64" else image
    return bootdisk.uki(debian, wrapped, common.read_bytes() + own.bytes(), cmdline, _OS_RELEASE)


def address_words(node: Node) -> str:
    """What tells the next system where it is: in the words of the stand-in, and in those of Talos."""
    return f"ip={node.address}::{GATEWAY}:255.255.255.0::eth0:off lab.ip={node.address} lab.gw={GATEWAY} lab.host={node.name}"


def disk_image(debian: str, folder: Path, *, words: str = "") -> bytes:
    """A whole disk that boots into the API by UEFI; `words` are for its kernel's command line."""
    return bootdisk.disk(uki(debian, words=words), debian, folder)


def compressed(image: bytes) -> bytes:
    """As releases carry their disk images."""
    return zstd.compress(image)


# -- what an operator has ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Secrets:
    """A cluster's authority and its administrator: what `talosctl gen config` makes, as far as it is used."""

    controlplane: str
    worker: str
    talosconfig: str
    private: str  # a line of the administrator's key that must be seen nowhere


def secrets(endpoint: str, cluster: str = "lab") -> Secrets:
    """Machine configurations for both roles, and the talosconfig that goes with them."""
    authority, signer = _certificate("talos", None)
    admin, private = _certificate("admin", (authority, signer))
    ca, crt = (_packed(c.public_bytes(Encoding.PEM)) for c in (authority, admin))
    secret = _packed(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    talosconfig = (
        f"context: {cluster}\ncontexts:\n  {cluster}:\n    endpoints:\n      - {endpoint}\n"
        f"    ca: {ca}\n    crt: {crt}\n    key: {secret}\n"
    )
    planes, workers = (
        (
            f"version: v1alpha1\ndebug: false\nmachine:\n  type: {role}\n  token: abcdef.0123456789abcdef\n"
            f"  ca:\n    crt: {ca}\n"
            "  install:\n    disk: /dev/vda\n"
            f"    image: factory.talos.dev/metal-installer/376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba:{VERSION}\n"
            f"cluster:\n  clusterName: {cluster}\n  controlPlane:\n    endpoint: https://{endpoint}:6443\n"
        )
        for role in ("controlplane", "worker")
    )
    return Secrets(planes, workers, talosconfig, secret[40:80])


def _packed(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _certificate(
    name: str, by: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by[0].subject if by else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_PAST)
        .not_valid_after(_FOREVER)
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    )
    if by is not None:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = builder.add_extension(usage, critical=False)
    return builder.sign(by[1] if by else private, hashes.SHA256()), private


# -- what a machine needs that is to leave by kexec -------------------------------------------------


def kexec_tools(debian: str) -> bytes:
    """A tar of `kexec` with the libraries and the loader that it needs, for the root of a machine."""

    def make(part: Path) -> None:
        part.write_bytes(_with_libraries(debian, "kexec-tools", "sbin/kexec"))

    return made(CACHE / "talos" / f"kexec-{debian}-{key(1)}.tar", make).read_bytes()


def _with_libraries(debian: str, package: str, name: str) -> bytes:
    tree = made(CACHE / "talos" / f"{package}-{debian}", lambda part: _closure(debian, package, part))
    files = {path.name: path for path in tree.rglob("lib*/**/*.so*")}
    start = tree / name
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        todo, done = [start], set[str]()
        while todo:
            path = todo.pop()
            wanted, loader = _needs(path)
            place = name if path == start else f"usr/lib/{path.name}"
            archive.addfile(*_member(place, path))
            for library in wanted - done:
                done.add(library)
                todo.append(files[library])
            if loader:
                archive.addfile(*_member(loader.lstrip("/"), files[Path(loader).name]))
    return out.getvalue()


def _closure(debian: str, package: str, folder: Path) -> None:
    for deb in repository(CACHE, debian).closure((package,)):
        unpack(deb, folder)


def _needs(path: Path) -> tuple[set[str], str]:
    """The libraries that a program names, and its interpreter."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        named = {
            str(tag.needed)  # type: ignore[attr-defined]  # named after the tag, when it is read
            for section in elf.iter_sections()
            if isinstance(section, DynamicSection)
            for tag in section.iter_tags("DT_NEEDED")
        }
        interpreter = elf.get_section_by_name(".interp")
        loader = interpreter.data().rstrip(b"\0").decode() if interpreter else ""
    return {name for name in named if not name.startswith("ld-linux")}, loader


def _member(name: str, path: Path) -> tuple[tarfile.TarInfo, io.BytesIO]:
    data = path.read_bytes()
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o755
    return info, io.BytesIO(data)
