"""Budgets: integer rounding, SAA, and labels that meet counts exactly and optimally."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_palette import _assignment
from semantic_palette._assignment import assign
from semantic_palette.budget import exact_labels, integer_budget, saa
from semantic_palette.constraints import Constraints
from semantic_palette.errors import InfeasibleConstraintsError, InvalidInputError
from semantic_palette.label_space import LabelClass, LabelSpace

SPACE = LabelSpace("four", [LabelClass(i, name, (i, i, i)) for i, name in enumerate("abcd")])
seeds = st.integers(0, 2**32 - 1)


def counts_of(labels: np.ndarray, num_classes: int) -> list[int]:
    return np.bincount(labels.ravel(), minlength=num_classes).tolist()


def random_counts(
    rng: np.random.Generator, num_classes: int, num_pixels: int, concentration: float = 0.5
) -> np.ndarray:
    return integer_budget(rng.dirichlet(np.full(num_classes, concentration)), num_pixels)


# --- integer budgets ---


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12).filter(lambda x: sum(x) > 0.01), st.integers(1, 40_000))
def test_budgets_sum_to_the_pixels_and_are_within_one_of_the_shares(weights: list[float], num_pixels: int) -> None:
    palette = np.array(weights) / np.sum(weights)
    counts = integer_budget(palette, num_pixels)
    assert counts.dtype == np.int64
    assert counts.sum() == num_pixels
    assert np.abs(counts - palette * num_pixels).max() < 1.0
    assert (counts[palette == 0.0] == 0).all()


def test_of_equal_remainders_the_smaller_class_id_wins() -> None:
    assert integer_budget(np.full(3, 1 / 3), 100).tolist() == [34, 33, 33]
    assert integer_budget(np.array([0.1, 0.2, 0.3, 0.4]), 5).tolist() == [1, 1, 1, 2]


def test_minima_round_up_and_maxima_down() -> None:
    palette = np.array([0.05, 0.249, 0.351, 0.35])
    held = Constraints(minimum={"a": 0.05}, maximum={"b": 0.249}).bounds(SPACE)
    counts = integer_budget(palette, 50, held)
    assert counts.sum() == 50
    assert counts[0] == 3  # 2.5 rounds up
    assert counts[1] == 12  # 12.45 rounds down


def test_a_palette_outside_the_bounds_is_brought_within_them() -> None:
    held = Constraints(fixed={"a": 0.5}, maximum={"b": 0.1}).bounds(SPACE)
    counts = integer_budget(np.array([0.0, 1.0, 0.0, 0.0]), 101, held)
    assert counts[0] in (50, 51)
    assert counts[1] == 10
    assert counts.sum() == 101


@settings(max_examples=200)
@given(seeds, st.integers(1, 3000))
def test_budgets_hold_random_bounds(seed: int, num_pixels: int) -> None:
    rng = np.random.default_rng(seed)
    inside = rng.dirichlet(np.ones(4))
    minimum = dict(zip("ab", (0.9 * inside[:2]).tolist(), strict=True))
    maximum = dict(zip("bc", np.minimum(1.1 * inside[1:3], 1.0).tolist(), strict=True))
    held = Constraints(minimum=minimum, maximum=maximum).bounds(SPACE)
    try:
        counts = integer_budget(inside, num_pixels, held)
    except InfeasibleConstraintsError:
        low, high = np.ceil(held.lower * num_pixels), np.floor(held.upper * num_pixels)
        assert (low > high).any() or low.sum() > num_pixels or high.sum() < num_pixels
        return
    assert counts.sum() == num_pixels
    assert (counts >= held.lower * num_pixels - 1e-5).all()
    assert (counts <= held.upper * num_pixels + 1e-5).all()


def test_bounds_that_whole_pixels_cannot_meet_are_an_error_in_pixels() -> None:
    held = Constraints(minimum=dict.fromkeys("abc", 0.33)).bounds(SPACE)
    with pytest.raises(InfeasibleConstraintsError, match="minima of 6 and maxima of 16 pixels"):
        integer_budget(np.full(4, 0.25), 4, held)


@pytest.mark.parametrize("palette", [[0.5, 0.4], [1.5, -0.5], [float("nan"), 1.0], [[1.0]]])
def test_what_is_not_a_palette_is_an_error(palette: list[float]) -> None:
    with pytest.raises(InvalidInputError, match="sum to 1"):
        integer_budget(np.array(palette), 10)


def test_a_range_without_a_whole_pixel_is_an_error_that_names_the_class() -> None:
    held = Constraints(minimum={"b": 0.42}, maximum={"b": 0.45}).bounds(SPACE)
    with pytest.raises(InfeasibleConstraintsError, match=r"class 1 from 0\.42 to 0\.45"):
        integer_budget(np.full(4, 0.25), 10, held)


def test_no_pixels_are_an_error() -> None:
    with pytest.raises(InvalidInputError, match="num_pixels"):
        integer_budget(np.array([1.0]), 0)


# --- semantically-assisted activation ---


def test_one_step_is_the_paper_s_equations() -> None:
    rng = np.random.default_rng(0)
    f, t = rng.normal(size=(2, 3, 4, 5)), rng.dirichlet(np.ones(3), size=2)
    rho = np.exp(f) / np.exp(f).sum(axis=(2, 3), keepdims=True)
    omega = t[:, :, None, None] * rho
    np.testing.assert_allclose(saa(f, t), omega / omega.sum(axis=1, keepdims=True), rtol=1e-12)


def test_more_steps_bring_the_mean_of_the_map_to_the_palette() -> None:
    rng = np.random.default_rng(1)
    f, t = 3.0 * rng.normal(size=(4, 16, 16)), np.array([0.1, 0.2, 0.3, 0.4])
    errors = [np.abs(saa(f, t, steps).mean(axis=(1, 2)) - t).max() for steps in (1, 5, 50)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-9


@pytest.mark.parametrize("steps", [1, 4])
def test_classes_without_share_are_exactly_zero(steps: int) -> None:
    f = np.random.default_rng(2).normal(size=(3, 8, 8)) + np.array([0.0, 500.0, 0.0])[:, None, None]
    soft = saa(f, [0.4, 0.0, 0.6], steps)
    assert (soft[1] == 0.0).all()
    np.testing.assert_allclose(soft.sum(axis=0), 1.0)


def test_bad_saa_arguments_are_errors() -> None:
    with pytest.raises(InvalidInputError, match="steps"):
        saa(np.zeros((2, 2, 2)), [0.5, 0.5], steps=0)
    with pytest.raises(InvalidInputError, match="palette"):
        saa(np.zeros((2, 2, 2)), [0.0, 0.0])


# --- exact labels ---


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(1, 4), st.sampled_from([1, 2, 3, 6, 7]), st.booleans())
def test_tiny_labellings_are_the_best_of_all(seed: int, num_classes: int, num_pixels: int, with_ties: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = (
        rng.integers(0, 3, (num_classes, 1, num_pixels)) if with_ties else rng.normal(size=(num_classes, 1, num_pixels))
    )
    scores = scores.astype(np.float32)
    counts = np.bincount(rng.integers(0, num_classes, num_pixels), minlength=num_classes)
    labels = exact_labels(scores, counts)
    assert counts_of(labels, num_classes) == counts.tolist()
    candidates = np.array(list(set(permutations(np.repeat(np.arange(num_classes), counts).tolist()))))
    totals = scores[candidates, 0, np.arange(num_pixels)].sum(axis=1, dtype=np.float64)
    assert scores[labels[0], 0, np.arange(num_pixels)].sum(dtype=np.float64) >= totals.max() - 1e-5


def best_loss_of_a_cycle(scores: np.ndarray, labels: np.ndarray) -> float:
    """Least loss of an exchange of labels that keeps the counts: never negative exactly when the labels are optimal."""
    num_classes = len(scores)
    f = scores.reshape(num_classes, -1).astype(np.float64)
    flat = labels.ravel().astype(np.intp)
    distance = np.full((num_classes, num_classes), np.inf)
    for i in np.unique(flat):
        members = np.flatnonzero(flat == i)
        distance[i] = (f[i, members] - f[:, members]).min(axis=1)
    for k in range(num_classes):
        distance = np.minimum(distance, distance[:, k, None] + distance[None, k])
    return float(np.diag(distance).min())


SCORES = {
    "noise": lambda rng, shape: rng.normal(size=shape),
    "smooth": lambda rng, shape: np.cumsum(np.cumsum(rng.normal(size=shape), axis=1), axis=2) / 20.0,
    "constant": lambda rng, shape: np.zeros(shape),
    "constant in each class": lambda rng, shape: np.broadcast_to(rng.normal(size=(shape[0], 1, 1)), shape),
    "the same in all classes": lambda rng, shape: np.broadcast_to(rng.normal(size=(1, *shape[1:])), shape),
    "two levels": lambda rng, shape: rng.integers(0, 2, shape),
    "bfloat16": lambda rng, shape: _bfloat16(rng.normal(size=shape)),
    "a class that was forbidden": lambda rng, shape: _forbidden(rng.normal(size=shape)),
    "huge": lambda rng, shape: 1e30 * rng.normal(size=shape),
    "the range of float32": lambda rng, shape: np.where(rng.random(shape) < 0.5, 3.4e38, -3.4e38),
    "tiny": lambda rng, shape: 1e-42 * rng.normal(size=shape),
}


def _bfloat16(scores: np.ndarray) -> np.ndarray:
    return (scores.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def _forbidden(scores: np.ndarray) -> np.ndarray:
    scores[1] = -1e9
    return scores


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("size", [(5, 7), (48, 96)])
def test_counts_are_met_exactly_and_optimally(kind: str, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    num_classes = 6
    for concentration in (0.3, 5.0):
        scores = np.ascontiguousarray(SCORES[kind](rng, (num_classes, *size)), dtype=np.float32)
        counts = random_counts(rng, num_classes, size[0] * size[1], concentration)
        labels = exact_labels(scores, counts)
        assert labels.dtype == np.uint8
        assert counts_of(labels, num_classes) == counts.tolist()
        finite = scores[np.abs(scores) < 1e9] if kind == "a class that was forbidden" else scores
        assert best_loss_of_a_cycle(scores, labels) >= -1e-6 * max(float(np.abs(finite).max()), 1e-44)


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(1, 9), st.integers(1, 40), st.integers(1, 40))
def test_any_counts_are_met(seed: int, num_classes: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(num_classes, height, width)).round(int(rng.integers(0, 4))).astype(np.float32)
    counts = random_counts(rng, num_classes, height * width, 0.2)
    assert counts_of(exact_labels(scores, counts), num_classes) == counts.tolist()


def test_argmax_is_kept_where_it_meets_the_counts() -> None:
    scores = np.random.default_rng(3).normal(size=(7, 64, 64)).astype(np.float32)
    natural = scores.argmax(axis=0)
    np.testing.assert_array_equal(exact_labels(scores, np.bincount(natural.ravel(), minlength=7)), natural)


def test_a_class_may_have_every_pixel_or_one() -> None:
    scores = np.random.default_rng(4).normal(size=(5, 60, 80)).astype(np.float32)
    assert (exact_labels(scores, np.array([0, 0, 4800, 0, 0])) == 2).all()
    labels = exact_labels(scores, np.array([0, 0, 4799, 1, 0]))
    assert np.flatnonzero(labels.ravel() == 3) == (scores[3] - scores[2]).argmax()


def test_the_same_scores_give_the_same_labels() -> None:
    rng = np.random.default_rng(5)
    scores = rng.integers(0, 3, (6, 50, 70)).astype(np.float32)
    counts = random_counts(rng, 6, 3500)
    np.testing.assert_array_equal(exact_labels(scores, counts), exact_labels(scores.copy(), counts))


def test_small_searches_reach_the_same_total_as_one_over_all_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    scores = rng.normal(size=(6, 4000)).astype(np.float32)
    counts = random_counts(rng, 6, 4000, 2.0)
    pixels = np.arange(4000)
    totals = []
    for size in (16, 256, 4000):
        monkeypatch.setattr(_assignment, "_BOUNDARY_PIXELS", size)
        monkeypatch.setattr(_assignment, "_SAMPLE_PIXELS", size)
        totals.append(scores[assign(scores, counts), pixels].sum(dtype=np.float64))
    np.testing.assert_allclose(totals, totals[-1], atol=1e-3)


def test_shortest_paths_alone_place_every_pixel_where_coordinate_steps_are_not_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_assignment, "_MAX_SWEEPS", 0)
    rng = np.random.default_rng(7)
    scores = rng.normal(size=(4, 10, 12)).astype(np.float32)
    counts = random_counts(rng, 4, 120)
    labels = exact_labels(scores, counts)
    assert counts_of(labels, 4) == counts.tolist()
    assert best_loss_of_a_cycle(scores, labels) >= -1e-6


GOOD = np.zeros((2, 2, 2), np.float32)


@pytest.mark.parametrize(
    ("scores", "counts", "field"),
    [
        (np.full((2, 2, 2), np.nan, np.float32), [2, 2], "scores"),
        (np.full((2, 2, 2), -np.inf, np.float32), [2, 2], "scores"),
        (np.zeros((2, 4), np.float32), [2, 2], "scores"),
        (np.zeros((2, 0, 4), np.float32), [0, 0], "scores"),
        (np.zeros((257, 1, 1), np.float32), [1] + [0] * 256, "scores"),
        (GOOD, [2, 1], "counts"),
        (GOOD, [5, -1], "counts"),
        (GOOD, [2, 2, 0], "counts"),
        (GOOD, [2.0, 2.0], "counts"),
    ],
)
def test_bad_scores_and_counts_are_errors(scores: np.ndarray, counts: list[float], field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        exact_labels(scores, np.array(counts))
    assert caught.value.field == field
