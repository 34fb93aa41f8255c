"""Bytes that are no request are bad input, for every kind of method and on every port."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_helpers import asynchronous, eventually, sample, serving, violations

TRUNCATED, NO_TEXT = b"\x0a\x05\x0a", b"\x0a\x03\xff\xfe\xfd"
LAYOUTS = "semantic_palette.v1.LayoutService/GenerateLayouts"
PAIRS = "semantic_palette.v1.FactoryService/GeneratePairs"
HEALTH = "grpc.health.v1.Health/Check"


async def send(channel: Any, method: str, data: bytes) -> list[bytes]:
    if method == PAIRS:
        return [answer async for answer in channel.unary_stream(f"/{method}")(data)]
    return [await channel.unary_unary(f"/{method}")(data)]


async def refusal(channel: Any, method: str, data: bytes) -> aio.AioRpcError:
    with pytest.raises(aio.AioRpcError) as caught:
        await send(channel, method, data)
    return caught.value


@pytest.mark.parametrize("method", [LAYOUTS, PAIRS])
@pytest.mark.parametrize("data", [TRUNCATED, b"\xff\xff"])
@asynchronous
async def test_bytes_that_are_no_request_are_bad_input_and_counted(tiny_root: Path, method: str, data: bytes) -> None:
    async with serving(tiny_root) as (server, stubs):
        error = await refusal(stubs.channel, method, data)
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        [(field, description)] = violations(error)
        assert field == "request"
        assert f"{len(data)} bytes" in description
        total = functools.partial(sample, server, "semantic_palette_requests_total", method=method)
        await eventually(lambda: total(code="INVALID_ARGUMENT") == 1)
        assert sample(server, "semantic_palette_inflight_requests", method=method) == 0


@asynchronous
async def test_health_refuses_bytes_that_are_no_request_on_both_ports(tiny_root: Path) -> None:
    async with (
        serving(tiny_root, services=("palette",)) as (server, stubs),
        aio.insecure_channel(f"127.0.0.1:{server.health_port}") as health_channel,
    ):
        for channel in (stubs.channel, health_channel):
            assert (await refusal(channel, HEALTH, NO_TEXT)).code() is grpc.StatusCode.INVALID_ARGUMENT
