"""How well an archive suits a host, by the platforms that are whole in it."""

from __future__ import annotations

from sealboot.model.arch import Arch, platform_arch
from sealboot.model.archive import ImageArchive
from sealboot.model.artifact import Artifact
from sealboot.model.facts import Facts

#: What a platform says without a variant (containerd's defaults).
_DEFAULTS = {Arch.ARM: 7, Arch.AMD64: 1}


def data_rank(artifact: Artifact, facts: Facts) -> tuple[int, ...] | None:
    """Smaller is better; `None` when the archive is not for this host.

    Content comes before names, the variant nearest to the processor before lesser ones. Kubernetes
    pulls and imports by the kernel's own architecture: one it is merely compatible with does not count.
    """
    kernel = facts.kernel_arch
    if artifact.platforms:
        levels = [level for p in artifact.platforms if (level := _level(p, facts)) is not None]
        return (0, -max(levels)) if levels else None
    if artifact.named_arch in {kernel, None}:
        return (1,) if artifact.named_arch else (2,)
    return None


def _level(platform: str, facts: Facts) -> int | None:
    """The variant's number (`linux/arm/v7`: 7) where this host runs it, else `None`."""
    arch = facts.kernel_arch
    system, _, rest = platform.partition("/")
    machine, _, variant = rest.partition("/")
    if system != "linux" or arch is None or machine != arch:
        return None
    have = {Arch.ARM: facts.cpu.arm_level, Arch.AMD64: facts.cpu.x86_level}.get(arch)
    if arch not in _DEFAULTS:
        return 0
    number = variant[1:2]
    level = int(number) if number.isdigit() and variant.startswith("v") else _DEFAULTS[arch]
    return level if have is None or level <= have else None


def claims(artifact: Artifact, facts: Facts) -> bool:
    """Whether an archive claims this host's architecture: in its name, or in an index without the blobs."""
    arch = facts.kernel_arch
    absent = [
        p
        for layer in artifact.layers
        if isinstance(layer, ImageArchive)
        for i in layer.images
        for p in i.absent
    ]
    return arch is not None and (artifact.named_arch is arch or any(platform_arch(p) == arch for p in absent))
