"""Golden files: what the program showed when a person last looked at it and found it right."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"


def assert_golden(name: str, text: str) -> None:
    """The text is what `tests/golden/NAME` holds; `UPDATE_GOLDEN=1` writes it anew."""
    path = FOLDER / name
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert path.exists(), f"{path} is missing: UPDATE_GOLDEN=1 writes it"
    assert path.read_text() == text, "if the change is wanted: UPDATE_GOLDEN=1"
