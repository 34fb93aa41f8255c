"""What does a bulk stream cost those who wait? Latency of single images, alone and beside a million pairs.

    python benchmarks/interactive_latency.py --bundle camvid --engine onnxruntime --rate 2 --duration 60

The server runs in this process, as `semantic-palette serve` does. `semantic-palette loadtest images` asks for one image
at a time, at random moments (open loop), and waits for it; in every second phase another process reads a stream of
pairs of bulk priority. What the stream may cost is one batch: the one that runs when a call arrives. `extra_batches` is
by how much the 99th percentile moved, in units of the longest turn of the device while the stream ran. Where the
readers and the server share their cores with the engine, computing itself becomes slower beside the stream;
`turn_seconds_p99` of both phases shows by how much.
"""

import argparse
import asyncio
import json
import platform
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from device_idle import Clock
from serving_overhead import READER, processor_name

from semantic_palette_services.server.lifecycle import run_server
from semantic_palette_services.server.settings import SERVICE_NAMES, ServerSettings

BULK_PAIRS = 1_000_000


@asynccontextmanager
async def bulk_stream(address: str) -> AsyncIterator[None]:
    """Within the block a process reads a stream of a million pairs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", READER, address, str(BULK_PAIRS), "raw", "natural"
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def ask_for_images(address: str, arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    """The report of a load test of single images."""
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("semantic-palette")), "loadtest", "images", "--raw", "--json"),
        *("--address", address, "--rate", str(arguments.rate), "--duration", str(arguments.duration)),
        *("--warmup", str(arguments.warm_up), "--seed", str(seed)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the load test failed with exit status {process.returncode}")
    report: dict[str, Any] = json.loads(output)
    return report


async def phase(
    address: str, clock: Clock, arguments: argparse.Namespace, seed: int, *, bulk: bool
) -> dict[str, float]:
    """Latencies of one phase, and how long the device's turns took."""
    async with AsyncExitStack() as stack:
        if bulk:
            await stack.enter_async_context(bulk_stream(address))
        clock.turns.clear()
        report = await ask_for_images(address, arguments, seed)
        turns = sorted(end - start for start, end in clock.turns)
    latency = report["latency"]
    return {
        "calls": report["offered"],
        "p50": round(latency["p50"], 4),
        "p99": round(latency["p99"], 4),
        "turn_seconds_p50": round(statistics.median(turns), 4),
        "turn_seconds_p99": round(turns[int(0.99 * (len(turns) - 1))], 4),
        "turn_seconds_longest": round(turns[-1], 4),
        "client_lag_p99": round(report["client_lag_p99"], 4),
    }


async def measure(arguments: argparse.Namespace) -> dict[str, object]:
    """Run the phases in turn, and compare them."""
    settings = ServerSettings(
        services=SERVICE_NAMES,
        model_store=arguments.model_store,
        bundle=arguments.bundle,
        engine=arguments.engine,
        palette_address=None,
        layout_address=None,
        image_address=None,
        pre_stop_delay=0.0,
    )
    clock, rounds = Clock(), []
    with tempfile.TemporaryDirectory() as folder, clock.noting_turns():
        async with run_server(settings, socket=str(Path(folder) / "services.sock")) as server:
            bundle = server.bundle
            assert bundle is not None
            for seed in range(arguments.rounds):
                alone = await phase(server.address, clock, arguments, seed, bulk=False)
                beside = await phase(server.address, clock, arguments, seed, bulk=True)
                extra = (beside["p99"] - alone["p99"]) / beside["turn_seconds_longest"]
                rounds.append({"alone": alone, "beside_a_stream": beside, "extra_batches": round(extra, 3)})
    return {
        "bundle": f"{bundle.name}/{bundle.version}@{bundle.digest}",
        "size": f"{bundle.height}x{bundle.width}",
        "machine": {"processor": processor_name(), "python": platform.python_version()},
        "engines": {name: f"{m.engine.engine} {m.engine.precision}" for name, m in bundle.models.items()},
        "batch_sizes": {name: model.max_batch_size for name, model in bundle.models.items()},
        "rate": arguments.rate,
        "seconds": arguments.duration,
        "extra_batches": statistics.median(entry["extra_batches"] for entry in rounds),
        "rounds": rounds,
    }


def main() -> None:
    """Measure, print JSON, and write it where --out says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-store", type=Path, default=Path("model_store"))
    parser.add_argument("--bundle", default=None)
    parser.add_argument("--engine", default="onnxruntime")
    parser.add_argument("--rate", type=float, default=2.0)
    parser.add_argument("--duration", type=float, default=60.0)
    parser.add_argument("--warm-up", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    text = json.dumps(asyncio.run(measure(arguments)), indent=2)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
