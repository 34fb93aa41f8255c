"""The load: streams and single calls that are always under way, through the client that users have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from semantic_palette import Box
from semantic_palette.client import AsyncClient, EditSource, ImageItem, LayoutItem, RetryPolicy, ServiceError
from semantic_palette.constraints import Constraints
from soak.deployment import Deployment
from soak.ledger import Ledger

# A stage that is killed is back within seconds, but the machine may be slow; nothing is to be lost meanwhile.
RETRY = RetryPolicy(max_attempts=60, max_backoff=1.0)

SEEDS = 4
"""Few, so that the same pairs are made again and again, by whichever replica."""


@asynccontextmanager
async def load(deployment: Deployment, ledger: Ledger, seed: int) -> AsyncIterator[None]:
    """Load for as long as the context lasts; what is under way at its end is finished, and counts."""
    stop = asyncio.Event()
    tasks = [
        asyncio.create_task(_keep_on(stop, ledger, kind.__name__.strip("_"), kind, deployment, Random(f"{seed}/{n}")))
        for n, kind in enumerate((_bulk, _bulk, _secure, _edits, _interactive))
    ]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def _keep_on(
    stop: asyncio.Event, ledger: Ledger, name: str, kind: Any, deployment: Deployment, rng: Random
) -> None:
    while not stop.is_set():
        try:
            await kind(deployment, ledger, rng)
        except ServiceError as error:
            ledger.fail(f"{name}: {error}")


async def _bulk(deployment: Deployment, ledger: Ledger, rng: Random) -> None:
    """A stream of pairs: deterministic, or constrained."""
    async with AsyncClient(deployment.factory_address, retry=RETRY, credentials=deployment.credentials) as client:
        await read_stream(client, ledger, rng, count=rng.randint(20, 120))


async def _secure(deployment: Deployment, ledger: Ledger, rng: Random) -> None:
    """A stream over TLS, on a connection of its own."""
    async with AsyncClient(deployment.secure_address, retry=RETRY, credentials=deployment.secure_credentials) as client:
        await read_stream(client, ledger, rng, count=rng.randint(10, 60))


async def read_stream(client: AsyncClient, ledger: Ledger, rng: Random, count: int, pause: float = 0.0) -> str:
    """Read a stream to its end and note it; returns the digest of the bundle that made it."""
    seed, first, deterministic = rng.randrange(SEEDS), rng.choice((0, 7, 50)), rng.random() < 0.7
    constraints = None if deterministic else Constraints(minimum={"car": 0.1})
    received: list[int] = []
    digests: set[str] = set()
    async with client.generate_pairs(
        count, seed=seed, first_index=first, deterministic=deterministic, constraints=constraints
    ) as pairs:
        async for pair in pairs:
            received.append(pair.index)
            digests.add(pair.provenance.bundle.digest)
            if deterministic:
                ledger.pair("pair", pair)
            if pause:
                await asyncio.sleep(pause)
    ledger.counts["streams"] += 1
    ledger.each_once("stream", received, range(first, first + count))
    ledger.check(len(digests) == 1, f"stream: its pairs are of {len(digests)} bundles")
    return digests.pop() if digests else ""


async def _edits(deployment: Deployment, ledger: Ledger, rng: Random) -> None:
    """A stream of edits of a pair."""
    seed, count = rng.randrange(SEEDS), rng.randint(10, 40)
    async with AsyncClient(deployment.factory_address, retry=RETRY, credentials=deployment.credentials) as client:
        async with client.generate_pairs(1, seed=seed, deterministic=True) as pairs:
            pair = await anext(pairs)
        source = EditSource.of(pair, target={"car": 0.2}, region=Box(left=4, top=2, right=20, bottom=12))
        source_digest = pair.provenance.bundle.digest
        received: list[int] = []
        async with client.edit_pairs([source], count, seed=seed, deterministic=True) as edited:
            async for pair in edited:
                received.append(pair.index)
                ledger.pair("edited pair", pair, source_digest)
    ledger.each_once("stream of edits", received, range(count))


async def _interactive(deployment: Deployment, ledger: Ledger, rng: Random) -> None:
    """One layout and its image, as somebody who waits for them asks."""
    async with (
        AsyncClient(deployment.layout_address, retry=RETRY, credentials=deployment.credentials) as layouts,
        AsyncClient(deployment.image_address, retry=RETRY, credentials=deployment.credentials) as images,
    ):
        for _ in range(20):
            seed, index = rng.randrange(SEEDS), rng.randrange(50)
            item = LayoutItem({"road": 0.5, "sky": 0.25, "car": 0.25}, seed, index)
            made = await layouts.generate_layouts([item], deterministic=True)
            labels = made.layouts[0].labels
            drawn = await images.translate_layouts([ImageItem(labels, seed, index)], deterministic=True)
            key = (made.bundle.digest, drawn.bundle.digest, seed, index)
            ledger.bytes_of("single", key, labels.tobytes(), drawn.images[0].data)
            await asyncio.sleep(0.02)
