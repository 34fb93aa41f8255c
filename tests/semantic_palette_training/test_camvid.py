"""CamVid: a miniature tree in the layout of the SegNet tutorial, and the real one where it is at hand."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semantic_palette.label_space import CAMVID
from semantic_palette_training.data import DataError, Scenes, Split, load_scenes
from semantic_palette_training.data.camvid import CamvidData


def camvid(root: Path, split: Split, height: int, width: int) -> Scenes:
    return load_scenes(CamvidData(root=str(root), height=height, width=width), split)


def write_pair(root, split, name, labels, image):
    for folder, array in ((f"{split}annot", labels), (split, image)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(root / folder / name)


@pytest.fixture
def root(tmp_path):
    """Two scenes of 12 x 16: class ids in vertical stripes, and images that show the ids as red."""
    root = tmp_path / "camvid"
    for split in ("train", "val"):
        for number in range(2):
            labels = np.broadcast_to((np.arange(16) % 12).astype(np.uint8), (12, 16))
            image = np.zeros((12, 16, 3), np.uint8)
            image[..., 0], image[..., 2] = labels, number
            write_pair(root, split, f"seq_{number}.png", labels, image)
    return root


def test_at_the_size_of_the_files_nothing_is_resampled(root):
    scenes = camvid(root, "train", 12, 16)
    assert scenes.label_space == CAMVID
    assert scenes.names == ["seq_0", "seq_1"]
    np.testing.assert_array_equal(scenes.labels[1], scenes.images[1, ..., 0])
    assert scenes.images[..., 2].mean(axis=(1, 2)).tolist() == [0, 1]


@pytest.mark.parametrize(("height", "width", "columns"), [(12, 12, slice(2, 14)), (6, 16, slice(0, 16))])
def test_the_centre_is_cropped_to_the_aspect(root, height, width, columns):
    scenes = camvid(root, "val", height, width)
    np.testing.assert_array_equal(scenes.labels[0], np.broadcast_to((np.arange(16) % 12)[columns], (height, width)))


def test_another_size_keeps_labels_whole_and_images_close(root):
    scenes = camvid(root, "train", 24, 32)
    np.testing.assert_array_equal(scenes.labels[0, 5], np.repeat(np.arange(16) % 12, 2))
    assert np.abs(scenes.images[0, :, :20, 0].astype(int) - scenes.labels[0, :, :20]).max() <= 2


@pytest.mark.parametrize("start", ["root", "parent", "environment"])
def test_the_folder_or_its_parent_may_be_given(root, start, monkeypatch):
    monkeypatch.setenv("SEMANTIC_PALETTE_DATA", str(root.parent))
    given = {"root": str(root), "parent": str(root.parent), "environment": None}[start]
    assert len(load_scenes(CamvidData(root=given, height=12, width=16), "val")) == 2


def test_a_missing_data_set_says_how_to_give_it(tmp_path, monkeypatch):
    monkeypatch.delenv("SEMANTIC_PALETTE_DATA", raising=False)
    with pytest.raises(DataError, match=r"data\.root.*SEMANTIC_PALETTE_DATA"):
        load_scenes(CamvidData(), "train")
    with pytest.raises(DataError, match=str(tmp_path)):
        camvid(tmp_path, "train", 12, 16)


def test_a_missing_split_is_named(root):
    with pytest.raises(DataError, match=r"camvid/test: no such folder"):
        camvid(root, "test", 12, 16)


@pytest.mark.parametrize(
    ("missing", "message"),
    [("train", r"trainannot/seq_1\.png: has no image"), ("trainannot", r"train/seq_1\.png: has no label map")],
)
def test_a_file_without_its_counterpart_is_named(root, missing, message):
    (root / missing / "seq_1.png").unlink()
    with pytest.raises(DataError, match=message):
        camvid(root, "train", 12, 16)


def test_a_class_id_out_of_range_is_named_even_where_the_crop_hides_it(root):
    labels = np.zeros((12, 16), np.uint8)
    labels[0, 0] = 12
    write_pair(root, "train", "seq_1.png", labels, np.zeros((12, 16, 3), np.uint8))
    with pytest.raises(DataError, match=r"trainannot/seq_1\.png: label values 12 .*0 to 11"):
        camvid(root, "train", 6, 6)


def test_colour_label_maps_are_refused(root):
    colour = np.zeros((12, 16, 3), np.uint8)
    write_pair(root, "train", "seq_1.png", colour, colour)
    with pytest.raises(DataError, match=r"trainannot/seq_1\.png: mode 'RGB'"):
        camvid(root, "train", 12, 16)


def test_a_pair_of_two_sizes_is_refused(root):
    write_pair(root, "train", "seq_1.png", np.zeros((12, 15), np.uint8), np.zeros((12, 16, 3), np.uint8))
    with pytest.raises(DataError, match=r"seq_1\.png: size \(15, 12\) differs from \(16, 12\)"):
        camvid(root, "train", 12, 16)


def test_a_file_that_is_no_image_is_named(root):
    (root / "train" / "seq_0.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"train/seq_0\.png: cannot be read as an image"):
        camvid(root, "train", 12, 16)


@pytest.mark.skipif(
    "SEMANTIC_PALETTE_DATA" not in os.environ,
    reason="SEMANTIC_PALETTE_DATA is not set; it names the folder that contains the real camvid/",
)
def test_the_real_data_set_loads():
    train, val = (load_scenes(CamvidData(height=32, width=64), split) for split in ("train", "val"))
    assert (len(train), len(val)) == (367, 101)
    shares = dict(zip(CAMVID.names, train.palettes().mean(axis=0), strict=True))
    assert shares["building"] + shares["road"] > 0.4
    assert shares["bicyclist"] > 0
    # Road lies below the sky in every street.
    rows = np.arange(32)[:, None]
    road, sky = (train.labels == CAMVID.id_of(name) for name in ("road", "sky"))
    assert (road * rows).sum() / road.sum() > (sky * rows).sum() / sky.sum() + 10
