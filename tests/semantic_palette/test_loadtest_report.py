"""Percentiles, goodput and saturation."""

import asyncio
import json

import numpy as np
import pytest

from semantic_palette.errors import InvalidInputError
from semantic_palette.loadtest import OK, Kind, Latency, Outcome, find_saturation, summarise


def outcome(at: float, seconds: float, status: str = OK, kind: Kind = Kind.VALID) -> Outcome:
    return Outcome(at=at, kind=kind, status=status, seconds=seconds, lag=0.0)


def test_percentiles_are_latencies_that_were_measured():
    seconds = list(np.random.default_rng(0).permutation(np.arange(1, 1001) / 1000))
    latency = Latency.of(seconds)
    assert latency == Latency(p50=0.501, p90=0.901, p99=0.991, p999=1.0, max=1.0)
    assert Latency.of([0.25]) == Latency(0.25, 0.25, 0.25, 0.25, 0.25)
    assert Latency.of([]) is None


def test_goodput_counts_answers_within_the_deadline():
    outcomes = [outcome(0.1 * i, 0.05 if i % 2 else 0.5) for i in range(100)]
    report = summarise(outcomes, 10.0, deadline=0.2)
    assert report.offered_rate == pytest.approx(10.0)
    assert report.goodput == pytest.approx(5.0)
    assert report.good_fraction == 0.5
    assert report.achieved_rate == pytest.approx(10.0, rel=0.05)
    assert summarise(outcomes, 10.0).good_fraction == 1.0


def test_a_backlog_is_not_answered_for_free():
    # 20 calls a second for 10 s, of which the server answers 10 a second: it is busy for 20 s.
    outcomes = [outcome(0.05 * i, 0.1 * (i + 1) - 0.05 * i) for i in range(200)]
    report = summarise(outcomes, 10.0)
    assert report.offered_rate == pytest.approx(20.0)
    assert report.achieved_rate == pytest.approx(10.0, rel=0.02)


def test_an_ordinary_latency_does_not_look_like_a_backlog():
    report = summarise([outcome(0.1 * i, 0.8) for i in range(20)], 2.0)
    assert report.achieved_rate == pytest.approx(report.offered_rate)


def test_calls_of_the_warm_up_do_not_count():
    outcomes = [outcome(0.1 * i, 9.0 if i < 10 else 0.1) for i in range(30)]
    report = summarise(outcomes, 2.0, start=1.0)
    assert report.offered == 20
    assert report.latency == Latency(0.1, 0.1, 0.1, 0.1, 0.1)
    assert report.achieved_rate == pytest.approx(10.0, rel=0.01)


def test_a_report_goes_to_json():
    outcomes = [outcome(0.0, 0.1), outcome(0.1, 0.2, "RESOURCE_EXHAUSTED"), outcome(0.2, 0.1, "X", Kind.POISON)]
    data = json.loads(json.dumps(summarise(outcomes, 1.0).to_json()))
    assert data["statuses"] == {OK: 1, "RESOURCE_EXHAUSTED": 1}
    assert data["poison"] == {"X": 1}
    assert data["latency"]["p50"] == 0.1
    assert summarise([], 1.0).to_json()["latency"] is None


def server_of(capacity: float, collapses: bool = False):
    """Measures a server that answers `capacity` calls a second; one that collapses answers less when overloaded."""

    async def measure(rate: float):
        answered = min(rate, capacity)
        if collapses and rate > capacity:
            answered = capacity / 4
        # The good answers are the first of every second; the others are refused.
        outcomes = [outcome(i / rate, 0.01, OK if (i % 100) < 100 * answered / rate else "FULL") for i in range(1000)]
        return summarise(outcomes, 1000 / rate)

    return measure


@pytest.mark.parametrize("collapses", [False, True])
@pytest.mark.parametrize("capacity", [3.7, 42.0, 900.0])
def test_saturation_is_found_whether_or_not_an_overload_breaks_the_server(capacity, collapses):
    found = asyncio.run(find_saturation(server_of(capacity, collapses), start=2.0, bisections=5))
    assert found.rate == pytest.approx(capacity, rel=0.1)
    assert found.sustained <= capacity * 1.06
    assert found.steps[0][0] == 2.0


def test_a_search_that_starts_too_high_comes_down():
    found = asyncio.run(find_saturation(server_of(10.0, collapses=True), start=300.0, bisections=9))
    assert found.rate == pytest.approx(10.0, rel=0.15)


def test_a_search_ends_though_a_server_follows_everything():
    found = asyncio.run(find_saturation(server_of(float("inf")), start=1.0, max_steps=4))
    assert [rate for rate, _ in found.steps] == [1.0, 2.0, 4.0, 8.0]
    assert found.sustained == 8.0


@pytest.mark.parametrize(("field", "options"), [("start", {"start": 0.0}), ("growth", {"start": 1.0, "growth": 1.0})])
def test_a_search_names_bad_arguments(field, options):
    with pytest.raises(InvalidInputError) as raised:
        asyncio.run(find_saturation(server_of(1.0), **options))
    assert raised.value.field == field
