"""Small programs made by real compilers, kept in the cache: each writes its name and a newline."""

from __future__ import annotations

import subprocess
from pathlib import Path

from labkit.apt import LabUnavailableError
from labkit.cache import CACHE, key, made

#: A loop over enough numbers that a compiler which may use vectors does.
_C = """\
#include <stdio.h>
#include <string.h>
static float numbers[1024];
int main(int argc, char **argv) {
  (void)argv;
  for (int i = 0; i < 1024; i++) numbers[i] = numbers[i] * 3.5f + (float)(i * argc);
  float sum = 0;
  for (int i = 0; i < 1024; i++) sum += numbers[i];
  return puts(sum > 0 ? "%s" : "wrong") < 0;
}
"""
#: More code: bytes that nothing executes.
_PADDING = (
    '__asm__(".text\\n.globl padding\\npadding: .skip %d\\n"); extern char padding[]; char *keep = padding;\n'
)


def says(name: str) -> bytes:
    """What the program `name` writes when all of it runs."""
    return name.encode() + b"\n"


def c_program(name: str, compiler: str, *flags: str, padding: int = 0) -> Path:
    """A C program that `compiler` makes with `flags`; raises `LabUnavailableError` where it cannot.

    `padding` is a number of bytes by which its code is longer.
    """
    source = _C % name + (_PADDING % padding if padding else "")

    def make(part: Path) -> None:
        _run([compiler, "-O3", *flags, "-x", "c", "-", "-o", str(part)], source)

    return made(CACHE / "compiled" / f"{name}-{key(compiler, flags, source)}", make)


def _run(argv: list[str], text: str = "") -> None:
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise LabUnavailableError(f"{argv[0]} is missing: scripts/lab-prepare slow") from error
    if done.returncode:
        raise LabUnavailableError(f"{' '.join(argv)}: {done.stderr.strip()[-600:]}")
