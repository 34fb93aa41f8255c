"""Bundles that come and go while they are served: one that is corrupt, and a rollout that is taken back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from semantic_palette.client import AsyncClient
from semantic_palette.credentials import AuthorisedChannel
from semantic_palette.v1 import model_service_pb2 as models
from semantic_palette.v1.model_service_pb2_grpc import ModelServiceStub
from soak import commands
from soak.deployment import Deployment
from soak.ledger import Ledger
from soak.load import RETRY, read_stream
from soak.pods import Pod

_TIMEOUT = 120.0


async def corrupt_bundle(deployment: Deployment, ledger: Ledger, rng: Random) -> None:
    """A corrupt version cannot be activated, in the store or in a server; what was active stays active in both."""
    pod = rng.choice((deployment.layouts[0], deployment.images[0]))
    admin = ("--address", f"127.0.0.1:{pod.admin_port}", "--token-file", deployment.token_file)
    for option in (("--model-store", deployment.store), admin):
        ended = await commands.run("models", "activate", "tiny/3", *option)
        refused = ended.status != 0 and "image.onnx" in ended.said
        ledger.check(refused, f"corrupt bundle: {option[0]}: ended with {ended.status}: {ended.said}")
    active = (deployment.store / "tiny" / "active").read_text().strip()
    ledger.check(active == "1", f"corrupt bundle: version {active} is active in the store")
    held = await _in_memory(deployment, pod)
    ledger.check(held.get("1") == models.BUNDLE_STATE_ACTIVE, f"corrupt bundle: {pod.name} has {held}")
    ledger.check("3" not in held, f"corrupt bundle: {pod.name} has {held}")


async def rollout_and_rollback(deployment: Deployment, ledger: Ledger, rng: Random) -> None:
    """Another version on every server, one by one, and then the one before again: each stream is of one of them."""
    digests = []
    for version in ("2", "1"):
        for pod in deployment.pods:
            await _load(deployment, pod, version)
        for pod in deployment.pods:
            await _activate(deployment, pod, version)
        async with AsyncClient(deployment.factory_address, retry=RETRY, credentials=deployment.credentials) as client:
            digests.append(await read_stream(client, ledger, rng, count=20))
            served = (await client.label_space()).identity
        ledger.check(served.version == version, f"rollout: {served.version} is served, not {version}")
        ledger.check(served.digest == digests[-1], f"rollout: {served.digest} is served, {digests[-1]} made pairs")
    ledger.check(digests[0] != digests[1], "rollout: both versions have one digest")


async def _load(deployment: Deployment, pod: Pod, version: str) -> None:
    async with _administering(deployment, pod) as admin:
        await admin.LoadBundle(models.LoadBundleRequest(name="tiny", version=version), timeout=_TIMEOUT)


async def _activate(deployment: Deployment, pod: Pod, version: str) -> None:
    async with _administering(deployment, pod) as admin:
        await admin.ActivateBundle(models.ActivateBundleRequest(name="tiny", version=version), timeout=_TIMEOUT)


async def _in_memory(deployment: Deployment, pod: Pod) -> dict[str, int]:
    """The state of every version that a pod holds."""
    async with _administering(deployment, pod) as admin:
        answer = await admin.ListBundles(models.ListBundlesRequest(), timeout=_TIMEOUT)
    return {held.bundle.version: held.state for held in answer.memory}


@asynccontextmanager
async def _administering(deployment: Deployment, pod: Pod) -> AsyncIterator[Any]:
    """The ModelService of a pod; its admin port has TLS where its services do."""
    secure = pod is deployment.secure_factory
    credentials = deployment.secure_credentials if secure else deployment.credentials
    async with credentials.open_channel(f"127.0.0.1:{pod.admin_port}") as channel:
        yield ModelServiceStub(AuthorisedChannel(channel, credentials.metadata()))  # type: ignore[no-untyped-call]
