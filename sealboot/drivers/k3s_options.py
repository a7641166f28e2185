"""The options of the `k3s` driver, with the defaults that k3s itself has."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator

from sealboot.drivers.kinds import Place, Places, Seconds, SlotNames, plain_path
from sealboot.model.host import Host, Inventory
from sealboot.model.secret import SecretKind, SecretRef

_KEY = re.compile(r"[a-z][a-z0-9-]*")
_REFERENCE = re.compile(r"(env):([A-Za-z_]\w*)|(file):(.+)|(keyring):([^/\s][^/]*/\S.*)", re.ASCII)

#: Settings of config.yaml that the driver decides: two opinions in one file would fight.
OWN_KEYS = frozenset(
    {"agent-token", "agent-token-file", "cluster-init", "cluster-reset", "data-dir", "datastore-endpoint"}
    | {"embedded-registry", "node-ip", "node-name", "private-registry", "server", "tls-san", "token"}
    | {"token-file"}
)


def _reference(value: object) -> object:
    """Where the token is; a value that is no reference may be the token itself and is not repeated."""
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
        if not _KEY.fullmatch(str(key)):
            raise ValueError(f"{key!r} is no flag of k3s")
        if key in OWN_KEYS:
            raise ValueError(f"`{key}` is the driver's own: it is made of the inventory")
        if not isinstance(said, str | list) or (
            isinstance(said, list) and not all(isinstance(x, str) for x in said)
        ):
            raise ValueError(f"`{key}` takes a text or a list of texts")
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
    registries: dict[str, Any] = Field(default_factory=dict)
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
