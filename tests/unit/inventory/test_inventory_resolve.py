"""From text to hosts: precedence, origins, ranges, references, and every error at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sealboot.inventory.load import DriverRoles, load_inventory
from sealboot.model.arch import Arch
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.host import Ignore, Inventory
from sealboot.model.secret import SecretRef

Load = Callable[[str], tuple[Inventory | None, tuple[Diagnostic, ...]]]

DESIGN = """\
artifacts:
  k3s: ["binaries/k3s*"]
  images: ["binaries/*airgap-images*"]
defaults:
  ssh: {user: ops, config: true}
  become: {method: sudo, password_from: prompt}
groups:
  pis: {ssh: {jump: bastion}}
hosts:
  ctl1: {address: 10.0.0.11, role: server}
  pi[01,03-04]: {groups: [pis], role: agent, arch: arm64}
  pi02: {groups: [pis], role: agent, artifacts: {k3s: [binaries/old/k3s-arm64]}}
  nas1: {address: nas1.lan, ssh: {port: 2222}, emulation: allow,
         ignore: [{code: SB304, reason: "no RTC, fixed by chrony"}]}
"""


def good(load: Load, text: str) -> Inventory:
    inventory, found = load(text)
    assert not found
    assert inventory is not None
    return inventory


def codes(load: Load, text: str) -> list[tuple[str, str]]:
    inventory, found = load(text)
    assert inventory is None
    assert all(f.hints for f in found)
    return [(f.code, str(f.at).removeprefix("<stdin>:")) for f in found]


def test_a_whole_inventory(load_hosts: Load) -> None:
    inventory = good(load_hosts, DESIGN)
    assert [h.name for h in inventory.hosts] == ["ctl1", "pi01", "pi03", "pi04", "pi02", "nas1"]
    assert inventory.artifacts == {"k3s": ("binaries/k3s*",), "images": ("binaries/*airgap-images*",)}
    pi = inventory.host("pi03")
    assert (pi.address, pi.role, pi.arch, pi.groups) == ("pi03", "agent", Arch.ARM64, ("pis",))
    assert (pi.ssh.user, pi.ssh.config, pi.ssh.jump) == ("ops", True, ("bastion",))
    assert pi.become.password_from == SecretRef("prompt", "Password for sudo or doas")
    nas = inventory.host("nas1")
    assert (nas.role, nas.ssh.port, nas.emulation) == ("agent", 2222, "allow")
    assert nas.ignore == (Ignore("SB304", "no RTC, fixed by chrony"),)
    assert inventory.host("pi02").artifacts == {"k3s": ("binaries/old/k3s-arm64",)}


@pytest.mark.parametrize(
    ("host", "setting", "place"),
    [
        ("pi02", "", "14:3"),
        ("pi02", "artifacts.k3s[0]", "14:56"),
        ("pi02", "ssh.jump", "10:21"),
        ("pi02", "ssh.user", "7:15"),
        ("nas1", "ignore.SB304", "16:19"),
        ("nas1", "ssh.port", "15:41"),
        ("nas1", "ssh.host_key_alias", "15:3"),
    ],
)
def test_every_value_knows_where_it_was_written(
    load_hosts: Load, host: str, setting: str, place: str
) -> None:
    assert str(good(load_hosts, DESIGN).host(host).origin(setting)) == f"<stdin>:{place}"


def test_precedence_host_group_defaults_driver(load_hosts: Load) -> None:
    text = (
        "defaults: {ssh: {user: d, port: 1}, vars: {a: d, b: d, c: d}, artifacts: {k3s: d}}\n"
        "groups: {g: {ssh: {user: g}, vars: {b: g, c: g}, ignore: [{code: SB304, reason: g}]}}\n"
        "hosts:\n  a: {groups: g, vars: {c: h}, artifacts: {k3s: [h, i]}, ignore: [{code: SB303, reason: h}]}\n  b:\n"
    )
    inventory = good(load_hosts, text)
    a, b = inventory.hosts
    assert (a.ssh.user, a.ssh.port, b.ssh.user) == ("g", 1, "d")
    assert a.vars == {"a": "d", "b": "g", "c": "h"}
    assert (a.artifacts["k3s"], b.artifacts["k3s"]) == (("h", "i"), ("d",))
    assert {i.code for i in a.ignore} == {"SB303", "SB304"}
    assert (a.role, b.role, b.ssh.connect_timeout, b.emulation) == ("agent", "agent", 15.0, "refuse")


def test_two_groups_that_disagree_are_one_error_for_all_hosts(load_hosts: Load) -> None:
    groups = "groups:\n  a: {ssh: {user: x}, role: agent}\n  b: {ssh: {user: y}, role: agent}\n"
    _, (found,) = load_hosts(groups + "hosts:\n  n[1-3]: {groups: [a, b]}\n  m: {groups: [a, b]}\n")
    assert (found.code, found.host, found.also) == ("SB009", "n1", ("n2", "n3", "m"))
    assert found.evidence == (("a", "x (<stdin>:4:19)"), ("b", "y (<stdin>:5:19)"))
    good(load_hosts, groups + "hosts:\n  n[1-3]: {groups: [a, b], ssh: {user: z}}\n")


def test_all_errors_at_once_in_order_of_place(load: Load) -> None:
    text = (
        "version: 2\n"
        "cluster: {name: lab, drivr: k3s, driver: k4s}\n"
        "hsts: {}\n"
        "groups: {g: {emulation: maybe}}\n"
        "hosts:\n"
        "  a: {address: 10.0.0.1, groups: [h], ssh: {prt: 1, port: 1_000}}\n"
        "  b: {address: 10.0.0.1, role: 7 8, ignore: [{code: SB202, reason: x}, {code: SB304}]}\n"
        "  -x: {}\n"
        "  n[2-1]:\n"
        "  a[1]: {ssh: {jump: a1}}\n"
    )
    assert codes(load, text) == [
        ("SB007", "1:10"),
        ("SB006", "2:22"),
        ("SB014", "2:42"),
        ("SB006", "3:1"),
        ("SB007", "4:25"),
        ("SB014", "6:35"),
        ("SB006", "6:45"),
        ("SB007", "6:59"),
        ("SB010", "7:16"),
        ("SB007", "7:32"),
        ("SB017", "7:53"),
        ("SB008", "7:72"),
        ("SB013", "8:3"),
        ("SB013", "9:3"),
        ("SB015", "10:22"),
    ]


def test_unknown_keys_have_a_suggestion_and_notes_of_yours_are_let_in(load_hosts: Load) -> None:
    _, (found,) = load_hosts("x-mine: {a: 1}\nhosts: {a: {x-y: z, ssh: {x-n: 1, identity_files: k}}}\n")
    assert found.code == "SB006"
    assert found.hints == ("did you mean `identity_file`?",)
    assert [h.name for h in good(load_hosts, "hosts: {x-wing: {vars: {x-a: 1}}}\n").hosts] == ["x-wing"]


@pytest.mark.parametrize(
    "text",
    [
        "hosts: {a: {sudo_pass: hunter2}}\n",
        "hosts: {a: {ssh: {password: hunter2}}}\n",
        "hosts: {a: {ssh: {password_from: hunter2}}}\n",
        "hosts: {a: {become: {password_from: 'env:hunter2 x'}}}\n",
        "password: [hunter2]\nhosts: {a: {}}\n",
        "hosts: {a: {vars: {join_token: hunter2}}}\n",
        "options: {x: [{registry_password: hunter2}]}\nhosts: {a: {}}\n",
        "options: {key: '-----BEGIN OPENSSH PRIVATE KEY-----hunter2'}\nhosts: {a: {}}\n",
        "hosts: {a: {ssh: {jump: 'ops:hunter2@b'}}}\n",
    ],
)
def test_inline_secrets_are_sb011_and_never_shown(load_hosts: Load, text: str) -> None:
    _, (found,) = load_hosts(text)
    assert found.code == "SB011"
    assert "hunter2" not in repr(found)
    assert "env:NAME" in found.hints[0] or "by reference" in found.hints[0]


def test_a_secret_never_shows_in_any_error_about_its_neighbours(load_hosts: Load) -> None:
    _, found = load_hosts(
        "hosts: {a: {ssh: {password: hunter2, prt: hunter2, port: hunter2, jump: [hunter2@]}, address: 'x:hunter2@y'}}\n"
    )
    assert len(found) >= 4
    assert "hunter2" not in "".join(repr(f) for f in found if f.code in {"SB006", "SB007", "SB011"})


@pytest.mark.parametrize(
    ("written", "arch", "level"),
    [
        ("arm64", Arch.ARM64, None),
        ("aarch64", Arch.ARM64, None),
        ("arm/v6", Arch.ARM, 6),
        ("armv7l", Arch.ARM, 7),
        ("armhf", Arch.ARM, None),
        ("x86_64", Arch.AMD64, None),
    ],
)
def test_expected_architectures(load_hosts: Load, written: str, arch: Arch, level: int | None) -> None:
    (host,) = good(load_hosts, f"hosts: {{a: {{arch: {written}}}}}\n").hosts
    assert (host.arch, host.arm_level) == (arch, level)


def test_addresses_of_a_range(load_hosts: Load) -> None:
    inventory = good(load_hosts, 'hosts: {"n[1-2,4]": {address: "10.0.0.[11-13]"}}\n')
    assert [(h.name, h.address) for h in inventory.hosts] == [
        ("n1", "10.0.0.11"),
        ("n2", "10.0.0.12"),
        ("n4", "10.0.0.13"),
    ]
    assert codes(load_hosts, 'hosts: {"n[1-2]": {address: "10.0.0.[1-3]"}}\n') == [("SB013", "3:29")]
    assert codes(load_hosts, 'hosts: {"n[1-2]": {address: "10.0.0.1"}}\n') == [("SB010", "3:29")]


def test_two_ways_to_one_machine(load_hosts: Load) -> None:
    twins = "hosts:\n  a: {address: 10.0.0.1}\n  b: {address: '::ffff:10.0.0.1', ssh: {port: 22%s}}\n"
    assert codes(load_hosts, twins % "") == [("SB010", "5:16")]
    good(load_hosts, twins % "22")
    good(load_hosts, twins % ", jump: ops@gate:22")
    assert codes(load_hosts, "hosts: {'n[1-3]': {}, n2: {}}\n") == [("SB010", "3:23")]


def test_jumps(load_hosts: Load) -> None:
    inventory = good(
        load_hosts,
        "hosts:\n  b: {}\n  a: {ssh: {jump: 'b,ops@[::1]:22,gate.lan'}}\n  c: {ssh: {jump: [a]}}\n",
    )
    assert inventory.host("a").ssh.jump == ("b", "ops@[::1]:22", "gate.lan")
    good(load_hosts, "hosts: {a: {ssh: {jump: alias, config: true}}}\n")
    _, (found,) = load_hosts("hosts:\n  bastion: {}\n  a: {ssh: {jump: bastoin}}\n")
    assert (found.code, found.hints) == ("SB014", ("did you mean `bastion`?",))
    _, (cycle,) = load_hosts("hosts:\n  a: {ssh: {jump: b}}\n  b: {ssh: {jump: c}}\n  c: {ssh: {jump: a}}\n")
    assert cycle.code == "SB015"
    assert cycle.evidence == (("chain", "a -> b -> c -> a"),)
    _, (inherited,) = load_hosts("defaults: {ssh: {jump: b}}\nhosts: {a: {}, b: {}}\n")
    assert "jump: none" in inherited.hints[0]
    good(load_hosts, "defaults: {ssh: {jump: b}}\nhosts: {a: {}, b: {ssh: {jump: none}}}\n")


def test_a_long_chain_of_jumps_is_walked_without_recursion(load_hosts: Load) -> None:
    rows = "".join(f"  n{i}: {{ssh: {{jump: n{i + 1}}}}}\n" for i in range(3000))
    good(load_hosts, f"hosts:\n{rows}  n3000: {{}}\n")


def test_roles_and_drivers(load: Load, load_hosts: Load) -> None:
    _, (found,) = load_hosts("hosts: {a: {role: sever}}\n")
    assert (found.code, found.hints) == ("SB014", ("did you mean `server`?",))
    text = "version: 1\ncluster: {name: a, driver: %s}\nphases: [{name: x, run: }]\nhosts: {a: {role: anything}}\n"
    inventory = good(load, text % "phases")
    assert inventory.options == {"phases": [{"name": "x"}]}
    assert str(inventory.origins["options.phases[0].run"]) == "<stdin>:3:25"
    assert codes(load, text % "k3s") == [("SB006", "3:1"), ("SB014", "4:19")]
    assert codes(load, "") == [("SB008", "1:1")] * 4


def test_the_option_tree_keeps_text(load_hosts: Load) -> None:
    inventory = good(load_hosts, "options: {a: [no, 0777, {b: 22:22}], x-y: 1_0}\nhosts: {a: {}}\n")
    assert inventory.options == {"a": ["no", "0777", {"b": "22:22"}], "x-y": "1_0"}
    assert str(inventory.origins["options.a[2].b"]) == "<stdin>:3:29"


def test_an_international_name_is_shown_as_the_network_has_it(load_hosts: Load) -> None:
    inventory, (note,) = load_hosts("hosts: {a: {address: bücher.example}}\n")
    assert inventory is not None
    assert inventory.hosts[0].address == "xn--bcher-kva.example"
    assert (note.code, note.severity) == ("SB018", Severity.NOTE)


def test_several_sources(tmp_path: Path, drivers: dict[str, DriverRoles]) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(
        "version: 1\ncluster: {name: a, driver: k3s}\ndefaults: {ssh: {user: x, port: 1}}\nhosts: {a: {}}\n"
    )
    two.write_text(
        "cluster: {name: b}\ndefaults: {ssh: {user: y}}\ngroups: {g: {}}\nhosts: {b: {groups: [g]}}\n"
    )
    inventory, found = load_inventory([str(one), "-", str(two)], stdin=b"hosts: {c: {}}\n", drivers=drivers)
    assert not found
    assert inventory is not None
    assert (inventory.name, inventory.base) == ("b", str(tmp_path))
    assert [(h.name, h.ssh.user, h.ssh.port) for h in inventory.hosts] == [
        ("a", "y", 1),
        ("c", "y", 1),
        ("b", "y", 1),
    ]
    assert str(inventory.host("a").origins["ssh.user"]) == f"{two}:2:24"
    inventory, (again,) = load_inventory([str(one), "-"], stdin=b"hosts: {a: {}}\n", drivers=drivers)
    assert inventory is None
    assert (again.code, str(again.at)) == ("SB010", "<stdin>:1:9")


def test_too_many_hosts(load_hosts: Load) -> None:
    assert codes(load_hosts, "hosts: {'a[1-65536]': {}, 'b[1-65536]': {}}\n") == [("SB005", "3:27")]


def test_the_collector_is_on_again(load: Load) -> None:
    import gc  # noqa: PLC0415

    load("a: b")
    assert gc.isenabled()


@pytest.mark.parametrize("nothing", ["null", "~", ""])
def test_a_key_without_a_value_is_not_there_and_never_a_word(
    nothing: str, load: Load, load_hosts: Load
) -> None:
    text = (
        f"hosts: {{a: {{vars: {{x: {nothing}}}, ssh: {nothing}}}}}\n"
        f"options: {{config: {{a: {nothing}, b: ['', c, {nothing or 'null'}]}}, token_from: {nothing}}}\n"
    )
    inventory = good(load_hosts, text)
    assert inventory.options == {"config": {"b": ["", "c", ""]}}
    assert inventory.hosts[0].vars == {"x": ""}
    assert inventory.hosts[0].ssh.user is None
    text = (
        f"defaults: {{role: server, ssh: {{user: ops, jump: b.lan:22}}, artifacts: {{k3s: x}}, arch: {nothing}}}\n"
        f"groups: {{g: {{ssh: {{user: {nothing}, port: 2222}}}}}}\n"
        f"hosts: {{a: {{groups: [g], role: {nothing}, ssh: {{user: {nothing}, jump: {nothing}}},"
        f" artifacts: {{k3s: {nothing}}}, paths: {nothing}}}}}\n"
    )
    (host,) = good(load_hosts, text).hosts
    assert (host.role, host.ssh.user, host.ssh.port, host.ssh.jump) == ("server", "ops", 2222, ("b.lan:22",))
    assert (host.arch, dict(host.artifacts)) == (None, {"k3s": ("x",)})
    inventory = good(load_hosts, "hosts: {a: {ssh: {user: 'null'}}}\n")
    assert inventory.hosts[0].ssh.user == "null"
