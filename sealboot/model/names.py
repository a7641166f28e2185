"""Host patterns: ranges such as `pi[01,03-04]`, their folding, and limit expressions."""

from __future__ import annotations

import difflib
import itertools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Host

#: One pattern never means more names than this; `n[1-999999999]` is refused before anything is made.
MAXIMUM_NAMES = 65_536

_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_ITEM = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?", re.ASCII)
_LAST_NUMBER = re.compile(r"(.*?)(\d{1,9})(\D*)", re.ASCII | re.DOTALL)
_COMMA_OUTSIDE = re.compile(r",(?![^\[\]]*\])")


@dataclass(frozen=True, slots=True)
class _Run:
    """An ascending range with the digits its first number is padded to."""

    first: int
    last: int
    width: int

    def __len__(self) -> int:
        return self.last - self.first + 1

    def texts(self) -> list[str]:
        return [str(n).zfill(self.width) for n in range(self.first, self.last + 1)]


def is_pattern(text: str) -> bool:
    """Whether `text` has brackets that hold numbers: `pi[01-04]`, but not `[fe80::1]`."""
    return any(re.fullmatch(r"[\d,\- ]*", inner, re.ASCII) for inner in _BRACKETS.findall(text))


def expand(pattern: str) -> tuple[str, ...]:
    """The names that a pattern means, in the order written: `pi[01,03-04]` is pi01, pi03, pi04.

    Numbers keep the padding of a range's first number; several brackets
    multiply. A text without brackets means itself. Raises `ValueError`, whose
    text says what is wrong, for unbalanced brackets, ranges that run
    backwards or change their padding, and more than `MAXIMUM_NAMES` names.
    """
    pieces = _BRACKETS.split(pattern)
    if any(c in piece for piece in pieces[::2] for c in "[]"):
        raise ValueError("the brackets do not match up")
    groups = [_runs(inner) for inner in pieces[1::2]]
    if math.prod(sum(len(run) for run in runs) for runs in groups) > MAXIMUM_NAMES:
        raise ValueError(f"it means more than {MAXIMUM_NAMES} names")
    choices: list[list[str]] = [[pieces[0]]]
    for runs, literal in zip(groups, pieces[2::2], strict=True):
        choices += [[text for run in runs for text in run.texts()], [literal]]
    return tuple("".join(parts) for parts in itertools.product(*choices))


def _runs(inner: str) -> list[_Run]:
    runs = []
    for item in inner.split(","):
        match = _ITEM.fullmatch(item.strip())
        if match is None:
            raise ValueError(f"[{inner}] is not a list of numbers and ranges such as [01,03-04]")
        first, last = match[1], match[2] or match[1]
        if int(last) < int(first):
            raise ValueError(f"the range {first}-{last} runs backwards")
        if last != str(int(last)).zfill(len(first)):
            raise ValueError(f"the range {first}-{last} changes its number of digits")
        runs.append(_Run(int(first), int(last), len(first)))
    return runs


def fold(names: Iterable[str]) -> str:
    """The shortest pattern list for these names, groups in order of first appearance: `ctl1,pi[01-04,07]`.

    The inverse of `split` and `expand` but for order and repetition. Names that
    already hold brackets or commas are left as they are.
    """
    groups: dict[tuple[str, str], dict[str, None]] = {}
    for name in names:
        match = None if any(c in name for c in "[],") else _LAST_NUMBER.fullmatch(name)
        key = (match[1], match[3]) if match else (name, "")
        groups.setdefault(key, {})[match[2] if match else ""] = None
    return ",".join(
        _fold_group(prefix, list(numbers), suffix) for (prefix, suffix), numbers in groups.items()
    )


def _fold_group(prefix: str, numbers: list[str], suffix: str) -> str:
    bare = [prefix] if "" in numbers else []
    digits = sorted((n for n in numbers if n), key=lambda n: (int(n), len(n)))
    spans: list[list[str]] = []
    for number in digits:
        if spans and number == str(int(spans[-1][1]) + 1).zfill(len(spans[-1][0])):
            spans[-1][1] = number
        else:
            spans.append([number, number])
    parts = [first if first == last else f"{first}-{last}" for first, last in spans]
    if len(digits) == 1:
        bare.append(f"{prefix}{digits[0]}{suffix}")
    elif parts:
        bare.append(f"{prefix}[{','.join(parts)}]{suffix}")
    return ",".join(bare)


def split(expression: str) -> tuple[str, ...]:
    """The parts of a list of patterns, cut at commas outside brackets; empty parts are dropped."""
    return tuple(part.strip() for part in _COMMA_OUTSIDE.split(expression) if part.strip())


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that this one most likely was meant to be, if any is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return near[0] if near else None


def select(hosts: Sequence[Host], expression: str) -> tuple[frozenset[str], tuple[Diagnostic, ...]]:
    """The names of the hosts that a limit such as `pi[01-04],!pi03,@agents` means.

    `@word` is a group or a role (its plural too), `!` takes away, and what is
    taken away stays away wherever it stands. With nothing but `!` parts, all
    other hosts are meant. A part that matches nothing is an SB016 error, and
    so is a limit that leaves nothing.
    """
    found: list[Diagnostic] = []
    include: set[str] = set()
    exclude: set[str] = set()
    parts = split(expression)
    for part in parts:
        matched = _match(hosts, part.removeprefix("!").strip())
        if isinstance(matched, Diagnostic):
            found.append(matched)
        else:
            (exclude if part.startswith("!") else include).update(matched)
    if parts and all(part.startswith("!") for part in parts):
        include = {host.name for host in hosts}
    chosen = frozenset(include - exclude)
    if not chosen and not found:
        found.append(
            Diagnostic("SB016", "the limit leaves no host", evidence=(("limit", expression),), hints=(_HINT,))
        )
    return chosen, tuple(found)


_HINT = "write host names or ranges, `@group` or `@role`, and `!` before what is to be left out"


def _match(hosts: Sequence[Host], word: str) -> set[str] | Diagnostic:
    if word.startswith("@"):
        return _match_label(hosts, word[1:])
    try:
        wanted = set(expand(word))
    except ValueError as error:
        return Diagnostic("SB016", f"the limit `{word}` is no host pattern: {error}", hints=(_HINT,))
    matched = {host.name for host in hosts if host.name in wanted}
    if matched:
        return matched
    labels = {host.role for host in hosts}.union(*(host.groups for host in hosts))
    if word in labels:
        return _nothing(word, f"`{word}` is a group or role: write `@{word}`")
    near = closest(word, (host.name for host in hosts))
    return _nothing(word, f"did you mean `{near}`?" if near else _HINT)


def _match_label(hosts: Sequence[Host], label: str) -> set[str] | Diagnostic:
    for candidate in (label, label.removesuffix("s")):
        matched = {host.name for host in hosts if candidate == host.role or candidate in host.groups}
        if matched:
            return matched
    labels = {host.role for host in hosts}.union(*(host.groups for host in hosts))
    near = closest(label, sorted(labels))
    known = ", ".join(f"@{name}" for name in sorted(labels))
    return _nothing(f"@{label}", f"did you mean `@{near}`?" if near else f"there are {known or 'no hosts'}")


def _nothing(part: str, hint: str) -> Diagnostic:
    return Diagnostic("SB016", f"`{part}` in the limit matches no host", hints=(hint,))
