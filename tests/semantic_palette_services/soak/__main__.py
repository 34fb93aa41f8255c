"""`python -m soak`: mixed load with faults for some minutes; prints a report as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from soak.run import Options, soak


def main() -> int:
    """Run it; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the load and the faults (default 0)")
    parser.add_argument("--report", type=Path, help="where to write the report as well")
    parser.add_argument("--keep", type=Path, help="a folder for bundles and logs, which is kept")
    options = parser.parse_args()
    seconds = options.minutes * 60
    chosen = Options(seconds=seconds, warm_up=min(30.0, seconds / 5), seed=options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        report = asyncio.run(soak(folder, chosen))
    text = json.dumps(report, indent=2)
    print(text)
    if options.report is not None:
        options.report.write_text(text + "\n", encoding="utf-8")
    return 1 if report["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
