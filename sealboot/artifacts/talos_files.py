"""Talos' own files: machine configurations and `talosconfig`. What is no secret is read, nothing else is kept.

Works on libyaml's events: nothing is built, aliases and tags cost nothing, and a document that is
larger or deeper than any of Talos' is none. A machine configuration may have several documents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from sealboot.model.bootfiles import MachineConfig, TalosConfig

#: Bytes of a file, levels of nesting and documents that are looked at.
MAX_BYTES = 1 << 20
_DEPTH = 32
_DOCUMENTS = 64
_VALUE = 512

_MACHINE: Mapping[tuple[str, ...], str] = {
    ("version",): "version",
    ("machine", "type"): "type",
    ("cluster", "clusterName"): "cluster",
    ("cluster", "controlPlane", "endpoint"): "endpoint",
    ("machine", "install", "image"): "image",
    ("machine", "install", "disk"): "disk",
    ("machine", "install", "wipe"): "wipe",
}
#: Since Talos 1.14 documents of their own take the place of `machine.install`, and of what names the cluster.
_INSTALL, _CLUSTER = "UnattendedInstallConfig", "KubeClusterConfig"
#: Chooses the disk where it is there, whatever `disk` says (Talos, `v1alpha1_provider.go`, InstallDisk).
_SELECTOR = ("machine", "install", "diskSelector")
_DEVICE = re.compile(r"""\s*disk\.dev_path\s*==\s*(["'])(/dev/[\w/.:+-]+)\1\s*""", re.ASCII)


def read_machine_config(data: bytes) -> MachineConfig | None:
    """The configuration of a machine; `None` when the bytes are none."""
    found: dict[str, str] = {}
    documents: dict[int, dict[tuple[str, ...], str]] = {}
    for number, path, value in _scalars(data):
        documents.setdefault(number, {}).setdefault(path, value)
    for said in documents.values():
        if ("kind",) not in said:  # the first kind of document, older than kinds
            read = {name: said[path] for path, name in _MACHINE.items() if path in said}
            if any(path[: len(_SELECTOR)] == _SELECTOR for path in said):
                read.pop("disk", None)
            found = read | found
        elif said["kind",] == _INSTALL:
            found |= _unattended(said)
        elif said["kind",] == _CLUSTER:
            names = {"cluster": said.get(("clusterName",), ""), "endpoint": said.get(("endpoint",), "")}
            found |= {name: value for name, value in names.items() if value}
    if found.get("version") != "v1alpha1" or "type" not in found:
        return None
    return MachineConfig(
        "machine configuration",
        {name: found[name] for name in ("type", "cluster", "endpoint", "image", "disk") if name in found},
        type=found["type"],
        cluster=found.get("cluster", ""),
        endpoint=found.get("endpoint", ""),
        image=found.get("image", ""),
        disk=found.get("disk", ""),
        wipe=found.get("wipe") == "true",
        unattended="unattended" in found,
    )


def _unattended(said: Mapping[tuple[str, ...], str]) -> dict[str, str]:
    """Installer and disk; a selector that is no plain comparison chooses what nobody knows before."""
    found = {"wipe": said.get(("provisioning", "wipe"), "true"), "unattended": "yes"}
    match = _DEVICE.fullmatch(said.get(("provisioning", "diskSelector", "match"), ""))
    if match is not None:
        found["disk"] = match[2]
    if ("installer", "image") in said:
        found["image"] = said["installer", "image"]
    return found


def read_talosconfig(data: bytes) -> TalosConfig | None:
    """The credentials of `talosctl`; `None` when the bytes are none, or hold no key for their context."""
    context = ""
    endpoints: dict[str, list[str]] = {}
    keys: set[str] = set()
    for _, path, value in _scalars(data):
        if path == ("context",):
            context = value
        elif path[:1] == ("contexts",) and len(path) == 3 and path[2] == "key" and value:
            keys.add(path[1])
        elif path[:1] == ("contexts",) and len(path) == 4 and path[2] == "endpoints":
            endpoints.setdefault(path[1], []).append(value)
    if context not in keys:
        return None
    named = tuple(endpoints.get(context, ()))
    facts = {"context": context, "endpoints": ", ".join(named)}
    return TalosConfig("talosconfig", facts, context=context, endpoints=named)


def _scalars(data: bytes) -> Iterator[tuple[int, tuple[str, ...], str]]:
    """Every value with its document and the path that leads to it; items of a list are called by their number."""
    if len(data) > MAX_BYTES:
        return
    try:
        yield from _walk(yaml.parse(data, Loader=_loader()))
    except (yaml.YAMLError, UnicodeDecodeError):
        return


def _loader() -> Any:
    return yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


class _Level:
    """A map or a list that is being read: the key or number of what comes next."""

    __slots__ = ("count", "key", "mapping")

    def __init__(self, *, mapping: bool) -> None:
        self.mapping = mapping
        self.key: str | None = None
        self.count = 0

    @property
    def name(self) -> str:
        return (self.key or "") if self.mapping else str(self.count)

    def value_read(self) -> None:
        self.key = None
        self.count += 1


def _walk(events: Iterator[Any]) -> Iterator[tuple[int, tuple[str, ...], str]]:
    levels: list[_Level] = []
    documents = 0
    for event in events:
        kind = type(event)
        documents += kind is yaml.DocumentStartEvent
        if documents > _DOCUMENTS:
            return
        if kind in {yaml.ScalarEvent, yaml.AliasEvent}:
            text = event.value if kind is yaml.ScalarEvent else ""
            if levels and levels[-1].mapping and levels[-1].key is None:
                levels[-1].key = text[:_VALUE]
            elif levels:
                yield documents, tuple(level.name for level in levels), text[:_VALUE]
                levels[-1].value_read()
        elif kind in {yaml.MappingStartEvent, yaml.SequenceStartEvent}:
            if len(levels) >= _DEPTH or (levels and levels[-1].mapping and levels[-1].key is None):
                return  # deeper than any of Talos', or a key that is no text
            levels.append(_Level(mapping=kind is yaml.MappingStartEvent))
        elif kind in {yaml.MappingEndEvent, yaml.SequenceEndEvent}:
            levels.pop()
            if levels:
                levels[-1].value_read()
