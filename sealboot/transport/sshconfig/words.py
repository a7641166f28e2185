"""One line of ssh_config: its keyword, its words, its patterns and its values, as OpenSSH takes them apart."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence

# After the keyword stands white space, or one `=` with or without white space around it (`strdelim`).
_KEYWORD = re.compile(r'[ \t]*(?P<keyword>[^\s="]+)(?:[ \t]*=[ \t]*|[ \t]+|$)(?P<rest>.*)', re.DOTALL)
# Each number but the last has its unit: with an optional one, a row of digits could be cut in 2^n ways.
_TIME = re.compile(r"(?:\d+[smhdw])*\d+[smhdw]?", re.ASCII | re.IGNORECASE)
_PORT = re.compile(r"\+?0{0,9}[1-9][0-9]{0,4}")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def keyword_of(line: str) -> tuple[str, str] | None:
    """The keyword in lower case and all that follows; `None` for an empty line and a comment."""
    line = line.rstrip(" \t\r\n\f")
    stripped = line.lstrip(" \t\r\n")
    if not stripped or stripped.startswith("#"):
        return None
    parts = _KEYWORD.fullmatch(line)
    return (parts["keyword"].lower(), parts["rest"]) if parts else (stripped.split()[0].lower(), "")


def split(text: str) -> list[str] | None:
    """The words of a line, without a comment that ends it; `None` where a quote stays open.

    A backslash takes away the meaning of a quote, of another backslash and,
    outside quotes, of a blank; before anything else it stands for itself
    (`argv_split`). A `#` begins a comment only where a word would begin.
    """
    words: list[str] = []
    at, end = 0, len(text)
    while at < end:
        if text[at] in " \t":
            at += 1
            continue
        if text[at] == "#":
            break
        word, quote = [], ""
        while at < end and (quote or text[at] not in " \t"):
            char, following = text[at], text[at + 1 : at + 2]
            if char == "\\" and following and (following in "'\"\\" or (not quote and following == " ")):
                word.append(following)
                at += 1
            elif not quote and char in "'\"":
                quote = char
            elif char == quote:
                quote = ""
            else:
                word.append(char)
            at += 1
        if quote:
            return None
        words.append("".join(word))
    return words


def fits(pattern: str, text: str) -> bool:
    """Whether a pattern of `*` and `?` describes the whole text; upper and lower case differ."""
    at = place = 0
    star, retry = -1, 0
    while at < len(text):
        if place < len(pattern) and pattern[place] == "*":
            star, retry = place, at
            place += 1
        elif place < len(pattern) and pattern[place] in ("?", text[at]):
            at += 1
            place += 1
        elif star >= 0:
            retry += 1
            at, place = retry, star + 1
        else:
            return False
    return not pattern[place:].strip("*")


def host_line_fits(patterns: Sequence[str], alias: str) -> bool:
    """Whether a `Host` line is for this alias: one pattern fits, and no negated one does.

    Commas have no meaning here, and case counts (`oHost` in `readconf.c`).
    """
    found = False
    for pattern in patterns:
        if fits(pattern.removeprefix("!"), alias):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def list_fits(patterns: str, text: str) -> bool:
    """Whether a list `a,b*,!c` fits, as in `Match user` (`match_pattern_list`)."""
    return host_line_fits(patterns.split(","), text)


def parse_time(text: str) -> int | None:
    """Seconds of an sshd_config(5) time (`90`, `5s`, `1h30m`); `None` when it is none."""
    if not _TIME.fullmatch(text):
        return None
    return sum(int(n) * _UNITS[unit.lower()] for n, unit in re.findall(r"(\d{1,9})([smhdwSMHDW]?)", text))


def parse_port(text: str) -> int | None:
    """A port's number, or that of a service's name; `None` when it is neither (`a2port`)."""
    if _PORT.fullmatch(text):
        return int(text) if int(text) < 1 << 16 else None
    try:
        return socket.getservbyname(text, "tcp") if len(text) < 64 else None
    except (OSError, UnicodeError, ValueError):
        return None


def parse_flag(text: str) -> bool | None:
    """`yes` or `no`, `true` or `false`; `None` when it is none of them."""
    return {"yes": True, "true": True, "no": False, "false": False}.get(text.lower())
