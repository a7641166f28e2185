"""What campaigns kept is tried again, with a short campaign behind it; and no parser is left out of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fuzz_replay import BYTES, LARGEST, MEMORY, MOST, SEEDS, SHORT, kept
from fuzz_targets import TARGETS

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "sealboot"
#: Of all seeds together: they are kept in the repository.
REPOSITORY = 1 << 20
#: What the child may have used at its most: half of what it is allowed.
PEAK = MEMORY // 2

#: Whole rooms, and modules, that read what others wrote.
READERS = (
    "artifacts/*.py",
    "probe/*.py",
    "inventory/*.py",
    "fit/*.py",
    "render/text.py",
    "render/inspect.py",
    "render/jsondoc.py",
    "plan/planfile.py",
    "plan/diagnose.py",
    "model/names.py",
    "drivers/template.py",
    "drivers/options.py",
    "drivers/phases_schema.py",
    "transport/knownhosts.py",
    "transport/sshconfig/*.py",
    "transport/shell.py",
    "transport/endings.py",
    "transport/endpoint.py",
    "transport/become.py",
    "transport/resolve.py",
    "transport/upload.py",
    "engine/journal.py",
    "engine/lock.py",
    "engine/observe.py",
    "cli/options.py",
    "workflow/kubeconfig_text.py",
)
#: Modules of those that no input reaches, each with its reason.
NOT_FED = {
    **dict.fromkeys(
        ("artifacts/__init__.py", "inventory/__init__.py", "fit/__init__.py", "probe/__init__.py"), "names"
    ),
    **dict.fromkeys(("artifacts/findings.py", "inventory/roles.py"), "values"),
    **{
        f"artifacts/{name}.py": "walks folders; what is in them is fed as archives and files"
        for name in ("collect", "patterns", "folders", "folder_marks", "rootfs", "layout")
    },
    "artifacts/mounts.py": "asks this machine's kernel",
    "artifacts/vouching.py": "joins checksum files and signatures, which are fed one by one",
    "inventory/schema.py": "writes the schema",
    "inventory/starter.py": "writes an inventory",
    "inventory/view.py": "shows what was validated",
    "transport/sshconfig/__init__.py": "names",
    "transport/sshconfig/options.py": "values",
    "probe/compose.py": "writes a script",
    "probe/gather.py": "asks; the answer is fed to `parse`",
}


@cache
def replayed() -> Mapping[str, Any]:
    """Every kept seed and some mutations, once, in a child that can only read."""
    done = subprocess.run(
        [sys.executable, HERE / "fuzz_replay.py", "all"],
        check=False,
        capture_output=True,
        timeout=110,
        env=os.environ | {"PYTHONPATH": str(HERE.parent)},
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_every_kept_seed() -> None:
    told = replayed()
    assert told["broken"] == []
    assert told["slow"] == {}
    assert told["peak"] < PEAK
    assert told["counts"] == {name: len(kept(name)) + SHORT for name in TARGETS}


def test_every_parser_is_fuzzed() -> None:
    """A module that reads what others wrote is reached by the good inputs of some parser."""
    wanted = {str(path.relative_to(PACKAGE)) for pattern in READERS for path in PACKAGE.glob(pattern)}
    missed = wanted - set(NOT_FED) - set(replayed()["modules"])
    assert missed == set(), "add them to a target of tests/fuzz"
    assert set(NOT_FED) <= wanted


def test_every_parser_has_seeds_and_they_are_small() -> None:
    folders = {path.name for path in SEEDS.iterdir()}
    assert folders == set(TARGETS)
    sizes = {path: path.stat().st_size for path in SEEDS.rglob("*") if path.is_file()}
    assert sum(sizes.values()) < REPOSITORY
    for name in TARGETS:
        mine = kept(name)
        assert 0 < len(mine) <= MOST
        assert sum(sizes[path] for path in mine) <= BYTES
        assert max(sizes[path] for path in mine) <= LARGEST
