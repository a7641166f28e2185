"""`sealboot check` against `ansible -m raw` and `pssh` on many loopback hosts, in one run.

    python bench/survey.py [--hosts 200] [--rounds 3] [--out docs/bench/survey.md]

Needs root, openssh-server, pssh and ansible (`apt-get install openssh-server pssh ansible-core`).
sealboot runs its whole check (probe, binaries inspected and matched); the others run `uname -m`. pssh gets
curve25519 forced, which spares OpenSSH clients most of their CPU; ansible runs as it comes, with 50 forks.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchkit import Cost, Farm, Meter, farm, report, rounds

from sealboot.lab.tinyelf import make
from sealboot.model.arch import Arch


def _inventory(nodes: Farm) -> None:
    hosts = "\n".join(f"  n{i:04}: {{address: {a}}}" for i, a in enumerate(nodes.addresses))
    (nodes.folder / "inventory.yaml").write_text(
        f"version: 1\ncluster: {{name: bench, driver: sealos}}\n"
        f"artifacts: {{sealctl: [sealctl*]}}\n"
        f"defaults: {{role: node, ssh: {{user: root, port: {nodes.port}, identity_file: id}},\n           ignore: [{{code: SB306, reason: all addresses are this machine}}]}}\n"
        f"hosts:\n  m1: {{address: {nodes.addresses[0]}, role: master}}\n{hosts.split(chr(10), 1)[1]}\n"
    )
    for arch in (Arch.AMD64, Arch.ARM64):
        path = nodes.folder / f"sealctl-{arch.value}"
        path.write_bytes(make(arch, "bench\n"))
        path.chmod(0o755)
    (nodes.folder / "hosts").write_text("".join(f"{a}\n" for a in nodes.addresses))


def main() -> None:
    """Run the benchmark and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--hosts", type=int, default=200)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--out", type=Path)
    given = arguments.parse_args()
    missing = [t for t in ("ansible", "parallel-ssh", "/usr/sbin/sshd") if not shutil.which(t)]
    if missing or os.getuid():
        sys.exit(f"needs root and {', '.join(missing) or 'nothing else'}")
    meter = Meter()
    with tempfile.TemporaryDirectory() as scratch, farm(Path(scratch) / "farm", given.hosts) as nodes:
        _inventory(nodes)
        home = {**os.environ, "HOME": str(nodes.folder), "ANSIBLE_HOST_KEY_CHECKING": "True"}
        ansible_args = " ".join(nodes.ssh_options(curve25519=False))

        def sealboot() -> list[str]:
            return [sys.executable, "-m", "sealboot", "check", "-q", "--format", "json"]

        def pssh() -> list[str]:
            options = [w for o in nodes.ssh_options(curve25519=True)[1::2] for w in ("-O", o)]
            return ["parallel-ssh", "-h", "hosts", "-p", "64", "-l", "root", *options, "uname -m"]

        def ansible() -> list[str]:
            return ["ansible", "all", "-i", "hosts", "-m", "raw", "-a", "uname -m", "-f", "50", "-u", "root",
                    f"--ssh-common-args={ansible_args}"]  # fmt: skip

        tools = {"sealboot check": sealboot, "pssh -p64, curve25519": pssh, "ansible -m raw -f50": ansible}

        def runner(command: Callable[[], list[str]]) -> Callable[[], Cost]:
            return lambda: meter.run(command(), cwd=nodes.folder, env=home)

        runners = {name: runner(command) for name, command in tools.items()}
        costs = rounds(meter, runners, given.rounds)
        text = report(f"Probe of {given.hosts} hosts", costs, "sealboot check", meter)
    meter.close()
    print(text)
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text)
    if any(c.code for runs in costs.values() for c in runs):
        sys.exit("a tool failed: the figures above do not count")


if __name__ == "__main__":
    main()
