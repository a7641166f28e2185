"""`verify`: what must vouch for files, as it is written and as it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sealboot.inventory.load import DriverRoles, load_inventory
from sealboot.inventory.view import resolved_view
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Inventory
from sealboot.model.verification import Verification

Load = Callable[[str], tuple[Inventory | None, tuple[Diagnostic, ...]]]

A, B = "a" * 64, "B" * 64
HOSTS = "hosts: {a: {role: server}, b: {role: agent}}\n"


def loaded(load: Load, verify: str) -> Inventory:
    inventory, found = load(HOSTS + verify)
    assert not found
    assert inventory is not None
    return inventory


def test_everything_that_can_be_asked_for(load_hosts: Load) -> None:
    text = (
        "verify:\n  checksums: [SUMS, old/*SUMS]\n  minisign_key: k.pub\n  allowed_signers: ~/signers\n"
        f"  namespace: file\n  unlisted: allow\n  sha256: {{bin/tool: {B}, x-tool: {A}}}\n"
    )
    inventory = loaded(load_hosts, text)
    made = inventory.verify
    assert made is not None
    assert made == Verification(
        checksums=("SUMS", "old/*SUMS"),
        sha256={"bin/tool": B.lower(), "x-tool": A},
        minisign_key="k.pub",
        allowed_signers="~/signers",
        namespace="file",
        unlisted="allow",
        origins=made.origins,
    )
    assert str(made.origins["checksums[1]"]) == "<stdin>:5:21"
    assert str(made.origins["sha256.bin/tool"]) == "<stdin>:10:22"
    rows = [r for r in resolved_view(inventory) if r.host == "b" and r.setting.startswith("verify.")]
    assert [(r.setting.removeprefix("verify."), r.value) for r in rows] == [
        ("checksums", "SUMS, old/*SUMS"),
        ("minisign_key", "k.pub"),
        ("allowed_signers", "~/signers"),
        ("namespace", "file"),
        ("unlisted", "allow"),
        ("sha256.bin/tool", B.lower()),
        ("sha256.x-tool", A),
    ]
    assert all(r.origin is not None for r in rows)


def test_what_is_not_said_is_strict(load_hosts: Load) -> None:
    made = loaded(load_hosts, "verify: {checksums: SUMS, x-note: ours}\n").verify
    assert made is not None
    assert (made.checksums, made.unlisted, made.namespace) == (("SUMS",), "refuse", "sealboot")
    assert loaded(load_hosts, "").verify is None
    made = loaded(load_hosts, f"verify: {{sha256: {{tool: {A}}}}}\n").verify
    assert made is not None
    assert (made.checksums, made.unlisted) == ((), "refuse")


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("verify:\n", "SB008", "checksums: binaries/sha256sums"),
        ("verify: {unlisted: allow}\n", "SB008", "checksums: binaries/sha256sums"),
        (f"verify: {{minisign_key: k, sha256: {{a: {A}}}}}\n", "SB008", "or delete `minisign_key`"),
        ("verify: {checksums: S, namespace: git}\n", "SB008", "name the keys, or delete `namespace`"),
        ("verify: {cheksums: S}\n", "SB006", "did you mean `checksums`?"),
        ("verify: {checksums: {a: b}}\n", "SB007", ""),
        ("verify: [SUMS]\n", "SB007", "write its keys below it"),
        ("verify: {checksums: S, unlisted: warn}\n", "SB007", "`refuse` or `allow`"),
        (f"verify: {{sha256: {{a: {A[1:]}}}}}\n", "SB007", "64 hexadecimal digits"),
        (f"verify: {{sha256: {{a: sha256:{A}}}}}\n", "SB007", "64 hexadecimal digits"),
        (f"verify: {{sha256: {{a/b: {A}, ./a//b: {A}}}}}\n", "SB004", "keep one of the two"),
        (f"verify: {{sha256: {{a: {A}, a: {A}}}}}\n", "SB004", "keep one of the two"),
    ],
)
def test_what_is_refused(load_hosts: Load, text: str, code: str, hint: str) -> None:
    inventory, found = load_hosts(HOSTS + text)
    assert inventory is None
    assert code in {d.code for d in found}
    assert any(hint in h for d in found for h in d.hints), found
    assert all(d.at is not None and d.at.line >= 4 for d in found), found


def test_every_mistake_at_once(load_hosts: Load) -> None:
    text = f'verify:\n  checksums: [S, ""]\n  unlisted: no\n  namespace: git\n  sha256: {{a: 1, b: {A}, ./b: {A}}}\n'
    _, found = load_hosts(HOSTS + text)
    assert [(d.code, d.at and d.at.line) for d in found] == [
        ("SB007", 5),
        ("SB007", 6),
        ("SB008", 7),
        ("SB007", 8),
        ("SB004", 8),
    ]


def test_a_later_inventory_adds_to_what_is_asked(tmp_path: Path, drivers: dict[str, DriverRoles]) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(f"version: 1\ncluster: {{name: l, driver: k3s}}\n{HOSTS}verify: {{checksums: S}}\n")
    second.write_text(f"verify: {{unlisted: allow, sha256: {{a: {A}}}}}\n")
    inventory, found = load_inventory([str(first), str(second)], drivers=drivers)
    assert not found
    assert inventory is not None
    assert inventory.verify is not None
    assert (inventory.verify.checksums, inventory.verify.unlisted) == (("S",), "allow")
    assert dict(inventory.verify.sha256) == {"a": A}
