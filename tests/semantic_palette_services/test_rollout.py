"""Replicas are replaced one by one by others of a new version: a stream stays on its digest, and loses nothing."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from grpc_helpers import asynchronous, local_settings, sample
from tiny_bundle import write_tiny_bundle

from semantic_palette.client import AsyncClient
from semantic_palette.pair import Pair
from semantic_palette_services.runtime.store import ModelStore
from semantic_palette_services.server.lifecycle import RunningServer, run_server
from semantic_palette_services.server.listeners import ListenError

PAIRS = 200
STAGES = ("palette", "layout", "image")


class Replica:
    """A server that can be replaced, at the same port."""

    def __init__(self, store: Path, **settings: Any) -> None:
        self._store = store
        self._settings = settings
        self._stack = AsyncExitStack()
        self.port = 0
        self.server: RunningServer | None = None

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def items(self, version: str) -> float:
        """How many images a version has made here."""
        assert self.server is not None
        return sample(self.server, "semantic_palette_items_total", bundle="tiny", version=version, model="image")

    async def start(self, **changed: Any) -> None:
        self._settings |= changed
        for _ in range(100):
            settings = local_settings(self._store, port=self.port, drain_grace=5.0, **self._settings)
            try:
                self.server = await self._stack.enter_async_context(run_server(settings))
            except ListenError:  # somebody has taken the port for a moment
                await asyncio.sleep(0.1)
                continue
            self.port = int(self.server.address.rpartition(":")[2])
            return
        raise AssertionError("the port stays taken")

    async def stop(self) -> None:
        await self._stack.aclose()

    async def replace(self, **changed: Any) -> None:
        await self.stop()
        await self.start(**changed)


@asynchronous
async def test_a_stream_outlives_a_rollout_on_the_digest_that_it_began_with(store_root: Path) -> None:
    for version in ("1", "2"):
        write_tiny_bundle(store_root, version=version, seed=int(version), activate=version == "1")
    old, new = (ModelStore(store_root).open("tiny", version).digest for version in ("1", "2"))
    before, after = f"tiny/1@{old}", f"tiny/2@{new},tiny/1@{old}"
    stages = [Replica(store_root, services=STAGES, bundle=before) for _ in range(2)]
    for replica in stages:
        await replica.start()
    address = "ipv4:" + ",".join(replica.target for replica in stages)
    factory = Replica(
        store_root, services=("palette", "factory"), bundle=before, layout_address=address, image_address=address
    )
    await factory.start()
    try:
        async with AsyncClient(factory.target) as client:
            begun = client.generate_pairs(PAIRS, seed=3, deterministic=True)
            pairs: list[Pair] = [await anext(begun) for _ in range(20)]
            for replica in stages:
                await replica.replace(bundle=after)
                pairs += [await anext(begun) for _ in range(20)]
            await factory.replace(bundle=after)
            pairs += [pair async for pair in begun]
            assert [pair.index for pair in pairs] == list(range(PAIRS))
            for replica in stages:
                assert replica.items("1") > 0, "the stream was over before the roll-out"
            assert {pair.provenance.bundle.digest for pair in pairs} == {old}
            again = [pair async for pair in client.generate_pairs(PAIRS, seed=3, deterministic=True, digest=old)]
            assert [pair.image_data for pair in pairs] == [pair.image_data for pair in again]
            assert [pair.label_data for pair in pairs] == [pair.label_data for pair in again]
            fresh = [pair async for pair in client.generate_pairs(5)]
            assert {pair.provenance.bundle.digest for pair in fresh} == {new}
    finally:
        for replica in (factory, *stages):
            await replica.stop()
