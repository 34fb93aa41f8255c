"""Closing streams and clients while something is under way: nothing is called again, and the error says why."""

import asyncio
import sys
import threading

import grpc
import pytest
from fake_services import Fakes, Fault, serving, settled

from semantic_palette.client import AsyncClient, Client, ClientClosedError, RetryPolicy

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
PATIENT = RetryPolicy(initial_backoff=0.4, max_backoff=0.4)
NOBODY = "127.0.0.1:1"


async def pause_of(fakes: Fakes, calls: int) -> None:
    """Waits until the client pauses after so many calls that ended."""
    while len(fakes.requests) < calls or fakes.in_flight:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)


@pytest.mark.parametrize("read_before", [0, 2])
def test_a_stream_that_is_closed_in_a_pause_calls_no_more(read_before):
    async def scenario():
        fakes = Fakes(faults=[None, Fault(UNAVAILABLE, after=read_before)])
        async with serving(fakes) as address, AsyncClient(address, retry=PATIENT) as client:
            stream = client.generate_pairs(5)
            for _ in range(read_before):
                await anext(stream)
            reader = asyncio.create_task(anext(stream))
            await pause_of(fakes, calls=2)
            await stream.aclose()
            with pytest.raises(ClientClosedError, match="the stream was closed"):
                await reader
            await settled(fakes)
            assert len(fakes.requests) == 2

    asyncio.run(scenario())


def test_a_stream_that_is_closed_while_it_asks_for_the_bundle_opens_no_call():
    async def scenario():
        fakes = Fakes(faults=[Fault(UNAVAILABLE)])
        async with serving(fakes) as address, AsyncClient(address, retry=PATIENT) as client:
            stream = client.generate_pairs(5)
            reader = asyncio.create_task(anext(stream))
            await pause_of(fakes, calls=1)
            await stream.aclose()
            with pytest.raises(ClientClosedError):
                await reader
            assert not [request for request in fakes.requests if hasattr(request, "image_format")]

    asyncio.run(scenario())


def test_a_call_in_a_pause_when_the_client_closes_says_so():
    async def scenario():
        client = AsyncClient(NOBODY, retry=PATIENT)
        call = asyncio.create_task(client.label_space())
        await asyncio.sleep(0.2)
        await client.aclose()
        with pytest.raises(ClientClosedError):
            await call

    asyncio.run(scenario())


def test_a_stream_that_was_not_begun_when_the_client_closed_says_so():
    async def scenario():
        client = AsyncClient(NOBODY)
        stream = client.generate_pairs(5)
        await client.aclose()
        with pytest.raises(ClientClosedError):
            await anext(stream)

    asyncio.run(scenario())


def test_an_iterator_may_be_closed_after_its_client():
    client = Client(NOBODY)
    with client.generate_pairs(3) as pairs:
        client.close()
    pairs.close()
    with pytest.raises(ClientClosedError):
        next(pairs)


def call_until_refused(client: Client, refused: list[bool]) -> None:
    try:
        while True:
            client._thread.run(asyncio.sleep(0))
    except ClientClosedError:
        refused.append(True)


def test_calls_of_other_threads_end_with_the_client_and_never_hang():
    """A call that meets the client's end is refused or cancelled; it is not left with a loop that no longer runs."""
    switch_interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(10):
            client = Client(NOBODY, retry=PATIENT)
            refused: list[bool] = []
            threads = [
                threading.Thread(target=call_until_refused, args=(client, refused), daemon=True) for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            client.close()
            for thread in threads:
                thread.join(10.0)
                assert not thread.is_alive()
            assert refused == [True] * 4
    finally:
        sys.setswitchinterval(switch_interval)
