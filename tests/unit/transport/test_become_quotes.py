"""What a host says is quoted, and a password that it repeats is not, wherever the quotation is cut."""

from __future__ import annotations

import asyncio

import pytest

from sealboot.model.host import BecomeSettings, Host
from sealboot.model.secret import Secret, SecretRef
from sealboot.transport.become import Become
from sealboot.transport.channel import Conversation, Readable
from sealboot.transport.endings import QUOTED

PASSWORD = "correct horse battery"


class Pipe:
    """A channel whose host answers the password with `said`, and hangs up."""

    def __init__(self, talk: Conversation, said: bytes) -> None:
        self._talk, self._said = talk, said
        self.wrote: list[bytes] = []

    def write(self, data: bytes | memoryview) -> None:
        self.wrote.append(bytes(data))
        if len(self.wrote) == 1:
            self._talk.received(f"[sb-{self._talk.nonce}]".encode(), error=True)
        else:
            self._talk.received(self._said, error=True)
            self._talk.ended(None)

    def feed(self, source: Readable, offset: int) -> int | None:
        raise AssertionError(source, offset)

    def write_eof(self) -> None:
        raise AssertionError

    def backlog(self) -> int:
        return 0

    def close(self) -> None:
        raise AssertionError


@pytest.mark.parametrize("cut", range(len(PASSWORD) + 1))
async def test_a_password_at_the_end_of_the_quotation(cut: int) -> None:
    host = Host("h", "10.0.0.1", "node", become=BecomeSettings(password_from=SecretRef("env", "A")))
    talk = Conversation(4096)
    prompt = len(f"[sb-{talk.nonce}]")
    filler = b"." * (QUOTED - prompt - len("Sorry, try again ") - cut)
    pipe = Pipe(talk, b"Sorry, try again " + filler + PASSWORD.encode() + b" was wrong")
    async with asyncio.timeout(10):
        found = await Become(host, "ops", lambda _: Secret(PASSWORD)).ascend(talk, pipe)
    assert found is not None
    assert found.code == "SB303"
    assert pipe.wrote[1:] == [PASSWORD.encode() + b"\n"]
    said = dict(found.evidence)["sudo"]
    assert not any(PASSWORD[:n] in said for n in range(3, len(PASSWORD)))
