"""The registry of a sealos cluster: its images brought to the one host that serves them.

Large blobs are files of their own under the digest that the registry itself
calls them by: what is there already is not sent again, what was damaged is.
The documents and links that lead to them come after them, so that no tag is
seen before its layers. The registry looks into its folder at each request:
new images need no restart.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

from sealboot.drivers import sealos_image_scripts as served_by
from sealboot.drivers import sealos_node_scripts as node
from sealboot.drivers.sealos_member import Member, with_env
from sealboot.model.steps import FileIs, Run, Step, Succeeds, Upload, WaitFor
from sealboot.model.tree import Packed

_BLOBS = "rootfs/registry/docker/registry/v2/blobs/sha256"


def images(member: Member) -> Iterator[Step]:
    """The blobs that the host lacks, then the documents and links of all of them."""
    data, served = member.data, member.tree.registry
    if served is None:
        return
    yield from (_blob(member, blob) for blob in member.tree.blobs)
    archive = f"{data}/registry.tar"
    yield Upload(
        id=f"registry/{member.name}/archive",
        host=member.name,
        title="send the registry's list of images",
        timeout=14400.0,
        check=Succeeds(node.images_there(data, archive, served.sha256), timeout=600.0),
        source=served.path,
        sha256=served.sha256,
        size=served.size,
        dest=archive,
        mode=0o600,
        keep_previous=False,
    )
    step = member.run(
        "registry/images",
        "unpack the list of images",
        node.UNPACK_REGISTRY,
        node.images_unpacked(data, served.sha256),
        timeout=3600.0,
    )
    yield with_env(step, {"ARCHIVE": archive, "STAMP": served.sha256})


def _blob(member: Member, blob: Packed) -> Upload:
    digest = blob.sha256
    dest = f"{member.data}/{_BLOBS}/{digest[:2]}/{digest}/data"
    return Upload(
        id=f"registry/{member.name}/{digest[:16]}",
        host=member.name,
        title=f"send the image layer {digest[:12]}",
        timeout=14400.0,
        check=FileIs(dest, digest),
        source=blob.path,
        sha256=digest,
        size=blob.size,
        dest=dest,
        mode=0o644,
        keep_previous=False,
    )


def registry(member: Member) -> Iterator[Step]:
    """What serves the images, and the wait until it lets those in who know its password."""
    options, data, env = member.cluster.options, member.data, member.env
    auth = f"{env['registryUsername']}:{env['registryPassword']}".encode("utf-8", "surrogateescape")
    serve: Run = member.run(
        "registry/serve",
        "start the registry",
        served_by.REGISTRY,
        node.linked(data, options.registry_data, member.stamp),
        timeout=600.0,
    )
    known = {"HTPASSWD": options.registry_htpasswd or served_by.HTPASSWD}
    yield with_env(serve, {**known, "AUTH": base64.b64encode(auth).decode()})
    asked = served_by.answers(data, member.cluster.registry_ip, options.registry_port)
    yield WaitFor(
        id=f"registry/{member.name}/answers",
        host=member.name,
        title="wait for the registry",
        timeout=120.0,
        check=Succeeds(asked),
        kind="script",
        target=asked,
    )
