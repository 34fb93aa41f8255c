"""What the calls of a load test ask for, and that each is made once."""

import asyncio

import grpc
import pytest
from fake_services import DIGEST, HEIGHT, SPACE, WIDTH, Fakes, Fault, serving

from semantic_palette._channel import Connection
from semantic_palette.layout import decode_png
from semantic_palette.loadtest import OK, Call
from semantic_palette.loadtest.service_calls import Content, Workload, prepare_calls
from semantic_palette.priority import Priority
from semantic_palette.v1 import common_pb2


def make(fakes: Fakes, content: Content, *calls: Call, seed: int = 3) -> list[str]:
    """Prepares and makes calls; returns their statuses."""

    async def scenario() -> list[str]:
        async with serving(fakes) as address:
            connection = Connection(address)
            try:
                send = await prepare_calls(connection, content, None, seed)
                fakes.requests.clear()
                return [await send(call) for call in calls]
            finally:
                await connection.channel.close()

    return asyncio.run(scenario())


def call(index: int, *, poison: bool = False) -> Call:
    return Call(index, poison, 20.0)


def test_layouts_differ_from_call_to_call_and_are_pinned_to_the_bundle():
    fakes = Fakes()
    content = Content(workload=Workload.LAYOUTS, items=2, exact=True, priority=Priority.BULK)
    assert make(fakes, content, call(0), call(1)) == [OK, OK]
    first, second = fakes.requests
    assert [item.index for request in (first, second) for item in request.items] == [0, 1, 2, 3]
    assert {item.seed for item in first.items} == {3}
    assert first.items[0].palette != second.items[0].palette
    assert first.bundle.digest == DIGEST
    assert first.adherence == common_pb2.ADHERENCE_EXACT
    assert first.priority == common_pb2.PRIORITY_BULK


def test_images_show_layouts_of_the_bundle():
    fakes = Fakes()
    assert make(fakes, Content(workload=Workload.IMAGES, items=3, priority=Priority.BULK), call(5)) == [OK]
    (request,) = fakes.requests
    layouts = [decode_png(item.layout.data, SPACE.num_classes, HEIGHT, WIDTH) for item in request.items]
    assert len({layout.tobytes() for layout in layouts}) == 3
    assert [item.index for item in request.items] == [15, 16, 17]
    assert request.priority == common_pb2.PRIORITY_BULK


def test_a_call_for_pairs_is_a_stream_that_is_read_to_its_end():
    fakes = Fakes()
    content = Content(workload=Workload.PAIRS, items=4, priority=Priority.INTERACTIVE)
    assert make(fakes, content, call(2)) == [OK]
    (request,) = fakes.requests
    assert (request.count, request.first_index, fakes.produced) == (4, 8, 4)
    assert request.priority == common_pb2.PRIORITY_INTERACTIVE


@pytest.mark.parametrize("workload", list(Workload))
def test_nothing_is_retried_and_the_priority_is_left_to_the_service(workload):
    fakes = Fakes()

    async def scenario() -> list[str]:
        async with serving(fakes) as address:
            connection = Connection(address)
            send = await prepare_calls(connection, Content(workload=workload), None, 0)
            fakes.requests.clear()
            fakes.faults.append(Fault(grpc.StatusCode.UNAVAILABLE))
            statuses = [await send(call(0)), await send(call(0))]
            await connection.channel.close()
            return statuses

    assert asyncio.run(scenario()) == ["UNAVAILABLE", OK]
    assert len(fakes.requests) == 2
    assert fakes.requests[0].priority == common_pb2.PRIORITY_UNSPECIFIED


def test_poison_is_a_palette_that_sums_to_two():
    fakes = Fakes()
    make(fakes, Content(workload=Workload.LAYOUTS), call(0, poison=True), call(0))
    poisoned, valid = (request.items[0].palette.shares for request in fakes.requests)
    assert sum(poisoned.values()) == pytest.approx(2.0)
    assert sum(valid.values()) == pytest.approx(1.0)


def test_poison_is_a_layout_with_a_class_that_there_is_not():
    fakes = Fakes()
    make(fakes, Content(workload=Workload.IMAGES, raw=True), call(0, poison=True), call(0))
    poisoned, valid = (request.items[0].layout for request in fakes.requests)
    assert set(poisoned.data) == {SPACE.num_classes}
    assert max(valid.data) < SPACE.num_classes
    assert (poisoned.height, poisoned.width) == (valid.height, valid.width) == (HEIGHT, WIDTH)
