"""A cluster added to a file that has others: nothing of theirs changes, and no other cluster is replaced."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from access_kit import admin
from hypothesis import given, settings
from hypothesis import strategies as st

from sealboot.workflow.kubeconfig_merge import Refusal, merged
from sealboot.workflow.kubeconfig_text import Access, read, text

SERVER = "https://10.0.0.11:6443"
OTHERS = """\
apiVersion: v1
kind: Config
preferences: {}
current-context: work
clusters:
- cluster:
    certificate-authority: /home/op/work.crt
    insecure-skip-tls-verify: false
    server: https://work.example
  name: work
contexts:
- context: {cluster: work, namespace: 0123, user: 'work'}
  name: work
users:
- name: work
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: aws
      args: [--expiry, 2024-01-01T00:00:00Z, "yes", 1_000]
      env: null
      interactiveMode: Never
"""


def access(cluster: str = "lab") -> Access:
    made = read(admin(cluster).text().encode())
    assert isinstance(made, Access), made
    return made


def added(existing: str, cluster: str = "lab", name: str = "lab", *, force: bool = False) -> str:
    made = merged(existing, access(cluster), name, SERVER, force=force)
    assert isinstance(made, str), made
    return made


def spelt(node: Any) -> Any:
    """A YAML graph as values that keep spelling, quotes and tags apart."""
    if isinstance(node, yaml.ScalarNode):
        return (node.tag, node.value)
    if isinstance(node, yaml.SequenceNode):
        return [spelt(item) for item in node.value]
    return [(spelt(key), spelt(value)) for key, value in node.value]


def entries(document: str) -> list[Any]:
    """Every entry but those called `lab`, and every other key, as spelt."""
    root = yaml.compose(document, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    kept: list[Any] = []
    for key, value in root.value:
        if isinstance(value, yaml.SequenceNode):
            kept += [(key.value, e) for e in map(spelt, value.value) if (spelt(_name()), _lab()) not in e]
        else:
            kept.append((key.value, spelt(value)))
    return sorted(kept, key=repr)


def _name() -> yaml.ScalarNode:
    return yaml.ScalarNode("tag:yaml.org,2002:str", "name")


def _lab() -> tuple[str, str]:
    return ("tag:yaml.org,2002:str", "lab")


def test_everything_else_is_spelt_as_it_was() -> None:
    made = added(OTHERS)
    assert entries(made) == entries(OTHERS)
    for word in ("2024-01-01T00:00:00Z", "1_000", "0123", "env: null", '"yes"', "'work'"):
        assert word in made
    tree = yaml.safe_load(made)
    assert tree["current-context"] == "work"
    assert [c["name"] for c in tree["clusters"]] == ["work", "lab"]
    ours = yaml.safe_load(text(access(), "lab", SERVER))
    for several in ("clusters", "users", "contexts"):
        assert tree[several][-1] == ours[several][0]


def test_a_second_time_nothing_changes() -> None:
    once = added(OTHERS)
    assert added(once) == once


@pytest.mark.parametrize(
    "empty", ["", "# mine\n", "{}", "null\n", "apiVersion: v1\nkind: Config\nclusters: []\nusers: null\n"]
)
def test_an_empty_file_becomes_one_with_a_current_context(empty: str) -> None:
    made = read(added(empty).encode())
    assert isinstance(made, Access)
    assert yaml.safe_load(added(empty))["current-context"] == "lab"


def test_the_same_cluster_is_refreshed_and_keeps_its_namespace() -> None:
    before = added(OTHERS)
    tree = yaml.safe_load(before)
    tree["contexts"][1]["context"]["namespace"] = "apps"
    tree["clusters"][1]["cluster"]["server"] = "https://old:6443"
    made = yaml.safe_load(added(yaml.safe_dump(tree)))
    assert made["contexts"][1]["context"] == {"cluster": "lab", "user": "lab", "namespace": "apps"}
    assert made["clusters"][1]["cluster"]["server"] == SERVER


def test_another_cluster_of_that_name_is_not_replaced() -> None:
    theirs = added(OTHERS, "other")
    made = merged(theirs, access(), "lab", SERVER)
    assert isinstance(made, Refusal)
    assert made.forcible
    forced = yaml.safe_load(added(theirs, force=True))
    assert len(forced["clusters"]) == 2
    assert forced["clusters"][1]["cluster"]["certificate-authority-data"] == admin().authority
    assert len(yaml.safe_load(added(theirs, name="lab2"))["clusters"]) == 3


def test_a_user_that_somebody_else_needs_is_not_replaced() -> None:
    tree = yaml.safe_load(added(OTHERS))
    tree["contexts"].append({"name": "mine", "context": {"cluster": "work", "user": "lab"}})
    assert isinstance(merged(yaml.safe_dump(tree), access(), "lab", SERVER), Refusal)
    lone = OTHERS.replace("name: work\n  user", "name: lab\n  user")
    assert isinstance(merged(lone, access(), "lab", SERVER), Refusal)


def test_aliases_do_not_carry_a_change_elsewhere() -> None:
    shared = added("contexts:\n- &c {name: x, context: &i {cluster: x, user: x}}\n- *c\n")
    assert yaml.safe_load(shared)["contexts"][0]["context"] == {"cluster": "x", "user": "x"}
    once = added("")
    twice = once.replace("context:\n    cluster: lab\n    user: lab", "context: &i {cluster: lab, user: lab}")
    assert twice != once
    twice = twice.replace("contexts:\n", "contexts:\n- {name: y, context: {cluster: lab, user: y}}\n")
    tree = yaml.safe_load(added(twice + "x-mine: *i\n"))
    assert tree["x-mine"] == {"cluster": "lab", "user": "lab"}


@pytest.mark.parametrize(
    "bad",
    [
        *("[1, 2]", "text", "kind: Secret", "clusters: {a: b}", "users: [x]"),
        *("a: b\n---\nc: d", "a: [", "[" * 500, "a: *nowhere", "\x00"),
    ],
)
def test_what_is_no_kubeconfig_is_left_alone(bad: str) -> None:
    made = merged(bad, access(), "lab", SERVER, force=True)
    assert isinstance(made, Refusal)
    assert not made.forcible


_VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)
_TREES = st.recursive(
    _VALUES,
    lambda t: st.lists(t, max_size=3) | st.dictionaries(st.text(max_size=6), t, max_size=3),
    max_leaves=6,
)
_NAMES = st.text(max_size=6).filter(lambda name: name != "lab")
_ENTRIES = st.lists(st.builds(lambda name, extra: {"x": extra, "name": name}, _NAMES, _TREES), max_size=3)
_FILES = st.fixed_dictionaries(
    {},
    optional={
        "clusters": _ENTRIES,
        "users": _ENTRIES,
        "contexts": _ENTRIES,
        "current-context": st.text(min_size=1, max_size=6).filter(lambda t: t not in {"~", "null"}),
        "preferences": _TREES,
        "x-mine": _TREES,
    },
)


@settings(deadline=None, max_examples=60)
@given(_FILES, st.sampled_from([True, False, None]))
def test_whatever_else_is_there_stays(tree: dict[str, Any], style: bool | None) -> None:
    before = copy.deepcopy(tree)
    made = yaml.safe_load(added(yaml.safe_dump(tree, default_flow_style=style)))
    for several in ("clusters", "users", "contexts"):
        assert made[several][:-1] == before.get(several, [])
        assert made[several][-1]["name"] == "lab"
    for key in ("preferences", "x-mine"):
        assert made.get(key) == before.get(key)
    assert made["current-context"] == before.get("current-context", "lab")
    assert added(yaml.safe_dump(made)) is not None
