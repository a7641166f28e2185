"""Whiteouts against the sentences of the OCI image specification, and what many of them cost."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from sealboot.artifacts.compress import Limits, Meter
from sealboot.artifacts.tarwalk import Member, Shape
from sealboot.artifacts.tree_merge import UnsafeError, merge
from sealboot.artifacts.tree_source import Found


@dataclass(frozen=True, slots=True)
class Listed:
    """A layer of files (`a/b`) and folders (`a/`), sizes by layer so that they can be told apart."""

    names: Sequence[str]
    size: int = 1

    def walk(self, meter: Meter) -> Iterator[Found]:
        for name in self.names:
            shape = Shape.FOLDER if name.endswith("/") else Shape.FILE
            yield Found(Member(name.rstrip("/"), shape, self.size, "", 0, 0o644), lambda: iter(()))


def merged(*layers: Listed) -> dict[str, int]:
    tree = merge(layers, Meter(Limits()))
    return {entry.name: entry.size for entry in (*tree.files, *tree.folders)}


def by_the_specification(*layers: Listed) -> dict[str, int]:
    """The plain way: lower layers first lose what this one hides, then its own names are added."""
    tree: dict[str, tuple[int, bool]] = {}
    for layer in layers:
        for name in layer.names:
            folder, _, base = name.rpartition("/")
            hidden = f"{folder}/{base.removeprefix('.wh.')}".lstrip("/")
            inside = f"{folder}/" if folder else ""
            for path in list(tree):
                if base == ".wh..wh..opq":
                    gone = path.startswith(inside)
                else:
                    gone = base.startswith(".wh.") and (path == hidden or path.startswith(f"{hidden}/"))
                if gone:
                    del tree[path]
        for name in layer.names:
            if ".wh." not in name:
                tree[name.rstrip("/")] = (layer.size, name.endswith("/"))
    return {name: size for name, (size, _) in tree.items()}


@pytest.mark.parametrize("seed", range(200))
def test_random_layers_make_the_tree_that_the_specification_says(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 (a campaign, not a key)
    layers = []
    for number in range(rng.randint(1, 5)):
        names = []
        for _ in range(rng.randint(0, 12)):
            folder = rng.choice(["", "d/", "d/e/", "f/", "d/e/g/"])
            names.append(folder + rng.choice(["x", "y", "z", ".wh.x", ".wh.y", ".wh..wh..opq"]))
            names += [".wh.d"] if rng.random() < 0.1 else []
            names += ["d/e/.wh.g"] if rng.random() < 0.1 else []
            names += [folder] if folder and rng.random() < 0.3 else []
        layers.append(Listed(names, number + 1))
    assert merged(*layers) == by_the_specification(*layers)


def cost(count: int) -> float:
    below = Listed([f"d/{n}/file" for n in range(count)])
    above = Listed([f"d/.wh.{n}" for n in range(count)] + ["d/.wh..wh..opq"] * count + ["d/new"])
    began = time.process_time()
    assert merged(below, above) == {"d/new": 1}
    return time.process_time() - began


def test_whiteouts_cost_what_they_remove() -> None:
    """Quadratic, sixteen times as many would cost 256 times as much."""
    assert cost(32_000) < 60 * max(cost(2_000), 0.005)


def test_a_tree_that_nests_without_end_is_refused() -> None:
    with pytest.raises(UnsafeError, match="nested deeper"):
        merged(Listed(["a/" * 300 + "file"]))


@dataclass(frozen=True, slots=True)
class Linked:
    """A layer of links: name -> target."""

    links: dict[str, str]

    def walk(self, meter: Meter) -> Iterator[Found]:
        for name, target in self.links.items():
            yield Found(Member(name, Shape.LINK, 0, target, 0, 0o777), lambda: iter(()))


@pytest.mark.parametrize(
    "links",
    [
        {"a/b/up": "../..", "out": "a/b/up/../etc/shadow"},
        {"here": ".", "out": "here/.."},
        {"a/up": "..", "a/more": "up", "out": "./a//more/x/../../etc"},
    ],
)
def test_links_that_lead_out_behind_another_link_are_refused(links: dict[str, str]) -> None:
    with pytest.raises(UnsafeError, match="turns back behind the link"):
        merge([Linked(links)], Meter(Limits()))


def test_links_that_only_look_so_are_kept() -> None:
    links = {"a/b/up": "../..", "a/c": "b/../d", "e": "a/b/up", "f/g": "../a/./b/../b/up/x"}
    assert len(merge([Linked(links)], Meter(Limits())).links) == len(links)


def test_a_name_that_is_no_utf_8_is_refused() -> None:
    with pytest.raises(UnsafeError, match="no UTF-8"):
        merge([Listed(["caf\udce9"])], Meter(Limits()))
