"""What a host is: one POSIX script out, one transcript back, and a pure parser that makes `Facts` of it."""

from sealboot.probe.compose import BASE_TOOLS, Wanted, compose
from sealboot.probe.gather import gather
from sealboot.probe.parse import parse

__all__ = ["BASE_TOOLS", "Wanted", "compose", "gather", "parse"]
