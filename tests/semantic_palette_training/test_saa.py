"""SAA and the conditional losses against the paper's equations, computed literally in float64."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from semantic_palette_training.losses.conditional import (
    conditional_losses,
    conditional_terms,
    entropy_loss,
    spread_loss,
)
from semantic_palette_training.models.saa import SaaOutput, balanced_scores, log_omega, pixel_softmax, saa

Array = NDArray[np.float64]


def literal_sinkhorn(f: Array, t: Array, steps: int) -> tuple[Array, Array]:
    """Eqs. 9 and 10 as written: the plan after the last eq. 9, which is omega, and N times the plan after the last
    eq. 10, which is m; float64 [K, H, W]. One step is eqs. 1 and 2."""
    plan = np.exp(f.reshape(len(f), -1))
    pixels = plan.shape[1]
    for _ in range(steps):
        rows = plan.sum(axis=1)
        omega = np.diag(np.divide(t, rows, out=np.zeros_like(t), where=t > 0)) @ plan
        plan = omega @ np.diag(np.full(pixels, 1 / pixels) / omega.sum(axis=0))
    return omega.reshape(f.shape), pixels * plan.reshape(f.shape)


def literal_losses(f: Array, t: Array, steps: int = 1) -> tuple[float, float]:
    """Eqs. 3 and 4 of one layout."""
    omega, m = literal_sinkhorn(f, t, steps)
    entropy = -(m * np.log(np.where(m > 0, m, 1.0))).sum(axis=0).mean()
    return entropy, np.square(1 - m[0].size * omega.sum(axis=0)).mean()


@pytest.fixture
def scores_and_palettes() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    palettes = torch.rand(4, 6, generator=generator)
    palettes[1, 2] = 0.0
    palettes[2, :5] = 0.0
    return 3 * torch.randn(4, 6, 8, 16, generator=generator), palettes / palettes.sum(dim=1, keepdim=True)


@pytest.mark.parametrize("needs_gradient", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_soft_layout_and_coverage_are_the_equations(
    scores_and_palettes: tuple[torch.Tensor, torch.Tensor], steps: int, needs_gradient: bool
) -> None:
    scores, palettes = scores_and_palettes
    output = saa(scores.requires_grad_(needs_gradient), palettes, sinkhorn_steps=steps, temperature=1.5)
    for index in range(len(scores)):
        f, t = scores[index].detach().double().numpy() / 1.5, palettes[index].double().numpy()
        omega, m = literal_sinkhorn(f, t, steps)
        np.testing.assert_allclose(output.soft_BKHW[index].detach(), m, atol=5e-6)
        np.testing.assert_allclose(output.coverage_BHW[index].detach(), omega[0].size * omega.sum(axis=0), rtol=5e-5)


def test_every_class_gets_its_budget_of_paint(scores_and_palettes: tuple[torch.Tensor, torch.Tensor]) -> None:
    scores, palettes = scores_and_palettes
    weights = log_omega(scores, palettes)
    torch.testing.assert_close(weights.exp().sum(dim=(2, 3)), palettes, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(log_omega(weights, palettes).exp(), weights.exp())


def test_forbidden_classes_get_exactly_nothing(scores_and_palettes: tuple[torch.Tensor, torch.Tensor]) -> None:
    scores, palettes = scores_and_palettes
    for steps in (1, 4):
        soft = saa(scores, palettes, sinkhorn_steps=steps).soft_BKHW
        assert (soft[palettes == 0] == 0).all()
        torch.testing.assert_close(soft.sum(dim=1), torch.ones(4, 8, 16))


def test_more_sweeps_bring_the_soft_shares_to_the_palette() -> None:
    """On random scores, over many palettes with few classes, as the published code's are measured."""
    generator = torch.Generator().manual_seed(0)
    scores = 2 * torch.randn(16, 12, 16, 32, generator=generator)
    palettes = torch.rand(16, 12, generator=generator) * (torch.rand(16, 12, generator=generator) < 0.5)
    palettes[:, 0] += 0.1
    palettes = palettes / palettes.sum(dim=1, keepdim=True)
    differences = []
    for steps in (1, 2, 5, 20):
        shares = saa(scores, palettes, sinkhorn_steps=steps).soft_BKHW.mean(dim=(2, 3))
        differences.append(float((shares - palettes).abs().sum(dim=1).mean()))
    assert differences == sorted(differences, reverse=True)
    assert differences[0] > 0.02
    assert differences[-1] < 1e-3


@pytest.mark.parametrize("steps", [1, 3])
def test_losses_are_equations_3_and_4(scores_and_palettes: tuple[torch.Tensor, torch.Tensor], steps: int) -> None:
    scores, palettes = scores_and_palettes
    pairs = zip(scores.double().numpy(), palettes.double().numpy(), strict=True)
    entropy, spread = np.mean([literal_losses(f, t, steps) for f, t in pairs], axis=0)
    output = saa(scores, palettes, sinkhorn_steps=steps)
    assert float(entropy_loss(output)) == pytest.approx(entropy, rel=1e-4)
    assert float(spread_loss(output)) == pytest.approx(spread, rel=1e-3)
    summed = conditional_losses([output, output])
    assert [float(loss) for loss in summed] == pytest.approx([2 * entropy, 2 * spread], rel=1e-3)


@pytest.mark.parametrize("steps", [1, 3])
def test_gradients_of_everything_pass_gradcheck_where_a_share_is_zero(steps: int) -> None:
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(2, 4, 2, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    palettes = torch.tensor([[0.5, 0.0, 0.3, 0.2], [0.0, 0.0, 1.0, 0.0]], dtype=torch.float64)

    def outputs(f: torch.Tensor) -> tuple[torch.Tensor, ...]:
        output = saa(f, palettes, sinkhorn_steps=steps, temperature=0.7)
        return output.soft_BKHW, output.coverage_BHW, output.entropy_BHW, entropy_loss(output) + spread_loss(output)

    assert torch.autograd.gradcheck(outputs, (scores,))


def test_the_fused_gradient_is_that_of_the_literal_formula() -> None:
    """Where no share is 0, so that the literal formula can be differentiated."""
    generator = torch.Generator().manual_seed(2)
    scores = 3 * torch.randn(2, 5, 4, 8, generator=generator, dtype=torch.float64)
    palettes = torch.rand(2, 5, generator=generator, dtype=torch.float64).softmax(dim=1)
    direction = torch.randn(2, 5, 4, 8, generator=generator, dtype=torch.float64)

    def literal(f: torch.Tensor) -> torch.Tensor:
        omega = palettes[:, :, None, None] * f.flatten(2).softmax(dim=2).view_as(f)
        m = omega / omega.sum(dim=1, keepdim=True)
        spread = (1 - 32 * omega.sum(dim=1)).square().mean()
        return (m * direction).sum() - (m * m.log()).sum(dim=1).mean() + spread

    def fused(f: torch.Tensor) -> torch.Tensor:
        output = saa(f, palettes)
        entropy, spread = conditional_losses([output])
        return (output.soft_BKHW * direction).sum() + entropy + spread

    gradients = [torch.func.grad(literal)(scores), torch.autograd.grad(fused(leaf := scores.requires_grad_()), leaf)[0]]
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-9, atol=1e-11)


def test_gradients_stay_finite_for_large_scores_and_tiny_shares() -> None:
    scores = (60 * torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(4))).requires_grad_()
    palettes = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.5, 0.5 - 1e-9, 1e-9, 0.0]])
    output = saa(scores, palettes)
    entropy, spread = conditional_losses([output])
    (entropy + spread + output.soft_BKHW.square().sum()).backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert (scores.grad[palettes == 0] == 0).all()


def test_half_precision_scores_are_computed_in_float32(scores_and_palettes: tuple[torch.Tensor, torch.Tensor]) -> None:
    scores, palettes = scores_and_palettes
    coarse = scores.bfloat16()
    torch.testing.assert_close(saa(coarse, palettes).soft_BKHW, saa(coarse.float(), palettes).soft_BKHW)


def test_balanced_scores_keep_the_order_of_classes_after_all_sweeps(
    scores_and_palettes: tuple[torch.Tensor, torch.Tensor],
) -> None:
    scores, palettes = scores_and_palettes
    balanced = balanced_scores(scores, palettes, sinkhorn_steps=3, temperature=0.5)
    layout = saa(scores, palettes, sinkhorn_steps=3, temperature=0.5).soft_BKHW
    assert torch.equal(log_omega(balanced, palettes).argmax(dim=1), layout.argmax(dim=1))
    assert not torch.equal(log_omega(scores, palettes).argmax(dim=1), layout.argmax(dim=1))


def test_low_losses_mean_that_hard_shares_follow_the_palette() -> None:
    labels = torch.arange(32).reshape(1, 4, 8) % 4
    palette = torch.full((1, 4), 0.25)
    peaked = 20.0 * torch.nn.functional.one_hot(labels, 4).permute(0, 3, 1, 2).float()
    output = saa(peaked, palette)
    assert float(entropy_loss(output)) < 1e-4
    assert float(spread_loss(output)) < 1e-4
    assert (output.soft_BKHW.argmax(dim=1) == labels).all()


def test_a_softmax_a_pixel_is_evenly_covered_and_has_its_entropy(
    scores_and_palettes: tuple[torch.Tensor, torch.Tensor],
) -> None:
    output = pixel_softmax(scores_and_palettes[0])
    f = scores_and_palettes[0].double().numpy()
    m = np.exp(f) / np.exp(f).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(output.soft_BKHW, m, atol=1e-6)
    np.testing.assert_allclose(output.entropy_BHW, -(m * np.log(m)).sum(axis=1), atol=1e-5)
    assert float(spread_loss(output)) == 0.0


def test_single_scale_takes_the_last_scale_alone(scores_and_palettes: tuple[torch.Tensor, torch.Tensor]) -> None:
    scores, palettes = scores_and_palettes
    scales = [saa(scores[:, :, :4, :8], palettes), saa(scores, palettes)]
    many = conditional_terms("saa_losses", scales, palettes, multi_scale=True)
    last = conditional_terms("saa_losses", scales, palettes, multi_scale=False)
    assert last == {"entropy": entropy_loss(scales[1]), "spread": spread_loss(scales[1])}
    assert float(many["entropy"]) == pytest.approx(float(entropy_loss(scales[0]) + entropy_loss(scales[1])))
    assert conditional_terms("none", scales, palettes, multi_scale=True) == {}


def test_no_scale_is_an_error() -> None:
    no_scales: list[SaaOutput] = []
    with pytest.raises(ValueError, match="at least one scale"):
        conditional_losses(no_scales)
