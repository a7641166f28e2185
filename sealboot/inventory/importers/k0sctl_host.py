"""One host of a k0sctl.yaml as a host of an inventory."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from sealboot.inventory.importers import k0sctl_flags as flags
from sealboot.inventory.importers.nodes import entries, get, made_map, scalars, switch, text
from sealboot.inventory.tree import List, Map, Node, Scalar
from sealboot.model.diagnostic import Diagnostic, Location, Severity

_ROLES: Final = ("controller", "controller+worker", "single", "worker")
_NOT_A_WORD = re.compile(r"[^A-Za-z0-9_-]+", re.ASCII)
#: Settings that are on or off.
_SWITCHES: Final = frozenset({"reset", "noTaints", "uploadBinary", "useExistingK0s"})
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
    """One entry of `spec.hosts`; what is wrong gathers in `found`.

    `no_taints`, `kubelet_dir` and `dynamic` are the cluster's here: where the host says them, if it does.
    """

    def __init__(self, node: Node, path: str) -> None:
        self._node, self._path = node, path
        self._role_at = node.at
        self.at, self.path, self.port = node.at, path, ""
        self.name = self.role = ""
        self.leaves = False
        self.no_taints: Scalar | None = None
        self.kubelet_dir: Scalar | None = None
        self.dynamic: Scalar | None = None
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
        self.role = text(node, "role")
        if self.role not in _ROLES:
            self.found.append(wrong(f"`{self._path}.role` is none of {', '.join(_ROLES)}", node.at))
            return None
        address = self._reach(node)
        if address is None:
            return None
        for key, entry in entries(node):
            if key != "installFlags":
                self._setting(key, entry.node, entry.at)
        self._flags(get(node, "installFlags"))
        self._made["role"] = Scalar(self.role, self._role_at)
        named = text(node, "hostname") or f"{self.role.replace('+', '-')}-{address}"
        self.name = _NOT_A_WORD.sub("-", named).strip("-")[:63]
        # A host whose name is taken by another port of its address is told apart by its own.
        self.port = text(node, "ssh", "port") or text(node, "openSSH", "port") or "22"
        for key, made in (("vars", self._vars), ("paths", self._paths), ("artifacts", self._artifacts)):
            if made:
                self._made[key] = made_map(node.at, made)
        return made_map(node.at, self._made)

    # -- how it is reached ------------------------------------------------------------------------------

    def _reach(self, node: Map) -> str | None:
        ways = [key for key in ("ssh", "openSSH") if isinstance(get(node, key), Map)]
        if len(ways) > 1:
            self.found.append(
                wrong(f"`{self._path}` has both `ssh` and `openSSH`", node.at, "keep one of them")
            )
            return None
        way = ways[0] if ways else ""
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
            elif isinstance(value, Map | List):
                self.found.append(wrong(f"`{self._path}.{way}.{key}` is no text", value.at))
        hops = self._hops(get(ssh, "bastion"), f"{self._path}.{way}.bastion")
        if hops:
            made["jump"] = List([*hops], ssh.at)
        known = {"address", "user", "port", "keyPath", "bastion", "disableMultiplexing"}
        for key, entry in entries(ssh):
            if key not in known:
                self.found.append(
                    unknown(
                        f"{self._path}.{way}.{key}", entry.at, "see `ssh` of an inventory, or ~/.ssh/config"
                    )
                )
        self._made |= {"address": get(ssh, "address") or ssh, "ssh": made_map(ssh.at, made)}
        return address

    def _hops(self, node: Node | None, path: str) -> list[Scalar]:
        """The bastions in the order in which they are connected: the innermost entry is the first hop."""
        if not isinstance(node, Map):
            if node is not None:
                self.found.append(wrong(f"`{path}` is no bastion", node.at))
            return []
        before = self._hops(get(node, "bastion"), f"{path}.bastion")
        for key, entry in entries(node):
            if key == "keyPath":
                hint = "a hop is offered the agent's keys and ~/.ssh/id_*: `ssh-add` this one before"
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
            "files": self._files,
            "k0sInstallPath": self._install_path,
        }
        if key in {"ssh", "openSSH"}:
            return
        if key in takers:
            takers[key](value, at)
        elif key in _SWITCHES and switch(value) is None:
            self.found.append(wrong(f"`{self._path}.{key}` is neither true nor false", at))
        elif key in _TOLD:
            empty = not text(value) if isinstance(value, Scalar) else not [*entries(value)]
            if not empty and (key not in _SWITCHES or switch(value)):
                self.found.append(unknown(f"{self._path}.{key}", at, _TOLD[key]))
        elif isinstance(value, Scalar) and self._scalar(key, value):
            return
        else:
            self.found.append(unknown(f"{self._path}.{key}", at))

    def _scalar(self, key: str, value: Scalar) -> bool:
        """Take a setting of one value over; whether it is one that is understood."""
        match key:
            case "role":
                self._role_at = value.at
            case "hostname":
                self._vars["node_name"] = value
            case "privateAddress":
                self._vars["ip"] = value
            case "dataDir":
                self._paths["data"] = value
            case "kubeletRootDir":
                self.kubelet_dir = value
            case "noTaints":
                self.no_taints = Scalar("true", value.at) if switch(value) else None
            case "reset":
                self.leaves = bool(switch(value))
                if self.leaves:
                    self._vars["state"] = Scalar("absent", value.at)
            case "k0sBinaryPath":
                self._artifacts["k0s"] = List([value], value.at)
            case "uploadBinary":
                pass  # files are always sent from here
            case _:
                return False
        return True

    def _environment(self, value: Node, at: Location) -> None:
        if not isinstance(value, Map):
            self.found.append(wrong(f"`{self._path}.environment` is no map of variables", at))
            return
        for name, entry in value.entries.items():
            if isinstance(entry.node, Scalar):
                # Go's map of texts: a name without a value has the empty one.
                self._vars[f"env_{name}"] = entry.node._replace(quoted=True)
            else:
                self.found.append(wrong(f"`{self._path}.environment.{name}` is no text", entry.at))

    def _flags(self, node: Node | None) -> None:
        """Flags of `k0s install`. Those that k0sctl makes a setting of are settings here too."""
        if node is None:
            return
        if not isinstance(node, List) or len(node.items) != len(scalars(node)):
            self.found.append(wrong(f"`{self._path}.installFlags` is no list of flags", node.at))
            return
        kept: list[flags.Flag] = []
        lists: dict[str, list[flags.Flag]] = {}
        for flag in flags.flags_of(scalars(node)):
            if isinstance(flag, Scalar):
                self._wrong_flag(flag.at, "this is no flag", "write `--name=value`, quotes in pairs")
            elif flag.name in flags.LISTS:
                lists.setdefault(flags.LISTS[flag.name], []).append(flag)
            elif not self._taken_over(flag):
                kept.append(flag)
        for name, said in lists.items():
            # k0s reads both as lists: said twice, they add up.
            self._vars[name] = Scalar(",".join(flag.value or "" for flag in said), said[0].at)
        if len(kubelet := [flag for flag in kept if flag.name == flags.KUBELET_ARGS]) > 1:
            self._wrong_flag(
                kubelet[1].at, f"`{flags.KUBELET_ARGS}` stands here twice", "k0s takes the last one"
            )
        if kept:
            self._vars["install_flags"] = Scalar(" ".join(flag.word for flag in kept), kept[0].at)

    def _taken_over(self, flag: flags.Flag) -> bool:
        """Make a setting of a flag, or tell what becomes of it; whether that was done."""
        said = Scalar(flag.value or "", flag.at)
        if flag.name in {flags.DATA_DIR, flags.KUBELET_DIR} and not flag.value:
            self._wrong_flag(flag.at, f"`{flag.name}` needs a value")
            return True
        match flag.name:
            case name if name in flags.ROLES:
                self._role_flag(flag)
            case flags.NO_TAINTS:
                if flag.off and self.no_taints:
                    self._wrong_flag(flag.at, f"`{flag.name}=false` and `noTaints: true` disagree")
                self.no_taints = self.no_taints if flag.off else Scalar("true", flag.at)
            case flags.DATA_DIR:
                self._paths["data"] = said
            case flags.KUBELET_DIR:
                self.kubelet_dir = said
            case flags.DYNAMIC:
                self.dynamic = None if flag.off else Scalar("true", flag.at)
            case name if name in flags.REFUSED:
                self._wrong_flag(
                    flag.at, f"`{name}` is the driver's own", "delete it: it is made of the inventory"
                )
            case name if name in flags.NEEDLESS:
                self.found.append(
                    unknown(f"{self._path}.installFlags: {name}", flag.at, "it is not needed here")
                )
            case _:
                return False
        return True

    def _role_flag(self, flag: flags.Flag) -> None:
        role = flags.ROLES[flag.name]
        if flag.off and self.role == role:
            self._wrong_flag(flag.at, f"`{flag.name}=false` and `role: {role}` disagree")
        elif not flag.off and self.role != role:
            what = f"`{self._path}.installFlags`: `{flag.name}` makes this {self.role} a {role}"
            self.found.append(
                wrong(what, flag.at, f"k0sctl does the same; write `role: {role}`", warning=True)
            )
            self.role = role

    def _wrong_flag(self, at: Location, what: str, *hints: str) -> None:
        self.found.append(wrong(f"`{self._path}.installFlags`: {what}", at, *hints))

    def _files(self, value: Node, at: Location) -> None:
        """Bundles on their way into the images folder are taken over; other files are told."""
        if not isinstance(value, List):
            self.found.append(wrong(f"`{self._path}.files` is no list", at))
            return
        images: list[Node] = []
        for number, file in enumerate(value.items):
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
