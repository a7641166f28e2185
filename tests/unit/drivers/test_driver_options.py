from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from sealboot.drivers import registry
from sealboot.drivers.base import Driver
from sealboot.drivers.options import origin_of, path_text, validate
from sealboot.drivers.phases_schema import PhasesOptions
from sealboot.drivers.registry import driver_names, driver_roles, load_driver
from sealboot.model.diagnostic import Diagnostic, Location
from sealboot.model.host import Host, Inventory


def driver(name: str) -> Driver:
    loaded = load_driver(name)
    assert not isinstance(loaded, Diagnostic)
    return loaded


def inventory(name: str, **options: Any) -> Inventory:
    return Inventory("i.yaml", ".", "lab", name, None, (Host("a", "10.0.0.1", "x"),), options=options)


def findings(name: str, **options: Any) -> tuple[Diagnostic, ...]:
    result = validate(driver(name), inventory(name, **options))
    assert isinstance(result, tuple), result
    assert {d.code for d in result} == {"SB603"}
    return result


def phase(*steps: Any, **more: Any) -> dict[str, Any]:
    return {"name": "p", "steps": list(steps), **more}


def test_drivers_are_found_by_entry_point() -> None:
    assert {"sealos", "phases"} <= set(driver_names())
    assert driver("sealos").name == "sealos"
    assert driver_roles("sealos") == ("master", "node", "registry")
    assert driver_roles("phases") == ()


def test_an_unknown_driver_is_suggested() -> None:
    found = load_driver("sealo")
    assert isinstance(found, Diagnostic)
    assert (found.code, found.hints) == ("SB601", ("did you mean `sealos`?",))
    other = driver_roles("zzz")
    assert isinstance(other, Diagnostic)
    assert "phases" in other.hints[0]


def test_broken_drivers_are_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {
        "gone": ["no_such_module_anywhere:X"],
        "odd": ["builtins:dict"],
        "twice": ["a:X", "b:X"],
    }

    def fake(group: str, name: str) -> list[EntryPoint]:
        return [EntryPoint(name, value, group) for value in entries[name]]

    monkeypatch.setattr(registry, "entry_points", fake)
    for name, word in (("gone", "loaded"), ("odd", "incomplete"), ("twice", "two")):
        found = load_driver(name)
        assert isinstance(found, Diagnostic)
        assert found.code == "SB601"
        assert word in found.summary


def test_every_error_comes_at_once_with_its_path() -> None:
    found = findings(
        "phases",
        phases=[
            phase({"run": "true", "unles": "x"}, {"upload": {"artifact": "a", "dset": "/x", "smoke": "x"}}),
            {
                "name": "q",
                "steps": [{"write": {"content": "x", "dest": "/x", "mode": "999"}}],
                "serial": "perhaps",
            },
        ],
    )
    assert {d.evidence[0][1] for d in found} == {
        "phases[0].steps[0].unles",
        "phases[0].steps[1].upload.dset",
        "phases[0].steps[1].upload.dest",
        "phases[1].steps[0].write.mode",
        "phases[1].serial",
    }
    hints = {d.evidence[0][1]: d.hints for d in found}
    assert hints["phases[0].steps[0].unles"] == ("did you mean `unless`?",)
    assert hints["phases[0].steps[1].upload.dset"] == ("did you mean `dest`?",)


def test_a_finding_points_to_its_line_or_the_nearest_one_around_it() -> None:
    here, outer = Location("i.yaml", 9, 7), Location("i.yaml", 3, 1)
    made = replace(
        inventory("phases", phases=[phase({"run": "x", "unles": "y"}), phase({"run": "x", "bad": "y"})]),
        origins={"options.phases[0].steps[0].unles": here, "options.phases": outer},
    )
    found = validate(driver("phases"), made)
    assert isinstance(found, tuple)
    assert [d.at for d in found] == [here, outer]
    assert path_text(("phases", 2, "steps", 0, "run")) == "options.phases[2].steps[0].run"
    assert origin_of(made, "elsewhere") is None


def test_values_are_never_repeated() -> None:
    secret = "hunter2-canary"
    found = findings(
        "phases",
        phases=[phase({"run": {"script": "x", "sudo_pass": secret}, "timeout": secret, "become": secret})],
    )
    more = findings("sealos", vip=secret, apiserver_port=secret, registry_password=secret)
    assert len(found) == 3
    assert len(more) == 3
    assert secret not in repr((found, more))


def test_the_operators_own_keys_are_left_out() -> None:
    result = validate(
        driver("phases"),
        inventory("phases", **{"x-note": "n", "phases": [phase({"run": "x", "x-why": "y"})]}),
    )
    assert isinstance(result, PhasesOptions)
    found = findings("phases", **{"x-note": "n", "phases": [phase({"run": "x", "why": "y"})]})
    assert [d.evidence[0][1] for d in found] == ["phases[0].steps[0].why"]


@pytest.mark.parametrize(
    ("tree", "complaint"),
    [
        ({}, "phases is missing"),
        ({"phases": []}, "phases"),
        ({"phases": "x"}, "phases"),
        ({"phases": [phase()]}, "steps"),
        ({"phases": [phase({})]}, "exactly one of"),
        ({"phases": [phase({"run": "x", "remove": "/x"})]}, "this one has 2"),
        ({"phases": [phase({"remove": "/x", "unless": "x"})]}, "belong to `run`"),
        ({"phases": [phase({"run": "x"}), phase({"run": "x"})]}, "two phases are called"),
        ({"phases": [phase({"run": "x", "name": "A b"}, {"run": "x", "name": "a-b"})]}, "same name"),
        ({"phases": [phase({"run": "x", "after": "later"}, {"run": "x", "name": "later"})]}, "no earlier step"),
        ({"phases": [phase({"run": "x"}, serial="true", parallel="3")]}, "give one of them"),
        ({"phases": [phase({"run": "x"}, parallel="0")]}, "parallel"),
        ({"phases": [phase({"upload": {"artifact": "a", "dest": "/x"}})]}, "needs `smoke`"),
        ({"phases": [phase({"upload": {"artifact": "a", "dest": "/x", "executable": "no", "expects": "x"}})]}, "smoke"),
        ({"phases": [phase({"write": {"dest": "/x", "content": "", "mode": "4755"}})]}, "sticky"),
        ({"phases": [phase({"wait": {}})]}, "exactly one of"),
        ({"phases": [phase({"wait": {"tcp": "a:1", "file": "/x"}})]}, "exactly one of"),
        ({"phases": [phase({"wait": {"tcp": "a:1", "status": "200"}})]}, "belongs to `http`"),
        ({"phases": [phase({"run": "half a pair: \ud800"})]}, "unicode"),
        ({"phases": [phase({"wait": {"tcp": "a:1", "timeout": "1s"}, "timeout": "1s"})]}, "`timeout` once"),
        ({"phases": [phase({"capture": {"run": "x", "into": "t", "pattern": "("}})]}, "no regular expression"),
        ({"phases": [phase({"capture": {"run": "x", "into": "1t"}})]}, "into"),
        ({"phases": [phase({"run": "x", "timeout": "soon"})]}, "duration"),
        ({"phases": [phase({"run": "x", "timeout": "0s"})]}, "above 0"),
        ({"phases": [phase({"service": "a b"})]}, "service.name"),
        ({"phases": [phase({"directory": {"path": "/x", "owner": "a;b"}})]}, "owner"),
    ],
)  # fmt: skip
def test_what_phases_must_not_be(tree: dict[str, Any], complaint: str) -> None:
    found = findings("phases", **tree)
    assert any(complaint in d.summary for d in found), found


def test_texts_become_values() -> None:
    result = validate(
        driver("phases"),
        inventory(
            "phases",
            phases=[
                phase(
                    {
                        "write": {"dest": "/x", "content": "", "mode": "0640"},
                        "timeout": "1.5m",
                        "become": "false",
                    },
                    {"run": {"script": "x", "ok_codes": ["0", "3"], "detached": "true"}, "timeout": "500ms"},
                    roles="one",
                    parallel="4",
                )
            ],
        ),
    )
    assert isinstance(result, PhasesOptions)
    write, run = result.phases[0].steps
    assert write.write is not None
    assert run.run is not None
    assert (write.write.mode, write.timeout, write.become) == (0o640, 90.0, False)
    assert (run.run.ok_codes, run.run.detached, run.timeout) == ((0, 3), True, 0.5)
    assert (result.phases[0].roles, result.phases[0].parallel) == (("one",), 4)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"vip": "fd00::1"}, "IPv4"),
        ({"data_root": "relative"}, "absolute"),
        ({"data_root": "/a/../b"}, "absolute"),
        ({"registry_domain": "a;b"}, "registry_domain"),
        ({"apiserver_port": "70000"}, "apiserver_port"),
        ({"registry_hots": "a"}, "registry_hots"),
    ],
)
def test_what_sealos_options_must_not_be(options: dict[str, Any], complaint: str) -> None:
    (found,) = findings("sealos", **options)
    assert complaint in found.summary
