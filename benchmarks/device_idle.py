"""How long does the device idle while a stream of pairs is made? One stream, RAW answers.

    python benchmarks/device_idle.py --bundle camvid --engine onnxruntime --pairs 400

The server runs in this process, as `semantic-palette serve` does; the reader is another process that throws the
messages away. What the first `--warm-up` pairs need is left out, and so is as much at the end of the stream, when less
than a window of pairs is left.

- busy: a turn of the device's thread: forming a batch, stacking its inputs, the engine, splitting its outputs.
- engine: the call of the engine alone. What a turn has beside it the device could have computed in.
- idle: the time between two turns, when the thread had nothing to do or waited for Python's lock.
"""

import argparse
import asyncio
import itertools
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serving_overhead import Variant, processor_name, served

from semantic_palette_services.runtime.batch_source import BatchSource
from semantic_palette_services.runtime.loaded_bundle import LoadedBundle
from semantic_palette_services.server.lifecycle import run_server
from semantic_palette_services.server.settings import SERVICE_NAMES, ServerSettings

Interval = tuple[float, float]


class Clock:
    """Notes down when calls of the device's thread begin and end."""

    def __init__(self) -> None:
        self.turns: list[Interval] = []
        self.runs: list[Interval] = []

    def noting(self, call: Callable[..., Any], intervals: list[Interval]) -> Callable[..., Any]:
        """``call``, whose times are added to ``intervals``."""

        def noted(*args: Any) -> Any:
            started = time.perf_counter()
            try:
                return call(*args)
            finally:
                intervals.append((started, time.perf_counter()))

        return noted

    @contextmanager
    def noting_turns(self) -> Iterator[None]:
        """Note down every turn of a device that a batcher has within the block."""
        original = BatchSource.run_turn
        BatchSource.run_turn = self.noting(original, self.turns)  # type: ignore[method-assign]
        try:
            yield
        finally:
            BatchSource.run_turn = original  # type: ignore[method-assign]

    def watch(self, bundle: LoadedBundle) -> None:
        """Note down every run of the engines of a bundle's models."""
        for model in bundle.models.values():
            engine: Any = model._selection.engine
            engine.run = self.noting(engine.run, self.runs)

    def summary(self, first: float, last: float) -> dict[str, float]:
        """Shares of the time between two moments, and what lies between turns, in milliseconds."""
        turns = [(start, end) for start, end in self.turns if start >= first and end <= last]
        runs = [(start, end) for start, end in self.runs if start >= first and end <= last]
        wall = turns[-1][1] - turns[0][0]
        gaps = [start - end for (_, end), (start, _) in itertools.pairwise(turns)]
        busy, computing = (sum(end - start for start, end in intervals) for intervals in (turns, runs))
        return {
            "seconds": round(wall, 3),
            "turns": len(turns),
            "idle_share": round(1.0 - busy / wall, 4),
            "engine_share": round(computing / wall, 4),
            "median_gap_ms": round(1e3 * statistics.median(gaps), 3),
            "longest_gap_ms": round(1e3 * max(gaps), 3),
            "turn_overhead_ms": round(1e3 * (busy - computing) / len(turns), 3),
        }


async def measure(arguments: argparse.Namespace) -> dict[str, object]:
    """Run all rounds and summarise them."""
    settings = ServerSettings(
        services=SERVICE_NAMES,
        model_store=arguments.model_store,
        bundle=arguments.bundle,
        engine=arguments.engine,
        engine_threads=arguments.threads,
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
            clock.watch(bundle)
            for _ in range(arguments.rounds):
                rounds.append(await one_round(server.address, clock, arguments))
    return {
        "bundle": f"{bundle.name}/{bundle.version}@{bundle.digest}",
        "size": f"{bundle.height}x{bundle.width}",
        "machine": {"processor": processor_name(), "python": platform.python_version()},
        "engines": {name: f"{m.engine.engine} {m.engine.precision}" for name, m in bundle.models.items()},
        "batch_sizes": {name: model.max_batch_size for name, model in bundle.models.items()},
        "adherence": arguments.adherence,
        "pairs": arguments.pairs,
        "idle_share": statistics.median(entry["idle_share"] for entry in rounds),
        "rounds": rounds,
    }


async def one_round(address: str, clock: Clock, arguments: argparse.Namespace) -> dict[str, float]:
    """One stream, and what the device did meanwhile, without the beginning and the end of it."""
    warm_up, pairs = arguments.warm_up, arguments.pairs
    clock.turns.clear()
    clock.runs.clear()
    seconds = await served(address, Variant("raw", "raw", arguments.adherence), warm_up + pairs)
    started, ended = clock.turns[0][0], clock.turns[-1][1]
    a_pair = (ended - started) / (warm_up + pairs)
    summary = clock.summary(started + warm_up * a_pair, ended - warm_up * a_pair)
    return summary | {"pairs_per_second": round((warm_up + pairs) / seconds, 2)}


def main() -> None:
    """Measure, print JSON, and write it where --out says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-store", type=Path, default=Path("model_store"))
    parser.add_argument("--bundle", default=None)
    parser.add_argument("--engine", default="onnxruntime")
    parser.add_argument("--adherence", choices=["natural", "exact"], default="natural")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--warm-up", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    text = json.dumps(asyncio.run(measure(arguments)), indent=2)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
