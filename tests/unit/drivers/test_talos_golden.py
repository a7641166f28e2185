from __future__ import annotations

from dataclasses import replace

from driver_kit import compare, done
from talos_kit import CP1, CP2, CP3, W1, Talos, linux, maintenance

from sealboot.model.arch import Arch
from sealboot.model.facts import fingerprint
from sealboot.model.plan import Observation
from sealboot.model.steps import Knocks, Run, Step, Upload, WriteDisk
from sealboot.model.summary import summary

ARM = {"w1": Arch.ARM64}


def nothing_yet(step: Step) -> Observation:
    return Observation("absent" if isinstance(step, Upload) else "differs")


def test_machines_of_two_architectures_leave_by_kexec() -> None:
    w1 = replace(W1, vars={"kernel_args": "ip=10.0.0.21::10.0.0.1:255.255.255.0::eth0:off"})
    plan = Talos(CP1, w1, arches=ARM, options={"kernel_args": ["console=ttyS0"]}).plan(nothing_yet)
    compare("talos-kexec", plan)
    sources = {p.step.id: p.step.source for w in plan.waves for p in w.steps if isinstance(p.step, Upload)}
    assert sources == {
        f"ship/{host}/{part}": f"/cache/{arch}-{file}.boot"
        for host, arch in (("cp1", "amd64"), ("w1", "arm64"))
        for part, file in (("kernel", "kernel"), ("initramfs", "initrd"))
    }


def test_nobody_leaves_before_everybody_has_loaded() -> None:
    waves = [w.id for w in Talos(CP1, W1).plan(nothing_yet).waves]
    assert waves == ["ship", "load", "handover", "control-plane", "bootstrap", "workers", "health"]


def test_a_disk_is_overwritten_and_says_what_is_lost() -> None:
    cp1 = replace(CP1, vars={"route": "disk", "disk": "/dev/vda"})
    plan = Talos(cp1, W1).plan(nothing_yet)
    compare("talos-disk", plan)
    assert [step.destroys for step in plan.destroyed] == [
        "everything on /dev/vda of cp1, 20 GiB",
        "everything on /dev/vda of w1, where Talos installs itself",
    ]


def test_a_machine_that_is_installed_loses_nothing() -> None:
    facts = {"cp1": maintenance("cp1", Arch.AMD64, "configured")}
    assert Talos(CP1, facts=facts).plan(nothing_yet).destroyed == ()


def test_machines_in_maintenance_mode_need_no_ssh() -> None:
    facts = {h.name: maintenance(h.name, Arch.AMD64) for h in (CP1, CP2, CP3, W1)}
    cluster = Talos(CP1, CP2, CP3, W1, facts=facts)
    plan = cluster.plan(nothing_yet)
    compare("talos-maintenance", plan)
    assert {p.step.on for w in plan.waves for p in w.steps} == {"controller"}
    again = cluster.plan(done)
    assert (again.changes, again.upload_bytes, summary(again).depends) == (0, 0, 0)


def test_one_further_worker_does_not_touch_the_others() -> None:
    facts = {h.name: maintenance(h.name, Arch.AMD64, "configured") for h in (CP1, CP2, CP3)}

    def observe(step: Step) -> Observation:
        return nothing_yet(step) if step.host == "w1" else Observation("same")

    plan = Talos(CP1, CP2, CP3, W1, facts=facts, arches=ARM).plan(observe)
    acting = {p.step.host for w in plan.waves for p in w.steps if p.action in {"+", "~"}}
    assert acting == {"w1"}


def test_the_key_is_taken_when_it_is_needed_and_a_plan_outlives_it() -> None:
    """A machine in maintenance takes another key at each new address: a saved plan is the same plan all the same."""
    facts = maintenance("w1", Arch.AMD64)
    later = replace(facts, observed={**facts.observed, "api.key": "YW5vdGhlcg=="})
    made = [Talos(CP1, W1, facts={"w1": each}) for each in (facts, later)]
    for name in ("configure/cp1/apply", "configure/w1/apply"):
        step = made[0].steps()[name]
        assert isinstance(step, Run)
        assert (step.knocks, step.env, step.env_secrets) == (Knocks(50000, ("h2",)), {}, {})
    assert made[0].plan(nothing_yet) == made[1].plan(nothing_yet)
    assert fingerprint(facts) == fingerprint(later)
    configured = replace(facts, observed={**facts.observed, "api": "configured"})
    assert fingerprint(facts) != fingerprint(configured)


def test_the_disk_of_the_running_system_is_written_only_when_told() -> None:
    told = replace(CP1, vars={"route": "disk", "disk": "/dev/sda", "overwrite": "running-system"})
    cluster = Talos(told, facts={"cp1": linux("cp1", Arch.AMD64, disk="sda\n")})
    step = cluster.steps()["write/cp1/image"]
    assert isinstance(step, WriteDisk)
    assert step.in_use
    assert "which the running system is on" in step.destroys
    assert "write/cp1/entry" not in cluster.steps(), "nothing may run after the disk of the system is gone"
