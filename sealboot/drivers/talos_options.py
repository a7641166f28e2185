"""The options of the `talos` driver, and what a host says for itself in its `vars`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from sealboot.drivers.talos_names import FACTORY, Version, schematic_id
from sealboot.model.arch import Arch
from sealboot.model.host import Host, Inventory

#: apid: the API of a Talos machine, in maintenance mode and ever after.
API_PORT: Final = 50000

CONTROLPLANE: Final = "controlplane"
WORKER: Final = "worker"

Route = Literal["kexec", "disk"]

_DEVICE = re.compile(r"/dev(?:/[A-Za-z0-9][A-Za-z0-9._:+-]*)+", re.ASCII)
_PLACE = r"^[A-Za-z0-9:][A-Za-z0-9.:-]{0,254}$"
_HOST_NAME = r"^[A-Za-z0-9][A-Za-z0-9.:-]{0,254}$"
#: One word of a kernel's command line. A quote within would join it with the next one.
_WORD = re.compile(r'[!#-~]+|[!#-~]*"[ !#-~]*"')

#: What a kernel without a UKI around it is told. The three that harden it are not optional: Talos
#: stops where they are missing.
_CMDLINE = "talos.platform=metal {console} init_on_alloc=1 slab_nomerge pti=on consoleblank=0"
_CONSOLES: dict[Arch, str] = {Arch.AMD64: "console=tty0", Arch.ARM64: "console=ttyAMA0 console=tty0"}


def words_of(value: str) -> tuple[str, ...] | None:
    """The words of a kernel's command line; `None` where it has what no kernel reads (control characters, half quotes)."""
    if not value.isascii() or not all(32 <= ord(c) < 127 for c in value):
        return None
    found = tuple(match[0] for match in re.finditer(r'(?:[^\s"]|"[^"]*")+', value))
    return found if value.count('"') % 2 == 0 and " ".join(found).split() == value.split() else None


def _several(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _number(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _argument(value: object) -> object:
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise ValueError("expected one word of a kernel's command line, such as `console=ttyS0`")
    return value


def _cmdline(value: object) -> object:
    if not isinstance(value, str) or not words_of(value):
        raise ValueError("expected a kernel's command line in printable ASCII with balanced quotes")
    return value


def _url(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(r"https?://[!#-~]{1,1024}", value):
        raise ValueError("expected a URL that begins with `http://` or `https://`")
    return value


def _tree(value: object) -> object:
    """A schematic as it is written for the image factory; `key` of a META value is a number there."""
    if not isinstance(value, dict):
        raise TypeError("expected a schematic: `customization: {...}`")
    unknown = sorted(set(value) - {"customization", "overlay", "owner"})
    if unknown:
        raise ValueError(f"a schematic has no `{unknown[0]}`")
    return _typed(value)


def _typed(tree: Any, key: str = "") -> Any:
    """The inventory has every value as text; two things in a schematic are none."""
    if isinstance(tree, dict):
        return {k: _typed(v, k) for k, v in tree.items()}
    if isinstance(tree, list):
        return [_typed(item) for item in tree]
    if key == "key" and isinstance(tree, str):
        return int(tree, 0) if re.fullmatch(r"0x[0-9a-fA-F]{1,2}|\d{1,3}", tree) else tree
    if key == "includeWellKnownCertificates":
        return tree == "true"
    return tree


Seconds = Annotated[int, BeforeValidator(_number), Field(ge=30, le=7200)]
Words = Annotated[tuple[Annotated[str, BeforeValidator(_argument)], ...], BeforeValidator(_several)]


class TalosOptions(BaseModel):
    """What may be written under the driver's options; every key has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    #: How Talos gets onto a machine that runs another Linux; `vars: {route: disk}` on one host replaces it.
    route: Route = "kexec"
    #: Further words of the kernel's command line on every host that is booted by kexec.
    kernel_args: Words = ()
    #: The command line of a kernel that has no UKI around it; that of a UKI is always its own.
    cmdline: Annotated[str, BeforeValidator(_cmdline)] | None = None
    #: `talos.config=`: where the machine fetches its configuration itself, so that none is applied.
    config_url: Annotated[str, BeforeValidator(_url)] | None = None
    #: The schematic that the machine configurations' installer must be made of.
    schematic: Annotated[dict[str, Any], BeforeValidator(_tree)] | None = None
    #: The image factory that the installers come from.
    factory: Annotated[str, Field(pattern=_HOST_NAME)] = FACTORY
    bootstrap: Literal["true", "false"] = "true"
    #: From `kexec -e` or the reboot until port 50000 answers: server firmware alone may take minutes.
    handover_timeout: Seconds = 900
    #: From the machine configuration until Talos is installed and has booted from its disk.
    install_timeout: Seconds = 1800
    bootstrap_timeout: Seconds = 600
    health_timeout: Seconds = 1200

    def route_of(self, host: Host) -> Route:
        """How this host gets Talos; an unknown word in its `vars` is told by `checks`, and means kexec here."""
        return "disk" if host.vars.get("route", self.route) == "disk" else "kexec"

    def data(self, host: Host) -> str:
        """Where kernel and initrd lie on the host until it leaves; `paths.data` replaces it."""
        return host.paths.get("data", "/var/lib/sealboot-talos").rstrip("/")

    def first(self, inventory: Inventory) -> Host | None:
        """The control plane machine that `bootstrap` is called on: the first one of the inventory."""
        machines = inventory.by_role(CONTROLPLANE)
        return machines[0] if machines else None

    def version(self, inventory: Inventory) -> Version | None:
        """The release that the inventory names, if it names one."""
        return Version.parse(inventory.release) if inventory.release else None

    @property
    def schematic_id(self) -> str | None:
        """The id of the schematic, where one is written down."""
        return schematic_id(self.schematic) if self.schematic is not None else None

    def cmdline_of(self, host: Host, own: str, arch: Arch | None) -> str:
        """The whole command line: the UKI's own words, then the cluster's, then the host's."""
        base = own or self.cmdline or _CMDLINE.format(console=_CONSOLES.get(arch or Arch.AMD64, ""))
        url = (f"talos.config={self.config_url}",) if self.config_url else ()
        extra = words_of(host.vars.get("kernel_args", "")) or ()
        return " ".join((*base.split(), *self.kernel_args, *url, *extra))


def device_of(host: Host) -> str | None:
    """The disk that is to be overwritten: this host's own word, `vars: {disk: /dev/sda}`, and nobody else's."""
    disk = host.vars.get("disk", "")
    return disk if _DEVICE.fullmatch(disk) and ".." not in disk.split("/") else None
