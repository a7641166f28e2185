"""binfmt_misc rules as the kernel shows them, and what kind of ELF file each one catches.

Format: Linux Documentation/admin-guide/binfmt-misc.rst. Each rule is a small
file of `key value` lines; a rule for ELF has offset 0 and a magic that holds
the class, the byte order and `e_machine`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sealboot.model.arch import Arch, arch_from_elf
from sealboot.model.facts import BinfmtHandler

#: program: an executable with an ELF header or `#!`. other: a file that is none. absent: not seen from here.
Seen: TypeAlias = Literal["program", "other", "absent"]

FOLDER = "/proc/sys/fs/binfmt_misc/"
_MOST_RULES = 128
_SEEN: Mapping[str, Seen] = {"x": "program", "n": "other"}


@dataclass(frozen=True, slots=True)
class Rule:
    """One enabled rule and what the script saw of its interpreter."""

    name: str
    interpreter: str
    flags: str
    arch: Arch | None
    seen: Seen


def rules(files: Mapping[str, tuple[str, ...]], interpreters: str) -> tuple[Rule, ...]:
    """The enabled rules among the files read, in the order of their names."""
    if files.get(FOLDER + "status", ("enabled",))[:1] != ("enabled",):
        return ()
    seen = {
        name: _SEEN.get(mark, "absent")
        for mark, _, name in (x.partition(" ") for x in interpreters.split("\n"))
    }
    found: list[Rule] = []
    for path in sorted(files):
        name = path.removeprefix(FOLDER)
        if path.startswith(FOLDER) and name not in {"status", "register"} and len(found) < _MOST_RULES:
            rule = _rule(name, files[path], seen.get(name, "absent"))
            if rule is not None:
                found.append(rule)
    return tuple(found)


def _rule(name: str, lines: tuple[str, ...], seen: Seen) -> Rule | None:
    if "enabled" not in lines:
        return None
    fields = dict(line.split(" ", 1) for line in lines if " " in line)
    arch = caught(fields.get("magic", ""), fields.get("mask", ""), fields.get("offset", "0").strip())
    flags = fields.get("flags:", "").strip()
    return Rule(name[:255], fields.get("interpreter", "").strip()[:1024], flags[:16], arch, seen)


def caught(magic: str, mask: str, offset: str = "0") -> Arch | None:
    """The kind of ELF file that a magic and mask catch; `None` where it is no rule for ELF of one machine.

    A mask may leave class and byte order open, as most kernels do that look at
    `e_machine` alone: the magic's own then tell which architecture is meant.
    """
    try:
        wanted = bytes.fromhex(magic.strip())
        bits = bytes.fromhex(mask.strip()) if mask.strip() else b"\xff" * len(wanted)
    except ValueError:
        return None
    if offset not in {"", "0"} or len(wanted) < 20 or len(bits) < 20 or wanted[:4] != b"\x7fELF":
        return None
    if any(bits[i] != 0xFF for i in (18, 19)) or wanted[4] not in {1, 2} or wanted[5] not in {1, 2}:
        return None
    endian = "little" if wanted[5] == 1 else "big"
    machine = int.from_bytes(wanted[18:20], "little" if wanted[5] == 1 else "big")
    return arch_from_elf(machine, 32 * wanted[4], endian)


def judged(rule: Rule, own: frozenset[Arch]) -> BinfmtHandler:
    """Whether a rule runs what it catches, or refuses it.

    Rules come before the kernel's own ELF loader. An interpreter that is seen
    and is no program makes execve fail with ENOEXEC, one that is absent with
    ENOENT, unless the kernel opened it at registration (flag F): then it is
    believed to be an emulator, except for a kind that the kernel runs by
    itself (`own`), for which nobody registers one.
    """
    if rule.seen == "program":
        refuses = False
    elif rule.seen == "other":
        refuses = True
    else:
        refuses = "F" not in rule.flags or rule.arch in own
    return BinfmtHandler(rule.name, rule.interpreter, rule.flags, rule.arch, refuses)
