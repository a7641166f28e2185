"""The frame around what a host said: records of `NONCE key length`, then that many bytes.

The nonce is new in each run, so text that a login script prints before, or
that a file on the host holds, cannot be taken for a record. A shell that
counts characters instead of bytes is read all the same: where the length
does not fit, the next line that starts with the nonce ends the value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: A transcript that is longer is not looked at; the script itself stays far below.
LIMIT = 256 * 1024

#: No record of the script is longer (the collected small files are the longest).
VALUE_LIMIT = 65536 + 64

_MOST_RECORDS = 512


@dataclass(frozen=True, slots=True)
class Transcript:
    """The records of one run, first one wins; `complete` says that the script reached its end."""

    records: dict[str, bytes]
    complete: bool

    def text(self, key: str, limit: int = VALUE_LIMIT) -> str:
        """A record decoded without ever failing, at most `limit` characters; empty where there is none."""
        return self.records.get(key, b"")[:limit].decode("utf-8", "backslashreplace")[:limit]

    def line(self, key: str, limit: int = 256) -> str:
        """The first line of a record, stripped."""
        return first_line(self.text(key, 4096), limit)


def first_line(text: str, limit: int = 256) -> str:
    """The first line of a text, stripped and clipped."""
    return text.strip().split("\n", 1)[0].strip()[:limit]


def read(raw: bytes, nonce: str) -> Transcript | None:
    """Take the frame apart; `None` when no record of this nonce is in it."""
    raw = raw[:LIMIT]
    mark = nonce.encode("utf-8", "backslashreplace")
    if not mark or b"\n" in mark:
        return None
    header = re.compile(rb"(?:^|(?<=\n))" + re.escape(mark) + rb" ([A-Za-z0-9_.:/-]{1,80}) (\d{1,7})\n")
    records: dict[str, bytes] = {}
    match = header.search(raw)
    if match is None:
        return None
    while match is not None and len(records) < _MOST_RECORDS:
        start = match.end()
        end = start + int(match[2])
        following = None if raw[end : end + 1] != b"\n" else header.match(raw, end + 1)
        if following is None:
            following = header.search(raw, start)
            end = following.start() - 1 if following else min(end, len(raw))
        records.setdefault(match[1].decode(), raw[start : max(start, end)][:VALUE_LIMIT])
        match = following
    return Transcript(records, complete="begin" in records and "end" in records)
