from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from talos_kit import CP1, Talos

from sealboot.drivers.options import validate
from sealboot.drivers.talos_names import EMPTY_SCHEMATIC
from sealboot.drivers.talos_options import TalosOptions, device_of, words_of
from sealboot.model.arch import Arch
from sealboot.model.diagnostic import Diagnostic


def options(**said: Any) -> TalosOptions:
    cluster = Talos(CP1, options=said)
    made = validate(cluster.driver, cluster.inventory)
    assert isinstance(made, TalosOptions), made
    return made


def refused(**said: Any) -> Diagnostic:
    cluster = Talos(CP1, options=said)
    made = validate(cluster.driver, cluster.inventory)
    assert isinstance(made, tuple), made
    return made[0]


@pytest.mark.parametrize(
    "said",
    [
        {"route": "pxe"},
        {"disk": "/dev/sda"},  # no default for all: it is another disk on another machine
        {"kernel_args": ["two words"]},
        {"kernel_args": ["a\nb"]},
        {"kernel_args": [""]},
        {"cmdline": 'a="b'},
        {"config_url": "file:///etc/passwd"},
        {"config_url": "https://h/with space"},
        {"schematic": {"extensions": []}},
        {"factory": "https://factory.talos.dev"},
        {"install_timeout": "5"},
        {"bootstrap": "yes"},
    ],
)
def test_options_that_mean_nothing(said: dict[str, Any]) -> None:
    assert refused(**said).code == "SB603"


def test_everything_has_a_default() -> None:
    made = options()
    assert (made.route, made.bootstrap, made.schematic_id) == ("kexec", "true", None)


def test_a_schematic_is_written_as_for_the_factory() -> None:
    """The inventory has every value as text; the factory's id hangs on which of them are none."""
    meta = {"customization": {"meta": [{"key": "0xa", "value": "foo"}]}}
    assert (
        options(schematic=meta).schematic_id
        == "d308a2a5ee2277bed5fbaa104fcbc8d59122abfa737df987a95b4ca763459a7f"
    )
    secure = {"customization": {"secureboot": {"includeWellKnownCertificates": "true"}}}
    assert (
        options(schematic=secure).schematic_id
        == "fa8e05f142a851d3ee568eb0a8e5841eaf6b0ebc8df9a63df16ac5ed2c04f3e6"
    )
    assert options(schematic={"customization": ""}).schematic_id == EMPTY_SCHEMATIC


def test_the_command_line_in_its_order() -> None:
    made = options(kernel_args=["console=ttyS0", 'a="b c"'], config_url="https://h/c?a=b&c=${uuid}")
    host = replace(CP1, vars={"kernel_args": "ip=10.0.0.11::10.0.0.1:255.255.255.0::eth0:off"})
    assert made.cmdline_of(host, "talos.platform=metal  console=tty0\n", Arch.AMD64) == (
        'talos.platform=metal console=tty0 console=ttyS0 a="b c" talos.config=https://h/c?a=b&c=${uuid}'
        " ip=10.0.0.11::10.0.0.1:255.255.255.0::eth0:off"
    )


@pytest.mark.parametrize(("arch", "console"), [(Arch.AMD64, "console=tty0"), (Arch.ARM64, "console=ttyAMA0")])
def test_a_kernel_alone_is_told_what_talos_insists_on(arch: Arch, console: str) -> None:
    line = options().cmdline_of(CP1, "", arch).split()
    assert {"talos.platform=metal", console, "init_on_alloc=1", "slab_nomerge", "pti=on"} <= set(line)
    assert options(cmdline="talos.platform=metal x").cmdline_of(CP1, "", arch) == "talos.platform=metal x"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", ()),
        ("a b", ("a", "b")),
        ('a="b c" d', ('a="b c"', "d")),
        ('a="b', None),
        ("a\x00b", None),
        ("ä", None),
    ],
)
def test_words_of_a_command_line(line: str, words: tuple[str, ...] | None) -> None:
    assert words_of(line) == words


@pytest.mark.parametrize(
    ("disk", "device"),
    [
        ("/dev/sda", "/dev/sda"),
        ("/dev/disk/by-id/ata-X_1-2.3:4+5", "/dev/disk/by-id/ata-X_1-2.3:4+5"),
        ("/dev/../etc", None),
        ("/dev", None),
        ("sda", None),
        ("/dev/sda; rm -rf /", None),
        ("", None),
    ],
)
def test_devices(disk: str, device: str | None) -> None:
    assert device_of(replace(CP1, vars={"disk": disk})) == device


def test_a_machine_that_fetches_its_configuration_is_given_none() -> None:
    cluster = Talos(CP1, options={"config_url": "https://h/c"})
    assert [
        slot.name for slot in cluster.driver.slots(cluster.inventory, options(config_url="https://h/c"))
    ] == [
        "boot",
        "initramfs",
        "talosconfig",
        "talosctl",
    ]
    assert "configure/cp1/apply" not in cluster.steps()
    assert "configure/cp1/installed" in cluster.steps()


def test_bootstrap_can_be_left_to_somebody_else() -> None:
    assert "bootstrap/cp1/etcd" not in Talos(CP1, options={"bootstrap": "false"}).steps()
