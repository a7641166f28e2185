"""What a driver is: one class that knows a distribution and writes its steps down.

A driver is found by its entry point (`sealboot.drivers`) and by nothing else.
All of its methods are pure: they get values and return values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol, runtime_checkable

from pydantic import BaseModel

from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Kind
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.facts import Facts
from sealboot.model.host import Host, Inventory
from sealboot.model.plan import Wave
from sealboot.model.secret import SecretRef
from sealboot.model.steps import Place


@dataclass(frozen=True, slots=True)
class Slot:
    """A place that a file fills on every host of some roles: `sealctl`, `k3s`, `images`.

    `roles` empty means every role, `hosts` empty every host. `patterns` are used where the inventory
    names none for this slot. An `executable` slot is matched by `fit`: the
    file must run on the host. A `tree` slot takes a root filesystem, a folder or
    an image, of which each host gets the one of its own architecture, packed.

    `form` names what else a file is made ready as before it is used. `boot`: a
    kernel or a unified kernel image, matched by whether the host's processor
    boots it; kernel and initrd are taken out of it. `initrd`: one beside a
    kernel, matched by the programs in it. `disk`: a raw disk image, inflated
    and measured. `machine-config`, `talosconfig`: Talos' own files, of
    which what is no secret is read. What a machine is booted from (`boots`)
    is not wanted for one that has no other system any more.

    A slot `on` the controller is filled once, by what runs there, for no host:
    its key in `Context.chosen` has the empty host name. `hint` is what to do
    where no file fills a slot, if that is not to get another build; `get` has
    the command that gets the build for an architecture. `kept`: the file that
    an upload replaces is kept for a rollback although it is no program (of a
    program it always is, where its upload says so).
    """

    name: str
    roles: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = (Kind.ELF,)
    executable: bool = True
    required: bool = True
    hosts: frozenset[str] = frozenset()
    tree: bool = False
    form: Literal["", "boot", "initrd", "disk", "machine-config", "talosconfig"] = ""
    boots: bool = False
    on: Place = "host"
    hint: str = ""
    kept: bool = False
    get: tuple[tuple[Arch, str], ...] = ()

    @property
    def by_machine(self) -> bool:
        """Whether a file for it is for one kind of machine; a configuration is for all."""
        return self.form not in {"machine-config", "talosconfig"}

    def wanted_by(self, host: Host) -> bool:
        """Whether this host may need the slot filled, as far as the inventory tells."""
        return (not self.roles or host.role in self.roles) and (not self.hosts or host.name in self.hosts)

    def needed_by(self, host: Host, facts: Facts) -> bool:
        """Whether this host, being as it is, needs the slot filled."""
        return self.wanted_by(host) and self.on == "host" and not (self.boots and facts.assumed)


@dataclass(frozen=True, slots=True)
class Wants:
    """What the probe should look at on one host for this driver.

    `directories` will be written to (space and mount options are probed);
    `space` says how many bytes each needs beyond the artifacts; `tools` are
    looked up in PATH; `questions` maps a key to a read-only POSIX snippet
    whose first 4 KiB of output become `facts.observed[key]`. `programs` are those of
    `directories` from which the distribution runs what it unpacks there itself.
    """

    directories: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    questions: Mapping[str, str] = field(default_factory=dict)
    programs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """All that a driver may know when it writes its steps.

    `facts` has every selected host that was reached; `chosen` maps (host name, slot name) to
    the file that fits that host; `options` is the driver's validated model.
    `selected` are the hosts this run may change (`--limit`): waves for others
    are left out, but they still count (an agent needs its server's address).
    `controller` is what the operator's own machine is, where a slot is for it.
    """

    inventory: Inventory
    options: BaseModel
    selected: tuple[Host, ...]
    facts: Mapping[str, Facts]
    chosen: Mapping[tuple[str, str], Artifact]
    controller: Facts | None = None

    @property
    def reached(self) -> tuple[Host, ...]:
        """The selected hosts that answered; about the others nothing can be planned."""
        return tuple(host for host in self.selected if host.name in self.facts)

    def artifact(self, host: Host, slot: str) -> Artifact:
        """The file chosen for this host and slot; raises `KeyError` when there is none."""
        return self.chosen[host.name, slot]


class Driver(Protocol):
    """One distribution. Stateless: constructed without arguments."""

    name: ClassVar[str]
    roles: ClassVar[tuple[str, ...]]  # in the order in which hosts are brought up; empty: any name
    default_role: ClassVar[str]
    Options: ClassVar[type[BaseModel]]

    def slots(self, inventory: Inventory, options: BaseModel) -> tuple[Slot, ...]:
        """The files this cluster needs."""
        ...

    def wants(self, host: Host, options: BaseModel) -> Wants:
        """What to probe on this host."""
        ...

    def checks(self, ctx: Context) -> tuple[Diagnostic, ...]:
        """Findings that only this distribution knows about."""
        ...

    def waves(self, ctx: Context) -> tuple[Wave, ...]:
        """The desired state of the cluster as steps in waves, for the selected hosts."""
        ...


@runtime_checkable
class UsesSecrets(Protocol):
    """A driver whose steps use secrets that the operator has, and no host."""

    def secrets(self, options: BaseModel) -> Mapping[str, SecretRef]:
        """By the name that steps use: where each secret is to be had on the controller."""
        ...


@dataclass(frozen=True, slots=True)
class Api:
    """The port on which hosts answer once they have no SSH any more."""

    port: int
    alpn: tuple[str, ...] = ("h2",)


@runtime_checkable
class AnswersWithoutSsh(Protocol):
    """A driver whose hosts, once they run its system, answer on an API and refuse SSH.

    A selected host that cannot be reached by SSH (SB201, and nothing else) is asked there. If it
    answers, its facts are `assumed`, from the inventory's `arch`, and there is no session: every
    step that the driver writes for it must be `on="controller"`.
    """

    def api(self, host: Host, options: BaseModel) -> Api:
        """Where this host would answer."""
        ...


@dataclass(frozen=True, slots=True)
class KubeconfigWay:
    """One host that has the administrator's kubeconfig.

    `script` prints it as it is there, as root, and exits with 66 (EX_NOINPUT) where the host has
    none. `server` is the URL that reaches the API server from outside when this host gave the file.
    """

    host: str
    script: str
    server: str


@runtime_checkable
class HasKubeconfig(Protocol):
    """A driver whose cluster has a Kubernetes API, and an administrator's kubeconfig on its servers."""

    def kubeconfig(self, inventory: Inventory, options: BaseModel) -> tuple[KubeconfigWay, ...]:
        """One way for each host that runs the API server, the one that begins the cluster first."""
        ...
