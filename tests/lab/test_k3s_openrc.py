"""k3s on machines whose services are OpenRC's, by a unit of ours and by install.sh: nothing to Ready, on, and away."""

from __future__ import annotations

from pathlib import Path

import pytest
from labkit.k3s import VERSION
from labkit.k3s_cluster import K3sProject, essence
from labkit.lab import Lab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    ("kinds", "install"),
    [
        (("amd64-openrc", "arm64-openrc"), "unit"),
        (("amd64-openrc", "arm64-openrc"), "script"),
        (("amd64-systemd", "arm64-systemd"), "script"),
    ],
)
def test_from_nothing_to_ready_on_and_away(
    lab: Lab, kinds: tuple[str, str], install: str, tmp_path: Path
) -> None:
    with lab.fresh(*kinds) as (server, agent):
        project = K3sProject(lab, tmp_path / "project", (server, agent))
        project.release(install=install)
        untouched = project.listings()
        assert set(project.applied().values()) == {"changed"}
        rows = {server.name: ["server", "amd64"], agent.name: ["agent", "arm64"]}
        assert project.rows(server) == {n: [*row, VERSION, "True"] for n, row in rows.items()}

        settled = project.listings()
        assert set(project.applied().values()) == {"ok"}
        assert project.differences(settled) == ""

        # The service that install.sh would not have restarted: with the new program in place it sees no change.
        newer = "v1.37.0+k3s1"
        project.release(newer, install=install)
        assert set(project.applied().values()) == {"changed"}
        assert {row[2] for row in project.rows(server).values()} == {newer}
        for node in (server, agent):
            told = project.on(node, "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n'")
            assert project.on(node, "cat /etc/rancher/k3s/token").strip() not in told
        assert set(project.applied().values()) == {"ok"}

        project.release(newer, install=install, state="absent")
        assert set(project.applied().values()) == {"changed"}
        for name, listing in project.listings().items():
            assert essence(listing) == essence(untouched[name])
        assert set(project.applied().values()) == {"ok"}
