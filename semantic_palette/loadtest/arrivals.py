"""When calls are made, and what becomes of them: decided by a seed before the first is made."""

import enum
import math
from dataclasses import dataclass

import numpy as np

from semantic_palette.errors import InvalidInputError


class Kind(enum.Enum):
    """What a call is for."""

    VALID = "valid"
    """The caller waits for the answer."""
    CANCEL = "cancel"
    """Valid too, but the caller gives up before the usual time of an answer."""
    POISON = "poison"
    """The content is invalid, and has to be refused without harm to others."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call to make.

    Attributes:
        index: position among all arrivals.
        at: seconds after the start of the run.
        kind: what it is for.
        patience: for `Kind.CANCEL`, the share in [0, 1) of the usual latency after which the caller gives up.
    """

    index: int
    at: float
    kind: Kind
    patience: float


def poisson_arrivals(
    rate: float, seconds: float, seed: int, *, cancel_fraction: float = 0.0, poison_fraction: float = 0.0
) -> list[Arrival]:
    """Arrivals of a Poisson process, in order of time.

    Times depend on (rate, seconds, seed) alone, so that runs with and without cancellations meet the same bursts.

    Args:
        rate: mean arrivals a second.
        seconds: how long they arrive; the number of arrivals is Poisson distributed with mean `rate * seconds`.
        seed: of times and kinds.
        cancel_fraction: probability that a caller gives up, in [0, 1].
        poison_fraction: probability that a call is invalid; the two sum to 1 at most.

    Raises:
        InvalidInputError: a value is out of range.
    """
    check_load(rate, seconds, seed, cancel_fraction, poison_fraction)
    of_times, of_kinds = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
    # Given their number, the times of a Poisson process are independent and uniform.
    times = np.sort(of_times.uniform(0.0, seconds, of_times.poisson(rate * seconds)))
    draws = of_kinds.uniform(size=(len(times), 2))
    return [
        Arrival(index, float(at), _kind(float(draw), cancel_fraction, poison_fraction), float(patience))
        for index, (at, (draw, patience)) in enumerate(zip(times, draws, strict=True))
    ]


def _kind(draw: float, cancel_fraction: float, poison_fraction: float) -> Kind:
    if draw < cancel_fraction:
        return Kind.CANCEL
    return Kind.POISON if draw >= 1.0 - poison_fraction else Kind.VALID


def check_load(rate: float, seconds: float, seed: int, cancel_fraction: float, poison_fraction: float) -> None:
    """Raises what `poisson_arrivals` would raise for these."""
    for name, value in (("rate", rate), ("duration", seconds)):
        if not (math.isfinite(value) and value > 0):
            raise InvalidInputError(name, value, "a positive number")
    if seed < 0:
        raise InvalidInputError("seed", seed, "an integer of at least 0")
    for name, value in (("cancel_fraction", cancel_fraction), ("poison_fraction", poison_fraction)):
        if not 0.0 <= value <= 1.0:
            raise InvalidInputError(name, value, "a share from 0 to 1")
    if cancel_fraction + poison_fraction > 1.0:
        raise InvalidInputError(
            "cancel_fraction + poison_fraction",
            cancel_fraction + poison_fraction,
            "at most 1, for a call is one of both",
        )
