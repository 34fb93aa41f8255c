"""Admission of calls, and the drain, without a server."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc_helpers import asynchronous

from semantic_palette_services.server.interceptor import CallInterceptor

METHOD = "/semantic_palette.v1.PaletteService/SamplePalettes"


class AbortedError(Exception):
    """What `Context.abort` raises."""


class Context:
    """As much of a context as the interceptor uses."""

    code: grpc.StatusCode | None = None
    trailers: Any = None

    def cancelled(self) -> bool:
        return False

    async def abort(self, code: grpc.StatusCode, message: str, trailing_metadata: Any) -> None:
        self.code, self.trailers = code, trailing_metadata
        raise AbortedError(message)


class Observer:
    def call_started(self, method: str) -> None: ...

    def call_ended(self, method: str, code: grpc.StatusCode, seconds: float) -> None: ...


class Bench:
    """An interceptor around a behaviour that ends when it is let go."""

    def __init__(self, max_calls: int = 8) -> None:
        self.interceptor = CallInterceptor(Observer(), max_calls)
        self.go = asyncio.Event()

    async def call(self) -> Context:
        """Make a call; returns its context once it has ended."""

        async def behaviour(request: Any, context: Context) -> str:
            await self.go.wait()
            return "answer"

        async def find(details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(behaviour)  # type: ignore[arg-type]

        class Details:
            method = METHOD

        handler = await self.interceptor.intercept_service(find, Details())  # type: ignore[arg-type]
        context = Context()
        try:
            await handler.unary_unary(None, context)
        except AbortedError:
            assert context.code is not None
        return context


@asynchronous
async def test_callers_that_never_stay_away_do_not_hold_the_drain() -> None:
    bench = Bench()
    accepted = asyncio.create_task(bench.call())
    await asyncio.sleep(0)
    codes: list[grpc.StatusCode | None] = []

    async def keep_coming() -> None:
        while True:
            codes.append((await bench.call()).code)
            await asyncio.sleep(0.005)

    draining = asyncio.create_task(bench.interceptor.drain(60.0))
    await asyncio.sleep(0)
    coming = asyncio.create_task(keep_coming())
    await asyncio.sleep(0.3)
    assert not draining.done()
    bench.go.set()
    await asyncio.wait_for(draining, 5.0)
    coming.cancel()
    assert (await accepted).code is None
    assert set(codes) == {grpc.StatusCode.UNAVAILABLE}


@asynchronous
async def test_a_drain_takes_no_longer_than_its_grace() -> None:
    bench = Bench()
    busy = asyncio.create_task(bench.call())
    await asyncio.sleep(0)
    await asyncio.wait_for(bench.interceptor.drain(0.2), 5.0)
    assert not busy.done()
    bench.go.set()
    await busy


@asynchronous
async def test_more_calls_than_allowed_are_told_when_to_come_back() -> None:
    bench = Bench(max_calls=2)
    allowed = [asyncio.create_task(bench.call()) for _ in range(2)]
    await asyncio.sleep(0)
    refused = await bench.call()
    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert dict(refused.trailers)["grpc-retry-pushback-ms"] == "1000"
    bench.go.set()
    assert [call.code for call in await asyncio.gather(*allowed)] == [None, None]
    assert (await bench.call()).code is None


@pytest.mark.parametrize("method", ["/grpc.health.v1.Health/Check", "/grpc.reflection.v1alpha.ServerReflection/Info"])
@asynchronous
async def test_other_services_pass_through(method: str) -> None:
    handler = object()

    async def find(details: Any) -> Any:
        return handler

    class Details:
        pass

    details: Any = Details()
    details.method = method
    assert await CallInterceptor(Observer(), 1).intercept_service(find, details) is handler
