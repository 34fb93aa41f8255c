"""Evaluation: FSD and KL against independent computations, and evaluation of any generator."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_palette.budget import integer_budget
from semantic_palette.errors import InvalidInputError
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.evaluation import (
    EditResults,
    evaluate_layouts,
    frechet_distance,
    frechet_segmentation_distance,
    measure_adherence,
    measure_edits,
)


def random_palettes(seed, count, classes):
    return np.random.default_rng(seed).dirichlet(np.ones(classes), count)


@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 12))
@settings(max_examples=40, deadline=None)
def test_fsd_is_the_frechet_distance_of_percentages(seed, classes):
    """Tr (A B)^(1/2) is the sum of the roots of the eigenvalues of A B itself, by the general eigenvalue solver."""
    reference, palettes = random_palettes(seed, 50, classes), random_palettes(seed + 1, 40, classes) ** 2
    palettes /= palettes.sum(axis=1, keepdims=True)
    a, b = (np.cov(100 * value.T, ddof=1) for value in (reference, palettes))
    roots = np.sqrt(np.linalg.eigvals(a @ b).astype(complex)).real.sum()
    apart = 100 * (reference.mean(axis=0) - palettes.mean(axis=0))
    expected = (apart**2).sum() + np.trace(a) + np.trace(b) - 2 * roots
    assert frechet_segmentation_distance(reference, palettes) == pytest.approx(expected, rel=1e-6, abs=1e-4)


def test_fsd_of_a_set_with_itself_is_zero_and_it_is_symmetric():
    first, second = random_palettes(0, 60, 5), random_palettes(1, 30, 5)
    assert frechet_segmentation_distance(first, first) == pytest.approx(0, abs=1e-9)
    assert frechet_segmentation_distance(first, second) == pytest.approx(frechet_segmentation_distance(second, first))


def test_frechet_distance_of_gaussians_with_a_shared_basis_is_known():
    """For diagonal covariances it is |difference of means|² + |difference of standard deviations|²."""
    a, b = np.array([4.0, 9.0, 0.0]), np.array([1.0, 0.0, 0.0])
    distance = frechet_distance(np.zeros(3), np.diag(a), np.array([1.0, 2.0, 0.0]), np.diag(b))
    assert distance == pytest.approx(5.0 + (2 - 1) ** 2 + 3**2)


@pytest.mark.parametrize(
    ("reference", "palettes", "field"),
    [
        (np.eye(3), np.eye(3)[:1], "palettes"),
        (np.full((4, 3), np.nan), np.eye(3), "reference"),
        (np.eye(3), np.eye(4), "palettes"),
    ],
)
def test_palettes_that_have_no_distance_are_refused(reference, palettes, field):
    with pytest.raises(InvalidInputError, match=field):
        frechet_segmentation_distance(reference, palettes)


def test_adherence_follows_the_paper():
    """Two layouts of 2 x 4 pixels over 3 classes; KL as in the paper's tables, computed by hand."""
    layouts = np.array([[[0, 0, 0, 0], [1, 1, 1, 1]], [[0, 0, 0, 0], [0, 0, 2, 2]]], np.uint8)
    palettes = np.array([[0.5, 0.5, 0.0], [0.5, 0.25, 0.25]])
    adherence, achieved = measure_adherence([layouts[:1], layouts[1:]], palettes)
    np.testing.assert_array_equal(achieved, [[0.5, 0.5, 0.0], [0.75, 0.0, 0.25]])
    smoothed = (np.array([0.75, 0.0, 0.25]) + 1e-6) / (1 + 3e-6)
    worst = (palettes[1] * np.log(palettes[1] / smoothed)).sum()
    best = np.log(0.5 / ((0.5 + 1e-6) / (1 + 3e-6)))
    assert adherence.count == 2
    assert adherence.kl_mean == pytest.approx((worst + best) / 2)
    assert adherence.kl_median == pytest.approx((worst + best) / 2)
    assert adherence.kl_worst == pytest.approx(worst)
    assert adherence.worst_pixels == 2
    assert adherence.exact_share == 0.5


@pytest.mark.parametrize("count", [0, 1, 3])
def test_layouts_and_palettes_must_be_as_many(count):
    with pytest.raises(InvalidInputError, match=f"layouts: {count} .*2 palettes"):
        measure_adherence([np.zeros((1, 2, 2), np.uint8)] * count, np.full((2, 2), 0.5))


@pytest.fixture(scope="module")
def palette_model():
    mean = np.array([0.3, 0.4, 0.2, 0.1])
    return PaletteModel(np.ones(1), mean[None], 0.003 * (np.eye(4) - 0.25)[None] + 1e-9 * np.eye(4)[None])


def budget_generator(z, palettes):
    """A generator that meets every palette up to rounding, in stripes."""
    budgets = [integer_budget(palette.astype(np.float64), 128) for palette in palettes]
    return np.stack([np.repeat(np.arange(4, dtype=np.uint8), budget).reshape(8, 16) for budget in budgets])


def test_a_perfect_generator_gets_the_fsd_of_the_palettes(palette_model):
    reference = palette_model.sample(9, 0, 500).palettes
    quality = evaluate_layouts(
        budget_generator, palette_model, reference, latent_size=6, count=64, seed=1, batch_size=24
    )
    assert quality.count == 64
    assert quality.exact_share == 1
    assert quality.worst_pixels < 1
    assert quality.kl_mean < 1e-3
    assert quality.fsd == pytest.approx(quality.fsd_palettes, abs=0.2)


def test_a_generator_that_ignores_its_palette_shows(palette_model):
    def always_road(z, palettes):
        return np.zeros((len(z), 8, 16), np.uint8)

    reference = palette_model.sample(9, 0, 500).palettes
    quality = evaluate_layouts(always_road, palette_model, reference, latent_size=2, count=40)
    assert quality.kl_mean > 3
    assert quality.exact_share == 0
    assert quality.fsd > 10 * quality.fsd_palettes


def test_the_requests_do_not_depend_on_the_batch_size(palette_model):
    seen = {1: [], 7: [], 32: []}
    for batch_size, requests in seen.items():

        def record(z, palettes, requests=requests):
            assert (z.dtype, palettes.dtype) == (np.float32, np.float32)
            requests.append(np.concatenate([z, palettes], axis=1))
            return np.zeros((len(z), 2, 2), np.uint8)

        evaluate_layouts(
            record, palette_model, random_palettes(0, 9, 4), latent_size=3, count=20, seed=4, batch_size=batch_size
        )
        assert max(map(len, requests)) == min(batch_size, 20)
    alone = np.concatenate(seen[1])
    for requests in seen.values():
        np.testing.assert_array_equal(np.concatenate(requests), alone)


@pytest.mark.parametrize(("field", "value"), [("count", 1), ("batch_size", 0)])
def test_sizes_out_of_range_are_refused(palette_model, field, value):
    arguments = {"count": 8, "batch_size": 4} | {field: value}
    with pytest.raises(InvalidInputError, match=f"{field}: {value}"):
        evaluate_layouts(budget_generator, palette_model, np.eye(4), latent_size=2, **arguments)


def test_edits_are_measured_in_their_regions():
    """Two edits of 2 x 4 pixels over 3 classes: one that meets its palette, one that changes nothing."""
    before = np.array([[[0, 0, 0, 0], [0, 0, 0, 0]], [[0, 0, 0, 0], [1, 1, 2, 2]]], np.uint8)
    mask = np.array([[[1, 1, 0, 0], [1, 1, 0, 0]], [[0, 0, 0, 0], [1, 1, 1, 1]]], np.uint8)
    after = before.copy()
    after[0] = [[1, 1, 0, 0], [2, 2, 0, 0]]
    requested = np.array([[0.0, 0.5, 0.5], [0.25, 0.75, 0.0]])
    quality = measure_edits(EditResults(before[[i]], mask[[i]], requested[[i]], after[[i]]) for i in range(2))

    def kl(shares, achieved):
        smoothed = (np.array(achieved) + 1e-6) / (1 + 3e-6)
        return sum(t * np.log(t / q) for t, q in zip(shares, smoothed, strict=True) if t > 0)

    kls = [kl(requested[0], [0, 0.5, 0.5]), kl(requested[1], [0, 0.5, 0.5])]
    assert quality.count == 2
    assert quality.kl_mean == pytest.approx(np.mean(kls))
    assert quality.kl_median == pytest.approx(np.median(kls))
    assert quality.kl_worst == pytest.approx(kls[1])
    assert quality.kl_unedited == pytest.approx((kl(requested[0], [1, 0, 0]) + kls[1]) / 2)
    assert quality.changed == pytest.approx(0.5)


def test_no_edits_are_refused():
    with pytest.raises(InvalidInputError, match="at least one edit"):
        measure_edits([])
