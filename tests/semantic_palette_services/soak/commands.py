"""The command line as a user runs it, and whether a folder of pairs is whole."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from grpc_helpers import COMMAND

from semantic_palette.writers.folder import PairFolder, PairRecord
from soak.deployment import Deployment
from soak.ledger import Ledger

TIMEOUT = 300.0


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status, negative for a signal, and what it said."""

    status: int
    said: str


async def start(*arguments: object, prefix: tuple[str, ...] = ()) -> asyncio.subprocess.Process:
    """Start a command."""
    command = (*prefix, str(COMMAND), *map(str, arguments))
    return await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=os.environ | {"COLUMNS": "200"}
    )


async def end(process: asyncio.subprocess.Process) -> Ended:
    """Wait for the end of a command."""
    async with asyncio.timeout(TIMEOUT):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, said.decode())


async def run(*arguments: object, prefix: tuple[str, ...] = ()) -> Ended:
    """Run a command to its end."""
    return await end(await start(*arguments, prefix=prefix))


def generate(deployment: Deployment, out: Path, count: int, seed: int) -> tuple[object, ...]:
    """Arguments that generate deterministic pairs into a folder."""
    common = ("--count", count, "--seed", seed, "--deterministic")
    services = ("--address", deployment.factory_address, "--token-file", deployment.token_file)
    return ("generate", *services, *common, "--out", out)


def records(out: Path) -> list[PairRecord]:
    """The pairs that a folder says it has."""
    folder = PairFolder(out)
    return list(folder.records()) if folder.index_path.exists() else []


def check_folder(out: Path, seed: int, ledger: Ledger, kind: str) -> int:
    """Check that every pair of a folder is whole, is there once and in order; returns how many there are."""
    found = records(out)
    ledger.each_once(f"{kind}: folder", [int(record.id) for record in found], range(len(found)))
    for record in found:
        label, image = (out / record.label).read_bytes(), (out / record.image).read_bytes()
        ledger.bytes_of("pair", (record.bundle_digest, seed, int(record.id)), label, image)
    return len(found)
