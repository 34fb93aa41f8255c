"""Clients that misbehave: one that is killed, and ones that do not read."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from random import Random

from fuzz.calls import channel_to

from semantic_palette.client import AsyncClient
from semantic_palette.v1 import factory_service_pb2 as factory
from semantic_palette.v1.factory_service_pb2_grpc import FactoryServiceStub
from soak import commands
from soak.deployment import Deployment
from soak.ledger import Ledger
from soak.load import RETRY, SEEDS, read_stream

_PAIRS = 400


async def killed_client(deployment: Deployment, ledger: Ledger, rng: Random) -> None:
    """A `generate` that is killed in the middle leaves whole pairs, and the same command completes them."""
    seed = rng.randrange(SEEDS)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "pairs"
        command = commands.generate(deployment.factory_address, out, _PAIRS, seed)
        process = await commands.start(*command)
        enough = rng.choice((1, 50, 150))
        while process.returncode is None and len(commands.records(out)) < enough:
            await asyncio.sleep(0.02)
        if process.returncode is None:
            process.kill()
        ended = await commands.end(process)
        ledger.check(ended.status == -9, f"killed client: ended with {ended.status} before it was killed: {ended.said}")
        left = commands.check_folder(out, seed, ledger, "killed client")
        ledger.counts["pairs left by killed clients"] += left
        ended = await commands.run(*command)
        ledger.check(ended.status == 0, f"killed client: the same command ended with {ended.status}: {ended.said}")
        total = commands.check_folder(out, seed, ledger, "killed client")
        ledger.check(total == _PAIRS, f"killed client: {total} of {_PAIRS} pairs after the same command")


async def slow_reader(deployment: Deployment, ledger: Ledger, rng: Random) -> None:
    """A reader that is slow gets everything."""
    async with AsyncClient(deployment.factory_address, retry=RETRY) as client:
        await read_stream(client, ledger, rng, count=40, pause=0.05)


async def stuck_reader(deployment: Deployment, ledger: Ledger, rng: Random) -> None:
    """Readers that ask for a million pairs, read one and then nothing, hold up nobody, and vanish without a word."""
    pod = deployment.factories[0]
    async with channel_to(f"127.0.0.1:{pod.port}") as channel:
        request = factory.GeneratePairsRequest(count=1_000_000, seed=rng.randrange(SEEDS))
        stub = FactoryServiceStub(channel)  # type: ignore[no-untyped-call]
        calls = [stub.GeneratePairs(request) for _ in range(4)]
        for call in calls:
            await call.read()
        await asyncio.sleep(2.0)
        async with AsyncClient(f"127.0.0.1:{pod.port}", retry=RETRY) as client:
            await read_stream(client, ledger, rng, count=20)
