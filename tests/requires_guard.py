"""Holds every test to what it asked for: a program it starts is one of `BASE`, or it said `requires("...")`.

So a test that would fail on a machine without the program fails on one that has it, too. Watched are the
processes that the test run itself starts (the audit event `subprocess.Popen`, which asyncio's are as well); what a
script under test calls in turn, a bare machine shows (`lab/test_fresh_machine.py`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable
from pathlib import Path

import pytest
import requires

_SYSTEM = ("/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/usr/local/bin/", "/usr/local/sbin/")
#: Programs that start another one, named by a later word.
_STARTERS = frozenset(
    ("env", "nice", "nsenter", "setarch", "setpriv", "setsid", "strace", "timeout", "unshare")
)


class Guard:
    """A pytest plugin. A fixture of a wider scope than one test asks once for all the tests that use it."""

    def __init__(self) -> None:
        self._asked: set[str] = set()
        self._started: set[str] = set()
        self._of_fixtures: dict[str, set[str]] = {}
        self._watching = False
        requires.LISTENERS.append(self._asked_for)
        sys.addaudithook(self._audit)

    def _asked_for(self, name: str) -> None:
        self._asked.add(name)

    def _audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "subprocess.Popen" and self._watching:
            executable, words = arguments[0], arguments[1]
            self._started.update(named([executable, *words] if isinstance(words, Iterable) else [executable]))

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
        """Remember what a fixture that outlives its first test asked for."""
        before = set(self._asked)
        self._asked.clear()
        try:
            return (yield)
        finally:
            if fixturedef.scope != "function":
                self._of_fixtures.setdefault(fixturedef.argname, set()).update(self._asked)
            self._asked |= before

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Each test begins with nothing asked for, and nothing started."""
        self._asked.clear()
        self._started.clear()
        self._watching = True
        try:
            return (yield)
        finally:
            self._watching = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """After a test that passed: it asked for what it started."""
        result = yield
        names: Iterable[str] = getattr(item, "fixturenames", ())
        asked = self._asked.union(*(self._of_fixtures.get(name, set()) for name in names))
        if missing := self._started - asked - requires.BASE:
            pytest.fail(
                f"starts {', '.join(sorted(missing))}, which a fresh machine may lack: say"
                f" requires({', '.join(repr(name) for name in sorted(missing))}); see tests/requires.py",
                pytrace=False,
            )
        return result


def named(words: Iterable[object]) -> set[str]:
    """The programs of the system that a command line starts, by name: `[executable, argv0, ...]`."""
    texts = [os.fsdecode(word) for word in words if isinstance(word, str | bytes | os.PathLike)]
    found: set[str] = set()
    for at, word in enumerate(texts):
        name = _program(word)
        if at == 0 or (at > 1 and (name in requires.PACKAGES or name in requires.BASE)):
            found.add(name)
            if name not in _STARTERS:
                break
    return found - {""}


def _program(word: str) -> str:
    """The name of a program of the system, or nothing: Python itself and a test's own files are none."""
    if "/" not in word:
        return word
    if word.startswith(_SYSTEM) and Path(word).resolve() != Path(sys.executable).resolve():
        return word.rpartition("/")[2]
    return ""
