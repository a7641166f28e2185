"""`--only`, and the operator's own secrets for steps."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_kit import Lab
from test_cli_lab import joined

from sealboot.cli.runtime import Secrets
from sealboot.model.secret import Redactor, SecretRef


def test_only_one_wave_is_planned_and_applied(own_lab: Lab) -> None:
    before = own_lab.run("plan", "--format", "json").document
    ids = [wave["id"] for wave in before["plan"]["waves"]]
    assert len(ids) > 1
    one = own_lab.run("plan", "--only", ids[0], "--format", "json")
    assert [wave["id"] for wave in one.document["plan"]["waves"]] == ids[:1]
    done = own_lab.run("apply", "--yes", "--only", ids[0], "--format", "json")
    assert done.code == 0, done.out
    assert not joined(own_lab, "pi01")


def test_a_part_that_does_not_exist_is_told(own_lab: Lab) -> None:
    for command in (("plan",), ("apply", "--yes")):
        ran = own_lab.run(*command, "--only", "imags", "--format", "json")
        assert (ran.code, ran.codes) == (1, {"SB639"})


def test_the_operators_secrets_are_had_or_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K3S_TOKEN", "a-secret-of-mine")
    redactor = Redactor()
    secrets = Secrets(tmp_path, redactor, may_ask=False)
    here, gone = SecretRef("env", "K3S_TOKEN"), SecretRef("env", "SEALBOOT_TEST_NOT_SET")
    found = secrets.all_of({"k3s_token": here})
    assert isinstance(found, dict)
    assert found["k3s_token"].reveal() == "a-secret-of-mine"
    assert redactor("token a-secret-of-mine") == "token ***"
    missing = secrets.all_of({"k3s_token": here, "other": gone})
    assert isinstance(missing, tuple)
    assert [d.code for d in missing] == ["SB012"]
