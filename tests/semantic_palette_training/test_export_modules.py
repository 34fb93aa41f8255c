"""The exported operations and their folded form compute what the networks compute."""

import numpy as np
import pytest
import torch
from export_runs import HEIGHT, NUM_CLASSES, WIDTH, image_generator, layout_generator
from torch import nn

from semantic_palette_training.export.folding import fold
from semantic_palette_training.export.modules import ImageOperation, image_operation, layout_operations
from semantic_palette_training.models.layers import EqualisedConv2d, EqualisedLinear


def layout_inputs(batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    palettes = rng.dirichlet(np.full(NUM_CLASSES, 0.5), batch_size)
    palettes[:, [2, 5]] = 0.0
    palettes /= palettes.sum(axis=1, keepdims=True)
    return rng.standard_normal((batch_size, 8)).astype(np.float32), palettes.astype(np.float32)


def test_layout_is_the_argmax_of_the_scores_and_has_no_class_whose_share_is_zero():
    layout, scores = layout_operations(layout_generator(), HEIGHT, WIDTH)
    inputs = layout_inputs(6)
    labels, weights = layout.run(*inputs), scores.run(*inputs)
    assert (labels.dtype, labels.shape) == (np.uint8, (6, HEIGHT, WIDTH))
    assert (weights.dtype, weights.shape) == (np.float32, (6, NUM_CLASSES, HEIGHT, WIDTH))
    np.testing.assert_array_equal(labels, weights.argmax(axis=1))
    assert not np.isin(labels, [2, 5]).any()
    assert (weights[:, [2, 5]] == np.float32(-1e9)).all()


def test_scores_are_log_omega_which_sums_to_the_palette():
    _, scores = layout_operations(layout_generator(), HEIGHT, WIDTH)
    z, palettes = layout_inputs(3)
    omega = np.exp(scores.run(z, palettes).astype(np.float64))
    np.testing.assert_allclose(omega.sum(axis=(2, 3)), palettes, atol=1e-5)


def test_image_is_scaled_rounded_and_clamped_to_bytes():
    class Constant(nn.Module):
        def forward(self, labels, z):
            values = torch.tensor([-1.0, 1.0, 0.0, -1.5, 2.0, 0.9, -0.999, 1 / 255, -1 / 255, 0.5, -0.5, 0.25])
            return values.view(1, 3, 2, 2)

    image = ImageOperation(Constant())(torch.zeros(1, 2, 2, dtype=torch.uint8), torch.zeros(1, 4))
    assert image.shape == (1, 2, 2, 3)
    assert image.permute(0, 3, 1, 2).flatten().tolist() == [0, 255, 128, 0, 255, 242, 0, 128, 127, 191, 64, 159]


@pytest.mark.parametrize("norm", ["class_adaptive", "spade"])
def test_folding_does_not_change_images(norm):
    operation = image_operation(image_generator(norm))
    labels = torch.randint(0, NUM_CLASSES, (3, HEIGHT, WIDTH), dtype=torch.uint8)
    z = torch.randn(3, 4)
    trained = operation.reference.generator(labels, z)
    torch.testing.assert_close(operation.module.generator(labels, z), trained, atol=1e-5, rtol=1e-4)


def test_folding_does_not_change_scores_and_leaves_plain_layers():
    layout, _ = layout_operations(layout_generator(), HEIGHT, WIDTH)
    z, palettes = (torch.from_numpy(array) for array in layout_inputs(3))
    trained = layout.reference.generator.scores(z, palettes)
    torch.testing.assert_close(layout.module.generator.scores(z, palettes), trained, atol=1e-4, rtol=1e-4)
    assert not any(isinstance(m, EqualisedConv2d | EqualisedLinear) for m in layout.module.modules())


def test_folding_leaves_the_network_alone():
    network = layout_generator()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fold(network)
    torch.testing.assert_close(network.state_dict(), before, atol=0, rtol=0)
    assert any(isinstance(module, EqualisedConv2d) for module in network.modules())


def test_operations_count_their_weights_and_multiplications():
    operation = image_operation(image_generator())
    assert operation.parameters() == sum(p.numel() for p in image_generator().parameters())
    one, many = operation.macs(), HEIGHT * WIDTH * 8 * 8 * 9 * 2  # the two 3x3 convolutions of the last level
    assert many < one < 20 * many
