"""A plan that can be reviewed, and an apply that ends in the right words: with a machine of the lab."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cli_kit import Lab, lab
from requires import unavailable

from sealboot.lab.embedded import EmbeddedLab
from sealboot.model.arch import Arch

PHASES = """phases:
  - name: settings
    steps:
      - {name: conf, write: {dest: /etc/lab/app.conf, content: "host {{ host.name }}\\ncolour green\\n"}}
      - {name: greet, upload: {artifact: hello, dest: /usr/local/bin/hello, smoke: '"$1"', expects: hello}}
"""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if trouble := EmbeddedLab.trouble():
        unavailable(trouble)
    folder = tmp_path_factory.mktemp("plan")
    with lab(folder, machines=(("m1", Arch.AMD64),)) as made:
        (folder / "binaries" / "hello.sh").write_text("#!/bin/sh\necho hello v1\n")
        path = folder / "inventory.yaml"
        head = (
            path.read_text()
            .partition("phases:")[0]
            .replace("  sealctl:", '  hello: ["binaries/hello.sh"]\n  sealctl:')
        )
        path.write_text(head + PHASES)
        yield made


def test_the_whole_story(story: Lab) -> None:
    first = story.run("apply", "--yes")
    assert first.code == 0, first.out + first.err
    assert "+ conf: write /etc/lab/app.conf\n" in first.out
    assert "          +host m1\n          +colour green\n" in first.out
    assert "+ greet: upload hello to /usr/local/bin/hello  24 B" in first.out

    story.edit("colour green", "colour blue")
    plan = story.run("plan", "-o", "p.json")
    assert " colour green\n" not in plan.out.replace("-colour green\n", "")
    assert "          -colour green\n          +colour blue\n" in plan.out
    document = story.run("plan", "--format", "json").document
    conf = next(s for w in document["plan"]["waves"] for s in w["steps"] if s["dest"] == "/etc/lab/app.conf")
    assert conf["diff"].endswith(" host m1\n-colour green\n+colour blue\n")
    assert (conf["at"]["file"], conf["content"]) == ("inventory.yaml", "host m1\ncolour blue\n")
    assert "colour green" not in (story.folder / "p.json").read_text(), "a plan file has only what will be"
    assert story.run("apply", "p.json").code == 0

    story.edit(
        "phases:\n",
        "phases:\n  - {name: bad, hosts: m1, steps: [{name: oops, run: exit 7, creates: /var/lib/never}]}\n",
    )
    failed = story.run("apply", "--yes")
    assert failed.code == 3
    line = (story.folder / "inventory.yaml").read_text().partition("oops")[0].count("\n") + 1
    assert "error[SB501]: m1: oops: run `exit 7`: exit status 7\n" in failed.out
    assert f"  --> inventory.yaml:{line}:" in failed.out
    assert failed.out.endswith("Correct what failed and run the same command again: it goes on from there.\n")

    story.edit(
        "  - {name: bad, hosts: m1, steps: [{name: oops, run: exit 7, creates: /var/lib/never}]}\n", ""
    )
    owed = story.run("apply", "--yes")
    assert owed.code == 0, owed.out + owed.err
    assert "Nothing to do: 1" not in owed.out
    assert "No step is to change; what an earlier run left undone comes first.\n" in owed.out
    assert (owed.out + owed.err).count("SB512") == 1
    assert "Nothing to do: 1 host is as it should be.\n" in story.run("apply", "--yes").out

    story.edit("    steps:\n", "    steps:\n      - service: app\n")
    missing = story.run("check")
    assert missing.code == 1
    line = (story.folder / "inventory.yaml").read_text().partition("service: app")[0].count("\n") + 1
    assert "error[SB511]: the service app needs systemd or OpenRC, and m1 runs neither" in missing.out
    assert f"  --> inventory.yaml:{line}:" in missing.out
