"""Counts in sentences: `1 host is`, `2 hosts are`."""

from __future__ import annotations


def plural(count: int, noun: str) -> str:
    """`1 host`, `6 hosts`, `0 hosts`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def agree(count: int, one: str, many: str) -> str:
    """The sentence whose grammar fits the count; `{}` in it stands for the number."""
    return (one if count == 1 else many).format(count)
