"""Which scenes make up the batch of a step: a pure function, so that resuming a run needs no sampler state."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from semantic_palette.errors import InvalidInputError


def batch_indices(seed: int, num_samples: int, batch_size: int, step: int) -> NDArray[np.int64]:
    """Indices of the samples in batch `step`, int64 [batch_size].

    The batches cut an endless row of epochs, each a permutation of all samples keyed by (seed, epoch): every sample
    is seen once an epoch, nothing is dropped at its end, and a batch may be larger than the data set. The
    permutation sorts raw Philox words, which numpy never changes, instead of using its shuffles, which it may.

    Raises:
        InvalidInputError: `seed` is not a 64-bit number, `num_samples` or `batch_size` below 1, `step` negative.
    """
    if not 0 <= seed < 2**64:
        raise InvalidInputError("seed", seed, "it must be from 0 to 2^64 - 1")
    for field, value, lowest in (("num_samples", num_samples, 1), ("batch_size", batch_size, 1), ("step", step, 0)):
        if value < lowest:
            raise InvalidInputError(field, value, f"it must be at least {lowest}")
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs, offsets = np.divmod(positions, num_samples)
    indices = np.empty(batch_size, np.int64)
    for epoch in np.unique(epochs):
        inside = epochs == epoch
        indices[inside] = _permutation(seed, int(epoch), num_samples)[offsets[inside]]
    return indices


def _permutation(seed: int, epoch: int, num_samples: int) -> NDArray[np.int64]:
    words = np.random.Philox(key=np.array([seed, epoch], np.uint64)).random_raw(num_samples)
    return np.argsort(words, kind="stable")
