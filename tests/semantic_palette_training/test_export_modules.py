"""The exported operations and their folded form compute what the networks compute."""

import numpy as np
import onnxruntime
import pytest
import torch
from export_runs import (
    HEIGHT,
    IMAGE_CONFIGS,
    NUM_CLASSES,
    SHAPE,
    WIDTH,
    editor,
    image_generator,
    layout_generator,
    write_run,
)
from torch import nn
from torch.nn.utils import parametrize

from semantic_palette_training.export.folding import fold
from semantic_palette_training.export.modules import LatentImageOperation
from semantic_palette_training.export.onnx import export_onnx
from semantic_palette_training.export.operations import editor_operation, image_operations, layout_operations
from semantic_palette_training.export.sources import read_run
from semantic_palette_training.models.layers import EqualisedConv2d, EqualisedLinear
from semantic_palette_training.models.spade import one_hot


def layout_inputs(batch_size: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    palettes = rng.dirichlet(np.full(NUM_CLASSES, 0.5), batch_size)
    palettes[:, [2, 5]] = 0.0
    palettes /= palettes.sum(axis=1, keepdims=True)
    return {"z": rng.standard_normal((batch_size, 8)).astype(np.float32), "palette": palettes.astype(np.float32)}


def random_labels(batch_size: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, NUM_CLASSES, (batch_size, HEIGHT, WIDTH)).astype(np.uint8)


def edit_inputs(batch_size: int) -> dict[str, np.ndarray]:
    """A box in each layout, two classes asked for in it, half of the box each."""
    mask = np.zeros((batch_size, HEIGHT, WIDTH), np.uint8)
    mask[:, 4:12, 8:24] = 1
    palette = np.zeros((batch_size, NUM_CLASSES + 1), np.float32)
    palette[:, [3, 7]], palette[:, -1] = 0.125, 0.75
    z = np.random.default_rng(2).standard_normal((batch_size, 6)).astype(np.float32)
    return {"z": z, "labels": random_labels(batch_size), "mask": mask, "palette": palette}


@pytest.mark.parametrize("sinkhorn_steps", [1, 3])
def test_layout_is_the_argmax_of_the_scores_and_has_no_class_whose_share_is_zero(sinkhorn_steps):
    layout, scores = layout_operations(layout_generator(sinkhorn_steps=sinkhorn_steps))
    inputs = layout_inputs(6)
    labels, weights = layout.run(inputs), scores.run(inputs)
    assert (labels.dtype, labels.shape) == (np.uint8, (6, HEIGHT, WIDTH))
    assert (weights.dtype, weights.shape) == (np.float32, (6, NUM_CLASSES, HEIGHT, WIDTH))
    np.testing.assert_array_equal(labels, weights.argmax(axis=1))
    assert not np.isin(labels, [2, 5]).any()
    assert (weights[:, [2, 5]] == np.float32(-1e9)).all()


def test_scores_are_log_omega_which_sums_to_the_palette():
    _, scores = layout_operations(layout_generator())
    inputs = layout_inputs(3)
    omega = np.exp(scores.run(inputs).astype(np.float64))
    np.testing.assert_allclose(omega.sum(axis=(2, 3)), inputs["palette"], atol=1e-5)


@pytest.mark.parametrize("conditioning", ["input", "none"])
def test_scores_of_a_generator_without_saa_are_log_probabilities(conditioning):
    layout, scores = layout_operations(layout_generator(conditioning))
    inputs = layout_inputs(3)
    probabilities = np.exp(scores.run(inputs).astype(np.float64))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(layout.run(inputs), probabilities.argmax(axis=1))
    other = inputs | {"palette": np.full((3, NUM_CLASSES), 1 / NUM_CLASSES, np.float32)}
    assert (conditioning == "none") == np.array_equal(scores.run(inputs), scores.run(other))


@pytest.mark.parametrize("budget", ["region", "additions"])
def test_an_edit_leaves_what_is_outside_of_the_mask(budget):
    operation = editor_operation(editor(budget))
    assert operation.attributes == {"budget": budget}
    inputs = edit_inputs(4)
    if budget == "additions":
        inputs["palette"][:, [3, 7]], inputs["palette"][:, -1] = 0.45, 0.1
    edited, inside = operation.run(inputs), inputs["mask"] > 0
    np.testing.assert_array_equal(edited[~inside], inputs["labels"][~inside])
    painted = inside & (edited != inputs["labels"])
    assert painted.sum() > 10
    assert np.isin(edited[inside if budget == "region" else painted], [3, 7]).all()


def test_an_exported_editor_makes_as_many_sinkhorn_steps_as_it_was_trained_with(tmp_path):
    inputs = edit_inputs(4)
    inputs["mask"][:] = 1
    edits = []
    for steps in (1, 8):
        trained = read_run(write_run(tmp_path / f"steps-{steps}", editor=editor(sinkhorn_steps=steps)))
        operation = editor_operation(trained.models["editor"].network)
        session = onnxruntime.InferenceSession(export_onnx(operation).SerializeToString())
        [exported] = session.run(None, inputs)
        edits.append(operation.run(inputs))
        assert (exported == edits[-1]).mean() > 0.99
    assert (edits[0] != edits[1]).any()


def test_image_is_scaled_rounded_and_clamped_to_bytes():
    class Constant(nn.Module):
        def forward(self, labels, z):
            values = torch.tensor([-1.0, 1.0, 0.0, -1.5, 2.0, 0.9, -0.999, 1 / 255, -1 / 255, 0.5, -0.5, 0.25])
            return values.view(1, 3, 2, 2)

    image = LatentImageOperation(Constant())(torch.zeros(1, 2, 2, dtype=torch.uint8), torch.zeros(1, 4))
    assert image.shape == (1, 2, 2, 3)
    assert image.permute(0, 3, 1, 2).flatten().tolist() == [0, 255, 128, 0, 255, 242, 0, 128, 127, 191, 64, 159]


def test_inputs_of_an_image_operation_are_what_its_generator_needs():
    names = {
        name: [[spec.name for spec in operation.inputs] for operation in image_operations(image_generator(name))]
        for name in ("pyramid", "gaugan", "sean")
    }
    assert names == {
        "pyramid": [["labels", "z"]],
        "gaugan": [["labels"]],
        "sean": [["labels", "styles"], ["image", "labels"]],
    }


@pytest.mark.parametrize("name", IMAGE_CONFIGS)
def test_folding_does_not_change_images(name):
    network = image_generator(name)
    labels = torch.from_numpy(random_labels(3))
    code = torch.randn(3, *network.code_shape)
    trained = network(labels, code)
    assert trained.std() > 1e-3
    folded = fold(network)
    torch.testing.assert_close(folded(labels, code), trained, atol=1e-5, rtol=1e-4)
    assert not any(isinstance(m, nn.BatchNorm2d) or parametrize.is_parametrized(m) for m in folded.modules())


def test_folding_does_not_change_edits():
    network = editor()
    inputs = {name: torch.from_numpy(array) for name, array in edit_inputs(3).items()}
    arguments = (inputs["z"], one_hot(inputs["labels"], NUM_CLASSES), inputs["palette"])
    trained, folded = (module(*arguments)[-1].merged_BKHW for module in (network, fold(network)))
    torch.testing.assert_close(folded, trained, atol=1e-5, rtol=1e-4)


def test_a_style_encoder_gives_zeros_to_absent_classes_and_ships_nothing_else():
    image, encoder = image_operations(image_generator("sean"))
    labels = random_labels(2) % 3
    pictures = np.random.default_rng(0).integers(0, 256, (2, HEIGHT, WIDTH, 3)).astype(np.uint8)
    styles = encoder.run({"image": pictures, "labels": labels})
    assert (styles.dtype, styles.shape) == (np.float32, (2, NUM_CLASSES, 5))
    assert not styles[:, 3:].any()
    assert styles[:, :3].all()
    folded = encoder.module(torch.from_numpy(pictures), torch.from_numpy(labels))
    np.testing.assert_allclose(folded.numpy(), styles, atol=1e-6)
    network = image_generator("sean")
    assert encoder.parameters() == sum(p.numel() for p in network.encoder.parameters())
    assert not any("encoder" in name for name, _ in image.module.named_parameters())


def test_folding_does_not_change_scores_and_leaves_plain_layers():
    layout, _ = layout_operations(layout_generator())
    z, palettes = (torch.from_numpy(array) for array in layout_inputs(3).values())
    trained = layout.reference.generator.scores(z, palettes)
    torch.testing.assert_close(layout.module.generator.scores(z, palettes), trained, atol=1e-4, rtol=1e-4)
    assert not any(isinstance(m, EqualisedConv2d | EqualisedLinear) for m in layout.module.modules())


@pytest.mark.parametrize("network", [layout_generator(), image_generator("gaugan"), image_generator("sean"), editor()])
def test_folding_leaves_the_network_alone(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    kinds = [type(module) for module in network.modules()]
    fold(network)
    torch.testing.assert_close(network.state_dict(), before, atol=0, rtol=0)
    assert [type(module) for module in network.modules()] == kinds


def test_operations_count_their_weights_and_multiplications():
    (operation,) = image_operations(image_generator())
    assert operation.parameters() == sum(p.numel() for p in image_generator().parameters())
    one, many = operation.macs(), SHAPE.height * SHAPE.width * 8 * 8 * 9 * 2  # two 3x3 convolutions of the last level
    assert many < one < 20 * many


def test_many_samples_are_run_in_small_batches():
    (operation,) = image_operations(image_generator())
    inputs = {"labels": random_labels(9), "z": np.random.default_rng(0).standard_normal((9, 4)).astype(np.float32)}
    sizes = []
    operation.reference.register_forward_hook(lambda module, arguments, output: sizes.append(len(output)))
    assert operation.run(inputs).shape == (9, HEIGHT, WIDTH, 3)
    assert sizes == [4, 4, 1]
