"""Scenes: what is accepted, and loading by name."""

import dataclasses

import numpy as np
import pytest

from semantic_palette.errors import InvalidInputError
from semantic_palette.label_space import STREETS
from semantic_palette_training.data import DataError, Scenes, load_scenes
from semantic_palette_training.data.registry import data_config, scene_shape
from semantic_palette_training.data.streets import StreetsData
from semantic_palette_training.scene_shape import SceneShape


def scenes(count: int = 3) -> Scenes:
    labels = (np.arange(count * 4 * 6).reshape(count, 4, 6) % 12).astype(np.uint8)
    return Scenes(labels, np.zeros((count, 4, 6, 3), np.uint8), STREETS, [f"scene{i}" for i in range(count)])


def test_palettes_are_the_class_shares_of_each_scene():
    palettes = scenes().palettes()
    assert palettes.shape == (3, 12)
    assert palettes.dtype == np.float64
    np.testing.assert_allclose(palettes, 1 / 12)
    assert len(scenes()) == 3


@pytest.mark.parametrize("change", ["label", "image", "name"])
def test_digest_changes_with_any_part_of_the_data(change):
    original, altered = scenes(), scenes()
    if change == "label":
        altered.labels[2, 3, 5] ^= 1
    elif change == "image":
        altered.images[0, 0, 0, 0] = 1
    else:
        altered.names[1] = "another"
    assert original.digest() == scenes().digest()
    assert original.digest() != altered.digest()


def test_a_class_id_outside_the_label_space_names_the_scene_and_the_ids():
    labels = scenes().labels.copy()
    labels[1, 0, :2] = (12, 255)
    with pytest.raises(DataError, match=r"scene1: class ids 12, 255 .*'streets'.* 0 to 11"):
        dataclasses.replace(scenes(), labels=labels)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("labels", np.zeros((3, 4, 6), np.int64), "uint8"),
        ("images", np.zeros((3, 4, 6), np.uint8), r"images \[N, H, W, 3\]"),
        ("images", np.zeros((3, 4, 5, 3), np.uint8), r"\(3, 4, 5, 3\)"),
        ("names", ["only one"], "3 and 1"),
    ],
)
def test_arrays_that_disagree_are_refused(field, value, message):
    with pytest.raises(DataError, match=message):
        dataclasses.replace(scenes(), **{field: value})


@pytest.mark.parametrize("field", ["height", "width", "count"])
def test_a_size_below_one_is_refused(field):
    with pytest.raises(InvalidInputError, match=rf"data\.{field}: 0"):
        load_scenes(StreetsData(**{field: 0}), "train")


def test_an_unknown_data_set_is_refused():
    with pytest.raises(InvalidInputError, match=r"data\.name: 'kitti'.*folder, cityscapes, .*, streets"):
        data_config({"name": "kitti"})


def test_a_key_of_another_data_set_is_refused():
    with pytest.raises(InvalidInputError, match=r"data\.count: 8.*root"):
        data_config({"name": "camvid", "count": 8})


def test_the_shape_is_known_without_reading_scenes():
    assert scene_shape(data_config({"name": "streets", "height": 16})) == SceneShape(12, 16, 256)


def test_streets_splits_have_their_sizes_and_share_no_scene():
    config = StreetsData(height=16, width=32, count=8, seed=3)
    splits = {split: load_scenes(config, split) for split in ("train", "val", "test")}
    assert [len(split) for split in splits.values()] == [8, 2, 2]
    names = [name for split in splits.values() for name in split.names]
    assert len(set(names)) == len(names)
