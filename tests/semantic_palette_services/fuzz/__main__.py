"""`python -m fuzz`: fuzz for some minutes, or send one request again."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from fuzz.calls import channel_to, make_call
from fuzz.cases import Case
from fuzz.runner import fuzz
from fuzz.servers import SERVERS, Target, targets
from fuzz.verdict import faults


def main() -> int:
    """Run it; 1 where something was wrong."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long (default 5)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the cases (default: the time)")
    parser.add_argument("--method", default="", help="only methods whose path has this in it")
    parser.add_argument("--replay", metavar="HEX|FILE", help="send this request to --method, and nothing else")
    parser.add_argument("--server", default="everything", choices=SERVERS, help="which server is sent it")
    parser.add_argument("--failures", type=Path, default=Path("build/fuzz"), help="where requests that fail are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, targets(Path(folder)) as servers:
        for server in servers:
            server.methods = [method for method in server.methods if options.method in method.path]
        wanted = SERVERS if options.replay is None else (options.server,)
        chosen = [server for server in servers if server.methods and server.name in wanted]
        if not chosen:
            parser.error(f"no method of {', '.join(wanted)} has {options.method!r} in its path")
        if options.replay is not None:
            return asyncio.run(_replay(chosen[0], options.replay))
        print(f"seed {options.seed}", flush=True)
        report = asyncio.run(fuzz(chosen, options.seed, options.minutes * 60, 1, options.failures))
    print("\n".join(report.lines()))
    return 1 if report.failures else 0


async def _replay(target: Target, request: str) -> int:
    data = Path(request).read_bytes() if Path(request).is_file() else bytes.fromhex(request)
    case = Case("replay", target.methods[0], data)
    await target.settle()
    async with channel_to(target.address) as channel:
        outcome = await make_call(target.address, channel, case, target.metadata)
    code = "left" if outcome.code is None else outcome.code.name
    print(
        f"{case.method.path}: {code} after {outcome.seconds:.2f} s, {len(outcome.answers)} answers. {outcome.details}"
    )
    found = faults(case, outcome) + await target.faults()
    print("\n".join(found) or "nothing is wrong")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
