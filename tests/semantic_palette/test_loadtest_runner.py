"""The loop is open, latency counts from when a call was due, and every call is accounted for."""

import asyncio
import time

import pytest

from semantic_palette.loadtest import OK, Arrival, Kind, poisson_arrivals, run_load, summarise


def run(coroutine):
    return asyncio.run(coroutine)


def evenly(count: int, gap: float, kind: Kind = Kind.VALID, patience: float = 0.0) -> list[Arrival]:
    return [Arrival(i, i * gap, kind, patience) for i in range(count)]


def test_a_server_that_answers_nothing_does_not_slow_arrivals_down():
    async def scenario():
        begun, release = [], asyncio.Event()

        async def send(call):
            begun.append(call.index)
            if len(begun) == 20:
                release.set()  # the first is answered only once the last has been made
            await release.wait()
            return OK

        return await run_load(evenly(20, 0.005), send)

    recorder = run(scenario())
    assert len(recorder.outcomes) == 20
    assert all(outcome.status == OK for outcome in recorder.outcomes)
    # Whoever came first waited longest: nearly the time over which the others arrived.
    seconds = [outcome.seconds for outcome in sorted(recorder.outcomes, key=lambda outcome: outcome.at)]
    assert seconds[0] > 19 * 0.005
    assert seconds == sorted(seconds, reverse=True)


def test_latency_counts_from_when_a_call_was_due_though_the_client_was_late():
    async def send(call):
        if call.index == 0:
            time.sleep(0.2)  # the client itself stalls, as when it collects garbage
        return OK

    outcomes = run(run_load(evenly(10, 0.01), send)).outcomes
    for outcome in outcomes[1:]:
        assert outcome.seconds >= 0.2 - outcome.at
        assert outcome.lag >= 0.19 - outcome.at
    assert summarise(outcomes, 0.1).client_lag_p99 >= 0.18


def test_send_is_told_what_is_left_of_the_deadline():
    timeouts = []

    async def send(call):
        timeouts.append(call.timeout)
        if call.index == 0:
            time.sleep(0.1)
        return OK

    run(run_load(evenly(3, 0.01), send, deadline=0.5))
    assert 0.0 <= timeouts[0] <= 0.5
    assert all(0.0 <= timeout <= timeouts[0] - 0.05 for timeout in timeouts[1:])
    timeouts.clear()
    run(run_load(evenly(1, 0.0), send))
    assert timeouts == [None]


def test_callers_that_give_up_cancel_their_call_and_are_counted_apart():
    cancelled = []

    async def send(call):
        try:
            await asyncio.sleep(30.0)
        except asyncio.CancelledError:
            cancelled.append(call.index)
            raise
        return OK

    recorder = run(run_load(evenly(10, 0.001, Kind.CANCEL, patience=0.5), send))
    assert sorted(cancelled) == list(range(10))
    report = summarise(recorder.outcomes, 0.01)
    assert (report.cancelled, report.lost, report.failed, report.latency) == (10, 0, 0, None)
    assert report.statuses == report.answered_before_cancel == {}


def test_an_answer_before_the_patience_is_over_is_no_cancellation():
    async def send(call):
        return OK

    report = summarise(run(run_load(evenly(5, 0.001, Kind.CANCEL, patience=0.9), send)).outcomes, 0.01)
    assert report.cancelled == 0
    assert report.answered_before_cancel == {OK: 5}


def test_patience_follows_the_usual_latency():
    async def scenario(latency):
        waited = []

        async def send(call):
            started = time.monotonic()
            try:
                await asyncio.sleep(latency if call.index < 5 else 30.0)
            except asyncio.CancelledError:
                waited.append(time.monotonic() - started)
                raise
            return OK

        arrivals = [*evenly(5, 0.001), Arrival(5, latency * 1.5 + 0.1, Kind.CANCEL, 0.5)]
        await run_load(arrivals, send)
        return waited[0]

    assert run(scenario(0.4)) >= 0.4 * 0.5


def test_poison_is_counted_by_what_became_of_it_and_never_as_a_failure():
    async def send(call):
        return "INVALID_ARGUMENT" if call.poison else OK

    arrivals = poisson_arrivals(2000, 0.2, 4, poison_fraction=0.3)
    invalid = sum(arrival.kind is Kind.POISON for arrival in arrivals)
    assert invalid
    report = summarise(run(run_load(arrivals, send)).outcomes, 0.2)
    assert report.poison == {"INVALID_ARGUMENT": invalid}
    assert report.statuses == {OK: len(arrivals) - invalid}
    assert (report.failed, report.lost, report.good_fraction) == (0, 0, 1.0)


def test_a_call_that_never_ends_is_lost_and_the_run_ends_all_the_same():
    async def send(call):
        if call.index == 1:
            await asyncio.Event().wait()
        return OK

    report = summarise(run(run_load(evenly(3, 0.001), send, grace=0.05)).outcomes, 0.003)
    assert report.lost == 1
    assert report.statuses == {OK: 2, "LOST": 1}


def test_a_call_that_ignores_its_cancellation_is_lost():
    async def send(call):
        end = asyncio.get_running_loop().time() + 0.3
        while asyncio.get_running_loop().time() < end:
            try:
                await asyncio.sleep(0.1)
            except asyncio.CancelledError:
                continue
        return OK

    report = summarise(run(run_load(evenly(1, 0.0, Kind.CANCEL), send, grace=0.05)).outcomes, 0.001)
    assert (report.lost, report.cancelled) == (1, 0)


def test_a_fault_of_send_ends_the_run_and_is_raised():
    async def send(call):
        if call.index == 2:
            raise ZeroDivisionError("a bug")
        await asyncio.sleep(0.01)
        return OK

    with pytest.raises(ZeroDivisionError, match="a bug"):
        run(run_load(evenly(200, 0.01), send))
