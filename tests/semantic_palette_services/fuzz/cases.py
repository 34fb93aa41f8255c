"""A numbered call. Everything about it follows from (seed, number), so that a failure can be had again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from fuzz import corpus, messages, wire
from fuzz.methods import Method

# What servers read of a call beside its request.
_METADATA = {
    "traceparent": (
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-0000000000000000-00",
        "ff-" + "z" * 500,
        "",
    ),
    "tracestate": ("a=1,b=2", "=" * 600, ","),
    "authorization": ("Bearer ", "Bearer x", "Basic eDp5", "bearer " + "t" * 2000, ""),
    "user-agent": ("", "%s%n"),
}


class Caller(StrEnum):
    """How the caller behaves."""

    PATIENT = "patient"
    """Reads everything there is, or the first messages of a long stream and then cancels."""
    FICKLE = "fickle"
    """Cancels after a moment."""
    HASTY = "hasty"
    """Gives a deadline that may be too short."""
    GONE = "gone"
    """Drops the connection after a moment."""


@dataclass(frozen=True)
class Case:
    """A call.

    Attributes:
        name: what it can be asked for again by.
        method: what is called.
        data: the request as it is sent.
        caller: how the caller behaves.
        moment: seconds after which a fickle caller, or one that is gone, leaves; a hasty one's deadline.
        metadata: what it is sent with.
    """

    name: str
    method: Method
    data: bytes
    caller: Caller = Caller.PATIENT
    moment: float = 0.0
    metadata: tuple[tuple[str, str], ...] = ()


def make_case(seed: int, number: int, methods: Sequence[Method]) -> Case:
    """Case ``number`` of a run; the methods take turns."""
    rng = Random(f"{seed}/{number}")
    method = methods[number % len(methods)]
    kind, data = _request(rng, method)
    callers = (Caller.PATIENT,) * 7 + (Caller.FICKLE, Caller.HASTY, Caller.GONE)
    caller, moment = rng.choice(callers), rng.choice((0.0, 0.002, 0.01, 0.05))
    metadata = tuple((key, rng.choice(values)) for key, values in _METADATA.items() if rng.random() < 0.1)
    return Case(f"{seed}/{number} ({kind})", method, data, caller, moment, metadata)


def _request(rng: Random, method: Method) -> tuple[str, bytes]:
    """What kind of request, and its bytes."""
    message = method.request()
    seeds = corpus.REQUESTS.get(method.path, [])
    if not seeds or rng.random() < 0.2:
        messages.randomise(rng, message)
        data = message.SerializeToString()
        return ("random fields", data) if rng.random() < 0.8 else ("random fields, scrambled", wire.scramble(rng, data))
    message.ParseFromString(rng.choice(seeds).SerializeToString())
    if rng.random() < 0.35:
        return "valid, scrambled", wire.scramble(rng, message.SerializeToString())
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        messages.mutate(rng, message)
    return "valid, mutated", message.SerializeToString()
