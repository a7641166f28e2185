"""The same answers as OpenSSH itself: `ssh -G` is asked about the same files."""

from __future__ import annotations

import getpass
import os
import pwd
import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from sealboot.transport.sshconfig import Refusal, Resolved, SshConfig

CASES = Path(__file__).parent / "sshconfig_cases"
HOME = Path(pwd.getpwuid(os.getuid()).pw_dir)
USER = pwd.getpwuid(os.getuid()).pw_name

pytestmark = pytest.mark.requires("ssh")

#: What ssh -G prints of each option that is followed.
COMPARED = (
    "hostname",
    "user",
    "port",
    "proxyjump",
    "proxycommand",
    "hostkeyalias",
    "identityfile",
    "certificatefile",
    "identitiesonly",
    "identityagent",
    "connecttimeout",
)


@dataclass(frozen=True)
class Theirs:
    values: dict[str, list[str]]

    def first(self, name: str) -> str | None:
        return self.values[name][0] if name in self.values else None


def ask_ssh(path: Path, alias: str, user: str | None = None) -> Theirs | None:
    """What OpenSSH makes of the file; `None` where it refuses."""
    words = ["ssh", "-G", "-F", str(path), *(["-l", user] if user else []), "--", alias]
    done = subprocess.run(words, capture_output=True, text=True, check=False, errors="surrogateescape")
    if done.returncode:
        return None
    values: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition(" ")
        values.setdefault(name.lower(), []).append(value)
    return Theirs(values)


def expanded(text: str, theirs: Theirs, alias: str) -> str:
    """ssh -G prints paths as they were written: tokens and `~` by the values that it prints."""
    for token, value in (
        ("%d", str(HOME)),
        ("%h", theirs.first("hostname")),
        ("%n", alias),
        ("%r", theirs.first("user")),
        ("%u", USER),
        ("%p", theirs.first("port")),
        ("${HOME}", os.environ.get("HOME")),
        ("%%", "%"),
    ):
        text = text.replace(token, value or "")
    return str(Path.cwd() / Path(text).expanduser()) if text != "none" else text


def differences(ours: Resolved, theirs: Theirs, alias: str) -> dict[str, tuple[object, object]]:
    default_keys = {f"~/.ssh/{n}" for n in ("id_rsa", "id_dsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519")}
    named = theirs.values.get("identityfile", [])
    keys: tuple[str, ...] | None = tuple(expanded(k, theirs, alias) for k in named if k != "none")
    if set(named) >= default_keys:
        keys = None
    agent = theirs.first("identityagent")
    if agent == "SSH_AUTH_SOCK":
        agent = os.environ.get("SSH_AUTH_SOCK")
    elif agent and agent.startswith("$") and not agent.startswith("${"):
        agent = os.environ.get(agent[1:], "none")
    elif agent:
        agent = expanded(agent, theirs, alias)
    jump = theirs.first("proxyjump") or ""
    for token, value in (("%r", theirs.first("user")), ("%h", theirs.first("hostname")), ("%n", alias)):
        jump = jump.replace(token, value or "")
    timeout = theirs.first("connecttimeout")
    key_alias = theirs.first("hostkeyalias")
    command = theirs.first("proxycommand")
    pairs: dict[str, tuple[object, object]] = {
        "hostname": (ours.hostname, theirs.first("hostname")),
        "user": (ours.user or USER, theirs.first("user")),
        "port": (str(ours.port or 22), theirs.first("port")),
        "proxyjump": (",".join(ours.jump), jump),
        "proxycommand": (ours.proxy_command is not None, command not in (None, "none")),
        "hostkeyalias": (ours.alias, key_alias.lower() if key_alias else None),
        "identityfile": (ours.identities, keys),
        "certificatefile": (
            ours.certificates,
            tuple(expanded(c, theirs, alias) for c in theirs.values.get("certificatefile", [])),
        ),
        "identitiesonly": (ours.identities_only, theirs.first("identitiesonly") == "yes"),
        "identityagent": (ours.agent, agent),
        "connecttimeout": (
            ours.timeout or None,
            float(timeout) or None if timeout and timeout != "none" else None,
        ),
    }
    assert tuple(pairs) == COMPARED
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def read(path: Path) -> SshConfig:
    return SshConfig(path, home=HOME, local_user=getpass.getuser())


ALIASES = ("a", "b", "inner", "node1", "PI01", "pi01", "web-1", "x.k8s", "n.lab", "bastion.lab")


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda p: p.name)
def test_small_files_that_were_misread(case: Path) -> None:
    config = read(case)
    compared = 0
    for alias in (*ALIASES, "near", "direct", "gh", "short", "c", "d", "10.0.0.9"):
        theirs, ours = ask_ssh(case, alias), config.lookup(alias)
        if isinstance(ours, Refusal):
            # Refused: by ssh as well, or because the resolver or this release of OpenSSH would decide.
            assert theirs is None or any(w in ours.why for w in ("Canonicalize", "token")), (alias, ours)
            continue
        assert theirs is not None, (alias, ours)
        assert differences(ours, theirs, alias) == {}, alias
        compared += 1
    assert compared or case.name in {"18-dup-port", "13-single-quote"}


PATTERNS = "* web* web? !web2 a b *.lab A web1,web2 pi01 10.0.0.* !b gate".split()  # noqa: SIM905
#: Values for each option; a word with a blank is quoted, in one of two ways.
VALUES = {
    "HostName": ("%h.lab", "Far.example", "10.0.0.7", "%h-%h.lan", '"two.lab"'),
    "User": ("ops", "Root", '"jane doe"', "'jane doe'", "dev#1", "k=v", r"D\al", r"two\ words"),
    "Port": ("22", "2222", "022", "ssh", "65535", '"2200"', "2201 # a comment"),
    "ProxyJump": ("gate", "none", "NONE", "ops@gate:2022", "j1,j2:23", "%r@gate", "gate # way in", "%h.gate"),
    "proxyjump": ("ssh://ops@gate:2222", "none", "gate"),
    "ProxyCommand": ("none", "nc %h %p", "None", "none # x", "ssh -W %h:%p gate"),
    "HostKeyAlias": ("Alias1", "node#7", "'x'"),
    "IdentityFile": ("~/.ssh/k", "%d/k_%r", "/k/%h_%n", "rel/k", "none", "~/k%%", "${HOME}/e", '"~/my key"'),
    "CertificateFile": ("~/.ssh/c", "/c/%u-%p", '"~/my c"'),
    "IdentitiesOnly": ("yes", "no", "True", "false"),
    "IdentityAgent": ("none", "SSH_AUTH_SOCK", "~/a.sock", "$NO_SUCH", "/run/%r.sock"),
    "ConnectTimeout": ("5", "1m", "1m30", "none", "2h"),
    "ServerAliveInterval": ("5",),
    "ForwardAgent": ("yes",),
    "Ciphers": ("aes128-ctr",),
}
CONDITIONS = {
    "host": ("*.lab", "a", "Far.example,b", "10.0.0.7", "WEB1"),
    "originalhost": ("web*", "a,b", "!a,*", "PI01"),
    "user": ("ops", "root", "Root", "*"),
    "localuser": (USER, "nobody"),
    "final": ("",),
    "canonical": ("",),
}


def generated(rng: random.Random) -> str:
    """A file of the grammar of ssh_config(5): blocks, conditions, quotes, comments, tokens, first values."""

    def option() -> str:
        name = rng.choice(list(VALUES))
        keyword = rng.choice([name, name, name.lower(), name.upper()])
        space = rng.choice([" ", " ", "=", " = ", "\t"])
        return (
            rng.choice(["  ", "\t", ""])
            + keyword
            + space
            + rng.choice(VALUES[name])
            + rng.choice(["", " ", "\r"])
        )

    def condition() -> str:
        if rng.random() < 0.6:
            return "Host " + " ".join(rng.sample(PATTERNS, rng.randint(1, 3)))
        if rng.random() < 0.3:
            return "Match all"
        words = []
        for _ in range(rng.randint(1, 2)):
            name = rng.choice(list(CONDITIONS))
            # `!final` asks for a second pass in OpenSSH 9.2 and not in 10.5.
            negation = "" if name == "final" else rng.choice(["", "!"])
            words += [negation + name, rng.choice(CONDITIONS[name])]
        return "Match " + " ".join(word for word in words if word)

    lines = [option() for _ in range(rng.randint(0, 2))]
    for _ in range(rng.randint(2, 6)):
        lines += ["", "# a block", condition(), *(option() for _ in range(rng.randint(1, 5)))]
    return "\n".join([*lines, ""])


@pytest.mark.parametrize("part", range(8))
def test_generated_files(tmp_path: Path, part: int) -> None:
    compared, refused = 0, 0
    wrong: list[object] = []
    for number in range(30):
        seed = part * 1000 + number
        rng = random.Random(seed)  # noqa: S311 (files to try, no secrets)
        path = tmp_path / f"config-{number}"
        path.write_text(generated(rng))
        config = read(path)
        for alias in ("a", "b", "web1", "db.lab", "10.0.0.5", "PI01"):
            user = rng.choice([None, None, "ops"])
            theirs, ours = ask_ssh(path, alias, user), config.lookup(alias, user=user)
            if isinstance(ours, Refusal) or theirs is None:
                refused += 1
                if isinstance(ours, Refusal) is not (theirs is None):
                    wrong.append((seed, alias, user, ours, theirs))
                continue
            compared += len(COMPARED)
            found = differences(ours, theirs, alias)
            if found:
                wrong.append((seed, alias, user, found, path.read_text()))
    assert wrong == []
    assert (compared, refused) == (30 * 6 * len(COMPARED), 0)


@pytest.mark.parametrize(
    "line",
    [
        "Port no",
        "Port 0x16",
        "Port 70000",
        "Port",
        'User "open',
        'User ""',
        "User one two",
        "ConnectTimeout soon",
        "IdentitiesOnly perhaps",
        "Match nonsense x",
        "Match",
        "Match user",
        "Match host a user b all",
        "HostName %q",
        "CanonicalizeMaxDots many",
        "CanonicalizeHostname perhaps",
    ],
)
@pytest.mark.parametrize("before", ["", "Host elsewhere\n"])
def test_what_stops_ssh_stops_here(tmp_path: Path, line: str, before: str) -> None:
    path = tmp_path / "config"
    path.write_text(f"{before}{line}\n")
    # A token is looked at only where the line is for this host.
    refused = not (before and line.startswith("HostName"))
    assert (ask_ssh(path, "h") is None) is refused
    assert isinstance(read(path).lookup("h"), Refusal) is refused
