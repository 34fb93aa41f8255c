"""Softened real layouts: still layouts, still the same classes, not shifted."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_palette_training.data.soften import soften


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


@pytest.mark.parametrize(("sigma", "keep"), [(0.0, 0.5), (1.0, 0.4), (1.0, 1.1)])
def test_arguments_out_of_range_are_named(sigma: float, keep: float) -> None:
    with pytest.raises(ValueError, match="sigma"):
        soften(torch.zeros(1, 4, 8, dtype=torch.uint8), 2, sigma, keep)
