"""The rate at which a service saturates."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from semantic_palette.errors import InvalidInputError
from semantic_palette.loadtest.report import Report

FOLLOWS = 0.95
"""Goodput follows the load where it is at least this share of what was offered."""


@dataclass(frozen=True, slots=True)
class Saturation:
    """What a search found.

    Attributes:
        rate: the highest goodput of any step, in calls a second.
        sustained: the highest rate offered that goodput followed; 0 if it followed none.
        steps: offered rate and report of every step, in the order in which they were measured.
    """

    rate: float
    sustained: float
    steps: list[tuple[float, Report]]


async def find_saturation(
    measure: Callable[[float], Awaitable[Report]],
    *,
    start: float,
    growth: float = 2.0,
    bisections: int = 3,
    max_steps: int = 16,
) -> Saturation:
    """Raises the rate until goodput stops following it, then bisects between the last two rates.

    Steps have to be long against the deadline of their calls: over a short one, a queue hides an overload. That is why
    goodput counts until the last good answer, and why `rate` is a goodput and not a rate that was offered.

    Args:
        measure: measures one rate; the backlog of the rate before is over when it is called.
        start: the first rate.
        growth: by what the rate grows a step, above 1.
        bisections: how often the interval is halved once goodput does not follow.
        max_steps: no more steps than these.

    Raises:
        InvalidInputError: `start` or `growth` is out of range.
    """
    if not start > 0:
        raise InvalidInputError("start", start, "a positive rate")
    if not growth > 1:
        raise InvalidInputError("growth", growth, "more than 1")
    steps: list[tuple[float, Report]] = []
    followed, refused = 0.0, None
    rate = start
    while len(steps) < max_steps and bisections >= 0:
        report = await measure(rate)
        steps.append((rate, report))
        if report.goodput >= FOLLOWS * report.offered_rate:
            followed = rate
        else:
            refused = rate
        if refused is None:
            rate *= growth
        else:
            bisections -= 1
            rate = (followed + refused) / 2
    return Saturation(max(report.goodput for _, report in steps), followed, steps)
