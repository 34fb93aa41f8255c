"""A load test of our services, from what a user asks for to the report."""

from dataclasses import dataclass

import grpc.aio

from semantic_palette._channel import Connection
from semantic_palette._service_errors import service_error
from semantic_palette.credentials import Credentials
from semantic_palette.errors import InvalidInputError
from semantic_palette.loadtest.arrivals import check_load, poisson_arrivals
from semantic_palette.loadtest.report import Report, summarise
from semantic_palette.loadtest.runner import Send, run_load
from semantic_palette.loadtest.saturation import Saturation, find_saturation
from semantic_palette.loadtest.service_calls import Content, prepare_calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How calls come.

    Attributes:
        rate: mean calls a second; where saturation is searched for, the first rate.
        seconds: how long they are measured.
        warmup: seconds of the same load before that.
        seed: of arrivals and contents.
        deadline: seconds that a call may take, or None.
        cancel_fraction: share of the calls whose callers give up.
        poison_fraction: share of the calls that are invalid.
    """

    rate: float
    seconds: float
    warmup: float = 0.0
    seed: int = 0
    deadline: float | None = None
    cancel_fraction: float = 0.0
    poison_fraction: float = 0.0

    def __post_init__(self) -> None:
        check_load(self.rate, self.seconds, self.seed, self.cancel_fraction, self.poison_fraction)
        if not self.warmup >= 0:
            raise InvalidInputError("warmup", self.warmup, "at least 0 seconds")
        if self.deadline is not None and not self.deadline > 0:
            raise InvalidInputError("deadline", self.deadline, "a positive number of seconds, or none")


async def measure(send: Send, load: Load, rate: float) -> Report:
    """Measures one rate."""
    arrivals = poisson_arrivals(
        rate,
        load.warmup + load.seconds,
        load.seed,
        cancel_fraction=load.cancel_fraction,
        poison_fraction=load.poison_fraction,
    )
    recorder = await run_load(arrivals, send, deadline=load.deadline)
    return summarise(recorder.outcomes, load.seconds, start=load.warmup, deadline=load.deadline)


async def run_load_test(
    address: str, content: Content, load: Load, bundle: str | None = None, credentials: Credentials | None = None
) -> Report:
    """Measures services at one rate.

    Raises:
        ServiceError: the services do not answer before the load begins.
        InvalidInputError: an argument is out of range.
    """
    async with _Session(address, credentials) as session:
        return await measure(await session.prepare(content, bundle, load.seed), load, load.rate)


async def search_saturation(
    address: str, content: Content, load: Load, bundle: str | None = None, credentials: Credentials | None = None
) -> Saturation:
    """Searches for the rate at which services saturate, from `load.rate` on.

    Raises:
        ServiceError: the services do not answer before the load begins.
        InvalidInputError: an argument is out of range.
    """
    async with _Session(address, credentials) as session:
        send = await session.prepare(content, bundle, load.seed)
        return await find_saturation(lambda rate: measure(send, load, rate), start=load.rate)


class _Session:
    """A connection for the time of a test."""

    def __init__(self, address: str, credentials: Credentials | None) -> None:
        self._address = address
        self._credentials = credentials

    async def __aenter__(self) -> "_Session":
        self._connection = Connection(self._address, self._credentials)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.channel.close()

    async def prepare(self, content: Content, bundle: str | None, seed: int) -> Send:
        try:
            return await prepare_calls(self._connection, content, bundle, seed)
        except grpc.aio.AioRpcError as error:
            raise service_error(error, self._address) from error
