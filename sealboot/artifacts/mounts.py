"""On which kind of file system an open file lies, and how long the kernel may keep writes in memory (Linux, proc(5))."""

from __future__ import annotations

from functools import cache

_BOTH = ("dirty_expire_centisecs", "dirty_writeback_centisecs")


def filesystem_of(handle: int) -> str:
    """`ext4`, say; empty where it cannot be told. By the mount that the file was opened through, not by a path."""
    try:
        with open(f"/proc/self/fdinfo/{handle}", encoding="ascii") as file:  # noqa: PTH123 (proc, and often)
            number = next((line.split()[1] for line in file if line.startswith("mnt_id:")), "")
    except (OSError, ValueError, IndexError):
        return ""
    return _mounts().get(number) or _mounts(again=True).get(number, "")


@cache
def _mounts(*, again: bool = False) -> dict[str, str]:
    """File system types by mount number; read once more for a number that appeared since."""
    del again
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 (proc)
            rows = [line.split(" ") for line in file]
        return {row[0]: row[row.index("-") + 1] for row in rows}
    except (OSError, ValueError, IndexError):
        return {}


@cache
def writeback_seconds() -> float:
    """Seconds after which a changed page is written to the disk; very many where that is switched off or unknown."""
    try:
        values = []
        for name in _BOTH:
            with open(f"/proc/sys/vm/{name}", encoding="ascii") as file:  # noqa: PTH123 (proc)
                values.append(int(file.read()))
    except (OSError, ValueError):
        return 1e9
    return sum(values) / 100 if values[1] else 1e9
