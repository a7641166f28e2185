"""`sealboot init` at the command line, and on a terminal where it asks."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from cli_kit import quick as run
from cli_kit import terminal

from sealboot.inventory.schema import TITLE


def hosts(folder: Path) -> dict[str, dict[str, str]]:
    """What the reader makes of the file: settings by host."""
    shown = run(folder, "inventory", "show", "--format", "json")
    assert shown.code == 0, shown.err
    made: dict[str, dict[str, str]] = {}
    for row in shown.document["rows"]:
        made.setdefault(row["host"], {})[row["setting"]] = row["value"]
    return made


def test_all_that_can_be_said(tmp_path: Path) -> None:
    line = "--driver k3s --servers 3 --user ops --port 2222 --key keys/lab --cluster-name attic --release v1.36.3+k3s1"
    ran = run(tmp_path, "init", *line.split(), "ctl[1-3]", "admin@10.0.0.9:22")
    assert ran.code == 0, ran.err
    assert "driver k3s, 4 hosts" in ran.err
    made = hosts(tmp_path)
    assert {name: one["role"] for name, one in made.items()} == {
        "ctl1": "server",
        "ctl2": "server",
        "ctl3": "server",
        "node4": "agent",
    }
    assert (made["ctl1"]["ssh.user"], made["ctl1"]["ssh.port"]) == ("ops", "2222")
    assert (made["node4"]["ssh.user"], made["node4"]["ssh.port"]) == ("admin", "22")
    assert made["ctl1"]["ssh.identity_file"] == "keys/lab"
    text = (tmp_path / "inventory.yaml").read_text()
    assert "\n  name: attic\n" in text
    assert "\n  ctl[1-3]: {role: server}\n" in text
    assert "releases/download/v1.36.3%2Bk3s1/k3s-arm64" in text


def test_what_k0sctl_calls_it(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        "init",
        "--driver",
        "k0s",
        "--controller-count",
        "2",
        "--key-path",
        "k",
        "-n",
        "x",
        "a",
        "b",
        "c",
    )
    assert ran.code == 0
    assert [one["role"] for one in hosts(tmp_path).values()] == ["controller", "controller", "worker"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--servers 3 a b", "there are 2 hosts"),
        ("--servers 0 a", "--servers"),
        ("--driver phases --servers 1 a", "no roles of its own"),
        ("--port 0 a", "--port"),
        ("a a", "is the machine that"),
        ("pi[3-1]", "backwards"),
        ("-- -oProxyCommand=x", "begins with `-`"),
        ("--user a;b x", "--user"),
        ("--release -x a", "--release"),
        ("--cluster-name a/b x", "--cluster-name"),
    ],
)
def test_what_would_not_be_read_is_not_written(tmp_path: Path, line: str, words: str) -> None:
    ran = run(tmp_path, "init", *line.split())
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err
    assert list(tmp_path.iterdir()) == []


def test_the_schema_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "sites").mkdir()
    run(tmp_path, "init", "-o", "sites/a.yaml")
    schema = tmp_path / "sites" / "inventory.schema.json"
    assert json.loads(schema.read_text())["title"] == TITLE
    assert (
        (tmp_path / "sites" / "a.yaml")
        .read_text()
        .startswith("# yaml-language-server: $schema=./inventory.schema.json\n")
    )
    schema.write_text(json.dumps({"title": TITLE, "old": True}))
    run(tmp_path, "init", "-o", "sites/b.yaml")
    assert "old" not in json.loads(schema.read_text())


@pytest.mark.parametrize("theirs", ["{}", "no json", "[1]", ""])
def test_a_file_of_another_kind_is_left_alone(tmp_path: Path, theirs: str) -> None:
    schema = tmp_path / "inventory.schema.json"
    schema.write_text(theirs)
    ran = run(tmp_path, "init")
    assert ran.code == 0
    assert "it was left alone" in ran.err
    assert schema.read_text() == theirs
    assert "yaml-language-server" not in (tmp_path / "inventory.yaml").read_text()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "inventory.schema.json").symlink_to(tmp_path / "elsewhere")
    assert run(tmp_path, "init").code == 0
    assert not (tmp_path / "elsewhere").exists()


def test_without_a_schema_no_file_is_named(tmp_path: Path) -> None:
    run(tmp_path, "init", "--no-schema")
    assert [path.name for path in tmp_path.iterdir()] == ["inventory.yaml"]
    assert "$schema" not in (tmp_path / "inventory.yaml").read_text()


def test_on_standard_output_it_is_the_file_and_nothing_else(tmp_path: Path) -> None:
    ran = run(tmp_path, "init", "-o", "-", "--driver", "k3s", "a")
    assert list(tmp_path.iterdir()) == []
    shown = run(tmp_path, "inventory", "show", "-i", "-", stdin=ran.out)
    assert shown.code == 0


def test_nothing_is_left_where_the_inventory_is_there_already(tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").write_text("mine")
    assert run(tmp_path, "init").code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["inventory.yaml"]


def test_without_a_terminal_nothing_is_asked(tmp_path: Path) -> None:
    ran = run(tmp_path, "init", stdin="k3s\n")
    assert ran.code == 0
    assert "Driver (" not in ran.err
    assert "driver sealos" in ran.err


def test_on_a_terminal_it_asks_and_asks_again(tmp_path: Path) -> None:
    with terminal(tmp_path, "init") as screen:
        screen.until(b"Driver (")
        screen.type("k3z\n")
        screen.until(b"did you mean k3s?")
        screen.until(b"[sealos]: ", anew=True)
        screen.type("k3s\n")
        screen.until(b"Hosts, ")
        screen.type("pi[3-1]\n")
        screen.until(b"backwards")
        screen.until(b"Hosts, ", anew=True)
        screen.type("ctl[1-3] ops@10.0.0.9\n")
        screen.until(b"servers [1]:")
        screen.type("9\n")
        screen.until(b"there are 4 hosts")
        screen.until(b"servers [1]:", anew=True)
        screen.type("3\n")
        screen.until(b"Login user [root]:")
        screen.type("\n")
        screen.until(b"Release, ")
        screen.type("v1.36.3+k3s1\n")
        assert screen.end() == 0
    assert [one["role"] for one in hosts(tmp_path).values()] == ["server"] * 3 + ["agent"]
    assert "v1.36.3%2Bk3s1" in (tmp_path / "inventory.yaml").read_text()


def test_what_the_line_says_is_not_asked(tmp_path: Path) -> None:
    with terminal(tmp_path, "init", "--driver", "k0s", "a", "b") as screen:
        assert screen.end() == 0
        assert b"[1]:" not in screen.shown
    with terminal(tmp_path, "init", "--no-input", "-o", "other.yaml") as screen:
        assert screen.end() == 0
        assert b"Driver (" not in screen.shown


def test_ctrl_c_at_a_question_writes_nothing(tmp_path: Path) -> None:
    with terminal(tmp_path, "init") as screen:
        screen.until(b"Driver (")
        screen.process.send_signal(signal.SIGINT)
        assert screen.end() == 130
    assert list(tmp_path.iterdir()) == []
