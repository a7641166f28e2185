"""What `init` writes is what the program itself reads: for every driver, host, option."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealboot.drivers.base import Driver
from sealboot.drivers.published import files_of
from sealboot.drivers.registry import load_driver, own_driver_names
from sealboot.inventory.hygiene import UnsafeError
from sealboot.model.arch import Arch
from sealboot.model.diagnostic import Diagnostic
from sealboot.workflow.prepare import Prepared, prepare
from sealboot.workflow.starting import Said, fault, machines, written

DRIVERS = own_driver_names()


def driver(name: str) -> Driver:
    loaded = load_driver(name)
    assert not isinstance(loaded, Diagnostic)
    return loaded


def read(text: str | tuple[Diagnostic, ...]) -> Prepared:
    assert isinstance(text, str), text
    made = prepare(("-",), stdin=text.encode())
    assert isinstance(made, Prepared), made
    return made


def roles(said: Said, name: str) -> list[tuple[str, str]]:
    return [(host.name, host.role) for host in read(written(said, driver(name))).inventory.hosts]


NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}(\.[a-z]{2,5}){0,2}", fullmatch=True)
RANGES = st.builds(
    lambda name, first, count, more: f"{name}[{first}-{first + count}]{more}",
    st.from_regex(r"[a-z]{1,6}-?", fullmatch=True),
    st.integers(1, 40),
    st.integers(0, 9),
    st.sampled_from(["", ".lan", ".v2.example"]),
)
IPS = st.ip_addresses(v=4, network="10.0.0.0/8").map(str) | st.ip_addresses(v=6, network="fd00::/8").map(
    lambda ip: f"[{ip}]"
)
ADDRESSES = NAMES | RANGES | IPS
HOSTS = st.builds(
    lambda user, where, port: f"{user}{where}{port}",
    st.sampled_from(["", "ops@", "root@"]),
    ADDRESSES,
    st.sampled_from(["", ":22", ":2222"]),
)
ODD = st.text(max_size=30) | st.text(alphabet="a1.:[]-@,{}\"'#\\ \n%", max_size=30)
RELEASES = st.sampled_from(
    ["v1.36.3+k3s1", "v1.30.2+k0s.0", "v1.36.1+k0s.0", "v1.14.0", "1.29", "no", "0x1F"]
)


@settings(deadline=None)
@given(
    name=st.sampled_from(DRIVERS),
    hosts=st.lists(HOSTS | ODD, max_size=5),
    servers=st.none() | st.integers(1, 4),
    cluster=st.none() | st.from_regex(r"[a-z][a-z0-9-]{0,10}[a-z0-9]", fullmatch=True) | ODD,
    release=st.none() | RELEASES | ODD,
    user=st.none() | st.sampled_from(["ops", "DOMAIN\\me", "null", "true"]) | ODD,
    port=st.none() | st.integers(1, 65535),
    key=st.none() | st.sampled_from(["~/.ssh/id", "/k/a b", "#x", "- y", "null"]) | ODD,
)
def test_what_is_written_is_read(
    *,
    name: str,
    hosts: Sequence[str],
    servers: int | None,
    cluster: str | None,
    release: str | None,
    user: str | None,
    port: int | None,
    key: str | None,
) -> None:
    texts = {"name": cluster, "release": release, "user": user, "key": key}
    said = Said(
        tuple(hosts),
        servers,
        **{what: None if value is None or fault(what, value) else value for what, value in texts.items()},
        port=port,
    )
    try:
        machines(said, driver(name))
    except (UnsafeError, ValueError):
        return
    made = read(written(said, driver(name)))
    inventory = made.inventory
    assert inventory.name == (said.name or "lab")
    assert inventory.release == said.release
    first = inventory.hosts[0]
    assert first.ssh.user == (said.user or "root") or "@" in hosts[0]
    if said.key:
        assert first.ssh.identity_files == (said.key,)
    assert len(inventory.hosts) == len(machines(said, driver(name)))


@settings(deadline=None)
@given(hosts=st.lists(HOSTS, min_size=1, max_size=6, unique=True), name=st.sampled_from(DRIVERS))
def test_hosts_that_are_right_are_never_refused_but_for_being_one_machine(
    hosts: list[str], name: str
) -> None:
    try:
        read(written(Said(tuple(hosts)), driver(name)))
    except UnsafeError as error:
        assert "is the machine that" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("name", "servers", "expected"),
    [
        ("k3s", 3, ["server"] * 3 + ["agent"] * 2),
        ("k3s", None, ["server"] + ["agent"] * 4),
        ("k0s", 3, ["controller"] * 3 + ["worker"] * 2),
        ("sealos", 1, ["master"] + ["node"] * 4),
        ("talos", 3, ["controlplane"] * 3 + ["worker"] * 2),
        ("phases", None, ["node"] * 5),
    ],
)
def test_the_first_hosts_are_servers(name: str, servers: int | None, expected: list[str]) -> None:
    found = roles(Said(("n[1-3]", "a", "b"), servers), name)
    assert [role for _, role in found] == expected


def test_the_only_host_of_k0s_is_a_node_too_and_can_be_joined() -> None:
    assert roles(Said(("a",)), "k0s") == [("a", "controller+worker")]
    assert roles(Said(("a",)), "k3s") == [("a", "server")]


@pytest.mark.parametrize(
    ("said", "name", "why"),
    [
        (Said(("a", "b"), 3), "k3s", "there are 2 hosts"),
        (Said(("a", "b"), 1), "phases", "no roles of its own"),
    ],
)
def test_counts_that_cannot_be(said: Said, name: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        written(said, driver(name))


@pytest.mark.parametrize(
    ("name", "release", "url"),
    [
        ("k3s", None, "https://github.com/k3s-io/k3s/releases/latest/download/k3s-arm64"),
        ("k3s", "v1.36.3+k3s1", "https://github.com/k3s-io/k3s/releases/download/v1.36.3%2Bk3s1/k3s-armhf"),
        (
            "k3s",
            "v1.36.3+k3s1",
            "https://github.com/k3s-io/k3s/releases/download/v1.36.3%2Bk3s1/k3s-airgap-images-arm.tar.zst",
        ),
        (
            "k0s",
            "v1.30.2+k0s.0",
            "https://github.com/k0sproject/k0s/releases/download/v1.30.2%2Bk0s.0/k0s-v1.30.2%2Bk0s.0-arm64",
        ),
        ("k0s", "v1.30.2+k0s.0", "/k0s-airgap-bundle-v1.30.2%2Bk0s.0-amd64"),
        ("k0s", "v1.36.1+k0s.0", "/k0s-airgap-bundle-v1.36.1%2Bk0s.0-linux-amd64.tar"),
        ("k0s", None, "https://github.com/k0sproject/k0s/releases"),
        (
            "sealos",
            "v1.29.9",
            "docker://docker.io/labring/kubernetes:v1.29.9 oci-archive:rootfs/kubernetes-arm64.tar",
        ),
        (
            "talos",
            "v1.14.0",
            "https://github.com/siderolabs/talos/releases/download/v1.14.0/metal-arm64-uki.efi",
        ),
        ("talos", None, "talosctl gen config"),
    ],
)
def test_a_starter_says_where_the_files_are_to_be_had(name: str, release: str | None, url: str) -> None:
    text = written(Said(release=release), driver(name))
    assert url in str(text)


@pytest.mark.parametrize("name", [name for name in DRIVERS if name != "phases"])
def test_every_slot_of_the_starter_is_one_of_the_driver_s(name: str) -> None:
    """What a starter names is what the driver asks for, and its commands put the file where it is looked for."""
    said = Said(release="v1.36.3" if name != "k3s" else "v1.36.3+k3s1")
    text = str(written(said, driver(name)))
    made = read(text)
    slots = {slot.name for slot in made.slots}
    wanted = {file.slot for file in files_of(driver(name)) if not file.optional}
    assert wanted & slots == {slot.name for slot in made.slots if slot.required} & wanted
    assert slots & wanted
    for file in files_of(driver(name), said.release):
        folder = file.pattern.rpartition("/")[0]
        for command in file.commands.values():
            assert f"{folder}/" in command, command


def test_what_an_inventory_names_as_release_runs_no_program() -> None:
    files = files_of(driver("k0s"), "v1.36.3+$(reboot);x")
    commands = [command for file in files for command in file.commands.values()]
    assert commands
    assert all(re.search(r"'[^']*\$\(reboot\)[^']*'", c) for c in commands if "$(" in c)
    assert all(";" not in re.sub(r"'[^']*'", "", c) for c in commands)


def test_slots_carry_the_command_for_each_architecture() -> None:
    made = read(written(Said(release="v1.36.3+k3s1"), driver("k3s")))
    (slot,) = [slot for slot in made.slots if slot.name == "k3s"]
    assert {arch for arch, _ in slot.get} == {Arch.AMD64, Arch.ARM64, Arch.ARM}
    assert dict(slot.get)[Arch.ARM].endswith("/k3s-armhf")
