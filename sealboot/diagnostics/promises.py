"""What no flag and no inventory setting covers."""

from __future__ import annotations

#: A file of the wrong machine never goes live; a host whose key is not proven is never trusted; a file that
#: was to be verified and is not is never used: who wants that deletes the setting that asks for it.
NEVER_IGNORED = frozenset({"SB101", "SB202", "SB203", "SB206", "SB207", "SB406"})
