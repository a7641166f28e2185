"""The child of `hostile_kit.look`: inspects files within limits and prints what came of it as JSON.

`watched.py MEMORY DEEP NAME...`
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from guard_kit import confine, peak

from sealboot.artifacts.inspect import inspect
from sealboot.model.report import InspectReport
from sealboot.render import jsondoc
from sealboot.render.view import make_view


def main() -> None:
    """Look at every file twice: as a value, and as text and JSON of it."""
    deep, names = sys.argv[2] == "1", sys.argv[3:]
    make_view("plain")
    broken = confine(int(sys.argv[1]))
    files = {}
    for name in names:
        started = time.process_time()
        found = inspect(Path(name), deep=deep)
        report = InspectReport((found,))
        jsondoc.dump(jsondoc.inspected(report))
        make_view("plain").inspected(report)
        files[name] = {
            "codes": [d.code for d in found.diagnostics],
            "kind": str(found.kind),
            "platforms": list(found.platforms),
            "offsets": [value for d in found.diagnostics for key, value in d.evidence if key == "offset"],
            "seconds": time.process_time() - started,
        }
    sys.stdout.write(json.dumps({"files": files, "peak": peak(), "broken": broken()}))


if __name__ == "__main__":
    main()
