"""What the editor is asked to paint: crops and their palettes, additions and their targets."""

import numpy as np
import pytest
import torch

from semantic_palette.editing import Budget, editor_palette
from semantic_palette.editing import region_palette as service_region_palette
from semantic_palette_training.data.additions import TargetMix, additions_palette, mixed_target
from semantic_palette_training.data.crops import class_shares, crop_masks, region_palette

HEIGHT, WIDTH, CLASSES = 16, 32, 5


def draws(batch: int = 200, columns: int = 4) -> torch.Tensor:
    return torch.rand(batch, columns, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("sides", [(0.25, 1.0), (0.5, 0.5), (0.01, 0.02)])
def test_rectangles_have_sides_in_range_and_lie_anywhere(sides: tuple[float, float]) -> None:
    masks = crop_masks("rectangle", draws(), HEIGHT, WIDTH, sides).numpy()
    for mask in masks:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert mask.sum() == len(rows) * len(columns)  # a full rectangle
        assert rows[-1] - rows[0] + 1 == len(rows)
        assert columns[-1] - columns[0] + 1 == len(columns)
        for places, size in ((rows, HEIGHT), (columns, WIDTH)):
            assert max(1, round(sides[0] * size)) <= len(places) <= max(1, round(sides[1] * size))
    assert masks.any(axis=0).mean() > (0.9 if sides[1] > 0.1 else 0.2)


def test_the_extreme_draws_stay_inside() -> None:
    almost_one = torch.full((1, 4), 1.0 - 2.0**-24)
    assert crop_masks("rectangle", almost_one, HEIGHT, WIDTH).all()
    corner = crop_masks("rectangle", torch.tensor([[0.0, 0.0, 1.0 - 2.0**-24, 1.0 - 2.0**-24]]), HEIGHT, WIDTH)
    assert corner[0, -4:, -8:].all()
    assert corner.sum() == 4 * 8


def test_bands_have_the_full_height() -> None:
    masks = crop_masks("band", draws(), HEIGHT, WIDTH, (0.5, 1.0))
    assert torch.equal(masks, masks[:, :1].expand(-1, HEIGHT, -1))
    widths = masks[:, 0].sum(dim=1)
    assert widths.min() >= WIDTH // 2
    assert len(set(widths.tolist())) > 5


def test_no_crop_is_no_pixel() -> None:
    assert not crop_masks("none", draws(3), HEIGHT, WIDTH).any()


def test_a_crops_palette_is_its_histogram_times_its_area() -> None:
    labels = torch.randint(CLASSES, (6, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    masks = crop_masks("rectangle", draws(6), HEIGHT, WIDTH)
    palettes = region_palette(labels, masks, CLASSES)
    for label, mask, palette in zip(labels.numpy(), masks.numpy(), palettes.numpy(), strict=True):
        inside = [int(label[i, j]) for i, j in np.ndindex(HEIGHT, WIDTH) if mask[i, j]]
        area = len(inside) / (HEIGHT * WIDTH)
        expected = [inside.count(c) / len(inside) * area for c in range(CLASSES)] + [1 - area]
        np.testing.assert_allclose(palette, expected, atol=1e-7)
        present = service_region_palette(label, mask, CLASSES)
        served = editor_palette(Budget.REGION, present, present, float(mask.mean()))
        np.testing.assert_allclose(palette, served, atol=1e-6)


def test_additions_are_what_each_class_has_to_gain() -> None:
    target, current = draws(50, CLASSES).softmax(1), draws(100, CLASSES)[50:].softmax(1)
    target[0] = current[0] + torch.tensor([0.0005, -0.0005, 0.0, 0.0, 0.0])
    palette = additions_palette(target, current).numpy()
    for t, c, p in zip(target.double().numpy(), current.double().numpy(), palette, strict=True):
        gains = [max(0.0, float(a - b)) for a, b in zip(t, c, strict=True)]
        gains = [gain if gain >= 0.001 else 0.0 for gain in gains]
        np.testing.assert_allclose(p, [*gains, 1 - sum(gains)], atol=1e-6)
    assert palette[0].tolist() == [0, 0, 0, 0, 0, 1]
    np.testing.assert_allclose(palette.sum(axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize(("mix", "weights"), [("none", {1.0}), ("half_soft", {0.25, 1.0}), ("linear", None)])
def test_targets_are_mixed_with_the_current_palette(mix: TargetMix, weights: set[float] | None) -> None:
    target, current = draws(50, CLASSES).softmax(1), draws(100, CLASSES)[50:].softmax(1)
    numbers = draws(50, 2)
    mixed = mixed_target(mix, target, current, numbers)
    found = ((mixed - current)[:, 0] / (target - current)[:, 0]).numpy()
    if weights is None:
        np.testing.assert_allclose(found, numbers[:, 1], atol=1e-2)
    else:
        assert {round(float(w), 2) for w in found} == weights


def test_class_shares_count() -> None:
    assert class_shares(torch.tensor([[0, 2, 2, 2]]), 3).tolist() == [[0.25, 0.0, 0.75]]
