"""Palettes: histogram, projection on the simplex, distances, and reading shares by class name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_palette.errors import InfeasibleConstraintsError, InvalidInputError, UnknownClassError
from semantic_palette.label_space import CAMVID
from semantic_palette.palette import (
    clip_and_normalise,
    histogram,
    interpolate,
    jensen_shannon,
    kl_divergence,
    palette_from_shares,
    project_to_simplex,
    shares_from_palette,
    total_variation,
)

numbers = st.floats(-5.0, 5.0, allow_subnormal=False)


@st.composite
def bounded_problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A point and bounds that some palette meets, with ties, fixed classes and active bounds."""
    size = draw(st.integers(1, 9))
    x = np.array(draw(st.lists(numbers | st.sampled_from([0.0, 0.25, 1.0]), min_size=size, max_size=size)))
    inside = np.array(draw(st.lists(st.floats(0.01, 1.0), min_size=size, max_size=size)))
    inside /= inside.sum()
    below = np.array(draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=size, max_size=size)))
    above = np.array(draw(st.lists(st.sampled_from([1.0, 1.5, 9.0]), min_size=size, max_size=size)))
    return x, inside * below, np.minimum(inside * above, 1.0)


def projection_by_bisection(x: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """The same optimum by a method that shares nothing with the one under test."""
    low, high = (x - upper).min() - 1.0, (x - lower).max() + 1.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if np.clip(x - middle, lower, upper).sum() > 1.0 else (low, middle)
    return np.clip(x - 0.5 * (low + high), lower, upper)


@given(bounded_problems())
def test_projection_agrees_with_bisection(problem: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    x, lower, upper = problem
    np.testing.assert_allclose(project_to_simplex(x, lower, upper), projection_by_bisection(x, lower, upper), atol=1e-9)


@given(bounded_problems())
def test_projection_meets_the_optimality_conditions(problem: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    x, lower, upper = problem
    p = project_to_simplex(x, lower, upper)
    assert abs(p.sum() - 1.0) < 1e-12
    assert (p >= lower).all()
    assert (p <= upper).all()
    # Moving share from class i to class j, where the bounds allow it, never brings p closer to x.
    gradient = p - x
    can_fall, can_rise = p > lower + 1e-9, p < upper - 1e-9
    if can_fall.any() and can_rise.any():
        assert gradient[can_fall].max() <= gradient[can_rise].min() + 1e-7


@given(st.lists(st.lists(numbers, min_size=4, max_size=4), min_size=1, max_size=8))
def test_projection_of_a_batch_equals_projection_of_each_row_bit_for_bit(rows: list[list[float]]) -> None:
    batch = np.array(rows)
    alone = np.stack([project_to_simplex(row) for row in batch])
    np.testing.assert_array_equal(project_to_simplex(batch), alone)


@given(st.lists(numbers, min_size=2, max_size=8), st.floats(-1e6, 1e6))
def test_projection_ignores_a_constant(x: list[float], constant: float) -> None:
    moved = np.array(x) + constant
    np.testing.assert_allclose(project_to_simplex(moved), project_to_simplex(np.array(x)), atol=1e-8)


@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=8))
def test_projection_keeps_a_palette(weights: list[float]) -> None:
    palette = np.array(weights) / np.sum(weights)
    np.testing.assert_allclose(project_to_simplex(palette), palette, atol=1e-14)


def test_projection_of_extreme_values_is_still_a_palette() -> None:
    np.testing.assert_array_equal(project_to_simplex([1e300, 0.0, -1e300]), [1.0, 0.0, 0.0])
    capped = project_to_simplex([1e17, 0.0, -1e17], upper=[0.3, 0.3, 1.0])
    np.testing.assert_allclose(capped, [0.3, 0.3, 0.4], atol=1e-12)


def test_projection_keeps_fixed_classes_to_the_bit() -> None:
    share = 0.1 + 0.2
    p = project_to_simplex(np.random.default_rng(0).normal(size=(50, 5)), [share, 0, 0, 0, 0], [share, 1, 1, 1, 1])
    assert (p[:, 0] == share).all()


def test_infeasible_bounds_are_an_error_that_says_the_sums() -> None:
    with pytest.raises(InfeasibleConstraintsError, match=r"sum to 1\.2 "):
        project_to_simplex([0.0, 0.0], [0.6, 0.6])
    with pytest.raises(InfeasibleConstraintsError, match=r"sum to 0\.8"):
        project_to_simplex([0.0, 0.0], upper=[0.4, 0.4])
    with pytest.raises(InfeasibleConstraintsError, match="no lower bound is above"):
        project_to_simplex([0.0, 0.0], [0.5, 0.0], [0.4, 1.0])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_an_error(bad: float) -> None:
    with pytest.raises(InvalidInputError):
        project_to_simplex([0.0, bad])
    with pytest.raises(InvalidInputError):
        clip_and_normalise([0.5, bad])
    with pytest.raises(InvalidInputError):
        project_to_simplex([0.0, 0.0], [float("nan"), 0.0])


def test_clip_and_normalise_is_the_paper_s() -> None:
    np.testing.assert_allclose(clip_and_normalise([1.5, 0.5, -1.0]), [2 / 3, 1 / 3, 0.0])
    with pytest.raises(InvalidInputError, match="positive one in each row"):
        clip_and_normalise([-1.0, 0.0])


def test_histogram_counts_shares_in_a_batch() -> None:
    labels = np.array([[[0, 0], [1, 2]], [[2, 2], [2, 2]]], dtype=np.uint8)
    np.testing.assert_array_equal(histogram(labels, 4), [[0.5, 0.25, 0.25, 0.0], [0.0, 0.0, 1.0, 0.0]])
    assert histogram(labels[0], 3).shape == (3,)


def test_histogram_rejects_ids_out_of_range_and_empty_layouts() -> None:
    with pytest.raises(InvalidInputError, match="from 0 to 1"):
        histogram(np.array([[2]], dtype=np.uint8), 2)
    with pytest.raises(InvalidInputError, match="at least one pixel"):
        histogram(np.zeros((0, 4), dtype=np.uint8), 2)


def test_kl_is_the_one_of_the_paper_s_tables() -> None:
    # A missing class of share 0.05 costs about 0.05 log(0.05 / 1e-6) = 0.54 nats.
    assert kl_divergence([0.95, 0.05], [1.0, 0.0]) == pytest.approx(0.4922, abs=1e-4)
    q = (np.array([0.2, 0.8]) + 1e-6) / (1.0 + 2e-6)
    assert kl_divergence([0.5, 0.5], [0.2, 0.8]) == pytest.approx(0.5 * np.log(0.5 / q).sum(), abs=1e-15)
    assert kl_divergence([1.0, 0.0], [1.0, 0.0]) == pytest.approx(0.0, abs=1e-5)
    assert kl_divergence(np.full((3, 2, 4), 0.25), np.full(4, 0.25)).shape == (3, 2)


def test_other_distances() -> None:
    assert total_variation([1.0, 0.0], [0.0, 1.0]) == 1.0
    assert jensen_shannon([1.0, 0.0], [0.0, 1.0]) == pytest.approx(np.log(2.0))
    assert jensen_shannon([0.3, 0.7], [0.3, 0.7]) == 0.0


def test_interpolation_has_both_ends() -> None:
    path = interpolate([1.0, 0.0], [0.0, 1.0], 5)
    np.testing.assert_allclose(path[:, 0], [1.0, 0.75, 0.5, 0.25, 0.0])
    with pytest.raises(InvalidInputError):
        interpolate([1.0], [1.0], 1)


def test_shares_are_read_by_name_and_normalised() -> None:
    palette = palette_from_shares(CAMVID, {"Road": 0.6, "sky": 0.4004})
    assert palette.sum() == pytest.approx(1.0, abs=1e-15)
    assert palette[3] == pytest.approx(0.6 / 1.0004)
    shares = shares_from_palette(CAMVID, palette)
    assert list(shares) == list(CAMVID.names)
    assert shares["pole"] == 0.0


@pytest.mark.parametrize(
    ("shares", "field", "message"),
    [
        ({"road": 0.5}, "palette", r"sum to 0\.5"),
        ({"road": 1.0, "sky": 0.002}, "palette", r"sum to 1\.002"),
        ({}, "palette", "sum to 0"),
        ({"road": -0.1, "sky": 1.1}, "palette[road]", "from 0 to 1"),
        ({"road": float("nan")}, "palette[road]", "from 0 to 1"),
        ({"road": float("inf")}, "palette[road]", "from 0 to 1"),
        ({"road": True}, "palette[road]", "from 0 to 1"),
        ({"road": "1"}, "palette[road]", "from 0 to 1"),
        ({"road": 0.5, "ROAD": 0.5}, "palette[ROAD]", "named once"),
    ],
)
def test_bad_shares_are_errors_that_name_the_field(shares: dict[str, float], field: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        palette_from_shares(CAMVID, shares)
    assert caught.value.field == field


def test_unknown_class_in_shares() -> None:
    with pytest.raises(UnknownClassError):
        palette_from_shares(CAMVID, {"dragon": 1.0})


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_shares_round_trip(seed: int) -> None:
    palette = np.random.default_rng(seed).dirichlet(np.ones(12))
    np.testing.assert_allclose(palette_from_shares(CAMVID, shares_from_palette(CAMVID, palette)), palette, atol=1e-15)
