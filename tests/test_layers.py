"""The rooms of docs/architecture.md and the arrows between them, enforced on every import statement."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "sealboot"

#: Room -> the rooms it may import. Every room may import `model`, and itself.
ARROWS: dict[str, set[str]] = {
    "model": set(),
    "diagnostics": set(),
    "artifacts": set(),
    "fit": {"diagnostics"},
    "probe": {"diagnostics", "transport.base"},
    "checks": {"diagnostics"},
    "inventory": {"diagnostics"},
    "plan": {"diagnostics", "fit", "drivers.base"},
    "drivers": {"diagnostics", "plan", "fit", "checks"},
    "transport": {"diagnostics"},
    "engine": {"diagnostics", "plan", "transport.base", "artifacts.diskimage"},
    "render": {"diagnostics"},
    "lab": {"transport", "diagnostics"},
    "workflow": {
        "artifacts",
        "checks",
        "diagnostics",
        "drivers",
        "engine",
        "fit",
        "inventory",
        "plan",
        "probe",
        "transport",
    },
    "cli": {
        "artifacts",
        "checks",
        "diagnostics",
        "drivers",
        "engine",
        "inventory",
        "lab",
        "plan",
        "render",
        "transport",
        "workflow",
    },
}

#: Third-party libraries that only some rooms may touch.
GUARDED = {"asyncssh": {"transport", "lab"}, "elftools": {"artifacts"}, "rich": {"render"}, "typer": {"cli"}}

MODULES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Every module named in an import statement, wherever it stands (inside functions too)."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            found |= {node.module} | (
                {f"{node.module}.{a.name}" for a in node.names} if node.module == "sealboot" else set()
            )
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows(path: Path) -> None:
    relative = path.relative_to(PACKAGE)
    room = relative.parts[0].removesuffix(".py")
    if room in {"__init__", "__main__"}:
        return
    allowed = ARROWS[room] | {room, "model"}
    for name in imports(path):
        top, _, rest = name.partition(".")
        if top == "sealboot" and rest and rest != "__version__":
            ok = any(rest == arrow or rest.startswith(arrow + ".") for arrow in allowed)
            assert ok, f"{relative} imports {name}: no arrow from {room} to {rest}"
        elif top in GUARDED:
            assert room in GUARDED[top], f"{relative} imports {top}: only {sorted(GUARDED[top])} may"


def test_every_room_is_known() -> None:
    rooms = {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert rooms == set(ARROWS)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_module_is_longer_than_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
