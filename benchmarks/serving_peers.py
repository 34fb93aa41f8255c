"""How do other servers serve the same model? Saturation, latency, memory, idle cost, cancelled and invalid calls.

    python benchmarks/serving_peers.py --install                   # environments of the peers, in build/peers
    python benchmarks/serving_peers.py --out benchmarks/results/today.json
    python benchmarks/serving_peers.py --summarise benchmarks/results/today.json --plot docs/images/serving_peers.svg

Every server runs the image model of the bundle in ONNX Runtime with the same number of threads, gets the same inputs
and has to give the same images; `auto` is ours with the engine that it chooses. The client is
`semantic_palette.loadtest`: open loop, Poisson arrivals, the same seeds for all. Rounds run the servers in turn, one at
a time, so that a machine that drifts drifts for all; compare within a round. A peer that cannot run is reported with
its last words.

What is done to each: see `measure_round` and `measure_once`. What each was set to: `peers/`, and "settings" in the
result.
"""

import argparse
import asyncio
import datetime
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from peers.base import Peer, Task
from peers.environments import PeerError, environment_of, install
from peers.litserve import LitServe
from peers.mlserver import MLServer
from peers.ours import SemanticPalette
from peers.plot import chart
from peers.process import busy_seconds
from peers.ray_serve import RayServe
from peers.running import Running, running
from peers.summary import tables
from peers.torchserve import TorchServe
from peers.triton import Triton

from semantic_palette.loadtest import find_saturation
from semantic_palette.manifest import Manifest
from semantic_palette.noise import standard_normal

LEVELS = (0.3, 0.7, 1.0, 1.5)
"""Loads, as shares of the rate at which the server saturated in the same round."""
CANCELS, POISON = 0.2, 0.05


@dataclass(frozen=True, slots=True)
class Plan:
    """How long everything takes; `seconds` is the length of a level."""

    rounds: int
    seconds: float
    seed: int
    first_rate: float
    work: Path | None

    @property
    def idle_seconds(self) -> float:
        return min(10.0, 2 * self.seconds)


async def measure_round(server: Running, plan: Plan, number: int) -> dict[str, Any]:
    """Saturation, then every level; 70 %, whose p99 is what matters, takes twice as long."""
    deadline, seed = server.task.deadline, plan.seed + 100 * number
    busy, own, client, started = busy_seconds(), server.tree.cpu_seconds(), time.process_time(), time.monotonic()
    found = await find_saturation(
        lambda rate: server.load(rate, 0.6 * plan.seconds, seed, deadline=deadline),
        start=plan.first_rate,
        growth=1.4,
        bisections=3,
        max_steps=9,
    )
    await server.settle()
    levels = {}
    for level in LEVELS:
        seconds = plan.seconds * (2 if level == 0.7 else 1)
        before = server.tree.cpu_seconds()
        report = await server.load(level * found.rate, seconds, seed + 1, deadline=deadline)
        answered = max(1, report.statuses.get("OK", 0))
        cpu = (server.tree.cpu_seconds() - before) / answered
        levels[f"{level:.0%}"] = report.to_json() | {"rate": level * found.rate, "cpu_seconds_per_call": cpu}
    others = busy_seconds() - busy - (server.tree.cpu_seconds() - own) - (time.process_time() - client)
    steps = [{"rate": rate, "goodput": report.goodput} for rate, report in found.steps]
    return {
        "saturation": found.rate,
        "search": steps,
        "levels": levels,
        "ready_seconds": server.ready_seconds,
        "cores_used_by_others": max(0.0, others) / (time.monotonic() - started),
    }


async def measure_once(server: Running, plan: Plan, saturation: float) -> dict[str, Any]:
    """Memory; what cancelled and invalid calls do to others, without deadlines that would hide it."""
    memory = server.tree.memory_bytes()
    await server.settle()
    rate, seed = 0.7 * saturation, plan.seed + 7
    reports = {
        "cancels": await server.load(rate, plan.seconds, seed, deadline=None, cancel_fraction=CANCELS),
        "after_cancels": await server.load(0.3 * saturation, plan.seconds / 2, seed, deadline=None),
        "poison": await server.load(rate, plan.seconds, seed, deadline=None, poison_fraction=POISON),
        "after_poison": await server.load(0.3 * saturation, plan.seconds / 2, seed, deadline=None),
    }
    shown = {name: report.to_json() for name, report in reports.items()}
    return {"memory_bytes": memory, **shown}


async def measure_peer(peer: Peer, environment: Path, task: Task, plan: Plan, number: int) -> dict[str, Any]:
    """One round of one peer; the first also has what is measured once."""
    async with running(peer, environment, task, plan.work) as server:
        await server.load(plan.first_rate / 2, 2.0, plan.seed, deadline=None)
        idle = await server.idle_cpu(plan.idle_seconds) if number == 0 else None
        measured = await measure_round(server, plan, number)
        if number > 0:
            return {"round": measured}
        return {
            "round": measured,
            "once": {"idle_cpu": idle, **await measure_once(server, plan, measured["saturation"])},
        }


def measure_all(peers: list[Peer], environments: Path, task: Task, plan: Plan) -> Iterator[dict[str, Any]]:
    """Every round of every peer, peers in turn; yields what there is after each. One that fails is not tried again."""
    results: dict[str, Any] = {
        peer.name: {"settings": dict(peer.settings), "rounds": [], "failure": None} for peer in peers
    }
    for number in range(plan.rounds):
        for peer in peers:
            result = results[peer.name]
            if result["failure"]:
                continue
            say(f"round {number + 1} of {plan.rounds}: {peer.name} (load average {os.getloadavg()[0]:.1f})")
            try:
                environment = environment_of(peer, environments)
                measured = asyncio.run(measure_peer(peer, environment, task, plan, number))
            except (PeerError, OSError) as error:
                result["failure"] = f"{type(error).__name__}: {error}"
                say(f"  {result['failure']}")
            else:
                result["rounds"].append(measured["round"])
                result.update(measured.get("once", {}))
                say("  " + describe(measured["round"]))
            yield results


def describe(measured: dict[str, Any]) -> str:
    """One line for people."""
    parts = [f"others used {measured['cores_used_by_others']:.2f} cores", f"saturation {measured['saturation']:.1f}/s"]
    for name, level in measured["levels"].items():
        latency = level["latency"] or {"p50": float("nan"), "p99": float("nan")}
        times = f"p50 {1e3 * latency['p50']:.0f} p99 {1e3 * latency['p99']:.0f} ms"
        parts.append(f"{name}: {times}, good {level['good_fraction']:.1%}")
    return "; ".join(parts)


def make_task(model_store: Path, bundle: str, threads: int, deadline: float, count: int = 16) -> Task:
    """The image model of a bundle with its golden layouts, and what ONNX Runtime makes of them here."""
    import onnxruntime

    root = model_store / bundle
    manifest = Manifest.read(root / "manifest.json")
    entry = manifest.models["image"]
    latent = next(spec.shape[-1] for spec in entry.inputs if spec.name == "z")
    with np.load(root / "golden.npz") as golden:
        labels = golden["image/labels" if "image/labels" in golden else "labels"][:count]
    z = np.stack([standard_normal(0, index, "image", (int(latent),)) for index in range(len(labels))])
    session = onnxruntime.InferenceSession(str(root / entry.file), providers=["CPUExecutionProvider"])
    images = np.concatenate(
        [session.run(None, {"labels": labels[i : i + 1], "z": z[i : i + 1]})[0] for i in range(len(z))]
    )
    return Task(root / entry.file, labels, z, images, threads, deadline)


def machine() -> dict[str, Any]:
    """The machine that this runs on."""
    with open("/proc/cpuinfo") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return {"processor": f"{names[0]}, {len(names)} cores", "python": platform.python_version()}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Install, or measure and write JSON to --out or to standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", action="store_true", help="make the environments of the peers, and end")
    parser.add_argument("--environments", type=Path, default=Path("build/peers"))
    parser.add_argument("--python", default="python3.11", help="what the environments are made with")
    parser.add_argument("--peers", default=None, help="names that begin with one of these, separated by commas")
    parser.add_argument("--model-store", type=Path, default=Path("model_store"))
    parser.add_argument("--bundle", default="camvid/1")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--deadline", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--first-rate", type=float, default=20.0)
    parser.add_argument("--work", type=Path, default=None, help="leave the folders and logs of the servers here")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--summarise", type=Path, default=None, help="print the tables of a result, and end")
    parser.add_argument("--plot", type=Path, default=None, help="with --summarise: where to draw it, as SVG")
    arguments = parser.parse_args()
    if arguments.summarise is not None:
        summarise_result(json.loads(arguments.summarise.read_text()), arguments.plot)
        return
    peers = choose_peers(arguments)
    environments = arguments.environments.resolve()
    if arguments.install:
        for peer in peers:
            say(f"installing {peer.name}")
            install(peer, environments, arguments.python)
        return
    plan = Plan(arguments.rounds, arguments.seconds, arguments.seed, arguments.first_rate, arguments.work)
    task = make_task(arguments.model_store, arguments.bundle, arguments.threads, arguments.deadline)
    result: dict[str, Any] = {}
    begun, load_before = datetime.datetime.now(datetime.UTC), os.getloadavg()
    for results in measure_all(peers, environments, task, plan):
        result = {
            "date": begun.date().isoformat(),
            "minutes": round((datetime.datetime.now(datetime.UTC) - begun).total_seconds() / 60, 1),
            "machine": machine(),
            "bundle": arguments.bundle,
            "threads": arguments.threads,
            "deadline_seconds": arguments.deadline,
            "level_seconds": arguments.seconds,
            "load_average": {"begin": load_before, "end": os.getloadavg()},
            "servers": results,
        }
        if arguments.out is not None:  # after every peer, so that a run that is stopped leaves what it has
            arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    if arguments.out is None:
        print(json.dumps(result, indent=1))


def summarise_result(result: dict[str, Any], plot: Path | None) -> None:
    """Print the tables of a result and draw it."""
    print(tables(result))
    if plot is not None:
        plot.write_text(chart(result))


def choose_peers(arguments: argparse.Namespace) -> list[Peer]:
    """Ours in two shapes, and the peers; or those asked for."""
    store, bundle = arguments.model_store, arguments.bundle
    peers: list[Peer] = [
        SemanticPalette(store, bundle),
        Triton(),
        LitServe(),
        MLServer(),
        TorchServe(),
        RayServe(),
        SemanticPalette(store, bundle, engine="auto", name="semantic-palette auto"),
    ]
    if arguments.peers is None:
        return peers
    prefixes = tuple(arguments.peers.lower().split(","))
    return [peer for peer in peers if peer.name.lower().startswith(prefixes)]


if __name__ == "__main__":
    main()
