"""The options of the `k0s` driver, with the defaults that k0s itself has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from sealboot.drivers.kinds import Place, Places, Seconds, SlotNames, number, plain_path
from sealboot.model.host import Host, Inventory

#: What holds the cluster: etcd on the controllers, SQLite on the only one, or a service elsewhere.
Storage = Literal["etcd", "kine", "elsewhere"]
#: Roles that run a controller, in bring-up order; `single` is a cluster of one host.
CONTROLLERS = ("controller", "controller+worker", "single")
#: Roles whose hosts are nodes of Kubernetes.
NODES = ("controller+worker", "single", "worker")

_FLAG = re.compile(r"--?[a-z][a-z0-9-]*(?:=.*)?", re.DOTALL)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_DURATION = r"^(?:[0-9]{1,5}[hms]){1,3}$"
_BATCH = re.compile(r"([1-9][0-9]{0,4})(%?)", re.ASCII)
#: Flags that follow from the inventory: two opinions on one command line would fight.
OWN_FLAGS = frozenset(
    {"config", "data-dir", "enable-dynamic-config", "enable-worker", "force", "no-taints", "single"}
    | {"start", "token-file", "token", "labels", "kubelet-root-dir"}
)


def flags_of(text: str) -> tuple[str, ...]:
    """The words of `install_flags`; raises `ValueError` for what is no flag, or is the driver's own."""
    words = tuple(shlex.split(text))
    for word in words:
        if not _FLAG.fullmatch(word) or not word.isprintable():
            raise ValueError("expected flags of `k0s install`, each in one word: `--name=value`")
        name = word.lstrip("-").partition("=")[0]
        if name in OWN_FLAGS:
            raise ValueError(f"`--{name}` is the driver's own: it is made of the inventory")
    return words


def _flags(value: object) -> object:
    """One line of flags, or a list of flags."""
    if isinstance(value, str):
        return flags_of(value)
    if isinstance(value, list | tuple):
        return tuple(flag for item in value for flag in flags_of(shlex.quote(str(item))))
    raise ValueError("expected flags of `k0s install`")


def _batch(value: object) -> object:
    match = _BATCH.fullmatch(value) if isinstance(value, str) else None
    if match is None or (match[2] and int(match[1]) > 100):
        raise ValueError("expected a number of hosts, or a percentage such as `10%`")
    return value


#: What YAML calls nothing; an inventory holds texts, and no setting of k0s is called so.
_NOTHING = frozenset({"null", "Null", "NULL", "~"})


def _cluster_config(value: object) -> object:
    """A ClusterConfig or its spec without what is null: `k0s config create` writes `externalCluster: null`."""
    tree = _present(value)
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ValueError("expected a ClusterConfig, or its `spec` alone")  # noqa: TRY004 (pydantic lets a TypeError pass)
    spec = spec_of(tree)
    for path in ("spec", "spec.api", "spec.storage", "spec.storage.etcd", "spec.storage.kine"):
        below: object = spec
        for name in path.split(".")[1:]:
            below = below.get(name, {}) if isinstance(below, dict) else {}
        if not isinstance(below, dict):
            raise ValueError(f"`{path}` takes a map")  # noqa: TRY004 (likewise)
    if not isinstance(spec.get("api", {}).get("sans", []), list):
        raise ValueError("`spec.api.sans` takes a list")  # noqa: TRY004 (likewise)
    return tree


def _present(tree: object) -> object:
    """The tree without null values; `None` for a null."""
    if isinstance(tree, dict):
        return {key: kept for key, value in tree.items() if (kept := _present(value)) is not None}
    if isinstance(tree, list | tuple):
        return [kept for item in tree if (kept := _present(item)) is not None]
    return None if isinstance(tree, str) and tree in _NOTHING else tree


def spec_of(config: Mapping[str, Any]) -> Any:
    """The spec of what `config` holds: a whole ClusterConfig, or the spec alone."""
    return config.get("spec", {}) if "spec" in config or config.get("kind") == "ClusterConfig" else config


def _environment(value: object) -> object:
    """Variables of the service: what stands in a unit file is plain text in one line."""
    if not isinstance(value, dict):
        raise ValueError("expected variables, each `NAME: value`")  # noqa: TRY004 (pydantic lets a TypeError pass)
    for name, said in value.items():
        if not _VARIABLE.fullmatch(str(name)):
            raise ValueError(f"{name!r} is no name of a variable")
        if not isinstance(said, str) or not said.isprintable():
            raise ValueError(f"`{name}` takes a text of one line")
    return value


class DrainOptions(BaseModel):
    """How a node is emptied before its k0s changes; the defaults are those of k0sctl."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    enabled: Literal["true", "false"] = "true"
    grace_period: Annotated[int, BeforeValidator(number), Field(ge=-1, le=86400)] = 120
    timeout: Seconds = 300
    force: Literal["true", "false"] = "true"
    delete_emptydir_data: Literal["true", "false"] = "true"
    pod_selector: Annotated[str, Field(pattern=r"^[A-Za-z0-9./_=!, ()-]{1,256}$")] | None = None
    skip_wait_for_delete_timeout: Annotated[int, BeforeValidator(number), Field(ge=0, le=86400)] = 0


class K0sOptions(BaseModel):
    """What may be written under the driver's options; every key has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    state: Literal["present", "absent"] = "present"
    #: Take over a k0s that somebody else (k0sctl, a script) has set up.
    adopt: Literal["true", "false"] = "false"
    data_dir: str = "/var/lib/k0s"
    kubelet_root_dir: str | None = None
    #: The whole of a ClusterConfig, or its `spec` alone; what the inventory knows is filled in.
    config: Annotated[dict[str, Any], BeforeValidator(_cluster_config)] = Field(default_factory=dict)
    #: A load balancer or virtual address in front of the controllers.
    endpoint: Place | None = None
    sans: Places = ()
    dynamic_config: Literal["true", "false"] = "false"
    #: Take images of older releases out of the live ClusterConfig before a controller is upgraded (SB671).
    unpin: Literal["true", "false"] = "false"
    #: `controller+worker` nodes take ordinary pods.
    no_taints: Literal["true", "false"] = "false"
    install_flags: Annotated[tuple[str, ...], BeforeValidator(_flags)] = ()
    environment: Annotated[dict[str, str], BeforeValidator(_environment)] = Field(default_factory=dict)
    images: SlotNames = ()
    #: How many workers are upgraded at once: a number, or a percentage of them, rounded down, at least one.
    batch: Annotated[str, BeforeValidator(_batch)] = "10%"
    drain: DrainOptions = Field(default_factory=DrainOptions)
    backup: Literal["true", "false"] = "true"
    backup_dir: str = "/var/backups/k0s"
    token_expiry: Annotated[str, Field(pattern=_DURATION)] = "30m"  # noqa: S105 (a duration)
    #: Until an answer comes from what was started: after that the previous k0s is put back.
    health_timeout: Seconds = 600
    import_timeout: Seconds = 900

    @field_validator("data_dir", "kubelet_root_dir", "backup_dir")
    @classmethod
    def _paths(cls, value: str | None) -> str | None:
        if value is not None and not plain_path(value):
            raise ValueError("expected an absolute path of plain characters without `.` and `..`")
        return value

    @property
    def spec(self) -> Mapping[str, Any]:
        """The spec of the ClusterConfig, as far as the operator wrote it."""
        spec: Mapping[str, Any] = spec_of(self.config)
        return spec

    def storage(self, role: str) -> Storage:
        """Where a controller of this role keeps the cluster.

        `single` has kine with SQLite unless there is a `storage` block; a block without a type is etcd's
        (k0s `pkg/apis/k0s/v1beta1/storage.go`).
        """
        written = self.spec.get("storage")
        if written is None:
            return "kine" if role == "single" else "etcd"
        if written.get("type", "etcd") != "kine":
            return "elsewhere" if "externalCluster" in written.get("etcd", {}) else "etcd"
        source = str(written.get("kine", {}).get("dataSource", "sqlite"))
        return "kine" if source.partition(":")[0] in {"", "sqlite"} else "elsewhere"

    def flags(self, host: Host) -> tuple[str, ...]:
        """The operator's flags of `k0s install` for this host; raises `ValueError` as `flags_of` does."""
        return (*self.install_flags, *flags_of(host.vars.get("install_flags", "")))

    def data(self, host: Host) -> str:
        """Where k0s keeps its data on this host; `paths.data` replaces the option."""
        return host.paths.get("data", self.data_dir).rstrip("/")

    def binary(self, host: Host) -> str:
        """Where the program goes on this host; `paths.binary` replaces its directory."""
        return f"{host.paths.get('binary', '/usr/local/bin').rstrip('/')}/k0s"

    def leaving(self, host: Host) -> bool:
        """Whether k0s is taken off this host: all of them, or this one (`vars: {state: absent}`)."""
        return self.state == "absent" or host.vars.get("state") == "absent"

    def controllers(self, inventory: Inventory) -> tuple[Host, ...]:
        """The hosts that stay or become controllers, in inventory order."""
        return tuple(host for host in inventory.by_role(*CONTROLLERS) if not self.leaving(host))

    def first(self, inventory: Inventory) -> Host | None:
        """The controller that begins the cluster, and makes the tokens: the first one of the inventory."""
        return next(iter(self.controllers(inventory)), None)

    def workers(self, inventory: Inventory) -> tuple[Host, ...]:
        """The hosts that stay or become workers, in inventory order."""
        return tuple(host for host in inventory.by_role("worker") if not self.leaving(host))

    def at_once(self, workers: int) -> int:
        """How many of so many workers are upgraded at once."""
        match = _BATCH.fullmatch(self.batch)
        size = int(match[1]) if match else 1
        if match and match[2]:
            size = workers * size // 100
        return max(1, min(size, workers))

    def image_slots(self, inventory: Inventory) -> tuple[str, ...]:
        """The slots of image bundles in import order: as named, else `images` where the inventory has it."""
        if self.images:
            return self.images
        named = "images" in inventory.artifacts or any("images" in host.artifacts for host in inventory.hosts)
        return ("images",) if named else ()
