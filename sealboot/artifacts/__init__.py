"""Bytes become artifacts.

Pure, bounded and importable alone: a hostile file yields a value, never an exception.
"""

from sealboot.artifacts.collect import collect
from sealboot.artifacts.inspect import inspect

__all__ = ["collect", "inspect"]
