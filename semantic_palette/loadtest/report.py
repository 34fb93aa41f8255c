"""What a load test measured, in numbers."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from semantic_palette.loadtest.arrivals import Kind
from semantic_palette.loadtest.recorder import CANCELLED, LOST, OK, Outcome


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles in seconds. Each is a latency that a call had: nothing is interpolated."""

    p50: float
    p90: float
    p99: float
    p999: float
    max: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latency | None":
        """The percentiles of some latencies; None where there are none."""
        if not seconds:
            return None
        values = np.percentile(np.asarray(seconds), [50.0, 90.0, 99.0, 99.9, 100.0], method="higher")
        return cls(*(float(value) for value in values))


@dataclass(frozen=True, slots=True)
class Report:
    """One run. Rates are in calls a second; latencies, rates and statuses are those of valid calls that nobody gave up.

    Attributes:
        seconds: how long calls arrived.
        offered: calls that were due, of every kind.
        offered_rate: valid calls that were due, a second of the arrivals.
        achieved_rate: valid calls that were answered with OK.
        goodput: valid calls that were answered with OK within the deadline.
        good_fraction: share of the valid calls that were answered with OK within the deadline.
        latency: percentiles of calls that were answered with OK, from the moment at which they were due.
        statuses: how many valid calls ended with which status.
        cancelled: calls whose callers gave up in time.
        answered_before_cancel: calls whose callers would have given up, by status.
        poison: how many invalid calls ended with which status.
        lost: calls of any kind that never ended. A service that keeps its word loses none.
        client_lag_p99: seconds by which the client was late in making a call; a latency near it is the client's own.
    """

    seconds: float
    offered: int
    offered_rate: float
    achieved_rate: float
    goodput: float
    good_fraction: float
    latency: Latency | None
    statuses: dict[str, int]
    cancelled: int
    answered_before_cancel: dict[str, int]
    poison: dict[str, int]
    lost: int
    client_lag_p99: float

    @property
    def failed(self) -> int:
        """Valid calls that nobody gave up and that were not answered with OK."""
        return sum(count for status, count in self.statuses.items() if status != OK)

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def summarise(
    outcomes: Iterable[Outcome], seconds: float, *, start: float = 0.0, deadline: float | None = None
) -> Report:
    """Summarises a run.

    Args:
        outcomes: how its calls ended.
        seconds: how long calls arrived, from `start` on.
        start: calls that were due before this time only warmed the service up.
        deadline: seconds after its arrival at which a call's answer is worth nothing.
    """
    outcomes = [outcome for outcome in outcomes if outcome.at >= start]
    valid = [outcome for outcome in outcomes if outcome.kind is Kind.VALID]
    impatient = [outcome for outcome in outcomes if outcome.kind is Kind.CANCEL]
    answered = [outcome for outcome in valid if outcome.status == OK]
    good = [outcome for outcome in answered if deadline is None or outcome.seconds <= deadline]
    lags = [outcome.lag for outcome in outcomes]
    return Report(
        seconds=seconds,
        offered=len(outcomes),
        offered_rate=len(valid) / seconds,
        achieved_rate=len(answered) / _span(answered, start, seconds),
        goodput=len(good) / _span(good, start, seconds),
        good_fraction=len(good) / len(valid) if valid else 0.0,
        latency=Latency.of([outcome.seconds for outcome in answered]),
        statuses=_count(valid),
        cancelled=sum(outcome.status == CANCELLED for outcome in impatient),
        answered_before_cancel=_count(outcome for outcome in impatient if outcome.status not in (CANCELLED, LOST)),
        poison=_count(outcome for outcome in outcomes if outcome.kind is Kind.POISON),
        lost=sum(outcome.status == LOST for outcome in outcomes),
        client_lag_p99=float(np.percentile(lags, 99.0, method="higher")) if lags else 0.0,
    )


def _span(answers: Sequence[Outcome], start: float, seconds: float) -> float:
    """Seconds over which answers came: as long as calls arrived, and longer where a backlog was answered after that.

    The shortest latency is the time that an answer takes without any backlog.
    """
    if not answers:
        return seconds
    last = max(outcome.at + outcome.seconds for outcome in answers)
    return max(seconds, last - start - min(outcome.seconds for outcome in answers))


def _count(outcomes: Iterable[Outcome]) -> dict[str, int]:
    return dict(Counter(outcome.status for outcome in outcomes).most_common())
