"""Inputs that exported files are checked on are those that operations meet in use."""

import numpy as np
import pytest
from export_runs import DATA, HEIGHT, NUM_CLASSES, WIDTH, editor, image_generator, layout_generator

from semantic_palette.editing import Budget
from semantic_palette.noise import standard_normal
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.export.edits import natural_edits
from semantic_palette_training.export.inputs import InputSource, class_presence
from semantic_palette_training.export.operations import editor_operation, image_operations, layout_operations


@pytest.fixture(scope="module")
def scenes():
    return load_scenes(DATA, "val")


@pytest.fixture(scope="module")
def source(scenes):
    found = (
        *layout_operations(layout_generator()),
        editor_operation(editor("additions")),
        *image_operations(image_generator("sean")),
    )
    mean = np.full((1, NUM_CLASSES), 1 / NUM_CLASSES)
    model = PaletteModel(np.ones(1), mean, 1e-4 * np.eye(NUM_CLASSES)[None])
    return InputSource({operation.name: operation for operation in found}, model, scenes, 3)


def test_noise_is_that_of_serving_and_does_not_depend_on_the_batch(source):
    for name, stage, size in (("layout", "layout", 8), ("layout_scores", "layout", 8), ("editor", "edit", 6)):
        drawn = source.inputs(name, range(4, 7))["z"]
        np.testing.assert_array_equal(drawn[1], standard_normal(3, 5, stage, (size,)))


def test_inputs_come_in_the_order_of_the_tensors(source):
    assert list(source.inputs("editor", range(2))) == ["z", "labels", "mask", "palette"]
    assert list(source.inputs("style_encoder", range(2))) == ["image", "labels"]


def test_a_class_that_a_scene_lacks_borrows_its_look(source, scenes):
    samples = range(6)
    labels = scenes.labels[source.scene_rows(samples)]
    present = class_presence(labels, NUM_CLASSES)
    own = source._operations["style_encoder"].run(source.inputs("style_encoder", samples))
    styles = source.inputs("image", samples)["styles"]
    np.testing.assert_allclose(styles[present], own[present], atol=1e-6)
    for index, klass in zip(*np.nonzero(~present), strict=True):
        lenders = own[present[:, klass], klass]
        assert any(np.allclose(styles[index, klass], lender, atol=1e-6) for lender in lenders) or not len(lenders)
    assert (~present).any()


@pytest.mark.parametrize("budget", list(Budget))
def test_edits_ask_for_what_another_scene_has_in_the_same_region(scenes, budget):
    rows = [0, 1, 2, 3, 4, 5]
    edits = natural_edits(scenes.labels, dict(enumerate(rows)), NUM_CLASSES, budget, seed=7)
    np.testing.assert_array_equal(edits.labels_BHW, scenes.labels[rows])
    for row in rows:
        inside = edits.mask_BHW[row] > 0
        ys, xs = np.nonzero(inside)
        assert inside.sum() == (np.ptp(ys) + 1) * (np.ptp(xs) + 1)
        assert np.ptp(ys) + 1 >= HEIGHT // 4
        assert np.ptp(xs) + 1 >= WIDTH // 4
        shares = [np.bincount(other[inside], minlength=NUM_CLASSES) / inside.sum() for other in scenes.labels]
        others = [index for index in rows if index != row]
        assert any(np.allclose(shares[index], edits.requested_BK[row]) for index in others)
        wanted = edits.requested_BK[row]
        if budget is Budget.ADDITIONS:
            wanted = np.maximum(wanted - shares[row], 0.0)
        np.testing.assert_allclose(edits.palette_BE[row, :-1], inside.mean() * wanted, atol=1e-6)
        assert edits.palette_BE[row].sum() == pytest.approx(1.0, abs=1e-6)


def test_an_edit_is_the_same_in_every_batch(scenes):
    together = natural_edits(scenes.labels, {8: 1, 9: 2, 10: 2}, NUM_CLASSES, Budget.REGION, seed=7)
    alone = natural_edits(scenes.labels, {9: 2}, NUM_CLASSES, Budget.REGION, seed=7)
    np.testing.assert_array_equal(together.mask_BHW[1], alone.mask_BHW[0])
    np.testing.assert_array_equal(together.palette_BE[1], alone.palette_BE[0])
    assert (together.mask_BHW[1] != together.mask_BHW[2]).any()
