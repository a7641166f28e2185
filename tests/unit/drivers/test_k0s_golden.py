from __future__ import annotations

from dataclasses import replace

from driver_kit import Observe, done, fresh
from k0s_kit import ARCHES, C1, C2, C3, W1, W2, W3, compare, k0s

from sealboot.model.plan import Observation, Plan
from sealboot.model.steps import Run, Step, Upload

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


def new_host(name: str) -> Observe:
    def observe(step: Step) -> Observation:
        return fresh(step) if step.host == name else Observation("same")

    return observe


def marks(plan: Plan) -> dict[str, str]:
    return {p.step.id: str(p.action) for w in plan.waves for p in w.steps if p.action != "="}


def test_a_controller_joins_and_changes_only_itself() -> None:
    plan = k0s(C1, C2, W1, same=("c1", "W1")).plan(new_host("c2"))
    compare("k0s-join-controller", plan)
    told = marks(plan)
    assert {name.split("/")[1] for name, mark in told.items() if mark != "?"} == {"c2"}
    assert told["token/c1/controller"] == "?"
    assert "token/c1/worker" not in told
    assert "alone/c1/etcd" in {p.step.id for w in plan.waves for p in w.steps}


def test_an_arm_worker_joins_and_changes_only_itself() -> None:
    plan = k0s(C1, W1, W2, same=("c1", "W1")).plan(new_host("w2"))
    compare("k0s-join-worker", plan)
    assert {name.split("/")[1] for name, mark in marks(plan).items() if mark != "?"} == {"w2"}
    with_two = {p.step.id: p.step for w in plan.waves for p in w.steps if p.step.host == "W1"}
    alone = {p.step.id: p.step for w in k0s(C1, W1, same=("c1", "W1")).plan(done).waves for p in w.steps}
    assert with_two == {name: step for name, step in alone.items() if step.host == "W1"}


def other_program(step: Step) -> Observation:
    """What a cluster answers that runs another release, with the same settings."""
    if step.id.startswith(("ship/", "run/", "backup/")) or step.id.endswith("/validate"):
        return Observation("differs")
    return Observation("same")


def test_an_upgrade_is_one_controller_at_a_time_and_drained_batches() -> None:
    plan = k0s(*ALL, options={"batch": "2"}, old=[h.name for h in ALL]).plan(other_program)
    compare("k0s-upgrade", plan)
    acting = [p.step.id for w in plan.waves for p in w.steps if p.action == "~"]
    sent = [f"ship/{host.name}/k0s" for host in ALL]
    validated = [f"configure/{name}/validate" for name in ("c1", "c2", "c3")]
    assert acting == [
        *sent,
        *validated,
        "backup/c1/k0s",
        "run/c1/k0s",
        "run/c2/k0s",
        "drain/c3/self",
        "run/c3/k0s",
        "drain/c1/1",
        "run/W1/k0s",
        "run/w2/k0s",
        "drain/c1/2",
        "run/w3/k0s",
    ]
    swaps = [w for w in plan.waves if w.id.startswith("upgrade-")]
    assert [len(w.steps) for w in swaps] == [2, 1], "one step for each worker, and nothing after it"
    assert all(isinstance(p.step, Run) and p.step.detached for w in swaps for p in w.steps)


def test_controllers_that_are_all_down_are_started_together() -> None:
    names = tuple(h.name for h in ALL)
    plan = k0s(*ALL, same=names).plan(
        lambda s: Observation("differs" if s.id.startswith("wake/") else "same")
    )
    (wave,) = [w for w in plan.waves if w.id == "wake"]
    assert (wave.hosts, wave.parallel) == (("c1", "c2", "c3"), None)
    assert set(marks(plan).values()) <= {"~", "?"}
    assert [w.id for w in plan.waves].index("wake") < [w.id for w in plan.waves].index("first")


def test_a_fresh_host_joins_while_others_are_upgraded() -> None:
    plan = k0s(C1, W1, W2, old=("c1", "W1")).plan(
        lambda step: fresh(step) if step.host == "w2" else other_program(step)
    )
    waves = {w.id: w.hosts for w in plan.waves}
    assert (waves["workers"], waves["upgrade-1"]) == (("w2",), ("W1",))


def test_reset_tells_the_cluster_first() -> None:
    leaving = replace(W1, vars={"state": "absent"})
    plan = k0s(C1, replace(C2, vars={"state": "absent"}), C3, leaving, same=("c1", "c2", "c3", "W1")).plan(
        lambda step: Observation("differs" if step.id.startswith(("forget/", "reset/")) else "same")
    )
    compare("k0s-reset-part", plan)
    order = [w.id for w in plan.waves if w.id in {"forget", "reset-workers", "reset-controllers"}]
    assert order == ["forget", "reset-workers", "reset-controllers"]
    assert not [
        p.step.id for w in plan.waves for p in w.steps if p.step.host == "W1" and "reset" not in p.step.id
    ]


def test_reset_of_everything_needs_no_files() -> None:
    made = k0s(*ALL, options={"state": "absent"}, same=[h.name for h in ALL])
    assert made.driver.slots(made.inventory, made.context().options) == ()
    plan = made.plan(lambda _: Observation("differs"))
    compare("k0s-reset", plan)
    assert [w.id for w in plan.waves] == ["leaving", "reset-workers", "reset-controllers"]
    assert plan.waves[2].hosts == ("c3", "c2", "c1")
    assert (plan.waves[1].parallel, plan.waves[2].parallel) == (None, 1)
    assert made.plan(done).changes == 0
