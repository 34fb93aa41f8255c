"""Clients that misbehave: one that is killed, and ones that do not read."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from random import Random

from semantic_palette.client import AsyncClient
from soak import commands
from soak.deployment import Deployment
from soak.ledger import Ledger
from soak.load import RETRY, SEEDS, read_stream

_PAIRS = 200


async def killed_client(deployment: Deployment, ledger: Ledger, rng: Random) -> None:
    """A `generate` that is killed in the middle leaves whole pairs, and the same command completes them."""
    seed, count, enough = rng.randrange(SEEDS), _PAIRS, rng.choice((1, 30, 80))
    with tempfile.TemporaryDirectory() as folder:
        while True:
            out = Path(folder) / f"{count} pairs"
            command = commands.generate(deployment, out, count, seed)
            ended = await _run_and_kill(command, out, enough)
            if ended.status != 0:
                break
            count *= 4  # done before it was killed: the next one has more to do
        ledger.check(ended.status == -9, f"killed client: ended with {ended.status}: {ended.said}")
        left = commands.check_folder(out, seed, ledger, "killed client")
        ledger.check(enough <= left < count, f"killed client: {left} of {count} pairs are left, {enough} were there")
        ledger.counts["pairs left by killed clients"] += left
        ended = await commands.run(*command)
        ledger.check(ended.status == 0, f"killed client: the same command ended with {ended.status}: {ended.said}")
        total = commands.check_folder(out, seed, ledger, "killed client")
        ledger.check(total == count, f"killed client: {total} of {count} pairs after the same command")


async def _run_and_kill(command: tuple[object, ...], out: Path, enough: int) -> commands.Ended:
    """Run a command and kill it once it has written so many pairs."""
    process = await commands.start(*command)
    while process.returncode is None and len(commands.records(out)) < enough:
        await asyncio.sleep(0.02)
    if process.returncode is None:
        process.kill()
    return await commands.end(process)


async def slow_reader(deployment: Deployment, ledger: Ledger, rng: Random) -> None:
    """A reader that is slow gets everything."""
    async with AsyncClient(deployment.factory_address, retry=RETRY, credentials=deployment.credentials) as client:
        await read_stream(client, ledger, rng, count=40, pause=0.05)


async def stuck_reader(deployment: Deployment, ledger: Ledger, rng: Random) -> None:
    """Readers that ask for a million pairs and read one hold up nobody, and leave nothing behind when they go."""
    address = f"127.0.0.1:{deployment.factories[0].port}"
    async with AsyncClient(address, retry=RETRY, credentials=deployment.credentials) as stuck:
        streams = [stuck.generate_pairs(1_000_000, seed=rng.randrange(SEEDS)) for _ in range(4)]
        for stream in streams:
            await anext(stream)
        await asyncio.sleep(2.0)
        async with AsyncClient(address, retry=RETRY, credentials=deployment.credentials) as client:
            await read_stream(client, ledger, rng, count=20)
