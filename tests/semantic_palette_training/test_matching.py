"""Direct matching of class shares (appendix B) against eqs. 11 to 13 written out in float64."""

import numpy as np
import pytest
import torch

from semantic_palette_training.losses.conditional import conditional_terms
from semantic_palette_training.losses.matching import matching_loss, soft_histogram
from semantic_palette_training.models.saa import pixel_softmax


def test_soft_histogram_is_equation_12_and_of_hard_layouts_equation_11() -> None:
    soft = torch.randn(3, 4, 5, 6).softmax(dim=1)
    expected = [[sum(m[c, i, j] for i in range(5) for j in range(6)) / 30 for c in range(4)] for m in soft.double()]
    np.testing.assert_allclose(soft_histogram(soft), np.array(expected), atol=1e-6)
    labels = soft.argmax(dim=1)
    hard = torch.nn.functional.one_hot(labels, 4).permute(0, 3, 1, 2).float()
    counts = np.stack([np.bincount(layout.flatten().numpy(), minlength=4) for layout in labels])
    np.testing.assert_allclose(soft_histogram(hard), counts / 30, atol=1e-6)


def test_matching_loss_is_equation_13() -> None:
    soft = torch.randn(3, 4, 5, 6).softmax(dim=1)
    palettes = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.7, 0.3, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    expected = 0.0
    for m, t in zip(soft.double().numpy(), palettes.double().numpy(), strict=True):
        shares = m.mean(axis=(1, 2))
        expected += sum(t[c] * np.log(t[c] / shares[c]) for c in range(4) if t[c] > 0) / 3
    assert float(matching_loss(soft, palettes)) == pytest.approx(expected, rel=1e-5)


def test_a_layout_that_matches_loses_nothing_and_one_that_lacks_a_class_something_finite() -> None:
    hard = torch.zeros(1, 2, 2, 2)
    hard[:, 0] = 1.0
    assert float(matching_loss(hard, torch.tensor([[1.0, 0.0]]))) == pytest.approx(0.0, abs=1e-6)
    assert 1.0 < float(matching_loss(hard, torch.tensor([[0.5, 0.5]]))) < 100.0


def test_gradient_passes_gradcheck() -> None:
    scores = torch.randn(2, 3, 2, 4, dtype=torch.float64, requires_grad=True)
    palettes = torch.tensor([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]], dtype=torch.float64)

    def loss(f: torch.Tensor) -> torch.Tensor:
        return conditional_terms("matching", [pixel_softmax(f)], palettes, multi_scale=True)["matching"]

    assert torch.autograd.gradcheck(loss, (scores,))
