"""What was received, and what is wrong with it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from semantic_palette.pair import Pair


@dataclass
class Ledger:
    """Every promise that the soak saw kept or broken.

    Attributes:
        counts: what was received and done, by kind.
        failures: promises that were broken.
    """

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _digests: dict[tuple[object, ...], bytes] = field(default_factory=dict)

    def fail(self, what: str) -> None:
        """Note a broken promise."""
        self.failures.append(what)

    def check(self, kept: bool, promise: str) -> None:
        """Note a promise that is broken unless it was kept."""
        self.counts["checks"] += 1
        if not kept:
            self.fail(promise)

    def pair(self, kind: str, pair: Pair, *made_from: object) -> None:
        """Note a pair of a deterministic stream: the same bytes as whenever it was made before, of the same things."""
        key = (pair.provenance.bundle.digest, pair.provenance.seed, pair.index, *made_from)
        self.bytes_of(kind, key, pair.label_data, pair.image_data)

    def bytes_of(self, kind: str, key: tuple[object, ...], *data: bytes) -> None:
        """Note what was received for a key, which has to be the same each time."""
        digest = hashlib.sha256(b"".join(data)).digest()
        self.counts[kind] += 1
        before = self._digests.setdefault((kind, *key), digest)
        self.check(digest == before, f"{kind} {key} has other bytes than before")

    def each_once(self, kind: str, received: Sequence[int], expected: range) -> None:
        """Note the indices of a stream that ended well: each once, in order."""
        what = f"{kind}: asked for {expected.start} to {expected.stop - 1}, received {len(received)}: {received[:9]}..."
        self.check(list(received) == list(expected), what)
