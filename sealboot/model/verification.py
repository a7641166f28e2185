"""What files must be vouched for by, before they are used: the operator's `verify` setting, resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sealboot.model.diagnostic import Location

#: The namespace of an SSH signature (`ssh-keygen -Y sign -n sealboot`) unless another one is set: one made
#: for e-mail or git says nothing about files to run.
NAMESPACE = "sealboot"


@dataclass(frozen=True, slots=True)
class Verification:
    """Checksum files, the keys that must have signed them, and digests written down one by one.

    `checksums` are paths or patterns, `sha256` maps a path to a digest in
    lower-case hexadecimal; both as the operator wrote them, relative to the
    folder of the inventory. `minisign_key` is a file, or the key itself;
    `allowed_signers` a file as ssh-keygen(1) describes it. A key that is set
    must have signed every checksum file. `unlisted` says what becomes of a
    file that nothing vouches for. `origins` maps `checksums[0]`,
    `sha256.PATH`, ... to where they were written.
    """

    checksums: tuple[str, ...] = ()
    sha256: Mapping[str, str] = field(default_factory=dict)
    minisign_key: str | None = None
    allowed_signers: str | None = None
    namespace: str = NAMESPACE
    unlisted: Literal["refuse", "allow"] = "refuse"
    origins: Mapping[str, Location] = field(default_factory=dict)
