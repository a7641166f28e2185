"""Directories that a host is made of."""

from __future__ import annotations

_AT_THE_TOP = ("bin", "boot", "dev", "etc", "home", "lib", "lib64", "opt", "proc", "root", "run", "sbin")
_FURTHER = ("srv", "sys", "tmp", "usr", "usr/bin", "usr/local", "usr/local/bin", "var", "var/lib")

#: None of these is removed, or is a place for one program's data: they are everybody's.
SYSTEM_DIRECTORIES = frozenset({"/", *(f"/{name}" for name in (*_AT_THE_TOP, *_FURTHER))})
