"""Layout-modulated normalisation: formulas, the pyramid, independence of the batch."""

import numpy as np
import pytest
import torch

from semantic_palette_training.models.spade import (
    ClassAdaptiveModulation,
    LayoutNorm,
    NormName,
    SpadeModulation,
    layout_pyramid,
    one_hot,
)

NORMS: tuple[NormName, ...] = ("spade", "class_adaptive")


def test_one_hot_of_bytes_and_longs() -> None:
    labels = torch.tensor([[[0, 2], [1, 1]]], dtype=torch.uint8)
    layout = one_hot(labels, 3)
    assert layout.dtype == torch.float32
    assert torch.equal(layout.argmax(dim=1), labels.long())
    assert torch.equal(layout.sum(dim=1), torch.ones(1, 2, 2))
    assert torch.equal(one_hot(labels.long(), 3), layout)


def test_the_pyramid_holds_class_shares_of_cells() -> None:
    labels = torch.randint(0, 4, (2, 8, 16), generator=torch.Generator().manual_seed(0))
    coarse, middle, fine = layout_pyramid(one_hot(labels, 4), 3)
    assert (coarse.shape[2:], middle.shape[2:], fine.shape[2:]) == ((2, 4), (4, 8), (8, 16))
    cell = labels[1, 4:8, 8:12]
    shares = np.bincount(cell.flatten(), minlength=4) / 16
    np.testing.assert_allclose(coarse[1, :, 1, 2], shares)


def test_class_adaptive_modulation_is_a_table_lookup() -> None:
    torch.manual_seed(0)
    channels, classes = 3, 4
    modulation = ClassAdaptiveModulation(channels, classes, latent_size=2)
    labels = torch.randint(0, classes, (2, 4, 6))
    z = torch.randn(2, 2)
    gamma, beta = modulation(one_hot(labels, classes), z)
    table = modulation.table(z).view(2, 2, channels, classes)
    for b, i, j in np.ndindex(2, 4, 6):
        torch.testing.assert_close(gamma[b, :, i, j], table[b, 0, :, labels[b, i, j]])
        torch.testing.assert_close(beta[b, :, i, j], table[b, 1, :, labels[b, i, j]])


def test_a_cell_of_several_classes_mixes_their_entries() -> None:
    torch.manual_seed(0)
    modulation = ClassAdaptiveModulation(3, 2, latent_size=2)
    z = torch.randn(1, 2)
    pure, _ = modulation(one_hot(torch.tensor([[[0, 1]]]), 2), z)
    mixed, _ = modulation(torch.tensor([0.25, 0.75]).view(1, 2, 1, 1), z)
    torch.testing.assert_close(mixed[..., 0], 0.25 * pure[..., 0] + 0.75 * pure[..., 1])


def test_spade_modulation_sees_five_pixels_across() -> None:
    torch.manual_seed(0)
    modulation = SpadeModulation(3, 2, latent_size=2, hidden=8)
    labels = torch.zeros(1, 9, 9, dtype=torch.long)
    changed = labels.clone()
    changed[0, 4, 4] = 1
    z = torch.randn(1, 2)
    before, _ = modulation(one_hot(labels, 2), z)
    after, _ = modulation(one_hot(changed, 2), z)
    rows, columns = (before != after).any(dim=1)[0].nonzero(as_tuple=True)
    assert (int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())) == (2, 6, 2, 6)


@pytest.mark.parametrize("norm", NORMS)
def test_training_normalises_over_the_batch_as_in_the_paper(norm: NormName) -> None:
    """SPADE, eqs. (1) to (3): mean and deviation of a channel over samples and pixels."""
    torch.manual_seed(0)
    layer = LayoutNorm(5, 3, 2, norm, 8)
    x, layout, z = inputs()
    gamma, beta = layer.modulation(layout, z)
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    deviation = ((x**2).mean(dim=(0, 2, 3), keepdim=True) - mean**2 + 1e-5).sqrt()
    torch.testing.assert_close(layer(x, layout, z), gamma * (x - mean) / deviation + beta)


@pytest.mark.parametrize("norm", NORMS)
def test_in_service_a_sample_does_not_depend_on_the_batch(norm: NormName) -> None:
    torch.manual_seed(0)
    layer = LayoutNorm(5, 3, 2, norm, 8)
    x, layout, z = inputs()
    layer(x * 3 + 1, layout, z)
    layer.eval()
    together = layer(x, layout, z)
    for row in range(len(x)):
        alone = layer(x[row : row + 1], layout[row : row + 1], z[row : row + 1])
        torch.testing.assert_close(alone[0], together[row])


def test_running_statistics_approach_those_of_the_data() -> None:
    torch.manual_seed(0)
    layer = LayoutNorm(5, 3, 2, "class_adaptive", 8)
    x, layout, z = inputs()
    for _ in range(400):
        layer(x * 3 + 1, layout, z)
    trained = layer(x * 3 + 1, layout, z)
    torch.testing.assert_close(layer.eval()(x * 3 + 1, layout, z), trained, rtol=0.02, atol=0.02)


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features, a one-hot layout and latents of three samples."""
    draw = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 3, (3, 4, 8), generator=draw)
    return torch.randn(3, 5, 4, 8, generator=draw), one_hot(labels, 3), torch.randn(3, 2, generator=draw)


@pytest.mark.parametrize("norm", NORMS)
def test_gradients_of_layout_norm(norm: NormName) -> None:
    torch.manual_seed(0)
    layer = LayoutNorm(4, 2, 2, norm, 3).double()
    x = torch.randn(2, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    layout = torch.softmax(torch.randn(2, 2, 2, 3, dtype=torch.float64), dim=1).requires_grad_()
    z = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x, layout, z))
