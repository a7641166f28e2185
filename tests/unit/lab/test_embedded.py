"""The embedded lab is a machine as far as a shell, a kernel's judgement and a file system can tell."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest

from sealboot.lab import tracer
from sealboot.lab.embedded import EmbeddedLab
from sealboot.lab.interpreter import run as interpret
from sealboot.lab.tinyelf import make
from sealboot.model.arch import Arch

pytestmark = pytest.mark.requires("x86-64")


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[EmbeddedLab]:
    made = EmbeddedLab(tmp_path / "lab")
    await made.start([("ctl1", Arch.AMD64), ("pi01", Arch.ARM64)])
    yield made
    await made.stop()


async def ssh(lab: EmbeddedLab, name: str, command: str, stdin: bytes = b"") -> tuple[int | None, str, str]:
    machine = next(m for m in lab.machines if m.name == name)
    known = asyncssh.import_known_hosts(f"[127.0.0.1]:{machine.port} {machine.host_key}\n")
    async with asyncssh.connect(
        "127.0.0.1",
        machine.port,
        known_hosts=known,
        client_keys=[str(lab.identity)],
        config=None,
        agent_path=None,
    ) as connection:
        done = await connection.run(command, input=stdin, encoding=None)
        assert isinstance(done.stdout, bytes)
        assert isinstance(done.stderr, bytes)
        return done.exit_status, done.stdout.decode(), done.stderr.decode()


async def test_each_machine_names_its_own_processor(lab: EmbeddedLab) -> None:
    for name, uname, machine in (("ctl1", "x86_64", "3e 00"), ("pi01", "aarch64", "b7 00")):
        _, out, _ = await ssh(
            lab, name, "uname -m; uname -n; cat /proc/sys/kernel/arch; od -An -tx1 -j18 -N2 /proc/$$/exe"
        )
        assert [line.strip() for line in out.splitlines()] == [uname, name, uname, machine]


async def test_the_header_decides_what_runs(lab: EmbeddedLab) -> None:
    for name, native, foreign in (("ctl1", Arch.AMD64, Arch.ARM64), ("pi01", Arch.ARM64, Arch.AMD64)):
        for arch in (native, foreign):
            put = f"cat > /opt/{arch} && chmod 755 /opt/{arch}"
            assert (await ssh(lab, name, put, make(arch, f"I am {arch}\n", 7)))[0] == 0
        assert (await ssh(lab, name, f"/opt/{native} version"))[:2] == (7, f"I am {native}\n")
        status, out, err = await ssh(lab, name, f"/opt/{foreign} version")
        assert (status, out) == (126, "")
        assert "Exec format error" in err


async def test_nothing_outside_the_machine_is_written(lab: EmbeddedLab, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    _, _, err = await ssh(
        lab, "pi01", f"echo x > {outside}; echo y > /etc/sealboot-lab-probe; mkdir /usr/local/made"
    )
    assert err.count("Read-only file system") == 1  # tmp_path itself lies in the machine's own /tmp
    assert not outside.exists()
    assert not Path("/etc/sealboot-lab-probe").exists()
    assert not Path("/usr/local/made").exists()
    assert (lab.folder / "machines/pi01/usr/local/made").is_dir()


async def test_nothing_outside_is_written_by_a_relative_path(lab: EmbeddedLab) -> None:
    name = f"of-{os.getpid()}"
    for script, code in (
        (f"mkdir -p /etc/lab/{name}/deep", 0),  # coreutils' mkdir enters /etc and makes the rest from there
        (f"cd /etc/lab && mkdir {name}/beside && cd /etc && mkdir lab/{name}/more", 0),
        (f"cd /etc && mkdir {name}", 1),
        (f"cd / && echo x > etc/{name}", 2),
        (f"cd /etc && ls -d lab/{name}", 0),
    ):
        status, out, err = await ssh(lab, "ctl1", script)
        assert (status, "Read-only file system" in err) == (code, bool(code)), (script, out, err)
    made = lab.folder / f"machines/ctl1/etc/lab/{name}"
    assert {path.name for path in made.iterdir()} == {"deep", "beside", "more"}
    assert not Path("/etc/lab", name).exists()
    assert not Path("/etc", name).exists()


async def test_a_job_left_behind_outlives_its_connection(lab: EmbeddedLab) -> None:
    script = "mkfifo /opt/gate; setsid sh -c 'read x < /opt/gate; echo $x > /opt/done' >/dev/null 2>&1 </dev/null & "
    assert (await ssh(lab, "ctl1", script))[0] == 0
    gate = lab.folder / "machines/ctl1/opt/gate"
    await asyncio.to_thread(gate.write_text, "came back\n")
    done = lab.folder / "machines/ctl1/opt/done"
    async with asyncio.timeout(10):
        while not (done.exists() and done.read_text()):  # noqa: ASYNC110 (a file of another process)
            await asyncio.sleep(0.01)
    assert done.read_text() == "came back\n"


async def test_a_killed_program_has_a_shells_status(lab: EmbeddedLab) -> None:
    assert (await ssh(lab, "ctl1", "kill -9 $$"))[0] == 137
    assert (await ssh(lab, "ctl1", "exit 3"))[0] == 3


def test_the_interpreter_runs_what_the_lab_ships(capfd: pytest.CaptureFixture[str]) -> None:
    assert interpret(make(Arch.ARM64, "read me\n", 5)) == 5
    assert capfd.readouterr().out == "read me\n"


def test_the_interpreter_refuses_what_it_does_not_know(capfd: pytest.CaptureFixture[str]) -> None:
    program = make(Arch.ARM64, "x").replace((0xD4000001).to_bytes(4, "little"), bytes(4), 1)
    assert interpret(program) == 132
    assert "install qemu-user" in capfd.readouterr().err


def test_without_qemu_the_interpreter_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert tracer.emulator_for(Arch.ARM64)[-1].endswith("interpreter.py")
    assert tracer.emulator_for(Arch.AMD64) == ()
    assert "install qemu-user" in EmbeddedLab.how_it_runs(Arch.ARM64)


def test_a_header_cut_short_is_no_architecture() -> None:
    assert tracer.elf_arch(make(Arch.ARM64, "")[:64]) is Arch.ARM64
    assert tracer.elf_arch(b"\x7fELF" + os.urandom(6)) is None
