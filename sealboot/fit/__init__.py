"""What will this kernel do with this file? A pure function of an artifact and a host's facts."""

from sealboot.fit.judge import judge

__all__ = ["judge"]
