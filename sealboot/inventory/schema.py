"""What may be written in an inventory: pydantic models of untrusted text, and the JSON schema made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from sealboot.inventory import fields as f
from sealboot.inventory.schema_drivers import DriverSchema, extend

T = TypeVar("T")


class Part(BaseModel):
    """Unknown keys are errors, and no error repeats what was written."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)


class SshPart(Part):
    """How to reach and log in to a host."""

    user: f.User | None = None
    port: f.Port | None = None
    identity_file: Annotated[f.Texts | None, Field(description="one private key file, or several")] = None
    jump: Annotated[
        f.Hops | None,
        Field(description="a host of this inventory, an ssh_config alias or user@host:port; `none`: direct"),
    ] = None
    config: Annotated[f.Switch | None, Field(description="reuse ~/.ssh/config")] = None
    password_from: f.Secret | None = None
    passphrase_from: f.Secret | None = None
    host_key_alias: f.HostAlias | None = None
    connect_timeout: Annotated[f.Seconds | None, Field(description="seconds, login included")] = None
    legacy_crypto: Annotated[f.Switch | None, Field(description="admit SHA-1, for very old servers")] = None


class BecomePart(Part):
    """How to gain root where the login user is not root."""

    method: Annotated[
        str | None,
        f.one_of("sudo", "doas", "none"),
        Field(json_schema_extra={"enum": ["sudo", "doas", "none"]}),
    ] = None
    user: f.User | None = None
    password_from: f.Secret | None = None


class PathsPart(Part):
    """Directories on the host, where they are not the usual ones.

    `binary` and `data` are the distribution's; `state` is sealboot's own. Files are always staged beside
    their target, so that a rename makes them live.
    """

    binary: f.HostPath | None = None
    data: f.HostPath | None = None
    state: f.HostPath | None = None


class IgnorePart(Part):
    """A finding that is accepted, and why."""

    code: f.Code
    reason: Annotated[f.Text, Field(description="why it is accepted; shown in reports")]


def _same(part: T) -> Callable[[], T]:
    """Always this one part: pydantic copies a plain default deeply for each host, half of the loading time."""
    return lambda: part


class SettingsPart(Part):
    """What can be said for all hosts, for a group, and for one host."""

    ssh: Annotated[SshPart, f.OrEmpty] = Field(default_factory=_same(SshPart()))
    become: Annotated[BecomePart, f.OrEmpty] = Field(default_factory=_same(BecomePart()))
    role: f.Word | None = None
    arch: Annotated[f.ArchText | None, Field(description="an expectation, verified on the host")] = None
    emulation: Annotated[
        str | None, f.one_of("allow", "refuse"), Field(json_schema_extra={"enum": ["allow", "refuse"]})
    ] = None
    artifacts: Annotated[dict[f.Word, f.Texts], f.OrEmpty] = Field(default_factory=dict)
    paths: Annotated[PathsPart, f.OrEmpty] = Field(default_factory=_same(PathsPart()))
    vars: Annotated[dict[f.Word, f.Value], f.OrEmpty] = Field(default_factory=dict)
    ignore: tuple[IgnorePart, ...] = ()


class HostPart(SettingsPart):
    """One host, or all hosts of a pattern."""

    address: Annotated[
        f.Address | None, Field(description="IP address or DNS name; else the host's name")
    ] = None
    groups: f.Words = ()


class ClusterPart(Part):
    """The cluster's name, and what brings it up."""

    name: f.Word | None = None
    driver: f.Word | None = None
    release: f.Release | None = None


class VerifyPart(Part):
    """What files must be vouched for by, before they are used."""

    checksums: Annotated[
        f.Texts, Field(description="files as `sha256sum` writes them, or patterns of such")
    ] = ()
    minisign_key: Annotated[
        f.Text | None,
        Field(description="public key (or its file) that must have signed each: SUMS.minisig"),
    ] = None
    allowed_signers: Annotated[
        f.Text | None,
        Field(description="file of SSH keys, of which one must have signed each: SUMS.sig"),
    ] = None
    namespace: Annotated[
        f.Text | None, Field(description="what SSH signatures were made for; `sealboot` unless said")
    ] = None
    unlisted: Annotated[
        str | None, f.one_of("refuse", "allow"), Field(json_schema_extra={"enum": ["refuse", "allow"]})
    ] = None
    sha256: Annotated[
        dict[f.Text, f.Sha256], f.OrEmpty, Field(description="path to SHA-256, for single files")
    ] = Field(default_factory=dict)


class InventoryPart(Part):
    """An inventory of sealboot."""

    version: Annotated[
        str | None,
        f.one_of("1"),
        Field(json_schema_extra={"enum": [1, "1"]}),
    ] = None
    cluster: Annotated[ClusterPart, f.OrEmpty] = ClusterPart()
    artifacts: Annotated[dict[f.Word, f.Texts], f.OrEmpty] = Field(default_factory=dict)
    verify: Annotated[VerifyPart, f.OrEmpty] = VerifyPart()
    defaults: Annotated[SettingsPart, f.OrEmpty] = SettingsPart()
    groups: Annotated[dict[f.Word, Annotated[SettingsPart, f.OrEmpty]], f.OrEmpty] = Field(
        default_factory=dict
    )
    hosts: Annotated[dict[str, Annotated[HostPart, f.OrEmpty]], f.OrEmpty] = Field(default_factory=dict)
    options: Annotated[dict[str, Any], f.OrEmpty] = Field(
        default_factory=dict, description="the driver's own settings"
    )
    phases: list[Any] | None = Field(default=None, description="the steps of the driver `phases`")


#: By which a schema is known to be ours.
TITLE = "sealboot inventory"

#: The keys whose own keys are the operator's words, so that `x-…` is a word there and no comment.
NAMING_KEYS = frozenset({"hosts", "groups", "vars", "artifacts", "options", "phases", "sha256"})


def json_schema(drivers: Sequence[DriverSchema] = ()) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of inventories of these drivers: for editors; the loader checks more."""
    schema = InventoryPart.model_json_schema(mode="validation")
    for model in (schema, *schema["$defs"].values()):
        model["patternProperties"] = {"^x-": {}}
        for name, setting in model["properties"].items():
            _tidy(name, setting)
    schema["required"] = ["version", "cluster", "hosts"]
    schema["$defs"]["ClusterPart"]["required"] = ["name", "driver"]
    extend(schema, drivers)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": TITLE,
        **{key: value for key, value in schema.items() if key != "title"},
    }


def _tidy(name: str, setting: dict[str, Any]) -> None:
    """Fold pydantic's `X or null, default null` into X: what is not said is left out, never null."""
    setting.pop("default", None)
    setting.pop("title", None)
    choices = [choice for choice in setting.pop("anyOf", []) if choice != {"type": "null"}]
    if "enum" in setting:
        setting.pop("type", None)
    elif len(choices) == 1:
        setting.update(choices[0])
    elif choices:
        setting["anyOf"] = choices
    if name == "groups" and setting.get("type") is None and "anyOf" in setting:
        setting["description"] = "the groups of the host"
