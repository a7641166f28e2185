"""Whether hosts are ready: pure functions from values to diagnostics, one code and one page for each."""

from sealboot.checks.ignore import apply_ignores
from sealboot.checks.run import run_all
from sealboot.checks.space import Load, shipped

__all__ = ["Load", "apply_ignores", "run_all", "shipped"]
