"""Batches: a pure function of (seed, step) that sees every sample once an epoch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.data import batch_indices


@given(seed=st.integers(0, 2**63), samples=st.integers(1, 40), batch=st.integers(1, 60), epochs=st.integers(1, 3))
def test_every_sample_is_seen_once_an_epoch(seed, samples, batch, epochs):
    steps = -(-samples * epochs // batch)
    row = np.concatenate([batch_indices(seed, samples, batch, step) for step in range(steps)])
    for epoch in range(epochs):
        seen = row[epoch * samples : (epoch + 1) * samples]
        assert sorted(seen.tolist()) == list(range(samples))


def test_a_step_is_the_same_whenever_it_is_asked_for():
    first = batch_indices(7, 100, 16, 4321)
    batch_indices(7, 100, 16, 3)
    assert first.dtype == np.int64
    assert first.shape == (16,)
    np.testing.assert_array_equal(batch_indices(7, 100, 16, 4321), first)


def test_seeds_and_epochs_are_shuffled_differently():
    orders = {tuple(batch_indices(seed, 50, 50, epoch)) for seed in (0, 1, 2**64 - 1) for epoch in range(3)}
    assert len(orders) == 9


def test_the_order_is_the_same_in_every_version():
    assert batch_indices(0, 10, 10, 0).tolist() == [0, 2, 9, 1, 8, 5, 4, 3, 6, 7]


@pytest.mark.parametrize(
    ("field", "value"), [("seed", -1), ("seed", 2**64), ("num_samples", 0), ("batch_size", 0), ("step", -1)]
)
def test_values_out_of_range_are_refused(field, value):
    arguments = {"seed": 0, "num_samples": 5, "batch_size": 2, "step": 0} | {field: value}
    with pytest.raises(InvalidInputError, match=f"{field}: {value}"):
        batch_indices(**arguments)
