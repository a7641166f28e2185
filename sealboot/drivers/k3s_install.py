"""`install: script`: the service is made by k3s' own install.sh, offline, and started by us.

The script is shipped and hashed like any other file. It gets an environment
of its own: what stands in root's (`K3S_TOKEN`, an `ARCH` that overrules
`uname`) would be copied into the service's environment or change what is
installed. No secret is among it: the token stays in the file that
`config.yaml` names, because `INSTALL_K3S_EXEC` ends in the unit and in `ps`.

It never starts the service: it does not restart one when program, unit and
environment are what they were when it looked, and with the program already
in its place they always are.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sealboot.drivers.k3s_config import CONFIG_DIR, SERVICES
from sealboot.model.artifact import Artifact
from sealboot.model.steps import FileIs, Run, Step, Succeeds, Upload
from sealboot.plan.fingerprint import digest

#: The slot of the script, and where it lies on a host: gone with everything else when k3s is taken off.
SLOT: Final = "install"
PLACE: Final = f"{CONFIG_DIR}/install.sh"
#: Says that the unit beside it was made by a script of ours, of what, and how it was then.
MARK: Final = f"{CONFIG_DIR}/.sealboot-install"


def unit_path(service: str, *, openrc: bool) -> str:
    """Where the service is defined, by us and by install.sh alike."""
    return f"/etc/init.d/{service}" if openrc else f"/etc/systemd/system/{service}.service"


def uninstaller(binary: str, role: str) -> str:
    """The script that install.sh leaves behind."""
    return f"{binary}-uninstall.sh" if role == "server" else f"{binary}-{role}-uninstall.sh"


@dataclass(frozen=True, slots=True)
class Install:
    """The script on one host."""

    host: str
    role: str
    binary: str
    openrc: bool
    artifact: Artifact

    @property
    def unit(self) -> str:
        """What it makes."""
        return unit_path(SERVICES[self.role], openrc=self.openrc)

    @property
    def environment(self) -> dict[str, str]:
        """All that the script is told."""
        return {
            "INSTALL_K3S_SKIP_DOWNLOAD": "true",
            "INSTALL_K3S_SKIP_START": "true",
            "INSTALL_K3S_BIN_DIR": self.binary.rpartition("/")[0],
            "INSTALL_K3S_EXEC": self.role,
        }

    @property
    def stamp(self) -> str:
        """Everything that the unit is made of."""
        return digest({"script": self.artifact.sha256, "unit": self.unit, **self.environment})

    def ship(self) -> Iterator[Step]:
        """The script itself; a page that a browser saved under its name is none."""
        yield Upload(
            id=f"ship/{self.host}/install",
            host=self.host,
            title=f"upload install.sh to {PLACE}",
            timeout=300.0,
            check=FileIs(PLACE, self.artifact.sha256, 0o755),
            source=self.artifact.path,
            sha256=self.artifact.sha256,
            size=self.artifact.size,
            dest=PLACE,
            smoke='sh -n "$1" && grep -o INSTALL_K3S_SKIP_START "$1"\n',
            smoke_expects=("INSTALL_K3S_SKIP_START",),
            keep_previous=False,
            slot=SLOT,
        )

    def run(self) -> Iterator[Step]:
        """Run it; done when the unit is the one that it made."""
        words = " ".join(f"{name}={shlex.quote(value)}" for name, value in self.environment.items())
        said = f"echo {self.stamp}; cksum <{self.unit}"
        yield Run(
            id=f"install/{self.host}/service",
            host=self.host,
            title=f"make {self.unit} with install.sh",
            timeout=300.0,
            check=Succeeds(f'[ "$(cat {MARK} 2>/dev/null)" = "$({said} 2>/dev/null)" ]\n'),
            script=(
                f"umask 022\ncd / && rm -f {MARK} || exit 1\n"
                f'env -i PATH="$PATH" HOME=/root {words} sh {PLACE} </dev/null || exit $?\n'
                f"[ -s {self.unit} ] || {{ echo 'install.sh made no {self.unit}' >&2; exit 1; }}\n"
                f"{{ {said}; }} >{MARK}.new && mv -f {MARK}.new {MARK}\n"
            ),
        )
