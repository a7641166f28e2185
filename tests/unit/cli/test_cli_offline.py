"""Commands that reach no host: init, explain, inspect, inventory, doctor, and wrong command lines."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path

import pytest
import yaml
from cli_kit import quick as run
from jsonschema import Draft202012Validator

from sealboot import __version__
from sealboot.diagnostics import codes, name_of
from sealboot.diagnostics.catalogue import SECTIONS
from sealboot.drivers.registry import driver_names
from sealboot.lab.tinyelf import make
from sealboot.model.arch import Arch
from sealboot.model.names import closest


def test_version(tmp_path: Path) -> None:
    assert run(tmp_path, "--version").out == f"sealboot {__version__}\n"


def test_without_a_command_the_commands_are_shown(tmp_path: Path) -> None:
    ran = run(tmp_path)
    assert ran.code == 2
    assert {"demo", "check", "apply", "explain"} <= set(re.findall(r"^  (\w+)  ", ran.err, re.MULTILINE))


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("chek", "check"),
        ("check --fomat json", "--format"),
        ("check --format yaml", "yaml"),
        ("check --fail-on note", "note"),
        ("check --ignore SB101", "SB101 cannot be ignored"),
        ("check --ignore SB202", "SB202 cannot be ignored"),
        ("check --ignore SB999", "sealboot explain"),
        ("check --ignore all", "no code 'all'"),
        ("check --insecure", "No such option"),
        ("apply --max-failures -1", "--max-failures"),
        ("apply --lock-timeout -1", "--lock-timeout"),
        ("inspect", "FILE"),
        ("init --driver sealo", "did you mean sealos?"),
        ("init --driver k9x", "phases, sealos"),
        ("lock release", "RUN"),
    ],
)
def test_wrong_command_lines_say_what_would_be_right(tmp_path: Path, line: str, hint: str) -> None:
    ran = run(tmp_path, *line.split())
    assert (ran.code, ran.out) == (2, "")
    assert hint in ran.err


@pytest.mark.parametrize(
    "command", ["check", "plan", "apply", "facts", "trust", "inventory show", "lock status"]
)
def test_a_missing_inventory_is_said_with_the_way_out(tmp_path: Path, command: str) -> None:
    ran = run(tmp_path, *command.split())
    assert (ran.code, ran.out) == (2, "")
    assert "error[SB001]" in ran.err
    assert "inventory.yaml" in ran.err
    assert "sealboot init" in ran.err
    ran = run(tmp_path, *command.split(), "--format", "json")
    assert (ran.code, ran.codes) == (2, {"SB001"})
    assert ran.document["command"] == command


K0SCTL = """\
apiVersion: k0sctl.k0sproject.io/v1beta1
kind: Cluster
spec:
  hosts:
  - {role: controller, hooks: {apply: {before: [reboot]}}, ssh: {address: 10.0.0.1}}
"""


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_what_is_shown_with_findings_is_one_document(tmp_path: Path, form: str) -> None:
    (tmp_path / "k0sctl.yaml").write_text(K0SCTL)
    ran = run(tmp_path, "inventory", "show", "-i", "k0sctl:k0sctl.yaml", "--format", form)
    assert ran.code == 0
    document = ran.document if form == "json" else ran.document["report"]
    assert [(d["code"], d["at"]["line"]) for d in document["diagnostics"]] == [("SB021", 5)]
    assert {"host": "controller-10-0-0-1", "setting": "role", "value": "controller"}.items() <= dict(
        next(row for row in document["rows"] if row["setting"] == "role")
    ).items()
    plain = run(tmp_path, "inventory", "show", "-i", "k0sctl:k0sctl.yaml")
    assert "SB021" in plain.err
    assert "SB021" not in plain.out


@pytest.mark.parametrize("command", ["lock status", "lock release 1234", "trust"])
def test_rows_of_some_hosts_and_findings_of_others_are_one_document(
    tmp_path: Path, command: str, unused_tcp_port: int
) -> None:
    (tmp_path / "inventory.yaml").write_text(
        "version: 1\ncluster: {name: lab, driver: phases}\n"
        "phases: [{name: one, steps: [{run: 'true', creates: /x}]}]\n"
        f"hosts: {{gone: {{address: 127.0.0.1, role: x, ssh: {{port: {unused_tcp_port}}}}}}}\n"
    )
    ran = run(tmp_path, *command.split(), "--format", "json")
    assert ran.code == 4
    assert (ran.document["rows"], ran.codes) == ([], {"SB201"})


def test_every_error_of_an_inventory_is_told_at_once(tmp_path: Path) -> None:
    text = "version: 1\ncluster: {name: lab, driver: phases}\nhost: {}\nhosts:\n  a: {adress: 1.2.3.4, role: x}\n"
    (tmp_path / "inventory.yaml").write_text(text)
    ran = run(tmp_path, "check", "--format", "json")
    assert ran.code == 2
    assert len(ran.document["diagnostics"]) >= 2
    assert {d["at"]["file"] for d in ran.document["diagnostics"]} == {"inventory.yaml"}


@pytest.mark.parametrize("driver", driver_names())
@pytest.mark.parametrize("hosts", [(), ("10.0.0.1", "pi.lan", "::1")])
def test_what_init_writes_is_an_inventory(tmp_path: Path, driver: str, hosts: tuple[str, ...]) -> None:
    ran = run(tmp_path, "init", "--driver", driver, *hosts)
    assert ran.code == 0
    assert "inventory.yaml" in ran.err
    made = yaml.safe_load((tmp_path / "inventory.yaml").read_text())
    assert made["cluster"]["driver"] == driver
    shown = run(tmp_path, "inventory", "show", "--format", "json")
    assert shown.code == 0, shown.err
    addresses = {r["value"] for r in shown.document["rows"] if r["setting"] == "address"}
    assert addresses >= set(hosts)
    schema = json.loads((tmp_path / "inventory.schema.json").read_text())
    assert list(Draft202012Validator(schema).iter_errors(made)) == []


def test_init_never_overwrites(tmp_path: Path) -> None:
    target = tmp_path / "inventory.yaml"
    target.write_text("mine")
    ran = run(tmp_path, "init", "-q")
    assert ran.code == 2
    assert target.read_text() == "mine"
    assert "inventory.yaml" in ran.err
    assert "hint:" in ran.err
    link = tmp_path / "link.yaml"
    link.symlink_to(tmp_path / "elsewhere")
    assert run(tmp_path, "init", "-o", "link.yaml").code == 2
    assert not (tmp_path / "elsewhere").exists()
    assert run(tmp_path, "init", "-o", "no/such/folder.yaml").code == 2


def test_explain_lists_all_codes(tmp_path: Path) -> None:
    ran = run(tmp_path, "explain", "--format", "json")
    assert ran.document["rows"] == [{"code": c, "name": name_of(c)} for c in codes()]


def test_explain_shows_the_page_by_code_and_by_name(tmp_path: Path) -> None:
    page = run(tmp_path, "explain", "SB101").out
    assert page.startswith("# SB101 arch-mismatch\n")
    assert [line[3:] for line in page.splitlines() if line.startswith("## ")] == list(SECTIONS)
    assert run(tmp_path, "explain", "sb101").out == page
    assert run(tmp_path, "explain", "Arch-Mismatch").out == page
    text = run(tmp_path, "explain", "SB101", "--format", "json").document["text"]
    assert text.split() == page.split()


@pytest.mark.parametrize(
    ("given", "meant"),
    [("SB1O1", "SB101"), ("arch-mismach", "arch-mismatch"), ("sb20l", "SB201"), ("zzz", "")],
)
@pytest.mark.parametrize("format_", ["plain", "json"])
def test_explain_knows_what_was_meant(tmp_path: Path, given: str, meant: str, format_: str) -> None:
    ran = run(tmp_path, "explain", given, "--format", format_, "-q")
    assert (ran.code, ran.out) == (2, "")
    assert repr(given) in ran.err
    assert (f"did you mean {meant}?" in ran.err) == bool(meant)
    assert "sealboot explain" in ran.err


def test_suggestions_need_likeness() -> None:
    assert closest("chek", ["check", "plan"]) == "check"
    assert closest("xyz", ["check", "plan"]) is None


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "tool-amd64").write_bytes(make(Arch.AMD64, "x"))
    (folder / "tool-arm64").write_bytes(make(Arch.AMD64, "x"))
    (folder / "a [red]\x1b[2J").write_bytes(make(Arch.ARM64, "x"))
    os.mkfifo(folder / "pipe")
    return folder


def test_inspect_files_and_folders(files: Path) -> None:
    ran = run(files.parent, "inspect", "f", "--format", "json")
    kinds = {Path(a["path"]).name: (a["kind"], a["platforms"]) for a in ran.document["artifacts"]}
    assert kinds["tool-amd64"] == ("elf", ["linux/amd64"])
    assert kinds["tool-arm64"] == ("elf", ["linux/amd64"])
    assert [d["code"] for a in ran.document["artifacts"] for d in a["diagnostics"]] == ["SB111"]


def test_inspect_moves_no_cursor(files: Path) -> None:
    ran = run(files.parent, "inspect", "f")
    assert ran.code == 0
    assert "\x1b" not in ran.out + ran.err
    assert r"a [red]\x1b[2J" in ran.out


def test_inspect_does_not_wait_for_a_fifo(files: Path) -> None:
    ran = run(files.parent, "inspect", "f/pipe", "--format", "json")
    assert [a["kind"] for a in ran.document["artifacts"]] == ["special"]


def test_inspect_a_missing_file(tmp_path: Path) -> None:
    ran = run(tmp_path, "inspect", "none", "--format", "json")
    assert ran.code == 1
    assert [d["code"] for a in ran.document["artifacts"] for d in a["diagnostics"]] == ["SB408"]


def test_inspect_prints_one_document(files: Path) -> None:
    (files / "empty").mkdir()
    ran = run(files.parent, "inspect", "f/tool-amd64", "f/empty", "none*", "--format", "json")
    json.loads(ran.out)


def test_inventory_schema_is_the_file_in_the_repository(tmp_path: Path) -> None:
    written = Path(__file__).parents[3] / "schemas" / "inventory.schema.json"
    assert json.loads(run(tmp_path, "inventory", "schema").out) == json.loads(written.read_text())


def test_inventory_show_says_where_values_come_from(tmp_path: Path) -> None:
    run(tmp_path, "init", "--driver", "phases", "a", "b")
    rows = run(tmp_path, "inventory", "show", "--format", "json", "--limit", "b").document["rows"]
    assert {r["host"] for r in rows} == {"b"}
    (address,) = [r for r in rows if r["setting"] == "address"]
    file, line, _ = address["from"].split(":")
    assert file == "inventory.yaml"
    assert "b" in (tmp_path / "inventory.yaml").read_text().splitlines()[int(line) - 1]


def test_inventory_from_stdin(tmp_path: Path) -> None:
    text = "version: 1\ncluster: {name: lab, driver: phases}\nhosts: {a: {address: 127.0.0.1, role: x}}\n"
    text += "phases: [{name: one, steps: [{run: 'true', creates: /x}]}]\n"
    ran = run(tmp_path, "inventory", "show", "-i", "-", "--format", "json", stdin=text)
    assert ran.code == 0, ran.out
    assert {r["host"] for r in ran.document["rows"]} == {"a"}


def test_limit_that_names_nobody(tmp_path: Path) -> None:
    run(tmp_path, "init", "--driver", "phases", "a", "b")
    ran = run(tmp_path, "inventory", "show", "-l", "nobody", "--format", "json")
    assert ran.code == 2
    assert ran.document["diagnostics"]


def test_doctor_tells_everything_and_writes_nothing(tmp_path: Path) -> None:
    ran = run(tmp_path, "doctor", "--format", "json")
    assert ran.code == 0
    results = {r["check"]: r["result"] for r in ran.document["rows"]}
    assert results["python"] == results["asyncssh"] == results["driver sealos"] == "ok"
    assert results["inventory"] == "note"
    assert list(tmp_path.iterdir()) == []


def test_doctor_finds_a_bad_inventory(tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").write_text("version: 1\nnonsense: {}\n")
    ran = run(tmp_path, "doctor", "--format", "json")
    assert ran.code == 1
    assert [r["result"] for r in ran.document["rows"] if r["check"] == "inventory"] == ["wrong"]


@pytest.mark.parametrize(
    ("env", "coloured"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"SEALBOOT_COLOR": "always"}, True),
        ({"FORCE_COLOR": "1", "SEALBOOT_COLOR": "never"}, False),
    ],
)
def test_colour(tmp_path: Path, env: dict[str, str], coloured: bool) -> None:
    ran = run(tmp_path, "explain", "SB101", "--format", "rich", env=env)
    assert ("\x1b[" in ran.out) == coloured


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_findings_fit_the_columns(tmp_path: Path, columns: int) -> None:
    (tmp_path / "inventory.yaml").write_text(
        "version: 1\ncluster: {name: lab, driver: sealo}\nhosts: {a: {}}\n"
    )
    ran = run(tmp_path, "check", env={"COLUMNS": str(columns)})
    assert ran.code == 2
    assert max(map(len, ran.err.splitlines())) <= columns


def test_a_saved_plan_is_private(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    run(tmp_path, "init", "--driver", "phases", "a")
    ran = run(tmp_path, "apply", "plan.json", "--format", "json")
    assert (ran.code, ran.codes) == (2, {"SB610"})
    assert stat.S_ISREG((tmp_path / "plan.json").stat().st_mode)
