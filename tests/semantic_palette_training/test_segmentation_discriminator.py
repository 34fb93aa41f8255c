"""The segmentation discriminator: shapes, independence of the batch, normalisation, and that it learns to segment."""

import pytest
import torch

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.losses.segmentation import real_loss
from semantic_palette_training.models.segmentation_discriminator import (
    SegmentationDiscriminator,
    SegmentationDiscriminatorConfig,
)
from semantic_palette_training.scene_shape import SceneShape


@pytest.fixture
def network() -> SegmentationDiscriminator:
    torch.manual_seed(0)
    return SegmentationDiscriminator(SegmentationDiscriminatorConfig(widths=(8, 8, 12)), SceneShape(2, 16, 24))


def test_every_pixel_has_logits_for_the_classes_and_for_fake(network: SegmentationDiscriminator) -> None:
    assert network(torch.randn(2, 3, 16, 24)).shape == (2, 3, 16, 24)


@torch.no_grad()
def test_logits_do_not_depend_on_the_batch(network: SegmentationDiscriminator) -> None:
    network.eval()  # power iteration moves the spectral norms with every pass in training mode
    images = torch.randn(3, 3, 16, 16)
    together = network(images)
    for row in range(3):
        torch.testing.assert_close(network(images[row : row + 1])[0], together[row])


def test_every_convolution_is_spectrally_normalised(network: SegmentationDiscriminator) -> None:
    for _ in range(50):
        network(torch.randn(1, 3, 8, 8))
    network.eval()
    convolutions = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    assert len(convolutions) == 9
    for convolution in convolutions:
        norm = torch.linalg.matrix_norm(convolution.weight.detach().flatten(1), ord=2)
        assert float(norm) == pytest.approx(1.0, abs=0.05)


def test_a_size_it_cannot_halve_is_an_error(network: SegmentationDiscriminator) -> None:
    with pytest.raises(InvalidInputError, match="multiples of 8") as caught:
        network(torch.zeros(1, 3, 16, 20))
    assert caught.value.field == "image"


def test_it_learns_to_segment(network: SegmentationDiscriminator) -> None:
    draw = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 2, (4, 4, 4), generator=draw).repeat_interleave(4, 1).repeat_interleave(4, 2)
    images = (labels.float() - 0.5).unsqueeze(1).expand(-1, 3, -1, -1) + 0.1 * torch.randn(4, 3, 16, 16, generator=draw)
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    losses = []
    for _ in range(40):
        loss = real_loss(network(images), labels, torch.ones(2))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
