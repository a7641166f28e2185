"""The script itself, in the shells of this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from requires import shells

from sealboot.drivers.base import Wants
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.facts import INTERPRETERS, Facts
from sealboot.probe import BASE_TOOLS, compose, parse
from sealboot.probe.transcript import LIMIT, read

SHELLS = shells()


def ask(shell: tuple[str, ...], wants: Wants, env: Mapping[str, str] | None = None) -> Facts:
    sent = time.time()
    ended = subprocess.run(
        [*shell, "-s", "NONCE"],
        input=compose(wants).encode(),
        capture_output=True,
        check=True,
        timeout=60,
        env={**os.environ, **(env or {})},
    )
    assert ended.stderr == b""
    assert len(ended.stdout) < LIMIT // 4
    facts = parse(ended.stdout, host="here", nonce="NONCE", sent=sent, received=time.time())
    assert isinstance(facts, Facts)
    return facts


def listing(folder: Path) -> list[tuple[str, int, int, int]]:
    return sorted(
        (str(p), s.st_size, s.st_mtime_ns, s.st_ctime_ns)
        for p in [folder, *folder.rglob("*")]
        for s in (p.lstat(),)
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_this_machine_is_recognised(shell: tuple[str, ...]) -> None:
    facts = ask(shell, Wants())
    machine = os.uname()
    assert facts.kernel_machine == machine.machine
    assert facts.kernel_release == machine.release
    assert facts.hostname == machine.nodename
    assert facts.kernel_arch in facts.native
    assert facts.page_size == os.sysconf("SC_PAGE_SIZE")
    assert facts.uid == os.getuid()
    assert facts.memory == pytest.approx(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), rel=0.01)
    assert {"sh", "cat", "mv"} <= facts.tools
    assert facts.interpreters == {path for path in INTERPRETERS if os.access(path, os.X_OK)}
    assert facts.clock_offset is not None
    assert facts.clock_error is not None
    assert abs(facts.clock_offset) <= facts.clock_error + 0.1


@pytest.mark.parametrize("shell", SHELLS)
def test_directories_are_looked_at_and_left_as_they_were(shell: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "a b")
    before = listing(tmp_path)
    names = ("a b", "a b/not/yet", "link/sub", "file/below", "it's $(odd) \\ `name`")
    wanted = tuple(f"{tmp_path}/{name}" for name in names)
    facts = ask(shell, Wants(directories=(*wanted, "/", "relative", "/line\nbreak")), {"HOME": str(tmp_path)})
    assert listing(tmp_path) == before
    spaces = {space.path: space for space in facts.spaces}
    assert set(spaces) == {*wanted, "/"}
    usage = shutil.disk_usage(tmp_path)
    for path in wanted:
        assert spaces[path].total == pytest.approx(usage.total, rel=0.01)
        assert spaces[path].options
    assert [spaces[p].existing.removeprefix(f"{tmp_path}") for p in wanted] == [
        "/a b",
        "/a b",
        "/link",
        "/file",
        "",
    ]
    assert [spaces[p].exists for p in wanted] == [True, False, False, False, False]
    assert [spaces[p].directory for p in wanted] == [True, True, True, False, True]
    assert facts.home == str(tmp_path)


@pytest.mark.parametrize("shell", SHELLS)
def test_questions_cannot_disturb_each_other(shell: tuple[str, ...]) -> None:
    facts = ask(
        shell,
        Wants(
            questions={
                "plain": "echo one; echo two",
                "syntax": "if then (",
                "leaves": "echo gone; exit 7",
                "variables": "N=lost PATH=/nowhere; echo set",
                "endless": "while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done",
                "input": "cat; echo none",
                "noise": "echo to-stderr >&2; echo quiet",
                "frame": "printf 'NONCE uname 5\\nLinux\\n'",
                "quotes": "echo 'single' \"double\"",
                "glob": "cd / && echo pro[c]",
                "bad key!": "echo never",
                "zero": "echo \0",
            },
            tools=("no-such-tool-anywhere", "$(reboot)"),
        ),
    )
    assert facts.observed["plain"] == "one\ntwo"
    assert facts.observed["syntax"] == ""
    assert facts.observed["leaves"] == "gone"
    assert facts.observed["variables"] == "set"
    assert len(facts.observed["endless"]) in range(4000, 4097)
    assert facts.observed["input"] == "none"
    assert facts.observed["noise"] == "quiet"
    assert facts.observed["frame"] == "NONCE uname 5\nLinux"
    assert facts.observed["glob"] == "proc"
    assert facts.observed["quotes"] == "single double"
    assert not {"bad key!", "zero"} & set(facts.observed)
    assert facts.kernel_machine == os.uname().machine
    assert "no-such-tool-anywhere" not in facts.tools


@pytest.mark.parametrize("shell", SHELLS)
def test_a_path_without_any_tool_still_ends(shell: tuple[str, ...], tmp_path: Path) -> None:
    script = compose(Wants(directories=("/",))).replace(
        ":/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin", ""
    )
    ended = subprocess.run(
        [shutil.which(shell[0]) or shell[0], *shell[1:], "-s", "NONCE"],
        input=script.encode(),
        capture_output=True,
        check=True,
        timeout=60,
        env={"PATH": str(tmp_path)},
    )
    facts = parse(ended.stdout, host="here", nonce="NONCE", sent=0, received=1)
    assert isinstance(facts, Facts)
    assert [space.path for space in facts.spaces] == ["/"]


@pytest.mark.requires("x86-64")
def test_a_real_32_bit_personality_is_seen_through() -> None:
    facts = ask(("setarch", "i686", "sh"), Wants())
    assert facts.kernel_machine == "i686"
    assert facts.kernel_arch == "amd64"
    assert facts.personality_32


def test_a_uname_in_path_that_lies_is_overruled_where_the_kernel_tells(tmp_path: Path) -> None:
    (tmp_path / "uname").write_text(
        "#!/bin/sh\ncase $1 in -srm) echo Linux 6.1 s390x;; *) exec /bin/uname $1;; esac\n"
    )
    (tmp_path / "uname").chmod(0o755)
    facts = ask(("sh",), Wants(), {"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert facts.kernel_machine == "s390x"
    if Path("/proc/sys/kernel/arch").exists():
        assert facts.kernel_arch == ask(("sh",), Wants()).kernel_arch
        assert facts.conflicts


def test_the_script_is_small_and_always_the_same() -> None:
    wants = Wants(directories=("/usr/local/bin", "/var/lib/x"), tools=("tar",), questions={"q": "echo"})
    assert compose(wants) == compose(wants)
    assert len(compose(wants)) < 12 * 1024
    assert "#" not in re.sub(r"\$\{[^}]*\}|\$#", "", compose(wants)).replace("'#!'", "")


def test_the_script_redirects_to_nothing_but_dev_null_and_pipes() -> None:
    targets = re.findall(r"(?<![<&0-9-])[0-9]?>+\s*([^\s;)|]+)", compose(Wants()))
    assert set(targets) <= {"/dev/null", "&1"}


@pytest.mark.requires("strace", "tracing")
@pytest.mark.parametrize("shell", SHELLS)
def test_no_process_of_the_script_opens_a_file_for_writing(shell: tuple[str, ...], tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    calls = "openat,open,creat,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,mknod,mknodat,link,linkat,symlinkat"
    ended = subprocess.run(
        [
            "strace",
            "-f",
            "-qq",
            "-e",
            f"trace=?{',?'.join(calls.split(','))}",
            "-o",
            str(trace),
            *shell,
            "-s",
            "NONCE",
        ],
        input=compose(Wants(directories=("/usr/local/bin",), tools=("tar",))).encode(),
        capture_output=True,
        check=False,
        timeout=120,
    )
    told = read(ended.stdout, "NONCE")
    assert told is not None
    writing = [
        line
        for line in trace.read_text(errors="replace").splitlines()
        if re.search(r"O_WRONLY|O_RDWR|O_CREAT|unlink|rename|mkdir|mknod|link", line)
        and '"/dev/null"' not in line
        and '"/dev/tty"' not in line
        and re.search(r"= \d", line)
        and ("O_" not in line or re.search(r"O_WRONLY|O_RDWR|O_CREAT", line))
    ]
    assert writing == []


def test_base_tools_are_plain_words() -> None:
    assert len(set(BASE_TOOLS)) == len(BASE_TOOLS)
    assert all(re.fullmatch(r"[a-z0-9-]+", tool) for tool in BASE_TOOLS)


def test_the_answer_of_a_cut_script_is_refused() -> None:
    lines = compose(Wants()).splitlines()
    cut = "\n".join([*lines[: len(lines) // 2], ")"])
    ended = subprocess.run(
        ["sh", "-s", "NONCE"], input=cut.encode(), capture_output=True, check=False, timeout=60
    )
    found = parse(ended.stdout, host="here", nonce="NONCE", sent=0, received=1)
    assert isinstance(found, Diagnostic)
