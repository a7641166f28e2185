"""One host of a k0sctl.yaml as a host of an inventory."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from typing import Final

from sealboot.inventory.nodes import get, made_map, scalars, text
from sealboot.inventory.tree import List, Map, Node, Scalar
from sealboot.model.diagnostic import Diagnostic, Location, Severity

_ROLES: Final = ("controller", "controller+worker", "single", "worker")
_NOT_A_WORD = re.compile(r"[^A-Za-z0-9_-]+", re.ASCII)
_FLAG = re.compile(r"--(labels|taints)[= ](.*)", re.DOTALL)
_IMAGES = re.compile(r".*/images/?")

#: What a host comes up without, and what to do instead.
_TOLD: Final[Mapping[str, str]] = {
    "hooks": "run these commands before or after, or bring the host up with the driver `phases`",
    "privateInterface": "name the address itself: `vars: {ip: ADDRESS}`",
    "k0sDownloadURL": "download the file here and name it under `artifacts: {k0s: …}`",
    "useExistingK0s": "name the k0s that the host is to have under `artifacts: {k0s: …}`",
    "os": "the system of a host is looked at",
}


def wrong(what: str, at: Location, *hints: str, warning: bool = False) -> Diagnostic:
    """SB021, an error unless the cluster comes up without it."""
    severity = Severity.WARNING if warning else Severity.ERROR
    return Diagnostic("SB021", f"the k0sctl.yaml: {what}", severity, at=at, hints=hints)


def unknown(key: str, at: Location, *hints: str) -> Diagnostic:
    """A key that is not taken over."""
    return wrong(f"`{key}` is not taken over", at, *hints, warning=True)


class HostReading:
    """One entry of `spec.hosts`; what is wrong gathers in `found`, what belongs to the cluster in `shared`."""

    def __init__(self, node: Node, path: str) -> None:
        self._node, self._path = node, path
        self.name = ""
        self.shared: dict[str, tuple[str, Scalar]] = {}
        self.found: list[Diagnostic] = []
        self._made: dict[str, Node] = {}
        self._vars: dict[str, Node] = {}
        self._paths: dict[str, Node] = {}
        self._artifacts: dict[str, Node] = {}

    def host(self) -> Map | None:
        """The host, or `None` where it could not be reached or has no role."""
        node = self._node
        if not isinstance(node, Map):
            self.found.append(wrong(f"`{self._path}` is no host", node.at))
            return None
        role = text(node, "role")
        if role not in _ROLES:
            self.found.append(wrong(f"`{self._path}.role` is none of {', '.join(_ROLES)}", node.at))
            return None
        address = self._reach(node)
        if address is None:
            return None
        for key, entry in node.entries.items():
            self._setting(key, entry.node, entry.at)
        named = text(node, "hostname") or f"{role.replace('+', '-')}-{address}"
        self.name = _NOT_A_WORD.sub("-", named).strip("-")[:63]
        for key, entries in (("vars", self._vars), ("paths", self._paths), ("artifacts", self._artifacts)):
            if entries:
                self._made[key] = made_map(node.at, entries)
        return made_map(node.at, self._made)

    # -- how it is reached ------------------------------------------------------------------------------

    def _reach(self, node: Map) -> str | None:
        way = next((key for key in ("ssh", "openSSH") if isinstance(get(node, key), Map)), "")
        ssh, address = get(node, way), text(node, way, "address")
        if not way or not address or not isinstance(ssh, Map):
            other = next((key for key in ("winRM", "localhost") if key in node.entries), "ssh.address")
            self.found.append(
                wrong(f"`{self._path}`: hosts are reached by SSH alone, not by `{other}`", node.at)
            )
            return None
        made: dict[str, Node] = {"user": Scalar("root", ssh.at)} if way == "ssh" else {}
        if way == "openSSH":
            made["config"] = Scalar("true", ssh.at)
        for key, ours in (("user", "user"), ("port", "port"), ("keyPath", "identity_file")):
            value = get(ssh, key)
            if isinstance(value, Scalar) and value.text:
                made[ours] = value
        hops = self._hops(get(ssh, "bastion"), f"{self._path}.{way}.bastion")
        if hops:
            made["jump"] = List([*hops], ssh.at)
        known = {"address", "user", "port", "keyPath", "bastion", "disableMultiplexing"}
        for key, entry in ssh.entries.items():
            if key not in known:
                self.found.append(
                    unknown(
                        f"{self._path}.{way}.{key}", entry.at, "see `ssh` of an inventory, or ~/.ssh/config"
                    )
                )
        self._made |= {"address": Scalar(address, ssh.at), "ssh": made_map(ssh.at, made)}
        return address

    def _hops(self, node: Node | None, path: str) -> list[Scalar]:
        """The bastions in the order in which they are connected: the innermost entry is the first hop."""
        if not isinstance(node, Map):
            return []
        before = self._hops(get(node, "bastion"), f"{path}.bastion")
        for key, entry in node.entries.items():
            if key == "keyPath":
                hint = (
                    "a hop uses the keys of ~/.ssh/config or of the agent; or make it a host of an inventory"
                )
                self.found.append(unknown(f"{path}.{key}", entry.at, hint))
            elif key not in {"address", "user", "port", "bastion"}:
                self.found.append(unknown(f"{path}.{key}", entry.at))
        address, port = text(node, "address"), text(node, "port")
        place = f"[{address}]" if ":" in address else address
        shown = f"{text(node, 'user') or 'root'}@{place}" + (f":{port}" if port else "")
        return [*before, Scalar(shown, node.at)]

    # -- what it is -----------------------------------------------------------------------------------------

    def _setting(self, key: str, value: Node, at: Location) -> None:
        takers: dict[str, Callable[[Node, Location], None]] = {
            "environment": self._environment,
            "installFlags": self._flags,
            "files": self._files,
            "k0sInstallPath": self._install_path,
        }
        if key in {"ssh", "openSSH"}:
            return
        if key in takers:
            takers[key](value, at)
        elif key in _TOLD:
            if text(value) not in {"false", ""} or isinstance(value, Map | List):
                self.found.append(unknown(f"{self._path}.{key}", at, _TOLD[key]))
        elif isinstance(value, Scalar) and self._scalar(key, value):
            return
        else:
            self.found.append(unknown(f"{self._path}.{key}", at))

    def _scalar(self, key: str, value: Scalar) -> bool:
        """Take a setting of one value over; whether it is one that is understood."""
        match key:
            case "role":
                self._made["role"] = value
            case "hostname":
                self._vars["node_name"] = value
            case "privateAddress":
                self._vars["ip"] = value
            case "dataDir":
                self._paths["data"] = value
            case "kubeletRootDir":
                self.shared["kubelet_root_dir"] = (f"{self._path}.{key}", value)
            case "noTaints":
                self.shared["no_taints"] = (f"{self._path}.{key}", value)
            case "reset":
                if value.text == "true":
                    self._vars["state"] = Scalar("absent", value.at)
            case "k0sBinaryPath":
                self._artifacts["k0s"] = List([value], value.at)
            case "uploadBinary":
                pass  # files are always sent from here
            case _:
                return False
        return True

    def _environment(self, value: Node, at: Location) -> None:
        for name, entry in value.entries.items() if isinstance(value, Map) else ():
            if isinstance(entry.node, Scalar):
                self._vars[f"env_{name}"] = entry.node
            else:
                self.found.append(unknown(f"{self._path}.environment.{name}", at))

    def _flags(self, value: Node, at: Location) -> None:
        """Flags of `k0s install`; labels and taints have a place of their own."""
        kept: list[str] = []
        for flag in scalars(value):
            match = _FLAG.fullmatch(flag.text)
            if match:
                name = f"node_{match[1]}"
                self._vars[name] = Scalar(match[2].strip("\"'"), flag.at)
                continue
            name, blank, said = flag.text.partition(" ")
            kept.append(shlex.quote(f"{name}={said.strip()}" if blank and "=" not in name else flag.text))
        if kept:
            self._vars["install_flags"] = Scalar(" ".join(kept), at)

    def _files(self, value: Node, at: Location) -> None:
        """Bundles on their way into the images folder are taken over; other files are told."""
        images: list[Node] = []
        for number, file in enumerate(value.items if isinstance(value, List) else []):
            source = get(file, "src")
            folder = text(file, "dstDir") or text(file, "dst").rpartition("/")[0]
            if isinstance(source, Scalar) and "://" not in source.text and _IMAGES.fullmatch(folder):
                images.append(source)
            else:
                self.found.append(
                    unknown(
                        f"{self._path}.files[{number}]", file.at, "put it there yourself, or with `phases`"
                    )
                )
        if images:
            self._artifacts["images"] = List(images, at)

    def _install_path(self, value: Node, at: Location) -> None:
        folder, _, name = text(value).rpartition("/")
        if name == "k0s" and folder:
            self._paths["binary"] = Scalar(folder, at)
        else:
            self.found.append(wrong(f"`{self._path}.k0sInstallPath`: the program is always called k0s", at))
