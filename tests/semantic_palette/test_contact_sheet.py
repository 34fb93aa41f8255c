"""The contact sheet shows what the pairs hold."""

import numpy as np
import pytest
from fake_services import SPACE, fake_pair

from semantic_palette.contact_sheet import SheetRow, contact_sheet
from semantic_palette.label_space import CITYSCAPES, LabelSpace


def row(space: LabelSpace, requested: np.ndarray, labels: np.ndarray) -> SheetRow:
    achieved = np.bincount(labels.ravel(), minlength=space.num_classes) / labels.size
    image = np.full((*labels.shape, 3), (1, 254, 3), np.uint8)
    return SheetRow("000000", labels, image, requested, achieved, 0.01)


def count(sheet, colour) -> int:
    return int((np.asarray(sheet) == np.array(colour, np.uint8)).all(axis=-1).sum())


def test_layout_and_image_are_drawn_at_one_size_in_their_colours():
    labels = np.full((16, 32), SPACE.id_of("car"), np.uint8)
    sheet = contact_sheet([row(SPACE, np.eye(12)[SPACE.id_of("road")], labels)], SPACE, "one")
    image_pixels = count(sheet, (1, 254, 3))
    assert image_pixels >= 200 * 400
    assert image_pixels <= count(sheet, SPACE.classes[SPACE.id_of("car")].colour) <= 1.05 * image_pixels


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_bars_grow_with_the_achieved_share(share):
    labels = np.zeros((20, 20), np.uint8)
    labels[: round(20 * share)] = SPACE.id_of("car")
    shown = row(SPACE, np.eye(12)[0], labels)
    without = row(SPACE, np.eye(12)[0], np.zeros((20, 20), np.uint8))
    colour = SPACE.classes[SPACE.id_of("car")].colour
    size = count(contact_sheet([without], SPACE, "t"), (1, 254, 3))
    bar = count(contact_sheet([shown], SPACE, "t"), colour) - share * size
    assert bar == pytest.approx(230 * 6 * share, rel=0.1)


def test_rows_are_stacked_and_many_classes_are_gathered():
    one = contact_sheet([row(SPACE, p.requested, p.labels) for p in [fake_pair(0)]], SPACE, "t")
    three = contact_sheet([row(SPACE, p.requested, p.labels) for p in map(fake_pair, range(3))], SPACE, "t")
    assert three.width == one.width
    assert three.height > 2.5 * one.height
    labels = np.arange(36, dtype=np.uint8).reshape(4, 9) % 35
    many = contact_sheet([row(CITYSCAPES, np.full(35, 1 / 35), labels)], CITYSCAPES, "t")
    assert many.height < 1.5 * one.height
