"""Rates and streams of a token, with a clock of the test's own."""

from __future__ import annotations

import asyncio

import pytest
from grpc_helpers import asynchronous

from semantic_palette_services.access import quota as quota_module
from semantic_palette_services.access.errors import QuotaExceededError, UnauthenticatedError
from semantic_palette_services.access.quota import Quota


class Clock:
    """Moves when something sleeps."""

    now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.get_running_loop().create_task(_nothing())


async def _nothing() -> None: ...


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()

    class FakeAsyncio:
        Lock = asyncio.Lock
        sleep = clock.sleep

    monkeypatch.setattr(quota_module, "asyncio", FakeAsyncio)
    return clock


def test_a_second_worth_may_be_spent_at_once_and_then_as_fast_as_the_rate(clock: Clock) -> None:
    quota = Quota("alice", 10.0, clock=clock)
    quota.spend(10)
    with pytest.raises(QuotaExceededError, match="'alice': 10 pairs, layouts or images a second") as caught:
        quota.spend(5)
    assert caught.value.retry_after_seconds == pytest.approx(0.5)
    clock.now += 0.49
    with pytest.raises(QuotaExceededError):
        quota.spend(5)
    clock.now += 0.02
    quota.spend(5)


def test_a_request_larger_than_the_bucket_passes_and_is_paid_off_before_the_next(clock: Clock) -> None:
    quota = Quota("alice", 10.0, clock=clock)
    quota.spend(100)
    with pytest.raises(QuotaExceededError) as caught:
        quota.spend(1)
    assert caught.value.retry_after_seconds == pytest.approx(9.1)
    clock.now += 9.2
    quota.spend(1)


def test_idle_time_is_not_saved_up_beyond_a_second(clock: Clock) -> None:
    quota = Quota("alice", 10.0, clock=clock)
    clock.now += 3600
    quota.spend(10)
    with pytest.raises(QuotaExceededError):
        quota.spend(1)


@pytest.mark.parametrize(("rate", "count", "seconds"), [(10.0, 50, 4.0), (0.1, 5, 40.0), (0.5, 3, 4.0)])
@asynchronous
async def test_pairs_are_slowed_down_to_the_rate(clock: Clock, rate: float, count: int, seconds: float) -> None:
    quota, began = Quota("alice", rate, clock=clock), clock.now
    for _ in range(count):
        await quota.begin_pair()
    assert clock.now - began == pytest.approx(seconds, abs=1e-6)


@asynchronous
async def test_streams_of_one_token_share_its_rate(clock: Clock) -> None:
    quota, began = Quota("alice", 10.0, clock=clock), clock.now

    async def stream() -> None:
        for _ in range(20):
            await quota.begin_pair()

    await asyncio.gather(*(stream() for _ in range(3)))
    assert clock.now - began == pytest.approx(5.0, abs=1e-6)


@asynchronous
async def test_pairs_that_are_given_up_while_they_wait_cost_nothing() -> None:
    quota = Quota("alice", 5.0)
    for _ in range(5):
        await quota.begin_pair()
    waiting = [asyncio.create_task(quota.begin_pair()) for _ in range(50)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await asyncio.wait_for(quota.begin_pair(), 5.0)  # had they cost something, this would take 10 s


@asynchronous
async def test_without_a_rate_nothing_waits() -> None:
    quota = Quota("alice")
    quota.spend(10**6)
    await asyncio.wait_for(asyncio.gather(*(quota.begin_pair() for _ in range(1000))), 5.0)


def test_streams_are_counted_until_they_end() -> None:
    quota = Quota("alice", max_streams=2)
    with quota.stream():
        with quota.stream(), pytest.raises(QuotaExceededError, match="2 streams at a time"), quota.stream():
            pass
        with quota.stream():
            pass


@asynchronous
async def test_a_revoked_token_begins_nothing_more(clock: Clock) -> None:
    for quota in (Quota("alice"), Quota("alice", 0.001, clock=clock)):
        await quota.begin_pair()
        quota.revoke()
        with pytest.raises(UnauthenticatedError, match="revoked"):
            await quota.begin_pair()


@asynchronous
async def test_a_rate_that_changes_holds_from_then_on(clock: Clock) -> None:
    quota, began = Quota("alice", 1.0, clock=clock), clock.now
    await quota.begin_pair()
    quota.change(100.0, None)
    await quota.begin_pair()
    assert clock.now - began == pytest.approx(0.01)
    quota.change(None, None)
    quota.spend(1000)
