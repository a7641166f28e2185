"""Writing the journal over servers that do not say how a script ended."""

from __future__ import annotations

from sealboot.engine.journal import Entry, write
from sealboot.engine.shell import NodePaths
from sealboot.transport.base import Result
from sealboot.transport.endings import connection_lost
from sealboot.transport.fake import FakeSession, ok

PATHS = NodePaths(state="/var/lib/sealboot/lab", lock="/var/lib/sealboot/lock")
ENTRY = Entry("run1", "install/m1/1-run", "done")
UNTOLD = Result("lost", None, diagnostic=connection_lost("m1", "the server never reported its exit status"))


async def test_a_line_whose_end_was_not_told_is_written_again() -> None:
    session = FakeSession("m1").expect("", UNTOLD).expect("", ok())
    assert await write(session, PATHS, ENTRY) is None
    first, second = session.calls
    assert first.args == second.args
    session.verify()


async def test_twice_untold_is_said() -> None:
    session = FakeSession("m1").expect("", UNTOLD, times=2)
    told = await write(session, PATHS, ENTRY)
    assert told is not None
    assert told.code == "SB506"


async def test_a_dead_connection_is_not_tried_again() -> None:
    session = FakeSession("m1")
    session.lose()
    told = await write(session, PATHS, ENTRY)
    assert told is not None
    assert told.code == "SB506"
    assert len(session.calls) == 1
