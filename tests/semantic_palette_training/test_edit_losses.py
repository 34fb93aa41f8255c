"""Losses of the editor against loops in float64 (eq. 14 of Appendix D and the public code's variants)."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from semantic_palette_training.losses.merge import merged_entropy_loss
from semantic_palette_training.losses.novelty import inverse_difference_loss, novelty_loss


def maps(batch: int = 3, classes: int = 4, height: int = 4, width: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """A generated layout with background, a merged one and a one-hot input, float64."""
    draw = torch.Generator().manual_seed(0)
    generated = (2 * torch.randn(batch, classes + 1, height, width, generator=draw, dtype=torch.float64)).softmax(1)
    merged = torch.randn(batch, classes, height, width, generator=draw, dtype=torch.float64).softmax(1)
    labels = torch.randint(classes, (batch, height, width), generator=draw)
    return generated, merged, torch.nn.functional.one_hot(labels, classes).permute(0, 3, 1, 2).double()


def test_novelty_is_equation_14() -> None:
    generated, merged, layout = maps()
    generated[2, :, :, :] = torch.tensor([0.1, 0.1, 0.1, 0.1, 0.6]).double()[:, None, None]  # nothing edited
    expected = []
    for b in range(3):
        products = []
        for i, j in np.ndindex(4, 5):
            if int(np.argmax(generated[b, :, i, j].numpy())) == 4:
                continue
            products.append(sum(float(layout[b, c, i, j] * merged[b, c, i, j]) for c in range(4)))
        expected.append(sum(products) / len(products) if products else 0.0)
    assert expected[0] > 0
    assert expected[2] == 0
    assert float(novelty_loss(generated, merged, layout)) == pytest.approx(np.mean(expected), rel=1e-12)
    assert gradcheck(lambda m: novelty_loss(generated, m, layout), (merged.requires_grad_(),))


def test_inverse_difference_is_its_formula() -> None:
    _, merged, layout = maps()
    expected = np.mean(
        [1 / (np.mean((m - x) ** 2) + 1e-5) for m, x in zip(merged.numpy(), layout.numpy(), strict=True)]
    )
    assert float(inverse_difference_loss(merged, layout)) == pytest.approx(expected, rel=1e-12)
    assert gradcheck(lambda m: inverse_difference_loss(m, layout), (merged.requires_grad_(),))


def test_merged_entropy_is_summed_over_scales() -> None:
    coarse, fine = maps(height=2, width=2)[1], maps()[1]
    expected = sum(
        -np.mean([sum(m * math.log(m) for m in x[b, :, i, j].tolist()) for b, i, j in np.ndindex(3, *x.shape[2:])])
        for x in (coarse, fine)
    )
    assert float(merged_entropy_loss([coarse, fine])) == pytest.approx(expected, rel=1e-12)
    assert gradcheck(lambda m: merged_entropy_loss([m]), (coarse.requires_grad_(),))


def test_merged_entropy_of_a_hard_layout_is_zero_with_a_finite_gradient() -> None:
    layout = maps()[2].requires_grad_()
    loss = merged_entropy_loss([layout])
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0
    assert layout.grad is not None
    assert layout.grad.isfinite().all()


def test_no_scale_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one scale"):
        merged_entropy_loss([])
