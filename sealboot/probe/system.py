"""The userland: C library, distribution, init system, containers, privileges, clock."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sealboot.model.facts import Become, Libc, LibcKind
from sealboot.probe.transcript import Transcript, first_line

Files = Mapping[str, tuple[str, ...]]

#: What the script prints when it became root without being asked for anything.
ROOT_PROOF = "sealboot-root"

_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?")
_LOADER = re.compile(r"/[^\s]{1,200}")
_OS_LINE = re.compile(r"([A-Z_]{1,40})=(.*)")
_CLOCK = re.compile(r"(\d{9,12})(?:\.(\d{1,9}))?")
_UPTIME = re.compile(r"\d{1,12}(?:\.\d{1,9})?")
_CONTAINERS = {"docker": "docker", "podman": "podman", "openvz": "openvz"}
_CGROUPS = (("kubepods", "kubernetes"), ("docker", "docker"), ("lxc", "lxc"), ("libpod", "podman"))
_MACHINES = (
    ("qemu", "qemu"),
    ("kvm", "kvm"),
    ("vmware", "vmware"),
    ("virtualbox", "virtualbox"),
    ("innotek", "virtualbox"),
    ("xen", "xen"),
    ("microsoft corporation", "hyper-v"),
    ("amazon ec2", "amazon"),
    ("google compute engine", "google"),
    ("parallels", "parallels"),
    ("bhyve", "bhyve"),
    ("apple virtualization", "apple"),
)
_NEEDS_PASSWORD = (
    "password is required",
    "a terminal is required",
    "askpass",
    "authentication required",
    "auth failed",
)
_DENIED = (
    "not allowed",
    "not enabled",
    "may not run",
    "not in the sudoers",
    "must have a tty",
    "operation not permitted",
    "sudoers",
)


def files(text: str) -> dict[str, tuple[str, ...]]:
    """Split what `grep -H ''` printed: path to its lines, NUL and blanks at the ends removed."""
    found: dict[str, list[str]] = {}
    for line in text.split("\n")[:4096]:
        path, colon, content = line.partition(":")
        if colon and path.startswith("/"):
            found.setdefault(path, []).append(content.strip(" \t\r\0")[:4096])
    return {path: tuple(lines) for path, lines in found.items()}


def only(found: Files, *paths: str, limit: int = 256) -> str:
    """The first line of the first of these files that has one."""
    return next((found[p][0][:limit] for p in paths if found.get(p) and found[p][0]), "")


def os_release(found: Files) -> tuple[str, str, str]:
    """ID, VERSION_ID and PRETTY_NAME (os-release(5)); empty where not said."""
    lines = found.get("/etc/os-release") or found.get("/usr/lib/os-release") or ()
    pairs = (m for m in (_OS_LINE.fullmatch(line) for line in lines) if m)
    fields = {m[1]: _unquote(m[2])[:128] for m in pairs}
    return (
        fields.get("ID", ""),
        fields.get("VERSION_ID", ""),
        fields.get("PRETTY_NAME", fields.get("NAME", "")),
    )


def _unquote(text: str) -> str:
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    return re.sub(r"\\(.)", r"\1", text)


def libc(transcript: Transcript) -> Libc:
    """Kind and version of the C library, and the loaders that exist.

    What the script's own tools have mapped decides the kind; a static userland
    is judged by the loaders alone, and stays unknown where there are both.
    """
    loaders = frozenset(
        line for line in transcript.text("loaders").split("\n")[:64] if _LOADER.fullmatch(line)
    )
    maps = transcript.text("maps")
    musl = any("ld-musl" in loader or "libc.musl" in loader for loader in loaders)
    glibc = any("/ld-linux" in x or re.search(r"/ld64\.so|/ld\.so\.1|/ld-\d", x) for x in loaders)
    kind: LibcKind
    if "ld-musl" in maps or "libc.musl" in maps:
        kind = "musl"
    elif "libc.so.6" in maps or "/libc-2." in maps:
        kind = "glibc"
    elif not loaders:
        kind = "none"
    else:
        kind = "unknown" if musl == glibc else "musl" if musl else "glibc"
    told = {"glibc": transcript.text("glibc", 200), "musl": transcript.text("musl", 400)}.get(kind, "")
    return Libc(kind, version(told), loaders)


def version(text: str) -> tuple[int, ...] | None:
    """The first dotted number in a text."""
    match = _VERSION.search(text)
    return tuple(int(part) for part in match.groups() if part is not None) if match else None


def init(found: Files, hints: frozenset[str]) -> str:
    """systemd, openrc, busybox or other; empty where nothing tells."""
    comm = only(found, "/proc/1/comm", limit=32)
    for name in ("systemd", "openrc"):
        if name in hints or comm.startswith(name):
            return name
    if comm == "init" and "busybox" in hints:
        return "busybox"
    return "other" if comm else ""


def virtualization(found: Files, hints: frozenset[str], cpu_flags: frozenset[str]) -> str:
    """The container or the virtual machine this looks like; empty on bare metal or where nothing tells."""
    told = only(found, "/run/systemd/container", limit=32)
    if told:
        return told
    for hint, name in _CONTAINERS.items():
        if hint in hints:
            return name
    groups = " ".join(found.get("/proc/1/cgroup", ()))
    for word, name in _CGROUPS:
        if word in groups:
            return name
    hardware = " ".join(
        only(found, p).lower()
        for p in (
            "/sys/hypervisor/type",
            "/sys/class/dmi/id/sys_vendor",
            "/sys/class/dmi/id/product_name",
            "/proc/device-tree/hypervisor/compatible",
            "/proc/device-tree/model",
        )
    )
    for word, name in _MACHINES:
        if word in hardware:
            return name
    return "virtual" if "hypervisor" in cpu_flags else ""


def become(told: str) -> tuple[Become, str]:
    """What sudo or doas answered when asked without a password, and its words.

    Of several lines the one that decides is quoted: sudo may complain about other things first.
    """
    words = first_line(told, 200)
    if words in {"root", "missing"}:
        return ("root" if words == "root" else "missing"), ""
    if told.rstrip().endswith(ROOT_PROOF):
        return "nopasswd", ""
    lowered = told.lower()
    if any(text in lowered for text in _NEEDS_PASSWORD):
        return "password", _line_with(told, _NEEDS_PASSWORD)
    if any(text in lowered for text in _DENIED):
        return "denied", _line_with(told, _DENIED)
    return "unknown", words


def _line_with(told: str, texts: tuple[str, ...]) -> str:
    """The first line that has one of these texts."""
    deciding = (line for line in told.splitlines() if any(text in line.lower() for text in texts))
    return first_line(next(deciding, told), 200)


def own_name_unknown(told: str) -> bool:
    """Whether sudo complained that the host's own name has no address (it asks the resolver first)."""
    return "unable to resolve host" in told.lower()


def clock(transcript: Transcript, sent: float, received: float) -> tuple[float | None, float | None]:
    """Host minus controller in seconds, and how wrong that may be.

    The host read its clock after `sent` and its script ended before
    `received`; the script's own time, by the uptime, belongs to neither way.
    """
    match = _CLOCK.match(transcript.line("clock", 64))
    if match is None:
        return None, None
    fraction = match[2]
    first = int(match[1]) + (int(fraction) / 10 ** len(fraction) if fraction else 0.5)
    started, ended = transcript.line("up0", 32), transcript.line("up1", 32)
    spent = 0.0
    if _UPTIME.fullmatch(started) and _UPTIME.fullmatch(ended):
        spent = min(max(0.0, float(ended) - float(started)), max(0.0, received - sent))
    half = max(0.0, received - sent - spent) / 2
    return first - sent - half, half + (0.01 if fraction else 0.5)
