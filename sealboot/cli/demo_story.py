"""The scenes of the demo. Every command in it is the real command line, run in the demo's folder."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sealboot.cli.exits import Exit
from sealboot.lab.embedded import EmbeddedLab
from sealboot.lab.tinyelf import make
from sealboot.model.arch import Arch
from sealboot.render.view import View

MACHINES = (("ctl1", Arch.AMD64), ("ctl2", Arch.AMD64), ("pi01", Arch.ARM64), ("pi02", Arch.ARM64))

_INVENTORY = """\
# The demo's inventory: four machines, two processors, one set of phases for all of them.
version: 1
cluster: {{name: demo, driver: phases}}
artifacts:
  sealctl: ["binaries/sealctl*"]           # matched by contents, never by name
defaults:
  ssh: {{user: demo, identity_file: id_ed25519}}
  become: {{method: none}}                   # the lab's machines need no root
hosts:
{hosts}
phases:
  - name: ship sealctl
    steps:
      - upload: {{artifact: sealctl, dest: /usr/local/bin/sealctl, smoke: '"$1" version'}}
  - name: bootstrap the masters
    roles: [master]
    steps:
      - write: {{dest: /etc/lab/cluster.conf, content: "cluster={{{{ cluster.name }}}} node={{{{ host.name }}}} arch={{{{ host.arch }}}}\\n"}}
      - name: bootstrap
        run: /usr/local/bin/sealctl version > /var/lib/joined
        creates: /var/lib/joined
  - name: join the nodes
    roles: [node]
    steps:
      - name: join
        run: /usr/local/bin/sealctl version > /var/lib/joined
        creates: /var/lib/joined
      - wait: {{file: /var/lib/joined, timeout: 10}}
"""


#: Bytes of the demo's program, and bytes per second of each machine's link (100 Mbit/s): two seconds to see it travel.
SIZE, SPEED = 24 << 20, 100e6 / 8


def _sealctl(arch: Arch, size: int) -> bytes:
    """The program, with as many bytes of noise in it as make it about that large."""
    noise = hashlib.shake_128(arch.value.encode()).digest(size)
    return make(arch, f'{{"gitVersion":"v5.0.1","platform":"linux/{arch.value}"}}\n', ballast=noise)


def _furnish(lab: EmbeddedLab) -> None:
    hosts = [
        f"  {m.name}: {{address: 127.0.0.1, ssh: {{port: {m.port}}}, role: {'master' if m.name.startswith('ctl') else 'node'}}}"
        for m in lab.machines
    ]
    (lab.folder / "inventory.yaml").write_text(_INVENTORY.format(hosts="\n".join(hosts)))
    known = [f"[127.0.0.1]:{m.port} {m.host_key}" for m in lab.machines]
    (lab.folder / "known_hosts").write_text("\n".join(known) + "\n")


def _put(lab: EmbeddedLab, name: str, arch: Arch, size: int = 0) -> None:
    path = lab.folder / "binaries" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(_sealctl(arch, size))
    path.chmod(0o755)


async def _command(lab: EmbeddedLab, view: View, arguments: Sequence[str], expected: Exit) -> bool:
    """Run one sealboot command in the folder, on this terminal; whether it ended as the story has it."""
    view.page("demo", f"\n$ sealboot {' '.join(arguments)}")
    shown = {k: v for k, v in os.environ.items() if not k.startswith("SEALBOOT_") and k != "SSH_AUTH_SOCK"}
    home = lab.folder / "home"  # nobody's settings or keys play a part, and nothing is written elsewhere
    env = {**shown, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_STATE_HOME": str(home)}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sealboot", *arguments, cwd=lab.folder, env=env
    )
    code = await child.wait()
    if code != expected:
        view.page("demo", f"The demo expected exit code {int(expected)} here and got {code}.")
    return code == expected


async def tell(view: View, folder: Path, *, keep: bool) -> Exit:
    """Play all scenes; 0 when every command ended as it should."""
    lab = EmbeddedLab(folder, speed=SPEED)
    await lab.start(MACHINES)
    try:
        _furnish(lab)
        _put(lab, "sealctl-linux-amd64", Arch.AMD64, SIZE)
        _put(lab, "sealctl-linux-arm64", Arch.AMD64, SIZE)
        view.page(
            "demo",
            f"Four machines listen on loopback ports, each on a link of 100 Mbit/s; "
            f"everything of theirs is in {folder}/.\n"
            f"x86-64 programs are run {lab.how_it_runs(Arch.AMD64)}, "
            f"aarch64 programs {lab.how_it_runs(Arch.ARM64)}.\n\n"
            "In binaries/ lie two builds of sealctl, one for each processor, by their names.\n"
            "One of the names lies. What would have been `Exec format error` half-way through:",
        )
        good = await _command(lab, view, ["check"], Exit.FINDINGS)
        good &= await _command(lab, view, ["inspect", "binaries/sealctl-linux-arm64"], Exit.OK)
        _put(lab, "sealctl-linux-arm64", Arch.ARM64, SIZE)
        view.page("demo", "\nThe right build is put in its place. Ship it and bootstrap:")
        good &= await _command(lab, view, ["apply", "--yes"], Exit.OK)
        view.page("demo", "\nOnce more: there is nothing left to do.")
        good &= await _command(lab, view, ["apply", "--yes"], Exit.OK)
        view.page("demo", _next(folder, keep=keep))
        if keep and good:
            await asyncio.Event().wait()
    finally:
        await lab.stop()
    return Exit.OK if good else Exit.PARTIAL


def _next(folder: Path, *, keep: bool) -> str:
    machines = (
        f"they run until you press Ctrl-C; in {folder}/ try:"
        if keep
        else f"start: sealboot demo --keep; in {folder}/:"
    )
    return (
        "\nWhat next:\n"
        f"  look around     {folder}/inventory.yaml\n"
        f"                  {folder}/machines/ (what is on each machine)\n"
        f"  the machines    {machines}\n"
        "                  sealboot facts, sealboot check --matrix\n"
        "  any file        sealboot inspect FILE...\n"
        "  your machines   sealboot init, sealboot trust, sealboot check\n"
        "  any code        sealboot explain SB101"
    )
