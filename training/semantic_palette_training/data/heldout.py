"""A held-out share of scenes for data sets that come without a split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

HeldOutBy = Literal["runs", "hash"]

#: Runs are at least about this long while they are few: the frames at their ends have neighbours in training.
_RUN_LENGTH = 20
_MOST_RUNS = 10


def held_out(names: Sequence[str], share: float, by: HeldOutBy) -> list[bool]:
    """Whether each scene is held out, for names in sorted order.

    `runs`: whole runs of neighbouring names, evenly spread. Frames of a video are nearly the same as their neighbours,
    and a scene held out beside them tests nothing.
    `hash`: each name by itself, by its sha256. Scenes that are added later leave the others where they are.

    At least one scene is held out, and at least one is not, where there are two.
    """
    flags = _by_runs(len(names), share) if by == "runs" else _by_hash(names, share)
    if len(names) > 1 and all(flags):
        flags[0] = False
    return flags


def _by_runs(count: int, share: float) -> list[bool]:
    size = min(count, max(1, round(share * count)))
    runs = min(_MOST_RUNS, max(1, round(size / _RUN_LENGTH)))
    flags = [False] * count
    for run in range(runs):
        first, last = run * size // runs, (run + 1) * size // runs
        # The run sits in the middle of its part of the names.
        start, end = run * count // runs, (run + 1) * count // runs
        offset = start + (end - start - (last - first)) // 2
        flags[offset : offset + last - first] = [True] * (last - first)
    return flags


def _by_hash(names: Sequence[str], share: float) -> list[bool]:
    values = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64 for name in names]
    limit = max(share, min(values, default=0.0))
    return [value <= limit for value in values]
