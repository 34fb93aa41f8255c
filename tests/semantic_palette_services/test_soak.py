"""A short soak: every kind of fault once, under load. `make soak` does the same for ten minutes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from soak.ledger import Ledger
from soak.measures import Samples
from soak.run import CLIENT_FAULTS, SERVER_FAULTS, Options, soak

# Too short to tell a leak from a process that is still warming up: this bound is for what runs away.
GROWTH = 0.25


def test_under_load_and_faults_no_pair_is_lost_and_nothing_leaks(tmp_path: Path) -> None:
    report = asyncio.run(soak(tmp_path, Options(seconds=1.0, warm_up=1.0, pause=0.0, growth=GROWTH)))
    assert not report["failures"], "\n".join(report["failures"])
    counts = report["counts"]
    for fault in (*SERVER_FAULTS, *CLIENT_FAULTS):
        assert counts[f"fault: {fault.__name__.replace('_', ' ')}"] >= 1
    assert counts["pair"] > 500
    assert counts["edited pair"] > 50
    assert counts["calls under way at kills"] >= 3


def test_pairs_that_are_lost_doubled_or_out_of_order_are_failures() -> None:
    for received in ([0, 1, 3], [0, 1, 1, 2, 3], [0, 2, 1, 3], [0, 1, 2]):
        ledger = Ledger()
        ledger.each_once("stream", received, range(4))
        assert len(ledger.failures) == 1
    ledger = Ledger()
    ledger.each_once("stream", [5, 6], range(5, 7))
    assert not ledger.failures


def test_the_same_pair_with_other_bytes_is_a_failure() -> None:
    ledger = Ledger()
    for seed, data in ((0, b"a"), (1, b"b"), (0, b"a")):
        ledger.bytes_of("pair", (seed, 7), data)
    assert not ledger.failures
    ledger.bytes_of("pair", (1, 7), b"a")
    assert ledger.failures == ["pair (1, 7) has other bytes than before"]


def test_memory_that_grows_is_told_from_memory_that_is_flat() -> None:
    samples = Samples(seconds=100.0)
    samples.taken["leaks"] = [(float(second), 100.0 + second) for second in range(100)]
    samples.taken["warms up"] = [(float(second), 100.0 + min(second, 25)) for second in range(100)]
    growth = samples.growth()
    assert growth["leaks"].ratio > 0.3
    assert growth["warms up"].ratio == 0.0
