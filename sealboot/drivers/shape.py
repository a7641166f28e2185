"""How a small file with secrets is compared before its secrets are known: by everything that is not one."""

from __future__ import annotations

import re
import shlex

from sealboot.model.steps import ABSENT

_SECRET = re.compile(r"\{\{ secret\.(\w+) \}\}")


def shape_check(dest: str, content: str, mode: int, secrets: tuple[str, ...]) -> str:
    """A script that succeeds when `dest` is `content` with something in place of every secret.

    It exits with `ABSENT` where nothing is there.
    A `case` pattern: the known text is quoted, each secret is `?*`. The dot
    after the text keeps trailing newlines, which `$(...)` would drop.
    """
    pattern, position = "", 0
    for match in _SECRET.finditer(content):
        if match[1] not in secrets:
            continue
        known = content[position : match.start()]
        pattern += (shlex.quote(known) if known else "") + "?*"
        position = match.end()
    pattern += shlex.quote(content[position:] + ".")
    quoted = shlex.quote(dest)
    return (
        f"[ -e {quoted} ] || [ -L {quoted} ] || exit {ABSENT}\n"
        f"[ -f {quoted} ] && [ ! -L {quoted} ] || exit 1\n"
        f'[ "$(stat -c %a {quoted})" = {mode:o} ] || exit 1\n'
        f"text=$(cat {quoted} && printf .) || exit 1\n"
        f'case "$text" in {pattern}) exit 0 ;; esac\nexit 1\n'
    )
