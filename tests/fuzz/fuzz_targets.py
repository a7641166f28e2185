"""Every parser that reads what others wrote. A new one is added to one of the four tuples."""

from __future__ import annotations

from fuzz_files import FILES
from fuzz_hosts import HOSTS
from fuzz_talos import TALOS
from fuzz_target import Target
from fuzz_texts import TEXTS

TARGETS: dict[str, Target] = {target.name: target for target in (*FILES, *TEXTS, *HOSTS, *TALOS)}
