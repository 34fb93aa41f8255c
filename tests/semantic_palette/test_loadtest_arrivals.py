"""Arrivals are Poisson, and a seed decides them."""

import numpy as np
import pytest

from semantic_palette.errors import InvalidInputError
from semantic_palette.loadtest import Kind, poisson_arrivals


def test_arrivals_are_poisson():
    arrivals = poisson_arrivals(rate=50.0, seconds=400.0, seed=1)
    times = np.array([arrival.at for arrival in arrivals])
    assert abs(len(times) - 20_000) < 5 * np.sqrt(20_000)
    gaps = np.diff(times)
    assert (gaps >= 0).all()
    assert times[0] >= 0
    assert times[-1] < 400
    # Exponential: the standard deviation is the mean, and half of the gaps are shorter than ln 2 times it.
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    assert np.mean(gaps < np.log(2) / 50.0) == pytest.approx(0.5, abs=0.02)
    # Counts of disjoint seconds vary as much as their mean, and are independent.
    counts = np.bincount(times.astype(int), minlength=400)
    assert counts.var() == pytest.approx(counts.mean(), rel=0.3)
    assert abs(np.corrcoef(counts[:-1], counts[1:])[0, 1]) < 0.2


def test_the_seed_decides_everything():
    options = {"cancel_fraction": 0.3, "poison_fraction": 0.2}
    assert poisson_arrivals(20, 10, 7, **options) == poisson_arrivals(20, 10, 7, **options)
    assert poisson_arrivals(20, 10, 7, **options) != poisson_arrivals(20, 10, 8, **options)


def test_cancellations_and_poison_do_not_move_arrivals():
    plain = poisson_arrivals(100, 50, 3)
    mixed = poisson_arrivals(100, 50, 3, cancel_fraction=0.25, poison_fraction=0.1)
    assert [arrival.at for arrival in plain] == [arrival.at for arrival in mixed]
    assert {arrival.kind for arrival in plain} == {Kind.VALID}
    shares = {kind: sum(arrival.kind is kind for arrival in mixed) / len(mixed) for kind in Kind}
    assert shares[Kind.CANCEL] == pytest.approx(0.25, abs=0.04)
    assert shares[Kind.POISON] == pytest.approx(0.1, abs=0.03)
    assert all(0 <= arrival.patience < 1 for arrival in mixed)
    assert len({arrival.patience for arrival in mixed}) == len(mixed)


def test_every_call_can_be_poison_or_cancelled():
    assert {arrival.kind for arrival in poisson_arrivals(50, 4, 0, poison_fraction=1.0)} == {Kind.POISON}
    assert {arrival.kind for arrival in poisson_arrivals(50, 4, 0, cancel_fraction=1.0)} == {Kind.CANCEL}


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("rate", {"rate": 0.0}),
        ("rate", {"rate": float("nan")}),
        ("duration", {"seconds": float("inf")}),
        ("seed", {"seed": -1}),
        ("cancel_fraction", {"cancel_fraction": -0.1}),
        ("poison_fraction", {"poison_fraction": 1.1}),
        ("cancel_fraction + poison_fraction", {"cancel_fraction": 0.6, "poison_fraction": 0.6}),
    ],
)
def test_bad_arguments_are_named(field, changed):
    with pytest.raises(InvalidInputError) as raised:
        poisson_arrivals(**({"rate": 1.0, "seconds": 1.0, "seed": 0} | changed))
    assert raised.value.field == field
