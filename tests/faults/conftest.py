"""The operator's folder of a fault test, and the proof that the test showed what it declares."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack

import pytest
from faultkit import Cluster, Fault
from session_kit import folder


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster without nodes yet."""
    with folder() as place, ExitStack() as stack:
        yield Cluster(place / "operator", stack)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """After a test that passed: what it declares for the table was really shown."""
    result = yield
    declared: Fault | None = getattr(pyfuncitem.function, "fault", None)
    cluster = pyfuncitem.funcargs.get("cluster")
    if declared is not None and isinstance(cluster, Cluster):
        shown = {ran.code for ran in cluster.runs}
        assert set(declared.exits) <= shown, f"declared exit codes {declared.exits}, shown {shown}"
        told = {d["code"] for ran in cluster.runs for d in ran.document.get("diagnostics", ())}
        assert set(declared.codes) <= told, f"declared codes {declared.codes}, told {told}"
    return result
