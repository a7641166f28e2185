"""Images that are streamed into k3s' containerd, with no archive on the host, and that stay there.

An archive that is not in the images folder is not imported again when k3s
starts, so its images must not be collected as garbage: containerd keeps what
bears the label of its CRI service. k3s clears the pins that it set itself,
told by a label of its own, and leaves these alone.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from sealboot.model.archive import ImageArchive

_PIN = "io.cri-containerd.pinned=pinned"
#: Seconds for containerd's CRI service to learn of a label.
_SEEN = 30


def importing(program: str) -> str:
    """The script that reads an archive, not compressed, on its standard input.

    `ctr` takes the images of its own platform only. Nothing is unpacked yet:
    the CRI service does that when the first container starts, as for archives
    that k3s imports itself.
    """
    return f"umask 022\nexec {shlex.quote(program)} ctr images import --no-unpack - >&2\n"


def pinning(program: str, names: Sequence[str], marker: str) -> str:
    """Pin the images, and leave an empty file that says that the archive was streamed.

    `sb_all` must be defined: whether CRI shows all of them, pinned. The label is set by its own command: the `ctr`
    of most releases of k3s cannot set it while importing.
    """
    folder = marker.rpartition("/")[0]
    lines = ["umask 022\n"]
    lines += [
        f"{shlex.quote(program)} ctr images label {shlex.quote(name)} {_PIN} >/dev/null || exit 1\n"
        for name in names
    ]
    return (
        "".join(lines)
        + f"sb_until=$(( $(date +%s) + {_SEEN} ))\nuntil sb_all; do\n"
        + '  [ "$(date +%s)" -lt "$sb_until" ] || { echo "not pinned: $sb_last" >&2; exit 1; }\n  sleep 1\ndone\n'
        + f"mkdir -p {shlex.quote(folder)} && : >{shlex.quote(marker)}\n"
    )


def stored_names(archive: ImageArchive) -> Iterator[str]:
    """What containerd calls the images of an archive.

    Names of an OCI layout it takes as they are; those of `docker save` it
    completes as docker does: `busybox:1` is `docker.io/library/busybox:1`.
    """
    for image in archive.images:
        yield _completed(image.name) if archive.form == "docker-archive" else image.name


def _completed(name: str) -> str:
    first, slash, rest = name.partition("/")
    if not slash:
        return f"docker.io/library/{name}"
    if first in {"docker.io", "index.docker.io"}:
        return f"docker.io/{rest}" if "/" in rest else f"docker.io/library/{rest}"
    return name if "." in first or ":" in first or first == "localhost" else f"docker.io/{name}"
