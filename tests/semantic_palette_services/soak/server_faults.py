"""Servers that are killed, are replaced, or get another certificate."""

from __future__ import annotations

import asyncio
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from semantic_palette.client import AsyncClient
from soak.deployment import STAGE_TIMEOUT, Deployment
from soak.ledger import Ledger
from soak.load import RETRY, read_stream
from soak.pods import Pod

_CALLS = "semantic_palette_inflight_requests"
_LOADED_SECONDS = 60.0


async def killed_layout(deployment: Deployment, ledger: Ledger, rng: Random) -> None:
    """`kill -9` of a replica of the layout service."""
    await _kill(deployment.layouts[1], ledger, rng)


async def killed_image(deployment: Deployment, ledger: Ledger, rng: Random) -> None:
    """`kill -9` of a replica of the image service."""
    await _kill(deployment.images[1], ledger, rng)


async def killed_factory(deployment: Deployment, ledger: Ledger, rng: Random) -> None:
    """`kill -9` of a factory: its streams go on with the other."""
    await _kill(deployment.factories[1], ledger, rng)


async def killed_palette(deployment: Deployment, ledger: Ledger, rng: Random) -> None:
    """`kill -9` of the only palette service: streams wait until it is back."""
    await _end_and_start(deployment.palette, ledger, rng)


async def frozen_stage(deployment: Deployment, ledger: Ledger, rng: Random) -> None:
    """A replica that neither answers nor breaks its connections, for less or more than the factory waits for it."""
    await rng.choice((deployment.layouts[1], deployment.images[1])).freeze(rng.uniform(0.5, 1.5) * STAGE_TIMEOUT)


async def replaced_stage(deployment: Deployment, ledger: Ledger, rng: Random) -> None:
    """SIGTERM of a replica, as in a rolling update: it finishes what it has accepted and ends with status 0."""
    pod = rng.choice((deployment.layouts[1], deployment.images[1], deployment.factories[1]))
    status = await pod.end(signal.SIGTERM)
    ledger.check(status == 0, f"{pod.name}: ended with status {status} on SIGTERM")
    await pod.start()


async def renewed_certificate(deployment: Deployment, ledger: Ledger, rng: Random) -> None:
    """A certificate that is half-written changes nothing; one that is renewed is shown to new connections."""
    pod, certificate = deployment.secure_factory, deployment.pki.folder / "server.pem"
    before = certificate.read_text()
    async with _reload(pod, "refused"):
        certificate.write_text(before[: len(before) // 2])
    ledger.check(await _shown(pod) in before, f"{pod.name}: shows another certificate than the last that was whole")
    async with _reload(pod, "ok"):
        deployment.pki.issue("server")
    shown = await _shown(pod)
    ledger.check(shown not in before and shown in certificate.read_text(), f"{pod.name}: shows an old certificate")
    async with AsyncClient(deployment.secure_address, retry=RETRY, credentials=deployment.secure_credentials) as client:
        await read_stream(client, ledger, rng, count=20)


@asynccontextmanager
async def _reload(pod: Pod, result: str) -> AsyncIterator[None]:
    """Change files in the block; at its end, wait until the pod has taken them up, or refused them."""
    name = f'semantic_palette_reloads_total{{result="{result}",what="tls"}}'
    before = (await pod.metrics(name)).get(name, 0.0)
    yield
    async with asyncio.timeout(_LOADED_SECONDS):
        while (await pod.metrics(name)).get(name, 0.0) == before:
            await asyncio.sleep(0.05)


async def _shown(pod: Pod) -> str:
    """The certificate that a new connection is shown, PEM."""
    return await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", pod.port), timeout=30)


async def _kill(pod: Pod, ledger: Ledger, rng: Random) -> None:
    """Kill a pod in the middle of a call, and start it again."""
    async with asyncio.timeout(_LOADED_SECONDS):
        while not (calls := sum((await pod.metrics(_CALLS)).values())):
            await asyncio.sleep(0.005)
    ledger.counts["calls under way at kills"] += int(calls)
    await _end_and_start(pod, ledger, rng)


async def _end_and_start(pod: Pod, ledger: Ledger, rng: Random) -> None:
    status = await pod.end(signal.SIGKILL)
    ledger.check(status == -9, f"{pod.name}: had ended with status {status} before it was killed")
    await asyncio.sleep(rng.uniform(0.0, 1.0))
    await pod.start()
