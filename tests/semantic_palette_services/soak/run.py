"""The soak: load, what goes wrong meanwhile, and what has to be true at the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

from semantic_palette.client import AsyncClient
from soak.bundle_faults import corrupt_bundle, rollout_and_rollback
from soak.client_faults import killed_client, slow_reader, stuck_reader
from soak.deployment import Deployment, deployed
from soak.disk_faults import full_disk
from soak.ledger import Ledger
from soak.load import RETRY, load, read_stream
from soak.measures import Samples, at_rest, sampling, work_left
from soak.server_faults import (
    frozen_stage,
    killed_factory,
    killed_image,
    killed_layout,
    killed_palette,
    renewed_certificate,
    replaced_stage,
)

Fault: TypeAlias = Callable[[Deployment, Ledger, Random], Awaitable[None]]

# What befalls servers and what befalls clients happen at the same time, but one server at a time: with both replicas
# of a stage away there is no service, which is no fault of its clients.
SERVER_FAULTS: tuple[Fault, ...] = (
    killed_layout,
    killed_image,
    killed_factory,
    killed_palette,
    frozen_stage,
    replaced_stage,
    corrupt_bundle,
    rollout_and_rollback,
    renewed_certificate,
)
CLIENT_FAULTS: tuple[Fault, ...] = (killed_client, slow_reader, stuck_reader, full_disk)

# One at a time: a folder is continued on the bundle that it was begun with, so no other is rolled out meanwhile; and
# the command line has the patience of a default client, which the restart of the only replica of a stage may exceed.
_EXCLUSIVE = frozenset({killed_client, full_disk, rollout_and_rollback, killed_palette})

_REST_SECONDS = 30.0
FLAT = 0.05
"""By how much the memory of a process may grow over a run that is long enough to tell."""


@dataclass(frozen=True)
class Options:
    """How long, and how strictly.

    Attributes:
        seconds: how long there is load; longer where every kind of fault has not happened once by then.
        warm_up: seconds of load before file descriptors are counted.
        pause: the most seconds between two faults of a kind.
        growth: by how much memory may grow.
        seed: of the load, and of what goes wrong when.
    """

    seconds: float = 600.0
    warm_up: float = 20.0
    pause: float = 8.0
    growth: float = FLAT
    seed: int = 0


async def soak(folder: Path, options: Options) -> dict[str, Any]:
    """Run it; returns the report, whose "failures" are promises that were broken."""
    ledger, started = Ledger(), time.monotonic()
    async with deployed(folder) as deployment:
        pods, lasting = deployment.pods, deployment.long_lived
        await _warm_up(deployment, ledger, options)
        rest = await at_rest(lasting, {}, _REST_SECONDS)
        async with sampling(lasting) as samples:
            await _under_load(deployment, ledger, options)
        descriptors = await at_rest(lasting, rest, _REST_SECONDS)
        left = await work_left(pods, _REST_SECONDS)
        for pod in pods:
            ledger.check(pod.alive, f"{pod.name} has ended")
            ledger.check(not pod.errors(), f"{pod.name} logged errors: {pod.errors()[:3]}")
    for name, before in rest.items():
        ledger.check(descriptors[name] <= before, f"{name}: {descriptors[name]} descriptors, {before} at first")
    ledger.check(not left, f"work is left: {left}")
    _check_memory(samples, ledger, options.growth)
    return {
        "seconds": round(time.monotonic() - started, 1),
        "options": asdict(options),
        "counts": dict(sorted(ledger.counts.items())),
        "memory_mib": {name: asdict(growth) for name, growth in samples.growth().items()},
        "descriptors": {name: {"before": rest[name], "after": descriptors[name]} for name in rest},
        "failures": ledger.failures,
    }


async def _warm_up(deployment: Deployment, ledger: Ledger, options: Options) -> None:
    """Load for a while, and every connection that a long-lived process keeps."""
    async with load(deployment, ledger, options.seed):
        await asyncio.sleep(options.warm_up)
    for pod in deployment.pods:
        await pod.metrics()
    for factory in deployment.factories:
        async with AsyncClient(f"127.0.0.1:{factory.port}", retry=RETRY, credentials=deployment.credentials) as client:
            await read_stream(client, ledger, Random(options.seed), count=40)


async def _under_load(deployment: Deployment, ledger: Ledger, options: Options) -> None:
    """Load and faults until the time is over and every kind of fault has happened."""
    until = time.monotonic() + options.seconds
    async with load(deployment, ledger, options.seed + 1):
        alone = asyncio.Lock()
        lanes = ((SERVER_FAULTS, "servers"), (CLIENT_FAULTS, "clients"))

        async def befall(fault: Fault, rng: Random) -> None:
            async with alone if fault in _EXCLUSIVE else nullcontext():
                await _befall(fault, deployment, ledger, rng)

        await asyncio.gather(
            *(
                _one_after_the_other(faults, befall, Random(f"{options.seed}/{name}"), options.pause, until)
                for faults, name in lanes
            )
        )


async def _one_after_the_other(
    faults: Sequence[Fault],
    befall: Callable[[Fault, Random], Awaitable[None]],
    rng: Random,
    pause: float,
    until: float,
) -> None:
    """Every kind of fault, in another order each time: once, and then until the time is over."""
    for cycle in count():
        for fault in rng.sample(faults, len(faults)):
            if cycle and time.monotonic() > until:
                return
            await befall(fault, rng)
            await asyncio.sleep(rng.uniform(0.0, pause))


async def _befall(fault: Fault, deployment: Deployment, ledger: Ledger, rng: Random) -> None:
    name = fault.__name__.replace("_", " ")
    try:
        await fault(deployment, ledger, rng)
    except Exception as error:  # whatever a promise that is broken makes of it, it is one for the report
        ledger.fail(f"{name}: {error!r}")
    ledger.counts[f"fault: {name}"] += 1


def _check_memory(samples: Samples, ledger: Ledger, most: float) -> None:
    for name, growth in samples.growth().items():
        grown = f"{name}: memory grew by {growth.ratio:.1%}, from {growth.early:.1f} to {growth.late:.1f} MiB"
        ledger.check(growth.ratio <= most, grown)
