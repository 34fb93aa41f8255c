"""What is counted of a model."""

from __future__ import annotations

import pytest
from recording_observer import RecordingObserver

from semantic_palette_services.runtime.observer import ExecutedBatch
from semantic_palette_services.runtime.statistics import WINDOW_SECONDS, RecentWork, StatisticsRecorder


class Clock:
    def __init__(self) -> None:
        self.now = 1000.25

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def batch(size: int, seconds: float = 0.5) -> ExecutedBatch:
    return ExecutedBatch(model="layout", seconds=seconds, queue_seconds=[0.0] * size, spans=[None] * size, span=None)


def test_batches_are_counted_by_size(clock: Clock) -> None:
    recorder = StatisticsRecorder(None, clock)
    for size in (8, 1, 8, 3):
        recorder.batch_executed(batch(size))
    statistics = recorder.snapshot()
    assert list(statistics.batch_sizes.items()) == [(1, 1), (3, 1), (8, 2)]
    assert (statistics.batches, statistics.items) == (4, 20)


def test_recent_work_is_that_of_the_last_minute(clock: Clock) -> None:
    recorder = StatisticsRecorder(None, clock)
    recorder.batch_executed(batch(2))
    clock.now += 10.0
    recorder.batch_executed(batch(4))
    assert recorder.snapshot().recent == RecentWork(seconds=10.0, batches=2, items=6, busy_seconds=1.0)
    clock.now += WINDOW_SECONDS - 5.0
    recent = recorder.snapshot().recent
    assert (recent.batches, recent.items) == (1, 4)
    assert WINDOW_SECONDS <= recent.seconds < WINDOW_SECONDS + 1.0
    clock.now += WINDOW_SECONDS
    assert recorder.snapshot().recent.batches == 0
    assert recorder.snapshot().batches == 2


def test_a_steady_rate_is_reported_as_it_is(clock: Clock) -> None:
    recorder = StatisticsRecorder(None, clock)
    for _ in range(20 * (WINDOW_SECONDS + 30)):
        clock.now += 0.05
        recorder.batch_executed(batch(3, seconds=0.04))
    recent = recorder.snapshot().recent
    assert recent.batches / recent.seconds == pytest.approx(20.0, rel=0.02)
    assert recent.items / recent.seconds == pytest.approx(60.0, rel=0.02)
    assert recent.busy_seconds / recent.seconds == pytest.approx(0.8, rel=0.02)


def test_every_event_is_counted_and_passed_on() -> None:
    observer = RecordingObserver()
    recorder = StatisticsRecorder(observer)
    recorder.inflight("layout", 1)
    recorder.inflight("layout", 1)
    recorder.inflight("layout", -1)
    recorder.queue_depth("layout", 7)
    recorder.shed("layout", "queue_full")
    recorder.shed("layout", "queue_full")
    recorder.shed("layout", "drain")
    recorder.cancelled("layout", "queued")
    recorder.batch_executed(batch(2))
    recorder.batch_failed("layout", 0.1)
    statistics = recorder.snapshot()
    assert (statistics.batches, statistics.failed_batches) == (1, 1)
    assert observer.failures["layout"] == 1
    assert (statistics.inflight, statistics.queue_depth) == (1, 7)
    assert statistics.sheds == {"queue_full": 2, "drain": 1}
    assert statistics.cancelled == {"queued": 1}
    assert observer.in_flight["layout"] == 1
    assert observer.depth["layout"] == 7
    assert observer.sheds == [("layout", "queue_full")] * 2 + [("layout", "drain")]
    assert observer.cancels == [("layout", "queued")]
    assert observer.sizes["layout"] == [2]
