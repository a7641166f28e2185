"""`sealboot apply` of one large file against `scp`, to four loopback hosts, in one run.

    python bench/ship.py [--megabytes 200] [--hosts 4] [--rounds 3] [--out docs/bench/ship.md]

Needs root and openssh-server. The file is a real ELF with an incompressible payload behind it. sealboot does
its whole apply: probe, hash, match, ship, hash on the host, smoke test, rename. `scp` is run as it comes (one
process for each host, all at once), and once more with the cipher and key exchange that are cheapest for it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from benchkit import Cost, Farm, Meter, farm, report, rounds

from sealboot.lab.tinyelf import make
from sealboot.model.arch import arch_from_uname

_BLOCK = 1 << 20


def _inventory(nodes: Farm, megabytes: int) -> None:
    arch = arch_from_uname(os.uname().machine)
    if arch is None:
        sys.exit(f"no tiny program for {os.uname().machine}")
    with (nodes.folder / "payload").open("wb") as file:
        file.write(make(arch, "ready\n"))
        for _ in range(megabytes):
            file.write(os.urandom(_BLOCK))
    (nodes.folder / "payload").chmod(0o755)
    hosts = "".join(
        f"  n{i}: {{address: {a}, paths: {{state: {nodes.folder}/state/n{i}}}, vars: {{place: {nodes.folder}/at/n{i}}}}}\n"
        for i, a in enumerate(nodes.addresses)
    )
    (nodes.folder / "inventory.yaml").write_text(
        f"version: 1\ncluster: {{name: bench, driver: phases}}\nartifacts: {{payload: [payload]}}\n"
        f"defaults: {{role: node, ssh: {{user: root, port: {nodes.port}, identity_file: id}},\n           ignore: [{{code: SB306, reason: all addresses are this machine}}]}}\nhosts:\n{hosts}"
        "phases:\n  - name: ship\n    steps:\n"
        "      - directory: '{{ vars.place }}'\n"
        "      - upload: {artifact: payload, dest: '{{ vars.place }}/payload', smoke: '\"$1\"', keep_previous: false}\n"
    )


def main() -> None:
    """Run the benchmark and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--megabytes", type=int, default=200)
    arguments.add_argument("--hosts", type=int, default=4)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--out", type=Path)
    given = arguments.parse_args()
    if os.getuid() or not shutil.which("/usr/sbin/sshd"):
        sys.exit("needs root and openssh-server")
    meter = Meter()
    with tempfile.TemporaryDirectory() as scratch, farm(Path(scratch) / "farm", given.hosts) as nodes:
        _inventory(nodes, given.megabytes)
        home = {**os.environ, "HOME": str(nodes.folder)}

        def clean() -> None:
            for name in ("at", "state", "scp"):
                shutil.rmtree(nodes.folder / name, ignore_errors=True)
            for i in range(given.hosts):
                (nodes.folder / "scp" / f"n{i}").mkdir(parents=True)

        def sealboot() -> Cost:
            clean()
            command = [sys.executable, "-m", "sealboot", "apply", "--yes", "-q", "--format", "json"]
            cost = meter.run(command, cwd=nodes.folder, env=home)
            sizes = [(nodes.folder / f"at/n{i}/payload").stat().st_size for i in range(given.hosts)]
            if set(sizes) != {(nodes.folder / "payload").stat().st_size}:
                sys.exit(f"not all of it arrived: {sizes}")
            return cost

        def scp(*extra: str, curve25519: bool = False) -> Cost:
            clean()
            options = [*nodes.ssh_options(curve25519=curve25519), *extra]
            lines = [
                shlex.join(["scp", "-q", *options, "payload", f"root@{a}:{nodes.folder}/scp/n{i}/payload"])
                + " &"
                for i, a in enumerate(nodes.addresses)
            ]
            return meter.run(["sh", "-c", "\n".join([*lines, "wait"])], cwd=nodes.folder, env=home)

        costs = rounds(
            meter,
            {
                "sealboot apply": sealboot,
                "scp": scp,
                "scp, aes128-gcm and curve25519": lambda: scp(
                    "-c", "aes128-gcm@openssh.com", curve25519=True
                ),
            },
            given.rounds,
        )
        text = report(f"{given.megabytes} MB to {given.hosts} hosts", costs, "sealboot apply", meter)
    meter.close()
    print(text)
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text)


if __name__ == "__main__":
    main()
