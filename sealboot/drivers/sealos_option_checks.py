"""Options of a whole sealos cluster that contradict each other: what would be found out by a pull that is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sealboot.drivers.options import origin_of
from sealboot.drivers.sealos_documents import excluded_by_proxy
from sealboot.drivers.sealos_image_scripts import PASSWORD, USER
from sealboot.drivers.sealos_options import SealosOptions
from sealboot.model.diagnostic import Diagnostic, Location
from sealboot.model.host import Inventory

_USER, _PASSWORD = "registryUsername", "registryPassword"


def contradictions(inventory: Inventory, options: SealosOptions) -> Iterator[Diagnostic]:
    """SB607 for a registry that would not let its own cluster in, and for a kube-proxy that would end the balancing."""
    yield from _registry(inventory, options)
    excluded = excluded_by_proxy(options.kubeadm_documents)
    balanced = f"{options.vip}/32"
    if options.ipvs is not False and excluded is not None and balanced not in excluded:
        yield Diagnostic(
            "SB607",
            f"this KubeProxyConfiguration does not exclude {balanced}, and kube-proxy would remove the rule by which nodes reach the masters",
            at=origin_of(inventory, "options.kubeadm_documents"),
            hints=(
                f"add `mode: ipvs` and `ipvs: {{excludeCIDRs: [{balanced}]}}` to it",
                'or `ipvs: "false"`',
            ),
        )


def _registry(inventory: Inventory, options: SealosOptions) -> Iterator[Diagnostic]:
    """The registry knows one user by a digest; every host signs in with words. No word of a password is shown."""
    known = options.registry_htpasswd
    for where, told in _told(inventory, options):
        user, password = told.get(_USER, USER), told.get(_PASSWORD, PASSWORD)
        if known is None and (user, password) != (USER, PASSWORD):
            yield Diagnostic(
                "SB607",
                f"the registry lets in {USER} with the usual password alone, and another user or password is given to sign in with",
                at=where,
                hints=("set `options.registry_htpasswd` to the line of `htpasswd -nbB USER PASSWORD`",),
            )
        elif known is not None and known.partition(":")[0] != user:
            yield Diagnostic(
                "SB607",
                "`registry_htpasswd` is of another user than the one that signs in",
                at=where or origin_of(inventory, "options.registry_htpasswd"),
                hints=(f"set `options.env.{_USER}` to the user of that line",),
            )


def _told(
    inventory: Inventory, options: SealosOptions
) -> Iterator[tuple[Location | None, Mapping[str, str]]]:
    """What all hosts are told, and each host that is told something else."""
    yield origin_of(inventory, "options.env") or origin_of(inventory, "options"), options.env
    for host in inventory.hosts:
        own = {name: host.vars[f"env_{name}"] for name in (_USER, _PASSWORD) if f"env_{name}" in host.vars}
        if own:
            at = next(host.origin(f"vars.env_{name}") for name in own)
            yield at, {**options.env, **own}
