"""The userland: a dynamic file's loader, and the symbol versions of the C library it wants."""

from __future__ import annotations

import re

from sealboot.fit.case import Case, Reason, describe_file, describe_host
from sealboot.model.diagnostic import Severity

#: Where loaders live by their ABI; a probe looks exactly there. Others (/nix/store/...) it cannot know.
_STANDARD = re.compile(r"/lib(?:32|64|x32)?/ld[^/]*")
_GLIBC_LOADER = re.compile(r".*/ld(?:-linux[^/]*|64)\.so\.\d+|.*/ld\.so\.1")
_GLIBC_VERSION = re.compile(r"GLIBC_(\d+(?:\.\d+)+)")


def loader(case: Case) -> Reason | None:
    """SB107, or SB102 where a 64-bit file meets a 32-bit userland; a warning when nobody knows."""
    path = case.elf.interpreter
    facts = case.facts
    if path is None or path in facts.libc.loaders:
        return None
    if not path.startswith("/"):
        return _unsure(case, path, "depends on the directory it is started from")
    if not _STANDARD.fullmatch(path) or not _loaders_known(case):
        return _unsure(case, path, "was not looked for")
    userland = facts.userland_arch
    if userland is not None and userland.info.bits < case.arch.info.bits and case.native:
        return Reason(
            "SB102",
            f"binary cannot run on {facts.host}: its userland is {userland.info.bits}-bit",
            f"{describe_file(case.artifact)}, dynamic ({path})",
            describe_host(facts),
            (f"use a static build, or the build for {userland.both_names}",),
        )
    return Reason(
        "SB107",
        f"binary cannot run on {facts.host}: its loader {path} is not there",
        f"{describe_file(case.artifact)}, needs {path}",
        _host_libc(case),
        (_loader_hint(case, path),),
    )


def _loaders_known(case: Case) -> bool:
    libc = case.facts.libc
    return bool(libc.loaders) or libc.kind == "none"


def _unsure(case: Case, path: str, why: str) -> Reason:
    return Reason(
        "SB107",
        f"whether the loader {path} is on {case.facts.host} is not known",
        f"{describe_file(case.artifact)}, needs {path}",
        f"{_host_libc(case)}; {path} {why}",
        ("a static build needs no loader",),
        Severity.WARNING,
    )


def _host_libc(case: Case) -> str:
    libc = case.facts.libc
    version = " " + ".".join(map(str, libc.version)) if libc.version else ""
    names = {"none": "no C library", "unknown": "unknown C library"}
    have = ", ".join(sorted(libc.loaders)) or "no loader known"
    return f"{names.get(libc.kind, libc.kind)}{version} ({have})"


def _loader_hint(case: Case, path: str) -> str:
    if not case.own_userland:
        return f"use a static build, or install the {case.arch.value} C library on the host"
    if "musl" in path:
        return "use a static or a glibc build"
    if case.facts.libc.kind == "musl":
        return "use a static or a musl build: glibc programs do not run on this distribution"
    return "use a static build, or install the C library it was built for"


def libc_version(case: Case) -> Reason | None:
    """SB108: the file binds to symbols of a newer glibc than the host has."""
    libc = case.facts.libc
    if not case.elf.interpreter or not _GLIBC_LOADER.fullmatch(case.elf.interpreter):
        return None
    if not case.own_userland or libc.kind != "glibc" or libc.version is None:
        return None
    wanted = newest_glibc(case.elf.symbol_versions)
    if wanted is None or libc.version >= wanted:
        return None
    text, have = ".".join(map(str, wanted)), ".".join(map(str, libc.version))
    return Reason(
        "SB108",
        f"binary needs a newer C library than {case.facts.host} has",
        f"{describe_file(case.artifact)}, needs GLIBC_{text}",
        f"glibc {have}",
        (f"use a static build, or one made on a system with glibc {have} or older",),
    )


def newest_glibc(versions: tuple[str, ...]) -> tuple[int, ...] | None:
    """The highest `GLIBC_x.y` among symbol versions; `GLIBC_PRIVATE` and other libraries' do not count."""
    matches = (_GLIBC_VERSION.fullmatch(version) for version in versions)
    return max((tuple(int(n) for n in m[1].split(".")[:4]) for m in matches if m), default=None)
