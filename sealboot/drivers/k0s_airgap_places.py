"""Where k0s keeps the names of its own images, and what a configuration says there.

Source: k0s' `ClusterImages` and `NodeLocalLoadBalancing` (pkg/apis/k0s/v1beta1), whose default images have kept
their last names from 1.29 to 1.36, while registries moved (`registry.k8s.io/pause`, `quay.io/k0sproject/pause`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sealboot.model.arch import Arch

#: Where releases have their images; the same last name elsewhere is the operator's own.
HOMES: Final = ("quay.io/k0sproject/", "registry.k8s.io/")
#: Envoy is built for neither (k0s' documentation on node-local load balancing).
NO_ENVOY: Final = frozenset({Arch.ARM, Arch.RISCV64})

_BALANCER = "network.nodeLocalLoadBalancing"


@dataclass(frozen=True, slots=True)
class Place:
    """One image of k0s: its path below `spec`, a short label, and the last part of its default name."""

    path: str
    label: str
    product: str

    @property
    def pointer(self) -> str:
        """Its path as a JSON pointer (RFC 6901)."""
        return f"/spec/{self.path.replace('.', '/')}"


ENVOY: Final = Place(f"{_BALANCER}.envoyProxy.image", "envoyProxy", "envoy-distroless")
TRAEFIK: Final = Place(f"{_BALANCER}.traefik.image", "traefik", "traefik")
PROXY: Final = Place("images.kubeproxy", "kubeproxy", "kube-proxy")
PUSHGATEWAY: Final = Place("images.pushgateway", "pushgateway", "pushgateway-ttl")
PLACES: Final = (
    Place("images.pause", "pause", "pause"),
    PROXY,
    Place("images.coredns", "coredns", "coredns"),
    Place("images.konnectivity", "konnectivity", "apiserver-network-proxy-agent"),
    Place("images.metricsserver", "metricsserver", "metrics-server"),
    PUSHGATEWAY,
    Place("images.kuberouter.cni", "kuberouter.cni", "kube-router"),
    Place("images.kuberouter.cniInstaller", "cniInstaller", "cni-node"),
    Place("images.calico.cni", "calico.cni", "calico-cni"),
    Place("images.calico.node", "calico.node", "calico-node"),
    Place("images.calico.kubecontrollers", "kubecontrollers", "calico-kube-controllers"),
    ENVOY,
    TRAEFIK,
)
#: What each component needs, by the name under which `--disable-components` switches it off.
_SWITCHES: Final = {
    "kube-proxy": "images.kubeproxy",
    "coredns": "images.coredns",
    "konnectivity-server": "images.konnectivity",
    "metrics-server": "images.metricsserver",
}


@dataclass(frozen=True, slots=True)
class Ref:
    """An image as `name:tag`; a digest plays no part here."""

    name: str
    tag: str

    @classmethod
    def of(cls, text: str) -> Ref:
        """The name and the tag of a reference; a colon before a slash belongs to a port."""
        plain = text.partition("@")[0]
        name, colon, tag = plain.rpartition(":")
        return cls(name, tag) if colon and "/" not in tag else cls(plain, "")

    @property
    def product(self) -> str:
        """The last part of its name."""
        return self.name.rpartition("/")[2]

    def moved(self, repository: str) -> Ref:
        """The reference where `spec.images.repository` is set: the registry is replaced, once."""
        if not repository or self.name.startswith(repository):
            return self
        host, slash, rest = self.name.partition("/")
        known = slash and (host == "localhost" or "." in host or ":" in host)
        return Ref(f"{repository}/{rest if known else self.name}", self.tag)

    def __str__(self) -> str:
        return f"{self.name}:{self.tag}"


@dataclass(frozen=True, slots=True)
class Pin:
    """What a configuration says of one image; either part may be missing and is then the release's."""

    image: str = ""
    version: str = ""

    def over(self, default: Ref | None) -> Ref | None:
        """The image that runs: the pin's parts, the others as the release has them; `None` where one is unknown."""
        name = self.image or (default.name if default else "")
        tag = self.version.partition("@")[0] or (default.tag if default else "")
        return Ref(name, tag) if name and tag else None


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides about images in a ClusterConfig; the defaults are k0s' own."""

    policy: str = "IfNotPresent"
    repository: str = ""
    provider: str = "kuberouter"
    balanced: bool = False
    balancer: str = "EnvoyProxy"
    pins: Mapping[str, Pin] = field(default_factory=dict)  # by the place's path

    @property
    def never(self) -> bool:
        """Whether nothing is ever pulled."""
        return self.policy == "Never"


def settings_of(flat: Mapping[str, str]) -> Settings:
    """Settings from dotted paths below `spec` to texts, as `flattened` and the live object's question give them."""
    pins = {
        place.path: pin
        for place in PLACES
        if (pin := Pin(flat.get(f"{place.path}.image", ""), flat.get(f"{place.path}.version", ""))) != Pin()
    }
    return Settings(
        policy=flat.get("images.default_pull_policy") or "IfNotPresent",
        repository=flat.get("images.repository", ""),
        provider=flat.get("network.provider") or "kuberouter",
        balanced=flat.get(f"{_BALANCER}.enabled", "") == "true",
        balancer=flat.get(f"{_BALANCER}.type") or "EnvoyProxy",
        pins=pins,
    )


#: The paths that `settings_of` reads.
ASKED: Final = (
    *("images.default_pull_policy", "images.repository", "network.provider"),
    *(f"{_BALANCER}.enabled", f"{_BALANCER}.type"),
    *(f"{place.path}.{part}" for place in PLACES for part in ("image", "version")),
)


def flattened(written: Mapping[str, Any]) -> dict[str, str]:
    """The operator's configuration, a whole document or its `spec`, by dotted path."""
    found: dict[str, str] = {}

    def walk(tree: Mapping[str, Any], prefix: str) -> None:
        for key, value in tree.items():
            path = f"{prefix}{key}"
            if isinstance(value, Mapping):
                walk(value, f"{path}.")
            elif path in ASKED:
                found[path] = str(value).lower() if isinstance(value, bool) else str(value)

    spec = written.get("spec", {}) if "spec" in written else written
    walk(spec if isinstance(spec, Mapping) else {}, "")
    return found


def wanted(settings: Settings, flags: tuple[str, ...], arch: Arch | None) -> tuple[Place, ...]:
    """The images that run on a node, or may come to: what one replica of runs somewhere may run anywhere."""
    off = {
        _SWITCHES[name]
        for flag in flags
        if flag.startswith("--disable-components=")
        for name in flag.partition("=")[2].split(",")
        if name in _SWITCHES
    }
    scraped = any(f in {"--enable-metrics-scraper", "--enable-metrics-scraper=true"} for f in flags)

    def needed(place: Place) -> bool:
        if place in {ENVOY, TRAEFIK}:
            chosen = ENVOY if settings.balancer == "EnvoyProxy" else TRAEFIK
            return settings.balanced and place is chosen and not (place is ENVOY and arch in NO_ENVOY)
        if place is PUSHGATEWAY:
            return scraped
        network = place.path.split(".")[1]
        if network in {"calico", "kuberouter"}:
            return network == settings.provider
        return place.path not in off

    return tuple(place for place in PLACES if needed(place))
