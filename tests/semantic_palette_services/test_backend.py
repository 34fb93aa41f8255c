"""All services in the caller's process, as the command line uses them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from grpc import aio
from grpc_helpers import Stubs, asynchronous
from tiny_bundle import corrupt, write_tiny_bundle

from semantic_palette.errors import BundleError, BundleNotFoundError, InvalidInputError
from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import factory_service_pb2 as factory
from semantic_palette.v1 import palette_service_pb2 as palette
from semantic_palette_services.backend import start


@asynchronous
async def test_all_services_answer_at_a_private_socket_that_vanishes(tiny_root: Path) -> None:
    async with start(tiny_root, None, "onnxruntime") as address:
        socket = Path(address.removeprefix("unix:"))
        assert socket.is_socket()
        assert socket.parent.stat().st_mode & 0o077 == 0
        async with aio.insecure_channel(address) as channel:
            stubs = Stubs.of(channel)
            pairs = [answer async for answer in stubs.factory.GeneratePairs(factory.GeneratePairsRequest(count=3))]
            assert len(pairs) == 3
    assert not socket.parent.exists()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@asynchronous
async def test_a_version_and_a_digest_can_be_named(store_root: Path) -> None:
    write_tiny_bundle(store_root, version="1")
    write_tiny_bundle(store_root, version="2", seed=1, activate=False)
    for bundle, version in ((None, "1"), ("tiny", "1"), ("tiny/2", "2")):
        async with start(store_root, bundle, "onnxruntime") as address, aio.insecure_channel(address) as channel:
            response = await Stubs.of(channel).palette.GetLabelSpace(palette.GetLabelSpaceRequest())
            assert response.bundle.version == version


@asynchronous
async def test_environment_of_other_servers_does_not_reach_it(tiny_root: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEMANTIC_PALETTE_SERVICES", "palette")
        patch.setenv("SEMANTIC_PALETTE_LAYOUT_ADDRESS", "layout:50051")
        patch.setenv("SEMANTIC_PALETTE_PRE_STOP_DELAY", "60")
        async with start(tiny_root, None, "onnxruntime") as address, aio.insecure_channel(address) as channel:
            request = factory.GeneratePairsRequest(count=1, image_format=common.IMAGE_FORMAT_RAW)
            assert len([answer async for answer in Stubs.of(channel).factory.GeneratePairs(request)]) == 1


@pytest.mark.parametrize("file", ["image.onnx", "layout.weights", "palette.npz", "golden.npz", "manifest.json"])
def test_a_corrupt_file_is_named_and_nothing_is_served(store_root: Path, file: str) -> None:
    write_tiny_bundle(store_root)
    corrupt(store_root / "tiny" / "1" / file)

    async def scenario() -> None:
        async with start(store_root, None, "onnxruntime"):
            raise AssertionError("a corrupt bundle was served")

    with pytest.raises(BundleError, match=Path(file).stem):
        asyncio.run(scenario())


def test_an_unknown_bundle_is_an_error_that_names_it(tiny_root: Path) -> None:
    async def scenario() -> None:
        async with start(tiny_root, "cityscapes"):
            raise AssertionError("an unknown bundle was served")

    with pytest.raises(BundleNotFoundError, match="cityscapes"):
        asyncio.run(scenario())


def test_a_mistake_in_the_environment_is_an_input_error(tiny_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMANTIC_PALETTE_WORKER_THREADS", "-1")

    async def scenario() -> None:
        async with start(tiny_root, None):
            raise AssertionError("served with a setting that is not allowed")

    with pytest.raises(InvalidInputError, match="worker_threads"):
        asyncio.run(scenario())
