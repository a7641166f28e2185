"""ssh_config: what is followed, what is not, and the same answers as `ssh -G`."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Host, SshSettings
from sealboot.model.secret import SecretRef
from sealboot.transport.endpoint import Endpoint, Routes
from sealboot.transport.sshconfig import _WEAKENING, SshConfig, parse_time


def config(tmp_path: Path, text: str) -> SshConfig:
    path = tmp_path / "config"
    path.write_text(text)
    return SshConfig(path, home=tmp_path, local_user="me")


def route(hosts: list[Host], name: str, ssh_config: SshConfig | None = None) -> tuple[Endpoint, ...]:
    found = Routes({h.name: h for h in hosts}, ssh_config, "me").route(name)
    assert isinstance(found, tuple), found
    return found


SAMPLE = """\
# first value counts
Port 2200
Host web* !web9
    HostName %h.example.com
    User deploy
    IdentityFile ~/.ssh/web_%r
    ConnectTimeout 1m
Host db "quoted name"
  Hostname=db.example.com
  User = "data base"
  Port\t2201
  ProxyJump ops@gate:2022,inner
Match originalhost alias user deploy
  HostKeyAlias matched
Match host *.example.com
  IdentitiesOnly yes
Host *
  User fallback
  Port 22
"""


def test_the_first_value_counts(tmp_path: Path) -> None:
    c = config(tmp_path, SAMPLE)
    web = c.lookup("web1")
    assert (web.hostname, web.user, web.port, web.timeout) == ("web1.example.com", "deploy", 2200, 60.0)
    assert web.identities == (f"{tmp_path}/.ssh/web_deploy",)
    assert web.identities_only
    assert c.lookup("web9").user == "fallback"
    assert not c.lookup("web9").identities_only
    db = c.lookup("db")
    assert (db.hostname, db.user, db.jump) == ("db.example.com", "data base", ("ops@gate:2022", "inner"))
    assert c.lookup("quoted name").hostname == "db.example.com"
    assert c.lookup("alias", user="deploy").alias == "matched"
    assert c.lookup("alias", user="other").alias is None
    assert c.findings == []


@pytest.mark.requires("ssh")
@pytest.mark.parametrize("alias", ["web1", "web9", "db", "other"])
def test_the_same_answers_as_ssh(tmp_path: Path, alias: str) -> None:
    c = config(tmp_path, SAMPLE.replace('"data base"', "database"))
    ours = c.lookup(alias)
    shown = subprocess.run(
        ["ssh", "-G", "-F", str(tmp_path / "config"), alias], check=True, capture_output=True, text=True
    ).stdout
    theirs = dict(line.split(" ", 1) for line in shown.splitlines() if " " in line)
    assert (ours.hostname, ours.user, str(ours.port)) == (theirs["hostname"], theirs["user"], theirs["port"])
    assert ",".join(ours.jump) == theirs.get("proxyjump", "")
    assert ours.identities_only == (theirs["identitiesonly"] == "yes")


def test_match_exec_is_never_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    c = config(tmp_path, f'Match exec "touch {mark}"\n  User evil\nHost *\n  User good\n')
    assert c.lookup("h").user == "good"
    assert not mark.exists()
    assert [(f.code, f.at.line) for f in c.findings if f.at] == [("SB209", 1)]


@pytest.mark.parametrize("option", sorted(_WEAKENING))
def test_no_weakening_option_is_followed(tmp_path: Path, option: str) -> None:
    found = config(tmp_path, f"Host *\n  {option} whatever\n").lookup("h")
    assert [f.at.line for f in found.findings if f.at] == [2]


def test_options_that_only_repeat_our_own_rules_are_silent(tmp_path: Path) -> None:
    found = config(tmp_path, "StrictHostKeyChecking yes\nForwardAgent no\n").lookup("h")
    assert found.findings == ()


def test_include_stands_under_its_condition(tmp_path: Path) -> None:
    (tmp_path / ".ssh/d").mkdir(parents=True)
    (tmp_path / ".ssh/d/1").write_text("User included\nHost other\n  Port 99\n")
    (tmp_path / ".ssh/d/2").write_text("HostName two\n")
    c = config(tmp_path, "Host h\n  Include d/*\n  Port 77\nHost other\n  Port 88\n")
    h = c.lookup("h")
    assert (h.user, h.hostname, h.port) == ("included", "two", 77)
    other = c.lookup("other")
    assert (other.user, other.port) == (None, 88)


def test_an_include_of_itself_ends(tmp_path: Path) -> None:
    path = tmp_path / "config"
    c = config(tmp_path, f"Include {path}\nUser x\n")
    assert c.lookup("h").user == "x"
    assert any("nested" in f.summary for f in c.findings)


@pytest.mark.parametrize(
    "text",
    [
        "Port no",
        "Port 70000",
        "Port 0",
        "Port 99999999999999999999",
        "Port 000001999999",
        "Port 000001" + "9" * 5000,
        "ConnectTimeout soon",
        "ConnectTimeout " + "1" * 5000 + "x",  # a pattern that tries every way to cut the row never ends
    ],
    ids=lambda text: text[:24],
)
def test_a_bad_value_is_told(tmp_path: Path, text: str) -> None:
    found = config(tmp_path, text + "\n").lookup("h")
    assert (found.port, found.timeout) == (None, None)
    assert len(found.findings) == 1


def test_bad_lines_and_bytes_are_survived(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(b'User "open\nPort\n\xff\xfe garbage\nHostName fine\n')
    c = SshConfig(path, home=tmp_path, local_user="me")
    assert c.lookup("h").hostname == "fine"
    assert [f.at.line for f in c.findings if f.at] == [1, 2]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 5), ("5s", 5), ("1m", 60), ("1h30m", 5400), ("1D", 86400), ("x", None), ("", None)],
)
def test_times(text: str, seconds: int | None) -> None:
    assert parse_time(text) == seconds


def test_a_missing_file_is_empty(tmp_path: Path) -> None:
    assert SshConfig(tmp_path / "none", home=tmp_path, local_user="me").lookup("h").hostname == "h"


def test_proxy_command_is_a_clear_refusal(tmp_path: Path) -> None:
    c = config(tmp_path, "Host h\n  ProxyCommand nc %h %p\n")
    host = Host("n1", "h", "node", ssh=SshSettings(config=True))
    found = Routes({"n1": host}, c, "me").route("n1")
    assert not isinstance(found, tuple)
    assert found.code == "SB201"
    assert "ProxyCommand" in found.summary
    assert "config:2" in found.summary


def test_the_inventory_wins(tmp_path: Path) -> None:
    c = config(
        tmp_path, "Host *\n  User theirs\n  Port 9\n  HostKeyAlias a\n  ConnectTimeout 9\n  HostName far\n"
    )
    ssh = SshSettings(user="mine", port=8, host_key_alias="b", connect_timeout=3.0, config=True)
    (end,) = route([Host("n1", "h", "node", ssh=ssh)], "n1", c)
    assert (end.user, end.port, end.trust_name, end.timeout, end.address) == ("mine", 8, "b", 3.0, "far")
    (end,) = route([Host("n1", "h", "node", ssh=SshSettings(config=True))], "n1", c)
    assert (end.user, end.port, end.trust_name, end.trust_port, end.timeout) == ("theirs", 9, "a", 22, 9.0)


def test_without_the_switch_ssh_config_is_not_asked(tmp_path: Path) -> None:
    c = config(tmp_path, "Host *\n  User theirs\n")
    (end,) = route([Host("n1", "h", "node")], "n1", c)
    assert end.user == "me"


@pytest.mark.parametrize(
    ("hop", "expected"),
    [
        ("gate", "me@gate:22"),
        ("ops@gate", "ops@gate:22"),
        ("ops@gate:2022", "ops@gate:2022"),
        ("ssh://ops@gate:2022/", "ops@gate:2022"),
        ("[fe80::1]:2022", "me@[fe80::1]:2022"),
        ("ops@fe80::1", "ops@fe80::1:22"),
        ("a@b@gate", "a@b@gate:22"),
        ("gate:x", None),
        ("gate:99999", None),
        ("", None),
    ],
)
def test_spellings_of_a_hop(hop: str, expected: str | None) -> None:
    host = Host("n1", "h", "node", ssh=SshSettings(jump=(hop,), user="u", password_from=SecretRef("prompt")))
    found = Routes({"n1": host}, None, "me").route("n1")
    if expected is None:
        assert not isinstance(found, tuple)
        assert found.code == "SB201"
        return
    assert isinstance(found, tuple)
    assert str(found[0]) == expected
    assert found[0].settings.password_from is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("none", "none"),
        ("/run/agent", "/run/agent"),
        ("~/agent", "HOME/agent"),
        ("$MY_AGENT", "/run/mine"),
        ("${MY_AGENT}", "/run/mine"),
        ("SSH_AUTH_SOCK", "/run/own"),
        ("$NOT_SET", None),
    ],
)
def test_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, expected: str | None) -> None:
    monkeypatch.setenv("MY_AGENT", "/run/mine")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/own")
    monkeypatch.delenv("NOT_SET", raising=False)
    found = config(tmp_path, f"IdentityAgent {value}\n").lookup("h").agent
    assert found == (expected.replace("HOME", str(tmp_path)) if expected else None)


def test_includes_that_double_at_each_depth_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "config"
    c = config(tmp_path, f"Include {path}\n" * 3 + "User x\n")
    assert c.lookup("h").user == "x"
    assert any("more than 256 files" in f.summary for f in c.findings)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    c = config(tmp_path, f"Include {tmp_path}/fifo /dev/zero /dev/null a\0b {tmp_path}\nUser x\n")
    assert c.lookup("h").user == "x"
    assert [f.summary.rpartition(": ")[2] for f in c.findings] == [
        "it is no regular file",
        "it is no regular file",
        "no file can have that name",
        "it is a directory",
    ]
    assert SshConfig(tmp_path / "fifo", home=tmp_path, local_user="me").findings


@pytest.mark.parametrize("hop", ["a:" * 2000 + "@", "gate:" + "9" * 5000, "gate:\u0662\u0662"])
def test_a_hop_of_any_length_is_refused_at_once(tmp_path: Path, hop: str) -> None:
    began = time.process_time()
    host = Host("h", "nas1", "node", ssh=SshSettings(config=True))
    found = Routes({"h": host}, config(tmp_path, f"ProxyJump {hop}\n"), "me").route("h")
    assert isinstance(found, Diagnostic)
    assert "is not user@host:port" in found.summary
    assert len(found.summary) < 600
    assert time.process_time() - began < 2
