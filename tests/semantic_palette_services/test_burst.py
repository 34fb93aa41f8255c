"""Three thousand calls at once get answers or are told when to come back; none is dropped without a reason.

gRPC answers what exceeds its own limit of pending requests with CANCELLED, which tells a client nothing. The limits of
the services have to be met before that.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc import aio
from grpc_helpers import Stubs, asynchronous, local_settings, sample
from grpc_status import rpc_status
from tiny_bundle import write_tiny_bundle

from semantic_palette.client import AsyncClient, LayoutItem, RetryPolicy
from semantic_palette.grpc_conventions import PUSHBACK_KEY
from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import layout_service_pb2 as layout
from semantic_palette_services.server.lifecycle import run_server

CALLS = 3000
# Seconds that the callers of each third are ready to wait; the soonest of them cannot all be met.
DEADLINES = (None, 60.0, 1.0)
REQUEST = layout.GenerateLayoutsRequest(items=[layout.LayoutItem(palette=common.Palette(shares={"road": 1.0}))])


def seconds_to_wait(error: aio.AioRpcError) -> float:
    """What the details of a refusal say, and its trailers too."""
    status: Any = rpc_status.from_call(error)
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in status.details)
    pushback = int(dict(error.trailing_metadata() or ())[PUSHBACK_KEY])
    assert pushback == retry.retry_delay.ToMilliseconds() > 0
    return pushback / 1000


async def end_of(call: Any) -> grpc.StatusCode:
    try:
        await call
    except aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            seconds_to_wait(error)
        return error.code()
    return grpc.StatusCode.OK


@asynchronous
async def test_three_thousand_calls_at_once_end_with_an_answer_or_a_reason(store_root: Path) -> None:
    write_tiny_bundle(store_root, work=2)
    options = (("grpc.enable_retries", 0),)  # what the server says is what is looked at
    async with (
        run_server(local_settings(store_root, services=("layout",))) as server,
        aio.insecure_channel(server.address, options=options) as channel,
    ):
        stub = Stubs.of(channel).layout
        calls = [stub.GenerateLayouts(REQUEST, timeout=DEADLINES[number % 3]) for number in range(CALLS)]
        ends = Counter(await asyncio.gather(*(end_of(call) for call in calls)))
        assert set(ends) <= {
            grpc.StatusCode.OK,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            grpc.StatusCode.DEADLINE_EXCEEDED,
        }
        assert ends[grpc.StatusCode.OK] > 0
        assert sample(server, "semantic_palette_inflight_items", model="layout") == 0
        assert await end_of(stub.GenerateLayouts(REQUEST)) is grpc.StatusCode.OK


@asynchronous
async def test_clients_that_obey_are_all_served_in_the_end(store_root: Path) -> None:
    write_tiny_bundle(store_root, work=50)
    limits = {"max_queue": 8, "max_items": 8, "max_batch_size": 1}
    async with (
        run_server(local_settings(store_root, services=("palette", "layout"), **limits)) as server,
        AsyncClient(server.address, retry=RetryPolicy(max_attempts=100)) as client,
    ):
        asked = [client.generate_layouts([LayoutItem({"road": 1.0})] * 4) for _ in range(12)]
        batches = await asyncio.gather(*asked)
        assert [len(batch.layouts) for batch in batches] == [4] * 12
        assert sample(server, "semantic_palette_shed_total", model="layout", reason="queue_full") > 0
