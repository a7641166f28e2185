"""Documents of the operator's own that kubeadm gets beside those of the driver: kubelet's and kube-proxy's configuration.

They are written as they are given. What is read of them is as little as needed: which kinds there are, and the
few fields that findings depend on. All scalars are read as text, like everything in an inventory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

#: The kinds that an operator may add, with the group of their `apiVersion`; kubeadm takes each once.
KINDS: Final[Mapping[str, str]] = {
    "KubeletConfiguration": "kubelet.config.k8s.io/",
    "KubeProxyConfiguration": "kubeproxy.config.k8s.io/",
}
#: Characters of all documents, and levels of nesting in them, that are read.
MAX_CHARACTERS: Final = 1 << 16
_DEPTH: Final = 32


def documents(text: str) -> tuple[Mapping[str, Any], ...]:
    """The documents in `text`. Raises `ValueError`, in words for the operator, where kubeadm would refuse them."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"more than {MAX_CHARACTERS} characters")
    try:
        _plain(text)
        made = [document for document in yaml.load_all(text, Loader=_loader()) if document is not None]
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        raise ValueError(
            f"no YAML: {where}{getattr(error, 'problem', None) or 'it cannot be read'}"
        ) from None
    kinds = [_kind(document) for document in made]
    twice = next((kind for kind in kinds if kinds.count(kind) > 1), None)
    if twice is not None:
        raise ValueError(f"two documents of the kind {twice}: kubeadm takes one")
    return tuple(made)


def of_kind(text: str, kind: str) -> Mapping[str, Any] | None:
    """The document of that kind; `None` where there is none. `text` was accepted by `documents`."""
    return next((document for document in documents(text) if document["kind"] == kind), None)


def allows_cgroup_v1(text: str) -> bool:
    """Whether a document sets kubelet's `failCgroupV1` to false.

    Without that, kubelet from v1.35 on does not start on a host with cgroup v1
    (KubeletConfiguration v1beta1, `failCgroupV1`).
    """
    kubelet = of_kind(text, "KubeletConfiguration")
    return kubelet is not None and kubelet.get("failCgroupV1") == "false"


def excluded_by_proxy(text: str) -> tuple[str, ...] | None:
    """The `ipvs.excludeCIDRs` of the operator's kube-proxy document; `None` where there is no such document."""
    proxy = of_kind(text, "KubeProxyConfiguration")
    if proxy is None:
        return None
    ipvs = proxy.get("ipvs")
    listed = ipvs.get("excludeCIDRs") if isinstance(ipvs, dict) else None
    return tuple(str(each) for each in listed) if isinstance(listed, list) else ()


def _kind(document: Any) -> str:
    if not isinstance(document, dict):
        raise ValueError("a document that is no map")  # noqa: TRY004 (words for the operator)
    kind, version = document.get("kind"), document.get("apiVersion")
    known = ", ".join(KINDS)
    if not isinstance(kind, str) or not isinstance(version, str):
        raise ValueError(f"a document without `apiVersion` and `kind` ({known})")  # noqa: TRY004 (likewise)
    if kind not in KINDS:
        raise ValueError(
            f"a document of another kind than {known}: what kubeadm itself is told is written from the options"
        )
    if not version.startswith(KINDS[kind]):
        raise ValueError(f"a {kind} whose `apiVersion` is not of {KINDS[kind].rstrip('/')}")
    return kind


def _plain(text: str) -> None:
    """Refuse what a configuration never needs and a reader may drown in: aliases, and endless nesting."""
    depth = 0
    for event in _events(text):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("a YAML alias (`*name`): write the value out")  # noqa: TRY004 (likewise)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH:
            raise ValueError(f"nested deeper than {_DEPTH} levels")


def _events(text: str) -> Iterator[Any]:
    yield from yaml.parse(text, Loader=_loader())


def _loader() -> Any:
    return yaml.CBaseLoader if yaml.__with_libyaml__ else yaml.BaseLoader
