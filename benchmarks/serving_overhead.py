"""What does serving cost? Pairs a second through gRPC against a plain loop over the same engines, in one run.

    python benchmarks/serving_overhead.py --bundle camvid --pairs 192 --rounds 5

The server runs in this process, all services in one event loop, as `semantic-palette serve` does. The reader is another
process that reads the stream and throws the messages away, so that what is measured is the server on what the reader
leaves of the machine. Each round runs every variant once, in turn; a ratio is the median over rounds of the ratio
within a round, because the speed of a shared machine drifts by more than what is measured.

- plain: sample palettes, draw noise, run the layout engine and the image engine batch by batch. Nothing else.
- raw, png: `FactoryService.GeneratePairs`, natural adherence, RAW or PNG answers.
- png exact: the same with integer budgets.
"""

import argparse
import asyncio
import json
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semantic_palette.noise import standard_normal
from semantic_palette_services.runtime.loaded_bundle import LoadedBundle
from semantic_palette_services.server.lifecycle import run_server
from semantic_palette_services.server.settings import SERVICE_NAMES, ServerSettings

READER = """
import sys, time, grpc
from semantic_palette.v1 import common_pb2 as c, factory_service_pb2 as f, factory_service_pb2_grpc as g
address, count, raw, exact = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "raw", sys.argv[4] == "exact"
request = f.GeneratePairsRequest(
    count=count, seed=1,
    adherence=c.ADHERENCE_EXACT if exact else c.ADHERENCE_NATURAL,
    label_encoding=c.LABEL_ENCODING_RAW if raw else c.LABEL_ENCODING_PNG,
    image_format=c.IMAGE_FORMAT_RAW if raw else c.IMAGE_FORMAT_PNG,
)
with grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", 64 << 20)]) as channel:
    grpc.channel_ready_future(channel).result(timeout=30)
    start = time.perf_counter()
    read = sum(1 for _ in g.FactoryServiceStub(channel).GeneratePairs(request))
    assert read == count, read
    print(time.perf_counter() - start)
"""


@dataclass(frozen=True)
class Variant:
    """One way to get pairs: `raw` or `png` answers, `natural` or `exact` adherence."""

    name: str
    encoding: str
    adherence: str


VARIANTS = (
    Variant("raw", "raw", "natural"),
    Variant("png", "png", "natural"),
    Variant("raw exact", "raw", "exact"),
    Variant("png exact", "png", "exact"),
)


def plain_loop(bundle: LoadedBundle, pairs: int) -> float:
    """Seconds for `pairs` pairs by calling the engines directly, at the batch sizes that the server uses."""
    layout, image = bundle.models["layout"], bundle.models["image"]
    started = time.perf_counter()
    palettes = bundle.palette_model.sample(1, 0, pairs).palettes.astype(np.float32)
    labels = np.concatenate(
        [
            layout.run_batch(
                {"z": _noise("layout", layout.latent_size, batch), "palette": palettes[batch.start : batch.stop]}
            )["labels"]
            for batch in _batches(pairs, layout.max_batch_size)
        ]
    )
    for batch in _batches(pairs, image.max_batch_size):
        image.run_batch({"labels": labels[batch.start : batch.stop], "z": _noise("image", image.latent_size, batch)})
    return time.perf_counter() - started


def _batches(count: int, size: int) -> list[range]:
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def _noise(stage: str, size: int, batch: range) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    return np.stack([standard_normal(1, index, stage, (size,)) for index in batch])


async def served(address: str, variant: Variant, pairs: int) -> float:
    """Seconds for `pairs` pairs read by another process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", READER, address, str(pairs), variant.encoding, variant.adherence,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the reader failed with exit status {process.returncode}")
    return float(output)


async def measure(arguments: argparse.Namespace) -> dict[str, object]:
    """Run all rounds and summarise them."""
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
    seconds: dict[str, list[float]] = {"plain": [], **{variant.name: [] for variant in VARIANTS}}
    with tempfile.TemporaryDirectory() as folder:
        async with run_server(settings, socket=str(Path(folder) / "services.sock")) as server:
            bundle = server.bundle
            assert bundle is not None
            await asyncio.to_thread(plain_loop, bundle, 32)
            for _ in range(arguments.rounds):
                seconds["plain"].append(await asyncio.to_thread(plain_loop, bundle, arguments.pairs))
                for variant in VARIANTS:
                    seconds[variant.name].append(await served(server.address, variant, arguments.pairs))
            engines = {name: f"{m.engine.engine} {m.engine.precision}" for name, m in bundle.models.items()}
            identity = f"{bundle.name}/{bundle.version}@{bundle.digest}"
            batch_sizes = {name: model.max_batch_size for name, model in bundle.models.items()}
    rates = {name: arguments.pairs / statistics.median(values) for name, values in seconds.items()}
    return {
        "bundle": identity,
        "size": f"{bundle.height}x{bundle.width}",
        "machine": {"processor": processor_name(), "python": platform.python_version()},
        "engines": engines,
        "batch_sizes": batch_sizes,
        "pairs": arguments.pairs,
        "rounds": arguments.rounds,
        "pairs_per_second": {name: round(rate, 2) for name, rate in rates.items()},
        "ratio_to_plain": {name: _ratios(seconds["plain"], values) for name, values in seconds.items()},
        "seconds": {name: [round(value, 3) for value in values] for name, values in seconds.items()},
    }


def _ratios(plain: list[float], served_seconds: list[float]) -> dict[str, float]:
    """Rate relative to the plain loop of the same round: median and extremes over rounds."""
    ratios = [a / b for a, b in zip(plain, served_seconds, strict=True)]
    summary = {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
    return {key: round(value, 3) for key, value in summary.items()}


def processor_name() -> str:
    """The processor as the kernel names it, with the number of cores."""
    with open("/proc/cpuinfo") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor()


def main() -> None:
    """Measure, print JSON, and write it where --out says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-store", type=Path, default=Path("model_store"))
    parser.add_argument("--bundle", default=None)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--pairs", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    text = json.dumps(asyncio.run(measure(arguments)), indent=2)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
