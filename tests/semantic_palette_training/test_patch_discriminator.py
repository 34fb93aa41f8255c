"""The patch discriminator and the instance normalisation in it: size, scales, independence of the batch."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from semantic_palette_training.models.instance_norm import InstanceNorm
from semantic_palette_training.models.patch_discriminator import PatchDiscriminator, PatchDiscriminatorConfig

SMALL = PatchDiscriminatorConfig(widths=(4, 6, 8))


@pytest.mark.parametrize(("channels", "parameters", "operations"), [(38, 1.40, 2.28), (3, 1.33, None)])
def test_published_size(channels: int, parameters: float, operations: float | None) -> None:
    """Conditional on 35 classes, and unconditional, as measured on the published code at 128x256."""
    with torch.device("meta"):
        network = PatchDiscriminator(PatchDiscriminatorConfig(), channels).eval()
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            network(torch.zeros(1, channels, 128, 256))
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(parameters, rel=0.005)
    if operations is not None:
        assert counter.get_total_flops() / 1e9 == pytest.approx(operations, rel=0.005)


def test_every_scale_gives_features_and_scores() -> None:
    torch.manual_seed(0)
    outputs = PatchDiscriminator(SMALL, 5)(torch.randn(2, 5, 32, 64))
    assert len(outputs) == 2
    for features, height in zip(outputs, (32, 16), strict=True):
        assert [feature.shape[1] for feature in features] == [4, 6, 8, 1]
        assert [feature.shape[2] for feature in features[:3]] == [height // 2 + 1, height // 4 + 1, height // 8 + 1]


def test_the_second_scale_sees_the_image_at_half_the_size() -> None:
    """Averaged over 3x3 pixels around every second one, as far as they are inside."""
    torch.manual_seed(0)
    network = PatchDiscriminator(SMALL, 2).eval()
    x = torch.randn(1, 2, 16, 16)
    half = torch.zeros(1, 2, 8, 8)
    for row in range(8):
        for column in range(8):
            top, left = max(0, 2 * row - 1), max(0, 2 * column - 1)
            half[0, :, row, column] = x[0, :, top : 2 * row + 2, left : 2 * column + 2].mean(dim=(1, 2))
    for ours, expected in zip(network(x)[1], network.scales[1](half), strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("spectral", [True, False])
@torch.no_grad()
def test_scores_do_not_depend_on_the_batch(spectral: bool) -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(PatchDiscriminatorConfig(widths=(4, 6, 8), spectral=spectral), 3).eval()
    x = torch.randn(3, 3, 32, 32)
    together = [features[-1] for features in network(x)]
    for row in range(3):
        for scores, alone in zip(together, network(x[row : row + 1]), strict=True):
            torch.testing.assert_close(alone[-1][0], scores[row])


def test_inner_layers_alone_have_spectral_norm_one() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(SMALL, 3)
    for _ in range(60):
        network(torch.randn(1, 3, 16, 16))
    for scale in network.eval().scales:
        for layer in scale.middle:
            norm = torch.linalg.matrix_norm(layer[0].weight.detach().flatten(1), ord=2)
            assert float(norm) == pytest.approx(1.0, abs=0.02)
        assert not torch.nn.utils.parametrize.is_parametrized(scale.first)
        assert not torch.nn.utils.parametrize.is_parametrized(scale.last)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_instance_norm_and_its_gradient_are_the_formula(batch: int, memory_format: torch.memory_format) -> None:
    """With incoming gradients of both formats; torch's own layer fails this for a batch of one."""
    x = torch.randn(batch, 4, 5, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    made = InstanceNorm(4)(x)
    mean = x.mean(dim=(2, 3), keepdim=True)
    expected = (x - mean) / ((x - mean).square().mean(dim=(2, 3), keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(made, expected)
    (gradient,) = torch.autograd.grad(made, x, weights.contiguous(memory_format=memory_format))
    (expected_gradient,) = torch.autograd.grad(expected, x, weights)
    torch.testing.assert_close(gradient, expected_gradient, atol=1e-5, rtol=1e-4)
