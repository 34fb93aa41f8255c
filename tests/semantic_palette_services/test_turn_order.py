"""Whose turn it is on a device: interactive work goes first, and bulk work goes on. The clock is a number here."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_palette.priority import Priority
from semantic_palette_services.runtime.turn_order import BULK_PAUSE_SECONDS, BULK_SHARE, TurnOrder

INTERACTIVE, BULK = Priority.INTERACTIVE, Priority.BULK


@dataclass(eq=False)
class Source:
    """Has so many turns of each priority to ask for."""

    name: str = ""
    turns: dict[Priority, int] = field(default_factory=lambda: {INTERACTIVE: 0, BULK: 0})

    def has_work(self, priority: Priority) -> bool:
        return self.turns[priority] > 0


def serve(order: TurnOrder[Source], now: float, seconds: float) -> str:
    """Give one turn; returns whose it was and of what, as "a" for interactive and "A" for bulk work of "a"."""
    turn = order.next(now)
    if turn is None:
        return "-"
    source, priority = turn
    source.turns[priority] -= 1
    order.ended(priority, seconds, now + seconds)
    order.enter(source, now + seconds)
    return source.name if priority is INTERACTIVE else source.name.upper()


def play(sources: list[Source], seconds: float, number: int) -> str:
    order, now, turns = TurnOrder[Source](), 0.0, ""
    for source in sources:
        order.enter(source, now)
    for _ in range(number):
        turns += serve(order, now, seconds)
        now += seconds
    return turns


def test_sources_of_one_priority_take_turns_whatever_their_load() -> None:
    for priority in Priority:
        sources = [
            Source(name, {INTERACTIVE: 0, BULK: 0} | {priority: n}) for name, n in (("a", 6), ("b", 2), ("c", 3))
        ]
        assert play(sources, 0.001, 12).lower() == "abcabcacaaa-"


def test_interactive_work_of_any_source_goes_before_bulk_work_of_all() -> None:
    sources = [Source("a", {INTERACTIVE: 0, BULK: 3}), Source("b", {INTERACTIVE: 2, BULK: 2})]
    assert play(sources, 0.01, 8) == "bbABABA-"


def test_bulk_work_that_left_with_another_batch_asks_for_no_turn() -> None:
    order, source, other = (
        TurnOrder[Source](),
        Source("a", {INTERACTIVE: 0, BULK: 1}),
        Source("b", {INTERACTIVE: 0, BULK: 1}),
    )
    for waiting in (source, other):
        order.enter(waiting, 0.0)
    source.turns[BULK] = 0
    assert order.next(0.0) == (other, BULK)
    assert order.next(0.0) is None


def test_under_permanent_interactive_load_bulk_work_of_every_source_goes_on() -> None:
    sources = [Source("a", {INTERACTIVE: 10**6, BULK: 10**6}), Source("b", {INTERACTIVE: 0, BULK: 10**6})]
    turns = play(sources, 0.1, 1000)  # 100 seconds
    assert turns.count("A") >= 40
    assert turns.count("B") >= 40
    assert turns.count("a") >= 850


def test_long_bulk_batches_are_kept_to_their_share() -> None:
    turns = play([Source("a", {INTERACTIVE: 10**6, BULK: 10**6})], 2.0, 1000)
    assert 0.9 * BULK_SHARE <= turns.count("A") / len(turns) <= BULK_SHARE


@settings(max_examples=100, deadline=None)
@given(
    arrivals=st.lists(st.floats(0.0, 20.0), max_size=60).map(sorted),
    interactive_seconds=st.floats(0.001, 0.3),
    bulk_seconds=st.floats(0.001, 0.6),
)
def test_an_interactive_turn_waits_for_one_bulk_turn_a_pause_and_no_more(
    arrivals: list[float], interactive_seconds: float, bulk_seconds: float
) -> None:
    """Bulk work never runs out; interactive turns are asked for one by one, and served in their order."""
    order, source, now = TurnOrder[Source](), Source("a", {INTERACTIVE: 0, BULK: 10**9}), 0.0
    waiting: list[list[float]] = []  # when each arrived, and how many bulk turns it has seen running
    arrivals, bulk_ended = list(arrivals), 0.0
    order.enter(source, now)
    while arrivals or waiting:
        while arrivals and arrivals[0] <= now:
            waiting.append([arrivals[0], float(arrivals[0] < bulk_ended)])
            arrivals.pop(0)
            source.turns[INTERACTIVE] += 1
            order.enter(source, now)
        served = serve(order, now, 0.0 if not waiting else interactive_seconds)
        if served == "A":
            for entry in waiting:
                entry[1] += 1
            now = bulk_ended = now + bulk_seconds
            order.ended(BULK, bulk_seconds, now)
        else:
            arrived, seen = waiting.pop(0)
            assert seen <= 1 + (now - arrived) // BULK_PAUSE_SECONDS
            now += interactive_seconds
