"""SAA and the conditional losses against the paper's equations, computed literally in float64."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from semantic_palette_training.losses.conditional import conditional_losses, entropy_loss, spread_loss
from semantic_palette_training.models.saa import log_omega, saa


def literal_saa(f: NDArray[np.float64], t: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eqs. 1 and 2 as written: omega and m, float64 [K, H, W]."""
    density = np.exp(f) / np.exp(f).sum(axis=(1, 2), keepdims=True)
    omega = t[:, None, None] * density
    return omega, omega / omega.sum(axis=0, keepdims=True)


@pytest.fixture
def scores_and_palettes() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    palettes = torch.rand(4, 6)
    palettes[1, 2] = 0.0
    palettes[2, :5] = 0.0
    return torch.randn(4, 6, 8, 16) * 3, palettes / palettes.sum(dim=1, keepdim=True)


def test_soft_layout_is_equation_2(scores_and_palettes: tuple[torch.Tensor, torch.Tensor]) -> None:
    scores, palettes = scores_and_palettes
    soft = saa(scores, palettes).soft_BKHW.numpy()
    for index in range(len(scores)):
        _, expected = literal_saa(scores[index].double().numpy(), palettes[index].double().numpy())
        np.testing.assert_allclose(soft[index], expected, atol=2e-6)


def test_every_class_gets_its_budget_of_paint(scores_and_palettes: tuple[torch.Tensor, torch.Tensor]) -> None:
    scores, palettes = scores_and_palettes
    budgets = log_omega(scores, palettes).exp().sum(dim=(2, 3))
    torch.testing.assert_close(budgets, palettes, atol=1e-6, rtol=1e-5)


def test_forbidden_classes_get_exactly_nothing(scores_and_palettes: tuple[torch.Tensor, torch.Tensor]) -> None:
    scores, palettes = scores_and_palettes
    soft = saa(scores, palettes).soft_BKHW
    assert (soft[palettes == 0] == 0).all()
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(4, 8, 16))


def test_losses_are_equations_3_and_4(scores_and_palettes: tuple[torch.Tensor, torch.Tensor]) -> None:
    scores, palettes = scores_and_palettes
    entropies, spreads = [], []
    for f, t in zip(scores.double().numpy(), palettes.double().numpy(), strict=True):
        omega, m = literal_saa(f, t)
        entropies.append(-(m * np.log(np.where(m > 0, m, 1.0))).sum(axis=0).mean())
        spreads.append(np.square(1 - m[0].size * omega.sum(axis=0)).mean())
    output = saa(scores, palettes)
    assert float(entropy_loss(output)) == pytest.approx(np.mean(entropies), rel=1e-4)
    assert float(spread_loss(output)) == pytest.approx(np.mean(spreads), rel=1e-4)
    entropy, spread = conditional_losses([output, output])
    assert float(entropy) == pytest.approx(2 * np.mean(entropies), rel=1e-4)
    assert float(spread) == pytest.approx(2 * np.mean(spreads), rel=1e-4)


def test_gradients_are_finite_and_right_where_a_share_is_zero(
    scores_and_palettes: tuple[torch.Tensor, torch.Tensor],
) -> None:
    scores, palettes = scores_and_palettes

    def loss(f: torch.Tensor) -> torch.Tensor:
        entropy, spread = conditional_losses([saa(f, palettes)])
        return entropy + spread

    leaf = scores.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(leaf), leaf)
    assert gradient.isfinite().all()
    assert (gradient[palettes == 0] == 0).all()
    direction = torch.randn_like(scores)
    step = 1e-2
    numeric = (loss(scores + step * direction) - loss(scores - step * direction)) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(numeric.item(), rel=2e-2)


def test_low_losses_mean_that_hard_shares_follow_the_palette() -> None:
    labels = torch.arange(32).reshape(1, 4, 8) % 4
    palette = torch.full((1, 4), 0.25)
    peaked = 20.0 * torch.nn.functional.one_hot(labels, 4).permute(0, 3, 1, 2).float()
    output = saa(peaked, palette)
    assert float(entropy_loss(output)) < 1e-4
    assert float(spread_loss(output)) < 1e-4
    assert (output.soft_BKHW.argmax(dim=1) == labels).all()


def test_no_scale_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one scale"):
        conditional_losses([])
