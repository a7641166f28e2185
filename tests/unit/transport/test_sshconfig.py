"""ssh_config: what is followed, what is refused, and what is told (the answers of `ssh -G`: the agreement test)."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Host, SshSettings
from sealboot.model.secret import SecretRef
from sealboot.transport.endpoint import Endpoint, Routes
from sealboot.transport.sshconfig import Refusal, Resolved, SshConfig, parse_time
from sealboot.transport.sshconfig.options import TOLD


def config(tmp_path: Path, text: str) -> SshConfig:
    path = tmp_path / "config"
    path.write_text(text)
    return SshConfig(path, home=tmp_path, local_user="me")


def found_in(tmp_path: Path, text: str, alias: str = "h", *, user: str | None = None) -> Resolved:
    found = config(tmp_path, text).lookup(alias, user=user)
    assert isinstance(found, Resolved), found
    return found


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
    web = found_in(tmp_path, SAMPLE, "web1")
    assert (web.hostname, web.user, web.port, web.timeout) == ("web1.example.com", "deploy", 2200, 60.0)
    assert web.identities == (f"{tmp_path}/.ssh/web_deploy",)
    assert web.identities_only
    assert found_in(tmp_path, SAMPLE, "web9").user == "fallback"
    assert not found_in(tmp_path, SAMPLE, "web9").identities_only
    db = found_in(tmp_path, SAMPLE, "db")
    assert (db.hostname, db.user, db.jump) == ("db.example.com", "data base", ("ops@gate:2022", "inner"))
    assert found_in(tmp_path, SAMPLE, "quoted name").hostname == "db.example.com"
    assert found_in(tmp_path, SAMPLE, "alias", user="deploy").alias == "matched"
    assert found_in(tmp_path, SAMPLE, "alias", user="other").alias is None
    assert config(tmp_path, SAMPLE).findings == []


def test_match_exec_is_never_run_and_told_where_it_matters(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    text = f'Match host h exec "touch {mark}"\n  User evil\nMatch exec true\n  SendEnv LANG\nHost *\n  User good\n'
    h = found_in(tmp_path, text)
    assert h.user == "good"
    assert not mark.exists()
    # The second block holds nothing that is followed; the first one cannot be for another host.
    assert [(i.what, i.at.line) for i in h.ignored] == [("Match exec", 1)]
    assert found_in(tmp_path, text, "other").ignored == ()


@pytest.mark.parametrize("option", sorted(TOLD))
def test_what_is_not_obeyed_is_told(tmp_path: Path, option: str) -> None:
    found = found_in(tmp_path, f"Host h\n  {option} whatever\nHost *\n  {option} other\n")
    assert [i.at.line for i in found.ignored] == [2]  # the second line would not count for ssh either
    assert found_in(tmp_path, f"Host h\n  {option} whatever\n", "elsewhere").ignored == ()


def test_options_that_only_repeat_our_own_rules_are_silent(tmp_path: Path) -> None:
    found = found_in(tmp_path, "StrictHostKeyChecking yes\nForwardAgent no\nPubkeyAuthentication yes\n")
    assert found.ignored == ()


def test_all_that_is_not_obeyed_in_a_file_is_one_finding(tmp_path: Path) -> None:
    text = "ForwardAgent yes\nHost a\n  Ciphers none\nHost b\n  Macs none\nHost c\n  AddressFamily inet6\n"
    hosts = {n: Host(n, n, "node", ssh=SshSettings(config=True)) for n in ("a", "b")}
    routes = Routes(hosts, config(tmp_path, text), "me")
    for name in hosts:
        routes.route(name)
    (told,) = routes.told()
    assert (told.code, told.at.line if told.at else 0) == ("SB209", 1)
    assert told.evidence == (
        ("line 1", "forwardagent yes"),
        ("line 3", "ciphers none"),
        ("line 5", "macs none"),
    )
    routes.route("a")
    assert routes.told() == []


def test_include_stands_under_its_condition(tmp_path: Path) -> None:
    (tmp_path / ".ssh/d").mkdir(parents=True)
    (tmp_path / ".ssh/d/1").write_text("User included\nHost other\n  Port 99\n")
    (tmp_path / ".ssh/d/2").write_text("HostName two\n")
    text = "Host h\n  Include d/*\n  Port 77\nHost other\n  Port 88\n"
    h = found_in(tmp_path, text)
    assert (h.user, h.hostname, h.port) == ("included", "two", 77)
    other = found_in(tmp_path, text, "other")
    assert (other.user, other.port) == (None, 88)


@pytest.mark.parametrize(
    "text",
    [
        "Port no",
        "Port 70000",
        "Port 0",
        "Port 0x16",
        "Port 99999999999999999999",
        "Port 000001999999",
        "Port 000001" + "9" * 5000,
        "Port",
        'User "open',
        'User ""',
        "User one two",
        "ConnectTimeout soon",
        "ConnectTimeout " + "1" * 5000 + "x",  # a pattern that tries every way to cut the row never ends
        "IdentitiesOnly perhaps",
        "Host elsewhere\n  Port no",  # ssh refuses the whole file, whomever the line is for
        "Match nonsense x",
        "Match",
        "Match user",
        "Match host a user b all",
        "HostName %q",
        "IdentityFile ${NOT_SET_HERE}/k",
        "IdentityFile ~nosuchuser/k",
        "IdentityFile %q",
        "Include %d/more",
        "User %r",
        "RefuseConnection no more",
        "CanonicalizeHostname yes\nCanonicalDomains lab.test",
    ],
    ids=lambda text: text[:24],
)
def test_what_cannot_be_understood_stops_with_its_line(tmp_path: Path, text: str) -> None:
    found = config(tmp_path, "# a comment\n" + text + "\n").lookup("h")
    assert isinstance(found, Refusal)
    assert found.at.line in (2, 3)
    host = Host("n1", "h", "node", ssh=SshSettings(config=True))
    told = Routes({"n1": host}, config(tmp_path, text + "\n"), "me").route("n1")
    assert isinstance(told, Diagnostic)
    assert (told.code, told.at and told.at.file) == ("SB201", str(tmp_path / "config"))
    assert len(told.summary) < 300


def test_a_name_that_ssh_would_not_complete_is_not_refused(tmp_path: Path) -> None:
    text = "CanonicalizeHostname yes\nCanonicalDomains lab.test\nHost 10.*\n  Port 2222\n"
    assert found_in(tmp_path, text, "10.0.0.1").port == 2222
    assert found_in(tmp_path, text, "web.other.test").hostname == "web.other.test"
    assert found_in(tmp_path, text + "Host far\n  HostName far.lab.test\n", "far").hostname == "far.lab.test"


def test_an_unknown_option_is_told_unless_the_file_says_that_it_may_be(tmp_path: Path) -> None:
    (told,) = config(tmp_path, "Hostnme elsewhere\nUser ops\n").findings
    assert (told.code, told.at.line if told.at else 0) == ("SB209", 1)
    assert config(tmp_path, "IgnoreUnknown UseColours,Host*\nHostnme elsewhere\n").findings == []
    assert config(tmp_path, "Hostnme elsewhere\nIgnoreUnknown Host*\n").findings != []


def test_bytes_of_any_kind_are_survived(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(b"\xff\xfe garbage\nHostName fine\x0c\n")
    c = SshConfig(path, home=tmp_path, local_user="me")
    found = c.lookup("h")
    assert isinstance(found, Resolved)
    assert found.hostname == "fine"
    assert [f.at.line for f in c.findings if f.at] == [1]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 5), ("5s", 5), ("1m", 60), ("1h30m", 5400), ("1D", 86400), ("x", None), ("", None)],
)
def test_times(text: str, seconds: int | None) -> None:
    assert parse_time(text) == seconds


def test_a_missing_file_is_empty(tmp_path: Path) -> None:
    found = SshConfig(tmp_path / "none", home=tmp_path, local_user="me").lookup("h")
    assert isinstance(found, Resolved)
    assert found.hostname == "h"


def test_proxy_command_is_a_clear_refusal(tmp_path: Path) -> None:
    c = config(tmp_path, "Host h\n  ProxyCommand nc %h %p\n")
    host = Host("n1", "h", "node", ssh=SshSettings(config=True))
    found = Routes({"n1": host}, c, "me").route("n1")
    assert not isinstance(found, tuple)
    assert found.code == "SB201"
    assert "ProxyCommand" in found.summary
    assert found.at
    assert found.at.line == 2
    # A jump host of the inventory takes its place, as `ssh -J` does.
    jumping = Host("n1", "h", "node", ssh=SshSettings(config=True, jump=("gate",)))
    assert [e.label for e in route([jumping], "n1", c)] == ["gate", "n1"]


def test_the_hop_logs_in_as_the_file_says(tmp_path: Path) -> None:
    host = Host("n1", "inner", "node", ssh=SshSettings(config=True))
    hop, end = route([host], "n1", config(tmp_path, "Host inner\n  User app\n  ProxyJump %r@gate\n"))
    assert (str(hop), str(end)) == ("app@gate:22", "app@inner:22")


def test_a_file_that_names_no_key_at_all(tmp_path: Path) -> None:
    assert found_in(tmp_path, "User x\n").identities is None
    assert found_in(tmp_path, "IdentityFile none\n").identities == ()


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
        ("$NOT_SET", "none"),
    ],
)
def test_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, expected: str | None) -> None:
    monkeypatch.setenv("MY_AGENT", "/run/mine")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/own")
    monkeypatch.delenv("NOT_SET", raising=False)
    found = found_in(tmp_path, f"IdentityAgent {value}\n").agent
    assert found == (expected.replace("HOME", str(tmp_path)) if expected else None)


def test_includes_without_end_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "config"
    once = config(tmp_path, f"Include {path}\nUser x\n").lookup("h")
    assert isinstance(once, Refusal)
    assert "nested" in once.why
    c = config(tmp_path, f"Include {path}\n" * 3 + "User x\n")
    assert any("more than 256 files" in r.why for r in c._refusals)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("{}/fifo", "it is no regular file"),
        ("/dev/zero", "it is no regular file"),
        ("a\0b", "no file can have that name"),
        ("{}", "it is a directory"),
    ],
)
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, name: str, why: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    found = config(tmp_path, f"Include {name.format(tmp_path)}\nUser x\n").lookup("h")
    assert isinstance(found, Refusal)
    assert why in found.why


@pytest.mark.parametrize("hop", ["a:" * 2000 + "@", "gate:" + "9" * 5000, "gate:\u0662\u0662"])
def test_a_hop_of_any_length_is_refused_at_once(tmp_path: Path, hop: str) -> None:
    began = time.process_time()
    host = Host("h", "nas1", "node", ssh=SshSettings(config=True))
    found = Routes({"h": host}, config(tmp_path, f"ProxyJump {hop}\n"), "me").route("h")
    assert isinstance(found, Diagnostic)
    assert "is not user@host:port" in found.summary
    assert len(found.summary) < 600
    assert time.process_time() - began < 2
