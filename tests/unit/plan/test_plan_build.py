from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Kind
from sealboot.model.facts import Facts
from sealboot.model.host import Host, Inventory, SshSettings
from sealboot.model.plan import Action, Observation, Plan, Wave
from sealboot.model.secret import SecretRef
from sealboot.model.steps import (
    FileIs,
    PathExists,
    ReadSecret,
    Remove,
    Run,
    Service,
    ServiceIs,
    Step,
    Succeeds,
    Upload,
    WaitFor,
    WriteFile,
)
from sealboot.model.summary import Summary, summary
from sealboot.plan.build import build, inconsistencies, make_plan
from sealboot.plan.fingerprint import digest, facts_fingerprint, inventory_digest

SAME, ABSENT, DIFFERS = Observation("same"), Observation("absent"), Observation("differs", "sha256 ab")
UNKNOWN = Observation("unknown", "may not be read")


def run(name: str, *, host: str = "a", after: tuple[str, ...] = (), check: bool = True) -> Run:
    asked = Succeeds("true") if check else None
    return Run(id=name, host=host, title=name, script="x", check=asked, only_after=after)


def upload(name: str, *, host: str = "a") -> Upload:
    return Upload(
        id=name, host=host, title=name, source="b/x", sha256="aa", size=7, dest="/x", check=FileIs("/x", "aa")
    )


def actions(*steps: Step, **seen: Observation) -> str:
    (wave,) = build([Wave("w", "w", steps)], seen)
    return "".join(planned.action for planned in wave.steps)


def test_a_check_decides() -> None:
    assert actions(upload("u"), u=SAME) == "="
    assert actions(upload("u"), u=ABSENT) == "+"
    assert actions(upload("u"), u=DIFFERS) == "~"


def test_what_the_host_could_not_answer_is_treated_as_work_and_says_so() -> None:
    (wave,) = build([Wave("w", "w", (upload("u"), run("r")))], {"u": UNKNOWN})
    assert [(p.action, p.detail) for p in wave.steps] == [
        (Action.CHANGE, "state unknown: may not be read"),
        (Action.CHANGE, "state unknown: not asked"),
    ]


def test_a_removal_has_its_own_mark() -> None:
    step = Remove(id="r", host="a", title="r", path="/x", check=PathExists("/x", present=False))
    assert actions(step, r=Observation("differs", "exists")) == "-"
    assert actions(step, r=SAME) == "="


def test_a_step_without_a_check_runs_always_or_after_what_it_names() -> None:
    assert actions(run("r", check=False)) == "~"
    follower = run("r", check=False, after=("u",))
    assert actions(upload("u"), follower, u=SAME) == "=="
    assert actions(upload("u"), follower, u=ABSENT) == "+~"


def test_a_change_before_it_makes_a_step_wanted_though_its_check_holds() -> None:
    step = run("r", after=("u",))
    assert actions(upload("u"), step, u=DIFFERS, r=SAME) == "~~"
    assert actions(upload("u"), step, u=SAME, r=SAME) == "=="
    assert actions(upload("u"), step, u=SAME, r=DIFFERS) == "=~"


def test_a_step_without_a_check_that_was_observed_all_the_same() -> None:
    step = WriteFile(id="w", host="a", title="w", dest="/x", content="x")
    assert actions(step, w=SAME) == "="


def test_doubt_is_handed_on() -> None:
    read = ReadSecret(id="s", host="a", title="s", script="x", into="t")
    asked = replace(read, check=Succeeds("x"))
    assert actions(asked, run("r", check=False, after=("s",)), s=DIFFERS) == "=?"


def test_waits_are_wanted_once_something_moves_on_the_host_or_before_the_wave() -> None:
    wait = WaitFor(id="w", host="a", title="w", kind="tcp", target="x:1")
    assert actions(wait, upload("u"), u=ABSENT) == "=+"
    assert actions(upload("u"), wait, u=ABSENT) == "+?"
    assert actions(upload("u", host="b"), wait, u=ABSENT) == "+="
    later = build([Wave("1", "1", (upload("u", host="b"),)), Wave("2", "2", (wait,))], {"u": ABSENT})
    assert later[1].steps[0].action is Action.DEPENDS
    assert actions(upload("u"), wait, u=SAME) == "=="


def test_a_secret_is_read_only_when_a_step_that_acts_needs_it() -> None:
    read = ReadSecret(id="s", host="a", title="s", script="x", into="t")
    write = WriteFile(
        id="w", host="b", title="w", dest="/x", content="{{ secret.t }}", secrets=("t",), check=Succeeds("x")
    )
    use = Run(id="r", host="b", title="r", script="x", env_secrets={"T": "t"}, check=Succeeds("x"))
    assert actions(read, write, use, w=SAME, r=SAME) == "==="
    assert actions(read, write, use, w=ABSENT, r=SAME) == "?+="
    assert actions(read, write, use, w=SAME, r=DIFFERS) == "?=~"
    other = replace(write, secrets=("other",))
    assert actions(read, other, w=ABSENT) == "=+"


INVENTORY = Inventory(
    "i.yaml", "/base", "lab", "phases", None, (Host("a", "10.0.0.1", "x"), Host("b", "b", "x"))
)
FACTS = {n: Facts(n, "x86_64", Arch.AMD64, Arch.AMD64, 64, "little", machine_id=n) for n in ("a", "b")}


def test_a_plan_records_what_it_was_decided_from() -> None:
    extra = Artifact("b/checked", Kind.ELF, 3, "cc")
    plan = make_plan(INVENTORY, [Wave("w", "w", (upload("u"),))], {"u": ABSENT}, FACTS, artifacts=[extra])
    assert isinstance(plan, Plan)
    assert plan.hosts == ("a", "b")
    assert plan.fingerprints == {n: facts_fingerprint(FACTS[n]) for n in ("a", "b")}
    assert plan.artifacts == {"b/checked": "cc", "b/x": "aa"}
    assert plan.inventory_sha256 == inventory_digest(INVENTORY)
    assert summary(plan) == Summary(create=1, hosts_changed=1, hosts=2, upload_bytes=7)
    assert summary(plan).acting == plan.changes == 1


def test_a_secret_that_no_selected_host_provides_is_found_before_the_apply() -> None:
    use = Run(id="r", host="b", title="join", script="x", env_secrets={"T": "t"}, check=Succeeds("x"))
    (found,) = make_plan(INVENTORY, [Wave("w", "w", (use,))], {"r": DIFFERS}, FACTS)  # type: ignore[misc]
    assert (found.code, found.host) == ("SB612", "b")
    assert isinstance(make_plan(INVENTORY, [Wave("w", "w", (use,))], {"r": SAME}, FACTS), Plan)


def test_contradictions_of_a_driver_are_findings() -> None:
    twice = [Wave("w", "w", (upload("u"), upload("u"))), Wave("w", "w", ())]
    assert {d.code for d in inconsistencies(twice)} == {"SB910"}
    assert any("'u' is used 2 times" in d.summary for d in inconsistencies(twice))
    assert any("waves 'w' share" in d.summary for d in inconsistencies(twice))
    elsewhere = [Wave("w", "w", (upload("u", host="b"), run("r", after=("u",))))]
    (found,) = inconsistencies(elsewhere)
    assert (found.code, found.host) == ("SB910", "a")
    assert make_plan(INVENTORY, elsewhere, {}, FACTS) == (found,)
    assert inconsistencies([Wave("w", "w", (upload("u"), run("r", after=("u",))))]) == ()


def test_the_inventory_digest_covers_what_steers_and_nothing_else() -> None:
    base = inventory_digest(INVENTORY)
    assert inventory_digest(replace(INVENTORY, source="other.yaml", base="/elsewhere")) == base
    moved = replace(INVENTORY.hosts[0], ssh=SshSettings(password_from=SecretRef("env", "P")))
    assert inventory_digest(replace(INVENTORY, hosts=(moved, INVENTORY.hosts[1]))) != base
    assert inventory_digest(replace(INVENTORY, options={"phases": ["x"]})) != base


def test_digests_do_not_depend_on_the_order_of_sets_and_maps() -> None:
    assert digest({"a": {1, 2, 3}, "b": ()}) == digest({"b": [], "a": frozenset({3, 2, 1})})
    assert digest(["ab", "c"]) != digest(["a", "bc"])


@given(st.lists(st.sampled_from(["same", "absent", "differs", "unknown"]), min_size=1, max_size=12))
def test_a_plan_is_quiet_exactly_when_every_check_holds(states: list[str]) -> None:
    steps = tuple(run(f"r{n}", after=(f"r{n - 1}",) if n % 3 == 2 else ()) for n in range(len(states)))
    seen = {f"r{n}": Observation(state) for n, state in enumerate(states)}  # type: ignore[arg-type]
    plan = make_plan(INVENTORY, [Wave("w", "w", steps)], seen, FACTS)
    assert isinstance(plan, Plan)
    assert (plan.changes == 0) == (set(states) == {"same"})


def test_service_stamps_are_ordinary_checks() -> None:
    step = Service(id="s", host="a", title="s", name="etcd", stamp="1", check=ServiceIs("etcd", stamp="1"))
    assert actions(step, s=Observation("differs", "not restarted since its files changed")) == "~"
