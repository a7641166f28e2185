"""What will this kernel do with this file, and will this machine boot it? Pure functions of an artifact and facts."""

from sealboot.fit.boot import judge_boot
from sealboot.fit.judge import judge

__all__ = ["judge", "judge_boot"]
