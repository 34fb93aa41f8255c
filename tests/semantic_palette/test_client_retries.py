"""Retries, and streams that break or are abandoned, against real gRPC servers that fail on demand."""

import asyncio
import gc
import time

import grpc
import pytest
from client_talk import FAST, collect, talk
from fake_services import DIGEST, Fakes, Fault, settled
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2

from semantic_palette.client import (
    BundleMismatchError,
    ClientClosedError,
    OverloadedError,
    RetryPolicy,
    ServiceError,
    UnavailableError,
)
from semantic_palette.errors import InvalidInputError

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


class TestRetries:
    @pytest.mark.parametrize("code", [UNAVAILABLE, EXHAUSTED, grpc.StatusCode.CANCELLED])
    def test_a_call_is_tried_again_until_it_is_answered(self, code):
        fakes = Fakes(faults=[Fault(code)] * 3)

        async def scenario(client, fakes):
            return await client.label_space()

        assert talk(scenario, fakes).identity.name == "fake"
        assert len(fakes.requests) == 4

    def test_the_last_attempt_raises_with_the_services_hint(self):
        info = error_details_pb2.RetryInfo(retry_delay=Duration(nanos=2_000_000))
        reason = error_details_pb2.ErrorInfo(reason="QUEUE_FULL", domain="semantic-palette")
        fakes = Fakes(faults=[Fault(EXHAUSTED, messages=(info, reason))] * 9)

        async def scenario(client, fakes):
            await client.label_space()

        with pytest.raises(OverloadedError) as caught:
            talk(scenario, fakes)
        assert caught.value.retry_after == pytest.approx(0.002)
        assert caught.value.reason == "QUEUE_FULL"
        assert len(fakes.requests) == FAST.max_attempts

    @pytest.mark.parametrize(
        "fault",
        [
            Fault(EXHAUSTED, pushback_ms="300"),
            Fault(EXHAUSTED, messages=(error_details_pb2.RetryInfo(retry_delay=Duration(nanos=300_000_000)),)),
        ],
    )
    def test_push_back_is_waited_for(self, fault):
        async def scenario(client, fakes):
            begin = time.monotonic()
            await client.label_space()
            return time.monotonic() - begin

        assert 0.3 <= talk(scenario, Fakes(faults=[fault])) < 2.0

    @pytest.mark.parametrize("pushback_ms", ["-1", "never"])
    def test_push_back_may_forbid_another_attempt(self, pushback_ms):
        fakes = Fakes(faults=[Fault(EXHAUSTED, pushback_ms=pushback_ms)])

        async def scenario(client, fakes):
            await client.label_space()

        with pytest.raises(OverloadedError):
            talk(scenario, fakes)
        assert len(fakes.requests) == 1

    def test_an_attempt_that_would_come_after_the_timeout_is_not_waited_for(self):
        async def scenario(client, fakes):
            begin = time.monotonic()
            with pytest.raises(OverloadedError):
                await client.label_space()
            return time.monotonic() - begin

        assert talk(scenario, Fakes(faults=[Fault(EXHAUSTED, pushback_ms="60000")]), timeout=5.0) < 2.0

    def test_a_message_too_large_is_not_an_overload(self):
        fakes = Fakes(faults=[Fault(EXHAUSTED, "CLIENT: Received message larger than max (9 vs. 8)")])

        async def scenario(client, fakes):
            await client.label_space()

        with pytest.raises(ServiceError) as caught:
            talk(scenario, fakes)
        assert not isinstance(caught.value, OverloadedError)
        assert len(fakes.requests) == 1

    @pytest.mark.parametrize("backoff", [{"max_attempts": 0}, {"initial_backoff": 6.0}, {"initial_backoff": -1.0}])
    def test_a_policy_that_makes_no_sense_is_refused(self, backoff):
        with pytest.raises(InvalidInputError):
            RetryPolicy(**backoff)


class TestBrokenStreams:
    def test_a_stream_goes_on_from_the_first_missing_pair_on_the_same_bundle(self):
        fakes = Fakes(faults=[])

        async def scenario(client, fakes):
            await client.label_space()
            whole = await collect(client.generate_pairs(10, seed=5))
            fakes.requests.clear()
            fakes.faults = [None, Fault(UNAVAILABLE, after=4), Fault(EXHAUSTED, after=3, pushback_ms="1")]
            return whole, await collect(client.generate_pairs(10, seed=5))

        whole, broken = talk(scenario, fakes)
        streams = [request for request in fakes.requests if hasattr(request, "image_format")]
        assert [(request.first_index, request.count) for request in streams] == [(0, 10), (4, 6), (7, 3)]
        assert {request.bundle.digest for request in streams} == {DIGEST}
        assert [pair.image_data for pair in broken] == [pair.image_data for pair in whole]

    def test_progress_renews_the_attempts(self):
        fakes = Fakes(faults=[None, *[Fault(UNAVAILABLE, after=1)] * (2 * FAST.max_attempts)])

        async def scenario(client, fakes):
            return await collect(client.generate_pairs(20))

        assert [pair.index for pair in talk(scenario, fakes)] == list(range(20))

    def test_no_progress_ends_it(self):
        fakes = Fakes(faults=[None, Fault(UNAVAILABLE, after=2), *[Fault(UNAVAILABLE)] * 9])

        async def scenario(client, fakes):
            stream = client.generate_pairs(5)
            got = [(await anext(stream)).index, (await anext(stream)).index]
            with pytest.raises(UnavailableError):
                await anext(stream)
            return got

        assert talk(scenario, fakes) == [0, 1]
        assert len(fakes.requests) == 1 + 1 + FAST.max_attempts - 1

    def test_a_bundle_that_changed_meanwhile_is_a_mismatch_and_never_a_mixture(self):
        fakes = Fakes(faults=[None, Fault(UNAVAILABLE, after=2)])

        async def scenario(client, fakes):
            stream = client.generate_pairs(5)
            got = [await anext(stream), await anext(stream)]
            fakes.digest = "f" * 64
            with pytest.raises(BundleMismatchError):
                await anext(stream)
            return {pair.provenance.bundle.digest for pair in got}

        assert talk(scenario, fakes) == {DIGEST}


class TestAbandonedStreams:
    """`talk` checks after each scenario that the service has nothing in flight."""

    SLOW = 0.02

    def test_leaving_the_context_cancels(self):
        async def scenario(client, fakes):
            async with client.generate_pairs(10_000) as pairs:
                async for _ in pairs:
                    break

        fakes = Fakes(delay=self.SLOW)
        talk(scenario, fakes)
        assert fakes.produced < 10

    def test_breaking_out_of_the_loop_cancels(self):
        async def scenario(client, fakes):
            async for _ in client.generate_pairs(10_000):
                break
            gc.collect()

        fakes = Fakes(delay=self.SLOW)
        talk(scenario, fakes)
        assert fakes.produced < 10

    def test_cancelling_the_reader_cancels_and_the_stream_can_be_read_on(self):
        async def scenario(client, fakes):
            stream = client.generate_pairs(3)
            first = await anext(stream)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(stream), 0.05)
            await settled(fakes)
            return [first, *await collect(stream)]

        assert [pair.index for pair in talk(scenario, Fakes(delay=0.5))] == [0, 1, 2]

    def test_closing_the_client_ends_streams_and_calls_with_a_clear_error(self):
        async def scenario(client, fakes):
            fakes.delay = 10.0
            reader = asyncio.create_task(anext(client.generate_pairs(3)))
            await asyncio.sleep(0.1)
            await client.aclose()
            with pytest.raises(ClientClosedError):
                await reader
            with pytest.raises(ClientClosedError):
                await client.label_space()

        talk(scenario)

    def test_a_slow_reader_holds_the_service_back(self):
        async def scenario(client, fakes):
            async with client.generate_pairs(10_000) as pairs:
                await anext(pairs)
                await asyncio.sleep(0.5)
                held = fakes.produced
                await asyncio.sleep(0.3)
                assert fakes.produced == held < 100

        talk(scenario, Fakes(padding=400_000))

    def test_a_finished_stream_is_not_cancelled(self):
        ended = []

        async def scenario(client, fakes):
            stream = client.generate_pairs(2)
            await collect(stream)
            await settled(fakes)
            ended.append(fakes.produced)
            with pytest.raises(StopAsyncIteration):
                await anext(stream)

        talk(scenario)
        assert ended == [2]
