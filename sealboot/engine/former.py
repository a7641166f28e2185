"""The small text files that a plan would overwrite, read so that an operator sees what changes in them.

Read as the login user, never as root, and only what every user of the host may
read: such a file is no secret to anybody there. A plan is shown in more places
than the host, so a text that seems to hold a secret all the same is not taken
over. What is that, larger, or no text is told as such.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from sealboot.engine.checking import effective_check
from sealboot.engine.shell import nonce, quoted
from sealboot.model.plan import Action, Before, PlannedStep
from sealboot.model.steps import FileIs, WriteFile
from sealboot.transport.base import Session

#: Bytes of a file that is read; a configuration is smaller, and what is larger nobody compares by eye.
TEXT_LIMIT = 32 << 10
#: Files of one host that are read.
FILES = 64
#: Seconds for all of them.
_TIMEOUT = 60.0

# A text is framed by its size: it may hold anything, the next answer's first line included.
_FUNCTIONS = r"""
LC_ALL=C; export LC_ALL
sb_say() { printf '%s:%s:%s:%s\n' "$sb_nonce" "$1" "$2" "$3"; }
sb_text() {
  if [ -L "$2" ] || [ ! -f "$2" ]; then sb_say "$1" other ''; return; fi
  case $(stat -c %a -- "$2" 2>/dev/null) in *[4567]) ;; *) sb_say "$1" private ''; return;; esac
  if [ ! -r "$2" ]; then sb_say "$1" private ''; return; fi
  sb_size=$(wc -c <"$2") || { sb_say "$1" other ''; return; }
  sb_size=$((sb_size))
  if [ "$sb_size" -gt "$sb_limit" ]; then sb_say "$1" large "$sb_size"; return; fi
  sb_say "$1" text "$sb_size"; head -c "$sb_size" "$2"; echo
}
"""


async def former_texts(session: Session, planned: Iterable[PlannedStep]) -> Mapping[str, Before]:
    """What is in the files that these steps of one host would change, by step id.

    A host that does not answer is no finding here: the plan is made already, and shows less then.
    """
    steps = [step for p in planned if (step := _comparable(p)) is not None][:FILES]
    if not steps:
        return {}
    token = nonce()
    asked = "".join(f"sb_text {quoted(number, step.dest)}\n" for number, step in enumerate(steps))
    script = f"{_FUNCTIONS}sb_nonce={quoted(token)}\nsb_limit={TEXT_LIMIT}\n{asked}exit 0\n"
    limit = len(steps) * (TEXT_LIMIT + 200)
    result = await session.run(script, become=False, timeout=_TIMEOUT, limit=limit)
    if not result.ok:
        return {}
    return {steps[number].id: told for number, told in parse(result.stdout, token, len(steps)).items()}


def _comparable(planned: PlannedStep) -> WriteFile | None:
    """The step, if its file is there with other bytes; a file with secrets is never read."""
    step = planned.step
    if not isinstance(step, WriteFile) or step.secrets or planned.action is not Action.CHANGE:
        return None
    differs = isinstance(effective_check(step), FileIs) and planned.detail.startswith("sha256 ")
    return step if differs and step.on == "host" else None


def parse(data: bytes, token: str, count: int) -> dict[int, Before]:
    """The answers, by number; reading ends where the frames do not fit."""
    found: dict[int, Before] = {}
    position = 0
    while position < len(data):
        line, newline, _ = data[position:].partition(b"\n")
        parts = line.decode("ascii", "replace").split(":")
        if not newline or len(parts) != 4 or parts[0] != token or not _below(parts[1], count):
            break
        position += len(line) + 1
        number, word, size = int(parts[1]), parts[2], parts[3]
        if word == "text":
            if not _below(size, TEXT_LIMIT + 1):
                break
            end = position + int(size)
            if data[end : end + 1] != b"\n":
                break
            found[number] = _as_text(data[position:end])
            position = end + 1
        elif word == "large" and _below(size, 1 << 62):
            found[number] = Before(why=f"it has {size} bytes")
        else:
            found[number] = Before(why=_WHY.get(word, ""))
    return found


_WHY = {"private": "not every user of the host may read it", "other": "it is not a regular file any more"}


def _below(text: str, limit: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20 and int(text) < limit


#: A setting that is named as secrets are and has a value that is no path and no place-holder; a private
#: key; a password in a URL.
_SECRETS = re.compile(
    r"(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key)(?![\w.-])[\"']?\s{0,4}[:=]\s{0,4}[\"']?[^\s\"'/{$]"
    r"|--[\w-]{0,40}(?:passw(?:or)?d|secret|token)\s{1,4}[^\s/{$-]"
    r"|-----BEGIN [A-Z ]{0,40}PRIVATE KEY"
    r"|://[^\s/:@]{1,200}:[^\s/@]{1,200}@",
    re.IGNORECASE,
)


def _as_text(data: bytes) -> Before:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return Before(why="it is no text")
    if "\0" in text:
        return Before(why="it is no text")
    return Before(why="it seems to hold a secret") if _SECRETS.search(text) else Before(text)
