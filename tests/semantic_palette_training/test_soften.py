"""Softened real layouts: still layouts, still the same classes, not shifted."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_palette_training.data.soften import one_hot, soften
from semantic_palette_training.models.editor import EditorConfig
from semantic_palette_training.models.progressive import ProgressiveConfig
from semantic_palette_training.trainers.editor_config import EditorTrainConfig
from semantic_palette_training.trainers.layout_config import LayoutTrainConfig


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    sigma=st.floats(0.3, 4.0),
    keep=st.floats(0.5, 1.0),
    size=st.sampled_from([(4, 8), (8, 16), (16, 16)]),
)
def test_softening_keeps_distribution_and_class(seed: int, sigma: float, keep: float, size: tuple[int, int]) -> None:
    labels = torch.randint(5, (2, *size), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    soft = soften(labels, 5, sigma, keep)
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(2, *size))
    assert (soft.argmax(dim=1) == labels).all()


def test_blur_is_centred() -> None:
    labels = torch.zeros(1, 33, 33, dtype=torch.uint8)
    labels[0, 16, 16] = 1
    blurred = soften(labels, 2, sigma=1.5)[0, 1]
    rows = torch.arange(33.0)
    assert float((blurred.sum(dim=1) * rows).sum() / blurred.sum()) == pytest.approx(16.0, abs=1e-5)
    assert float((blurred.sum(dim=0) * rows).sum() / blurred.sum()) == pytest.approx(16.0, abs=1e-5)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.5, 1.9])
@pytest.mark.parametrize("keep", [0.5, 0.6, 1.0])
def test_soft_layouts_are_a_sum_of_the_layout_and_its_gaussian_blur(sigma: float, keep: float) -> None:
    """Section 3.2, pixel by pixel in float64: a Gaussian cut at 2.5 deviations, borders reflected."""
    labels = np.random.default_rng(0).integers(3, size=(2, 6, 9))
    radius = max(1, round(2.5 * sigma))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = np.outer(weights, weights) / weights.sum() ** 2
    expected = np.zeros((2, 3, 6, 9))
    for b, k, i, j in np.ndindex(expected.shape):
        hard = np.pad((labels[b] == k).astype(np.float64), radius, mode="reflect")
        window = hard[i : i + 2 * radius + 1, j : j + 2 * radius + 1]
        expected[b, k, i, j] = keep * (labels[b, i, j] == k) + (1 - keep) * (window * kernel).sum()
    np.testing.assert_allclose(soften(torch.from_numpy(labels), 3, sigma, keep), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("sigma", "at_levels"), [(1.0, (0.5, 0.5, 0.5, 1.0)), (3.0, (0.5, 0.75, 1.5, 3.0)), (0.4, (0.5, 0.5, 0.5, 0.5))]
)
def test_the_blur_shrinks_with_the_resolution_to_half_a_pixel(sigma: float, at_levels: tuple[float, ...]) -> None:
    widths = (8, 8, 8, 8)
    layout = LayoutTrainConfig(phases=(), generator=ProgressiveConfig(widths=widths), soften_sigma=sigma)
    editor = EditorTrainConfig(phases=(), generator=EditorConfig(widths=widths), soften_sigma=sigma)
    for config in (layout, editor):
        assert tuple(config.sigma(level) for level in range(4)) == at_levels


def test_one_hot_layouts_hold_a_single_one_a_pixel() -> None:
    labels = torch.randint(5, (2, 4, 8), dtype=torch.uint8)
    hard = one_hot(labels, 5)
    assert torch.equal(hard.argmax(dim=1), labels.long())
    assert hard.sum() == 2 * 4 * 8
    assert hard.dtype == torch.float32
    assert hard.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("sigma", "keep"), [(0.0, 0.5), (1.0, 0.4), (1.0, 1.1)])
def test_arguments_out_of_range_are_named(sigma: float, keep: float) -> None:
    with pytest.raises(ValueError, match="sigma"):
        soften(torch.zeros(1, 4, 8, dtype=torch.uint8), 2, sigma, keep)
