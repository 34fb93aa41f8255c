"""How many items may wait for a model, and how long."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from semantic_palette.priority import Priority
from semantic_palette_services.runtime.admission import LONGEST_RETRY, Admission, QueueLimits
from semantic_palette_services.runtime.errors import OverloadError, QueueFullError, WaitTooLongError
from semantic_palette_services.runtime.item_queue import Item, ItemQueue

INTERACTIVE, BULK = Priority.INTERACTIVE, Priority.BULK


def admission(limits: QueueLimits, *, interactive: int = 0, bulk: int = 0, wait: float = 0.0) -> Admission:
    """An admission to a queue in which so many items are, that are expected to take so many seconds."""
    queue, loop = ItemQueue(8), asyncio.new_event_loop()
    for priority, number in ((INTERACTIVE, interactive), (BULK, bulk)):
        for _ in range(number):
            queue.add(Item({"x": np.zeros(1)}, loop.create_future(), 0.0, None, False, priority))
    loop.close()
    return Admission("image", limits, queue, lambda priority: wait)


def refusal(error: OverloadError | None) -> OverloadError:
    assert error is not None
    return error


def test_bulk_items_leave_a_quarter_of_the_places_to_interactive_ones() -> None:
    door = admission(QueueLimits(items=8), bulk=5)
    assert door.overload(1, BULK) is None
    error = refusal(door.overload(2, BULK))
    assert isinstance(error, QueueFullError)
    assert error.limit == 6
    assert door.overload(3, INTERACTIVE) is None
    assert refusal(door.overload(4, INTERACTIVE)).args[0].startswith("image: 8 items are queued already")


def test_interactive_items_leave_a_quarter_of_the_places_to_bulk_ones() -> None:
    door = admission(QueueLimits(items=8), interactive=6)
    assert door.overload(2, INTERACTIVE) is None
    with door.reserve(1, BULK):
        assert isinstance(door.overload(1, INTERACTIVE), QueueFullError)
        assert door.overload(1, BULK) is None
    assert isinstance(door.overload(3, BULK), QueueFullError)  # which will be back
    assert isinstance(door.overload(1, INTERACTIVE), QueueFullError)


def test_a_bulk_request_as_large_as_the_queue_gets_in_where_no_other_is_before_it() -> None:
    assert admission(QueueLimits(items=8)).overload(8, BULK) is None
    assert admission(QueueLimits(items=8), interactive=1).overload(7, BULK) is None
    assert isinstance(admission(QueueLimits(items=8), bulk=1).overload(7, BULK), QueueFullError)


def test_room_that_is_kept_counts_until_it_is_given_back() -> None:
    door = admission(QueueLimits(items=8))
    with door.reserve(5, BULK) as room:
        assert isinstance(door.overload(2, BULK), QueueFullError)
        assert door.overload(3, INTERACTIVE) is None
        assert all(door.take_place(room) for _ in range(5))
        assert not door.take_place(room)
        assert door.overload(8, INTERACTIVE) is None
    assert door.overload(8, BULK) is None


def test_a_wait_beyond_the_bound_is_refused_with_the_time_after_which_it_is_not() -> None:
    door = admission(QueueLimits(items=100, seconds=10.0), wait=12.5)
    error = refusal(door.overload(1, INTERACTIVE))
    assert isinstance(error, WaitTooLongError)
    assert (error.wait_seconds, error.limit_seconds, error.retry_after_seconds) == (12.5, 10.0, 2.5)
    assert str(error) == "image: the wait would be 12.5 s, more than 10.0 s; retry in 2.5 s"
    assert door.overload(1, BULK) is None


def test_bulk_items_may_wait_ten_times_as_long() -> None:
    error = refusal(admission(QueueLimits(items=100, seconds=10.0), wait=150.0).overload(1, BULK))
    assert isinstance(error, WaitTooLongError)
    assert error.retry_after_seconds == LONGEST_RETRY


@pytest.mark.parametrize(("wait", "retry"), [(0.0, 0.1), (3.0, 3.0), (99.0, LONGEST_RETRY)])
def test_a_full_queue_is_expected_to_have_room_when_it_has_been_worked_off(wait: float, retry: float) -> None:
    error = refusal(admission(QueueLimits(items=1), interactive=1, wait=wait).overload(1, INTERACTIVE))
    assert error.retry_after_seconds == retry
