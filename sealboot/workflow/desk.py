"""The operator's own machine as a place where steps are done."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from sealboot.engine.desk import Desk
from sealboot.model.host import BecomeSettings, Host
from sealboot.transport.base import Session
from sealboot.transport.local import LocalSession


def desk() -> Desk:
    """Steps here run as whoever runs this process: becoming root is for hosts.

    Locks and journals lie in the user's state folder (XDG Base Directory Specification).
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if state.startswith("/") else Path.home() / ".local/state"
    return Desk(_session, base / "sealboot/desk")


def _session(host: Host) -> Session:
    return LocalSession(replace(host, become=BecomeSettings(method="none")))
