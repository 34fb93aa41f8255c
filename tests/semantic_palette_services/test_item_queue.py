"""Which items make the next batch. Times are plain numbers here; no clock runs."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from semantic_palette.priority import Priority
from semantic_palette_services.runtime.item_queue import AGEING_SECONDS, Item, ItemQueue


@pytest.fixture
def future() -> Any:
    loop = asyncio.new_event_loop()
    yield loop.create_future()
    loop.close()


def make(future: Any, enqueued: float, deadline: float | None = None, *, alone: bool = False, width: int = 1) -> Item:
    return Item({"x": np.zeros(width)}, future, enqueued, deadline, alone)


def test_the_bucket_with_the_most_urgent_head_is_pulled(future: Any) -> None:
    queue = ItemQueue(8)
    relaxed, urgent = make(future, 0.0, 4.0), make(future, 0.1, 1.0, width=2)
    for item in (relaxed, urgent):
        queue.add(item)
    pulls = [queue.pull(0.2), queue.pull(0.2), queue.pull(0.2)]
    assert [pull.batch if pull else None for pull in pulls] == [[urgent], [relaxed], None]


def test_nothing_that_arrives_later_overtakes_an_aged_item(future: Any) -> None:
    queue = ItemQueue(1)
    patient = make(future, 0.0)
    queue.add(patient)
    before = make(future, AGEING_SECONDS - 1.0, AGEING_SECONDS - 0.5)
    queue.add(before)
    after = make(future, AGEING_SECONDS, AGEING_SECONDS + 0.001)
    queue.add(after)
    order = [pull.batch[0] for _ in range(3) if (pull := queue.pull(AGEING_SECONDS - 1.0))]
    assert order == [before, patient, after]


def test_expired_items_make_room_in_the_batch(future: Any) -> None:
    queue = ItemQueue(2)
    items = [make(future, 0.0, deadline) for deadline in (1.0, 2.0, 3.0, 4.0)]
    for item in items:
        queue.add(item)
    pull = queue.pull(1.5)
    assert pull is not None
    assert pull.expired == items[:1]
    assert pull.batch == items[1:3]
    assert len(queue) == 1


def test_a_discarded_item_is_gone_and_discarding_it_again_says_so(future: Any) -> None:
    queue = ItemQueue(4)
    items = [make(future, float(index)) for index in range(3)]
    for item in items:
        queue.add(item)
    assert queue.discard(items[1])
    assert not queue.discard(items[1])
    pull = queue.pull(0.0)
    assert pull is not None
    assert pull.batch == [items[0], items[2]]


def test_turns_count_batches_of_each_bucket(future: Any) -> None:
    queue = ItemQueue(4)
    for index in range(6):
        queue.add(make(future, float(index)))
    for index in range(2):
        queue.add(make(future, float(index), alone=True))
    assert sorted((size, number) for _, size, number in queue.turns(Priority.INTERACTIVE)) == [(1, 2), (2, 1), (4, 1)]
    newcomer = make(future, 0.5)
    assert sorted((size, number) for _, size, number in queue.turns(Priority.INTERACTIVE, newcomer)) == [(1, 1), (1, 1)]


def test_the_estimate_of_a_long_queue_costs_no_more_than_that_of_a_short_one(future: Any) -> None:
    queue = ItemQueue(4)
    for index in range(1001):
        queue.add(make(future, float(index)))
        queue.add(make(future, float(index), alone=True))
    assert sorted((size, number) for _, size, number in queue.turns(Priority.INTERACTIVE)) == [
        (1, 1),
        (1, 1001),
        (4, 250),
    ]


def fill(queue: ItemQueue, future: Any, *priorities: Priority, width: int = 1) -> list[Item]:
    items = [
        Item({"x": np.zeros(width)}, future, float(index), None, False, priority)
        for index, priority in enumerate(priorities)
    ]
    for item in items:
        queue.add(item)
    return items


def batch_of(queue: ItemQueue, now: float = 0.0, **options: Any) -> list[Item]:
    pull = queue.pull(now, **options)
    assert pull is not None
    return pull.batch


def test_interactive_items_go_first_and_bulk_items_fill_their_batch_up(future: Any) -> None:
    queue = ItemQueue(3)
    bulk = fill(queue, future, *[Priority.BULK] * 4)
    interactive = fill(queue, future, Priority.INTERACTIVE)
    assert batch_of(queue) == [*interactive, *bulk[:2]]
    assert (len(queue), queue.count(Priority.BULK)) == (2, 2)
    assert batch_of(queue) == bulk[2:]


def test_bulk_items_fill_a_batch_only_as_far_as_it_does_not_take_longer(future: Any) -> None:
    queue = ItemQueue(8)
    bulk = fill(queue, future, *[Priority.BULK] * 4)
    interactive = fill(queue, future, *[Priority.INTERACTIVE] * 2)
    assert batch_of(queue, company=lambda key, size: size + 1) == [*interactive, bulk[0]]
    # A batch that nobody waits for is as large as can be.
    assert batch_of(queue, company=lambda key, size: size) == bulk[1:]


def test_a_bulk_turn_is_led_by_bulk_items_and_filled_up_with_interactive_ones(future: Any) -> None:
    queue = ItemQueue(3)
    interactive = fill(queue, future, *[Priority.INTERACTIVE] * 2)
    bulk = fill(queue, future, *[Priority.BULK] * 2)
    assert batch_of(queue, lead=Priority.BULK) == [*bulk, interactive[0]]
    assert batch_of(queue, lead=Priority.BULK) == interactive[1:]


def test_priorities_share_a_batch_only_within_a_bucket(future: Any) -> None:
    queue = ItemQueue(8)
    bulk = fill(queue, future, Priority.BULK, width=2)
    interactive = fill(queue, future, Priority.INTERACTIVE)
    assert [batch_of(queue), batch_of(queue)] == [interactive, bulk]


def test_a_discarded_bulk_item_is_gone(future: Any) -> None:
    queue = ItemQueue(8)
    bulk = fill(queue, future, *[Priority.BULK] * 2)
    assert queue.discard(bulk[0])
    assert not queue.discard(bulk[0])
    assert batch_of(queue) == bulk[1:]
    assert len(queue) == 0


def test_the_company_of_an_item_is_who_waits_before_it_and_as_many_behind(future: Any) -> None:
    queue = ItemQueue(4)
    assert queue.company(make(future, 0.0)) == (0, 1)
    for number, expected in enumerate([(1, 3), (2, 4), (3, 4), (0, 4), (1, 4)]):
        queue.add(make(future, float(number)))
        assert queue.company(make(future, 99.0)) == expected
    assert queue.company(make(future, 0.5)) == (1, 3)  # more urgent than all but the first
    assert queue.company(make(future, 99.0, width=2)) == (0, 1)
    assert queue.company(make(future, 99.0, alone=True)) == (0, 1)


def test_what_cannot_be_over_in_time_makes_way_for_what_can(future: Any) -> None:
    queue = ItemQueue(1)
    late, later, hopeful = (make(future, 0.0, deadline) for deadline in (1.2, 1.4, 3.0))
    for item in (late, later, hopeful):
        queue.add(item)
    pull = queue.pull(1.0, shortest=lambda _: 0.5)
    assert pull is not None
    assert (pull.batch, pull.expired) == ([hopeful], [late, later])
    assert len(queue) == 0


def test_what_cannot_be_over_in_time_is_tried_where_nothing_else_waits(future: Any) -> None:
    queue = ItemQueue(4)
    over, late, later = (make(future, 0.0, deadline) for deadline in (0.9, 1.2, 1.4))
    for item in (over, late, later):
        queue.add(item)
    pull = queue.pull(1.0, shortest=lambda _: 0.5)
    assert pull is not None
    assert (pull.batch, pull.expired) == ([later], [over, late])
