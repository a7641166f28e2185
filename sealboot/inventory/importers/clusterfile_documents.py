"""What stands in a Clusterfile besides the `Cluster`: kubeadm's and kubelet's configurations, `Config`s, images.

What the `sealos` driver has an option for is taken over; everything else is told (SB020), one finding for each
document. Which document counts is as in Sealos (commit beea1e5): lifecycle/pkg/runtime/decode/decode.go reads the
first of each kind, whatever its place; lifecycle/pkg/runtime/kubernetes/kubeadm.go sets the release and the
endpoint of the control plane itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from sealboot.inventory.importers.nodes import Document, entries, text
from sealboot.inventory.tree import Map, Node, Scalar
from sealboot.model.diagnostic import Diagnostic, Location, Severity

_KUBERNETES = re.compile(r"(?:^|/)kubernetes[^:/@]*(?:[:@]|$)")
_RELEASE = re.compile(r"kubernetes[^:/]*:(v[0-9]+\.[0-9]+\.[0-9]+)(?:-[a-z0-9]+)?")
#: Documents whose settings are kubeadm's, by kind; the first two kinds are taken over as they are written.
_WHOLE: Final = frozenset({"KubeletConfiguration", "KubeProxyConfiguration"})
_SETTINGS: Final = _WHOLE | {"ClusterConfiguration", "InitConfiguration", "JoinConfiguration"}
#: A setting of such a document: the option that it is.
_TAKEN: Final = {
    ("ClusterConfiguration", "networking.podSubnet"): "pod_subnet",
    ("ClusterConfiguration", "networking.serviceSubnet"): "service_subnet",
    ("ClusterConfiguration", "imageRepository"): "image_repository",
    ("ClusterConfiguration", "etcd.local.dataDir"): "etcd_data",
    ("InitConfiguration", "localAPIEndpoint.bindPort"): "apiserver_port",
    ("InitConfiguration", "nodeRegistration.criSocket"): "cri_socket",
}
#: Settings that Sealos writes itself, and those that are so without them.
_SET: Final = frozenset({"apiVersion", "kind", "metadata", "kubernetesVersion", "controlPlaneEndpoint"})
_SAME: Final = {("ClusterConfiguration", "networking.dnsDomain"): "cluster.local"}
#: As many keys of a document are named in the sentence, and shown with their lines.
_NAMED: Final = 3
_SHOWN: Final = 20


def wrong(what: str, at: Location, *hints: str, warning: bool = False) -> Diagnostic:
    """SB020, an error unless the cluster comes up without it."""
    severity = Severity.WARNING if warning else Severity.ERROR
    return Diagnostic("SB020", f"the Clusterfile: {what}", severity, at=at, hints=hints)


def read_images(images: Sequence[Scalar], found: list[Diagnostic]) -> Scalar | None:
    """The release that the root filesystem among the images has; the other images are told."""
    roots = [image for image in images if _KUBERNETES.search(image.text)]
    others = [image for image in images if image not in roots[:1]]
    if others:
        hint = "bring them in when the nodes run; nodes become ready with a network plugin"
        what = f"images that are not taken over: {', '.join(image.text for image in others)}"
        found.append(wrong(what, others[0].at, hint, warning=True))
    match = _RELEASE.search(roots[0].text) if roots else None
    return Scalar(match[1], roots[0].at) if match else None


def read_documents(written: Sequence[Document], found: list[Diagnostic]) -> dict[str, Node]:
    """The options that these documents are; what is not taken over is told in `found`."""
    options: dict[str, Node] = {}
    whole: list[Document] = []
    seen: set[str] = set()
    for document, said in written:
        kind = text(document, "kind") or "document without a kind"
        if kind not in _SETTINGS:
            name = f" `{name}`" if (name := text(document, "metadata", "name")) else ""
            hint = "change the file that it names yourself, in the root filesystem or the chart"
            hints = (hint,) if kind == "Config" else ()
            found.append(wrong(f"the {kind}{name} is not taken over", document.at, *hints, warning=True))
        elif kind in seen:
            what = f"this second {kind} is not read, as Sealos does not read it"
            found.append(wrong(what, document.at, "merge the two into one", warning=True))
        else:
            seen.add(kind)
            if kind in _WHOLE:
                whole.append(Document(document, said))
            else:
                options |= _settings(document, kind, found)
    if whole:
        options["kubeadm_documents"] = _as_written(whole, found)
    return options


def _as_written(whole: Sequence[Document], found: list[Diagnostic]) -> Scalar:
    """These documents as one text, for kubeadm to read; Sealos lays them over defaults of its own."""
    texts = [said if said.startswith("---") else f"---\n{said}" for _, said in whole]
    for root, _ in whole:
        if text(root, "kind") == "KubeProxyConfiguration" and not text(root, "mode"):
            what = "the KubeProxyConfiguration names no `mode`, which is ipvs for Sealos and iptables for kubeadm"
            found.append(wrong(what, root.at, "write `mode: ipvs` or `mode: iptables`", warning=True))
    joined = "".join(said.rstrip() + "\n" for said in texts).replace("\r\n", "\n")
    return Scalar(joined, whole[0].root.at)


def _settings(document: Map, kind: str, found: list[Diagnostic]) -> dict[str, Node]:
    options: dict[str, Node] = {}
    left: list[tuple[str, Location]] = []
    for path, node, at in _leaves(document, ""):
        option = _TAKEN.get((kind, path))
        if option is not None and isinstance(node, Scalar):
            options[option] = node
        elif path.partition(".")[0] not in _SET and _SAME.get((kind, path)) != text(node):
            left.append((path, at))
    if left:
        names = ", ".join(f"`{path}`" for path, _ in left[:_NAMED])
        names += f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        what = f"the {kind}: {names} {'are' if len(left) > 1 else 'is'} not taken over"
        more = ((f"and {len(left) - _SHOWN} more", ""),) if len(left) > _SHOWN else ()
        rows = (*((path, str(at)) for path, at in left[:_SHOWN]), *more)
        hint = "the `sealos` driver has no option for it: docs/sealos.md lists those that it has"
        finding = Diagnostic(
            "SB020", f"the Clusterfile: {what}", Severity.WARNING, at=left[0][1], evidence=rows, hints=(hint,)
        )
        found.append(finding)
    return options


def _leaves(node: Node, path: str) -> Iterator[tuple[str, Node, Location]]:
    """Every setting of a document that is no map itself."""
    for key, entry in entries(node):
        below = f"{path}.{key}".lstrip(".")
        if isinstance(entry.node, Map):
            yield from _leaves(entry.node, below)
        else:
            yield below, entry.node, entry.at
