"""Runs cases against servers, a few at a time, and looks after the servers between rounds."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from grpc import aio

from fuzz.calls import Outcome, channel_to, make_call
from fuzz.cases import Case, make_case
from fuzz.servers import Target
from fuzz.verdict import faults

_CONCURRENT = 8


@dataclass
class Report:
    """What a run found.

    Attributes:
        calls: how many calls ended in each status of each method; "left" where the caller left before.
        failures: what was wrong, with what it takes to have it again.
        slowest: seconds of the slowest call, and which it was.
        largest: resident memory of each server in MiB, at its largest after a round.
    """

    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")
    largest: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many calls were made."""
        return self.calls.total()

    def add(self, case: Case, outcome: Outcome) -> None:
        """Count a call."""
        self.calls[case.method.path, "left" if outcome.code is None else outcome.code.name] += 1
        self.slowest = max(self.slowest, (outcome.seconds, f"{case.name} {case.caller} {case.method.path}"))

    def lines(self) -> list[str]:
        """For people."""
        methods = sorted({method for method, _ in self.calls})
        rows = [
            f"{method}: " + ", ".join(f"{n} {code}" for (m, code), n in sorted(self.calls.items()) if m == method)
            for method in methods
        ]
        sizes = ", ".join(f"{name} {size:.0f} MiB" for name, size in self.largest.items())
        seconds, name = self.slowest
        return [*rows, f"{self.total} calls; slowest {seconds:.1f} s: {name}; largest: {sizes}", *self.failures]


async def fuzz(targets: Sequence[Target], seed: int, seconds: float, least: int, failures: Path) -> Report:
    """Make calls for some time, and at least so many; stop after the round of the first failure.

    Args:
        targets: the servers.
        seed: of every case.
        seconds: how long.
        least: how many calls at least.
        failures: where requests that failed are kept, for `--replay`.
    """
    report, until, round_ = Report(), time.monotonic() + seconds, 0
    for target in targets:
        await target.settle()
    while not report.failures and (time.monotonic() < until or report.total < least):
        for target in targets:
            first = round_ * target.calls
            await _round(target, seed, range(first, first + target.calls), report, failures)
        round_ += 1
    return report


async def _round(target: Target, seed: int, numbers: range, report: Report, failures: Path) -> None:
    free = asyncio.Semaphore(_CONCURRENT)

    async def run(number: int, channel: aio.Channel) -> None:
        async with free:
            case = make_case(seed, number, target.methods)
            outcome = await make_call(target.address, channel, case, target.metadata)
            report.add(case, outcome)
            report.failures += [describe(target, case, fault, failures) for fault in faults(case, outcome)]

    async with channel_to(target.address) as channel:
        await asyncio.gather(*(run(number, channel) for number in numbers))
    found = await target.faults()
    report.failures += [f"after cases {seed}/{numbers.start} to {seed}/{numbers.stop - 1}: {fault}" for fault in found]
    if target.process.process.poll() is None:
        report.largest[target.name] = max(report.largest.get(target.name, 0.0), target.memory())


def describe(target: Target, case: Case, fault: str, failures: Path) -> str:
    """A fault, and the command that calls the same again."""
    failures.mkdir(parents=True, exist_ok=True)
    kept = failures / f"{case.method.path.rpartition('/')[2]}-{case.name.split()[0].replace('/', '-')}.bin"
    kept.write_bytes(case.data)
    hexadecimal = case.data.hex() if len(case.data) <= 2000 else f"(long, see {kept})"
    again = f'make fuzz ARGS="--replay {kept} --method {case.method.path} --server {target.name}"'
    sent = f"{hexadecimal} with {case.metadata}" if case.metadata else hexadecimal
    return f"{case.name} {case.caller} {case.method.path}: {fault}\n  request: {sent}\n  again:   {again}"
