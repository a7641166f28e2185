"""SB637: what the nodes' own registries.yaml say, where the inventory has none."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from test_k3s_golden import PI, S1, k3s

from sealboot.drivers import k3s_registries
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.model.diagnostic import Diagnostic, Severity


def found(told: dict[str, str], registries: object = None) -> list[Diagnostic]:
    options = {"embedded_registry": "true", **({"registries": registries} if registries else {})}
    ctx = k3s(S1, PI, options=options).context()
    facts = {
        name: replace(fact, observed={"k3s.mirrors": told.get(name, "")}) for name, fact in ctx.facts.items()
    }
    assert isinstance(ctx.options, K3sOptions)
    return list(k3s_registries.findings(replace(ctx, facts=facts), ctx.options))


def test_each_node_without_a_mirror_is_named() -> None:
    assert found({"s1": "yes\n", "pi64": "yes\n"}) == []
    (one,) = found({"s1": "yes\n", "pi64": "no\n"})
    assert (one.code, one.host, one.severity) == ("SB637", "pi64", Severity.ERROR)
    assert ("between nodes", "TCP 5001 and 6443 must be open") in one.evidence
    assert [(d.host, d.severity) for d in found({"s1": "no\n"})] == [
        ("s1", Severity.ERROR),
        ("pi64", Severity.WARNING),
    ]


def test_a_file_of_the_inventory_counts_for_all() -> None:
    assert found({}, {"mirrors": {"docker.io": {}}}) == []
    (one,) = found({"s1": "yes\n", "pi64": "yes\n"}, {"configs": {"r.lan": {}}})
    assert one.host is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("mirrors:\n  docker.io:\n", "yes"),
        ('mirrors:\n  "*":\nconfigs:\n', "yes"),
        ("mirrors: {docker.io: {}}\n", "yes"),
        ("mirrors:\nconfigs:\n  r.lan:\n", "no"),
        ("mirrors: {}\n", "no"),
        ("mirrors:\n  # docker.io:\n", "no"),
        ("configs:\n  mirrors:\n    x:\n", "no"),
        (None, "no"),
    ],
)
def test_the_file_itself_is_read(tmp_path: Path, text: str | None, answer: str) -> None:
    file = tmp_path / "registries.yaml"
    if text is not None:
        file.write_text(text)
    script = k3s_registries.MIRRORS.replace("/etc/rancher/k3s", str(tmp_path))
    assert script != k3s_registries.MIRRORS
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{answer}\n"
