"""The options of the `k3s` driver, with the defaults that k3s itself has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator

from sealboot.drivers.kinds import Place, Places, Seconds, SlotNames, plain_path
from sealboot.model.host import Host, Inventory
from sealboot.model.secret import SecretKind, SecretRef

#: A flag; with `+` its values are added to those of the same flag before it, as k3s reads config.yaml.
_KEY = re.compile(r"([a-z][a-z0-9-]*)\+?")
_REFERENCE = re.compile(r"(env):([A-Za-z_]\w*)|(file):(.+)|(keyring):([^/\s][^/]*/\S.*)", re.ASCII)

#: Settings of config.yaml that the driver decides: two opinions in one file would fight.
OWN_KEYS = frozenset(
    {"agent-token", "agent-token-file", "cluster-init", "cluster-reset", "data-dir", "datastore-endpoint"}
    | {"embedded-registry", "node-ip", "node-name", "private-registry", "server", "tls-san", "token"}
    | {"token-file"}
)


#: Below `configs.HOST.auth` of registries.yaml: what k3s' documentation has there besides `username`.
_AUTH_SECRETS = ("password", "auth", "identity_token")

#: Settings that would be obeyed by k3s and not by what is asked of it here, and what would come of it.
UNSUPPORTED: Final = {
    "https-listen-port": "the API server is asked for, joined and written into kubeconfigs at port 6443",
    "etcd-snapshot-dir": "the snapshot before an upgrade is looked for in `server/db/snapshots` of the data directory",
    "disable-agent": "a server counts as up when its node is Ready, and without an agent it is no node",
}


def _reference(value: object) -> SecretRef:
    """Where a secret is; a value that is no reference may be the secret itself and is not repeated."""
    match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected `env:NAME`, `file:PATH` or `keyring:SERVICE/NAME`")
    kind, name = (part for part in match.groups() if part is not None)
    kinds: dict[str, SecretKind] = {"env": "env", "file": "file", "keyring": "keyring"}
    return SecretRef(kinds[kind], name)


def _settings(value: object) -> object:
    """Settings of config.yaml: a flag's name to a text or a list of texts."""
    if not isinstance(value, dict):
        # pydantic makes a finding of a ValueError, and lets a TypeError pass.
        raise ValueError("expected settings of k3s, each a flag without its dashes")  # noqa: TRY004
    for key, said in value.items():
        flag = _KEY.fullmatch(str(key))
        if not flag:
            raise ValueError(f"{key!r} is no flag of k3s")
        if flag[1] in OWN_KEYS:
            raise ValueError(f"`{key}` is the driver's own: it is made of the inventory")
        if flag[1] in UNSUPPORTED and said != "false":
            raise ValueError(f"`{key}` is not supported: {UNSUPPORTED[flag[1]]}")
        if not isinstance(said, str | list) or (
            isinstance(said, list) and not all(isinstance(x, str) for x in said)
        ):
            raise ValueError(f"`{key}` takes a text or a list of texts")
    return value


def registry_secrets(registries: Mapping[str, Any]) -> Iterator[tuple[str, str, SecretRef]]:
    """Of each secret of registries.yaml: the registry, the key, and where it is; raises `ValueError`."""
    configs = registries.get("configs")
    for place, config in configs.items() if isinstance(configs, Mapping) else ():
        auth = config.get("auth") if isinstance(config, Mapping) else None
        if isinstance(auth, Mapping):
            yield from ((str(place), key, _reference(auth[key])) for key in _AUTH_SECRETS if key in auth)


def _registries(value: object) -> object:
    """The tree as it is; its secrets must be references."""
    if isinstance(value, Mapping):
        tuple(registry_secrets(value))
    return value


Settings = Annotated[dict[str, Any], BeforeValidator(_settings)]


Token = Annotated[
    SecretRef,
    BeforeValidator(_reference),
    WithJsonSchema({"type": "string", "pattern": r"^(env:[A-Za-z_]\w*|file:.+|keyring:[^/\s][^/]*/\S.*)$"}),
]


class K3sOptions(BaseModel):
    """What may be written under the driver's options; every key has a default."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True, arbitrary_types_allowed=True
    )

    state: Literal["present", "absent"] = "present"
    #: Who makes the service: the driver, or k3s' own install.sh (a file of the slot `install`).
    install: Literal["unit", "script"] = "unit"
    #: Take over a k3s that somebody else has set up: its settings and its unit are replaced.
    adopt: Literal["true", "false"] = "false"
    data_dir: str = "/var/lib/rancher/k3s"
    token_from: Token | None = None
    datastore: Literal["etcd", "sqlite"] = "etcd"
    endpoint: Place | None = None
    tls_san: Places = ()
    config: Settings = Field(default_factory=dict)
    server_config: Settings = Field(default_factory=dict)
    agent_config: Settings = Field(default_factory=dict)
    images: SlotNames = ()
    #: How archives come in: kept in k3s' images folder, streamed into its containerd, or as there is room.
    images_import: Literal["auto", "keep", "stream"] = "auto"
    #: registries.yaml; its passwords are references to secrets.
    registries: Annotated[dict[str, Any], BeforeValidator(_registries)] = Field(default_factory=dict)
    embedded_registry: Literal["true", "false"] = "false"
    #: A start waits for the import of what lies in the images folder: minutes on an SD card.
    start_timeout: Seconds = 900
    ready_timeout: Seconds = 600
    import_timeout: Seconds = 900

    @field_validator("data_dir")
    @classmethod
    def _paths(cls, value: str) -> str:
        if not plain_path(value):
            raise ValueError("expected an absolute path of plain characters without `.` and `..`")
        return value

    def data(self, host: Host) -> str:
        """Where k3s keeps its data on this host; `paths.data` replaces the option."""
        return host.paths.get("data", self.data_dir).rstrip("/")

    def binary(self, host: Host) -> str:
        """Where the program goes on this host; `paths.binary` replaces its directory."""
        return f"{host.paths.get('binary', '/usr/local/bin').rstrip('/')}/k3s"

    def settings(self, host: Host) -> dict[str, Any]:
        """The operator's settings in the config.yaml of this host."""
        return {**self.config, **(self.server_config if host.role == "server" else self.agent_config)}

    def listed(self, host: Host, flag: str) -> tuple[str, ...]:
        """All values of a flag that may be given more than once, those that are added with `+` too."""
        said = [self.settings(host).get(key, ()) for key in (flag, f"{flag}+")]
        return tuple(value for one in said for value in ([one] if isinstance(one, str) else one))

    def first(self, inventory: Inventory) -> Host | None:
        """The server that begins the cluster: the first one of the inventory."""
        servers = inventory.by_role("server")
        return servers[0] if servers else None

    def image_slots(self, inventory: Inventory) -> tuple[str, ...]:
        """The slots of image archives in import order: as named, else `images` where the inventory has it."""
        if self.images:
            return self.images
        named = "images" in inventory.artifacts or any("images" in host.artifacts for host in inventory.hosts)
        return ("images",) if named else ()
