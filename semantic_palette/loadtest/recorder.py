"""What became of every call."""

from dataclasses import dataclass

from semantic_palette.loadtest.arrivals import Arrival, Kind

OK = "OK"
CANCELLED = "CANCELLED"
LOST = "LOST"
"""No answer, and no end of the call either, long after it was due."""

_SMOOTHING = 0.05
_FIRST_GUESS = 0.05


@dataclass(frozen=True, slots=True)
class Outcome:
    """A call that has ended.

    Attributes:
        at: when it was due, in seconds after the start of the run.
        kind: what it was for.
        status: `OK`, the name of an error, `CANCELLED` where the caller gave up, or `LOST`.
        seconds: from the moment at which it was due, not that at which it was made, to its end.
        lag: seconds by which the client itself was late in making it.
    """

    at: float
    kind: Kind
    status: str
    seconds: float
    lag: float


class Recorder:
    """Outcomes, and the usual latency so far, by which callers lose their patience."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self._usual: float | None = None

    @property
    def usual_latency(self) -> float:
        """A running mean of the seconds of answered calls; a guess before the first."""
        return _FIRST_GUESS if self._usual is None else self._usual

    def add(self, arrival: Arrival, status: str, seconds: float, lag: float) -> None:
        """Takes in that a call has ended, `seconds` after it was due."""
        if status == OK and arrival.kind is Kind.VALID:
            self._usual = seconds if self._usual is None else self._usual + _SMOOTHING * (seconds - self._usual)
        self.outcomes.append(Outcome(arrival.at, arrival.kind, status, seconds, lag))
