"""The India Driving Dataset: a miniature tree in the official folder layout."""

import numpy as np
import pytest
from PIL import Image

from semantic_palette.label_space import IDD
from semantic_palette_training.data.idd import IddData
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.data.scenes import DataError

HEIGHT, WIDTH = 9, 16


def write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path)


def write_scene(root, split, scene, labels, ending=".png", image_size=(HEIGHT, WIDTH)):
    write(root / "leftImg8bit" / split / f"{scene}_leftImg8bit{ending}", np.full((*image_size, 3), 90))
    write(root / "gtFine" / split / f"{scene}_gtFine_labelids.png", labels)


@pytest.fixture
def root(tmp_path):
    """Two drives with a frame each, one of them a JPEG, whose labels are all ids; and what comes beside them."""
    root = tmp_path / "idd"
    all_ids = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 40
    write_scene(root, "train", "9/frame0029", all_ids)
    write_scene(root, "train", "201/frame1799", np.full((HEIGHT, WIDTH), 39), ".jpg")
    write_scene(root, "val", "115/frame0000", np.full((HEIGHT, WIDTH), 255))
    for split, scene in (("train", "9/frame0029"), ("train", "201/frame1799"), ("val", "115/frame0000")):
        write(root / "gtFine" / split / f"{scene}_gtFine_labellevel3Ids.png", np.zeros((HEIGHT, WIDTH)))
        (root / "gtFine" / split / f"{scene}_gtFine_polygons.json").write_text("{}")
    return root


def load(root, split="train", height=HEIGHT, width=WIDTH):
    return load_scenes(IddData(root=str(root), height=height, width=width), split)


def test_scenes_come_by_drive_with_published_ids(root):
    scenes = load(root)
    assert scenes.label_space == IDD
    assert scenes.names == ["201/frame1799", "9/frame0029"]
    assert (scenes.labels[0] == IDD.id_of("license plate")).all()
    np.testing.assert_array_equal(scenes.labels[1].ravel(), np.arange(HEIGHT * WIDTH) % 40)


def test_what_no_label_was_drawn_on_is_unlabeled(root):
    assert (load(root, "val").labels == IDD.id_of("unlabeled")).all()


def test_frames_of_16_to_9_are_cropped_at_the_centre(root):
    # The largest 2:1 box of 9 x 16 has 8 rows.
    labels = load(root, height=8, width=16).labels[1]
    np.testing.assert_array_equal(labels.ravel(), np.arange(8 * WIDTH) % 40)


def test_a_label_map_may_be_smaller_than_its_image_but_not_of_another_aspect(root):
    write_scene(root, "val", "115/frame0000", np.full((HEIGHT, WIDTH), 33), image_size=(2 * HEIGHT, 2 * WIDTH))
    assert (load(root, "val").labels == IDD.id_of("sky")).all()
    write_scene(root, "val", "115/frame0000", np.full((HEIGHT, WIDTH), 33), image_size=(2 * HEIGHT, WIDTH))
    with pytest.raises(DataError, match=r"frame0000_gtFine_labelids\.png: the aspect"):
        load(root, "val")


def test_a_value_out_of_range_names_its_file(root):
    write(root / "gtFine" / "val" / "115" / "frame0000_gtFine_labelids.png", np.full((HEIGHT, WIDTH), 40))
    with pytest.raises(DataError, match=r"115/frame0000_gtFine_labelids\.png: label values 40 .*0 to 39, 255"):
        load(root, "val")


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("gtFine/train/9/frame0029_gtFine_labelids.png", r"frame0029_leftImg8bit\.png: has no label map"),
        ("leftImg8bit/train/201/frame1799_leftImg8bit.jpg", r"frame1799_gtFine_labelids\.png: has no image"),
    ],
)
def test_a_file_without_its_counterpart_is_named(root, missing, named):
    (root / missing).unlink()
    with pytest.raises(DataError, match=named):
        load(root)


def test_polygons_without_label_maps_say_how_to_draw_them(root):
    for path in (root / "gtFine" / "train").rglob("*_labelids.png"):
        path.unlink()
    with pytest.raises(DataError, match=r"gtFine/train: no label map .* --id-type id"):
        load(root)


def test_the_test_split_has_no_labels(root):
    with pytest.raises(DataError, match="train and val are allowed"):
        load(root, "test")


def test_a_missing_data_set_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(DataError, match=rf"gtFine/ in {tmp_path} or {tmp_path}/idd"):
        load(tmp_path)
