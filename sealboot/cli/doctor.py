"""`sealboot doctor`: is this machine fit to run sealboot?"""

from __future__ import annotations

from sealboot.cli.options import Remote, takes


@takes(Remote)
def doctor(options: Remote) -> None:
    """Check this machine.

    Python, libraries, agent, trust files, limits, drivers, inventory. Connects to no host.
    """
    from sealboot.cli import runtime
    from sealboot.cli.doctoring import examine
    from sealboot.cli.exits import Exit

    view = runtime.view_of(options)
    findings = examine(options)
    view.rows("doctor", ("CHECK", "RESULT", "DETAIL"), [(f.check, f.result, f.detail) for f in findings])
    runtime.leave(Exit.FINDINGS if any(f.result == "wrong" for f in findings) else Exit.OK)
