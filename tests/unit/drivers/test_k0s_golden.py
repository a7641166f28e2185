from __future__ import annotations

from driver_kit import compare, done, fresh
from k0s_kit import ARCHES, C1, C2, C3, W1, W2, W3, k0s

from sealboot.model.plan import Upload

ALL = (C1, C2, C3, W1, W2, W3)


def test_first_install_on_mixed_machines() -> None:
    plan = k0s(*ALL).plan(fresh)
    compare("k0s-first", plan)
    sources = {p.step.host: p.step.source for w in plan.waves for p in w.steps if isinstance(p.step, Upload)}
    assert sources == {name: f"binaries/k0s-{arch}" for name, arch in ARCHES.items()}
    waves = {w.id: w for w in plan.waves}
    assert (waves["controllers"].parallel, waves["controllers"].hosts) == (1, ("c2", "c3"))
    assert waves["workers"].parallel is None
    order = [w.id for w in plan.waves]
    assert (
        order.index("configure") < order.index("first") < order.index("controllers") < order.index("workers")
    )
    assert order.index("workers") < order.index("revoke")


def test_second_run_changes_nothing() -> None:
    names = tuple(h.name for h in ALL)
    plan = k0s(*ALL, same=names).plan(done)
    assert (plan.changes, plan.upload_bytes) == (0, 0)
    assert {str(p.action) for w in plan.waves for p in w.steps} == {"="}
    assert not [w.id for w in plan.waves if w.id.startswith(("drain", "upgrade"))]
