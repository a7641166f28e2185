"""The registry of a sealos cluster: its images brought to the one host that serves them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from sealboot.drivers import sealos_node_scripts as node
from sealboot.drivers.sealos_member import Member, with_env
from sealboot.model.plan import Step, Succeeds, Upload, WaitFor


def registry(member: Member) -> Iterator[Step]:
    """The images, what serves them, and the wait for its port."""
    options, data = member.cluster.options, member.data
    served = member.tree.registry
    if served is not None:
        archive = f"{data}/registry.tar"
        yield Upload(
            id=f"registry/{member.name}/archive",
            host=member.name,
            title="send the registry's images",
            timeout=14400.0,
            check=Succeeds(node.images_there(data, archive, served.sha256), timeout=600.0),
            source=served.path,
            sha256=served.sha256,
            size=served.size,
            dest=archive,
            mode=0o600,
            keep_previous=False,
        )
        unpacked = (
            node.marked(data, "images", served.sha256) + f"[ -d {shlex.quote(f'{data}/rootfs/registry')} ]\n"
        )
        step = member.run(
            "registry/images", "unpack the images", node.UNPACK_REGISTRY, unpacked, timeout=3600.0
        )
        yield with_env(step, {"ARCHIVE": archive, "STAMP": served.sha256})
    serve = member.run(
        "registry/serve",
        "start the registry",
        node.REGISTRY,
        node.linked(data, options.registry_data, member.stamp),
        timeout=600.0,
    )
    yield with_env(serve, {"HTPASSWD": options.registry_htpasswd or ""})
    yield WaitFor(
        id=f"registry/{member.name}/answers",
        host=member.name,
        title="wait for the registry",
        timeout=120.0,
        kind="tcp",
        target=f"{member.cluster.registry_ip}:{options.registry_port}",
    )
