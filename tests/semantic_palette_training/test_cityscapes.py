"""Cityscapes and Cityscapes-25k: miniature trees in the official folder layout."""

import numpy as np
import pytest
from PIL import Image

from semantic_palette.label_space import CITYSCAPES
from semantic_palette_training.data.cityscapes import CityscapesData
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.data.scenes import DataError

HEIGHT, WIDTH = 5, 7


def write(path, values, dtype=np.uint8):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, dtype)).save(path)


def write_image(root, split, city, name):
    write(root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png", np.full((HEIGHT, WIDTH, 3), 90))


def write_labels(root, split, city, name, values, kind="labelIds", dtype=np.uint8):
    write(root / "gtFine" / split / city / f"{name}_gtFine_{kind}.png", values, dtype)


def full(value):
    return np.full((HEIGHT, WIDTH), value)


@pytest.fixture
def root(tmp_path):
    """Two training scenes of two cities and one to validate on, with the files that come beside them."""
    root = tmp_path / "cityscapes"
    for split, city, value in (("train", "zurich", 7), ("train", "aachen", 33), ("val", "munster", 0)):
        name = f"{city}_000000_000019"
        write_image(root, split, city, name)
        write_labels(root, split, city, name, full(value))
        write_labels(root, split, city, name, np.zeros((HEIGHT, WIDTH, 4)), "color")
        write_labels(root, split, city, name, full(26_001), "instanceIds", np.uint16)
        (root / "gtFine" / split / city / f"{name}_gtFine_polygons.json").write_text("{}")
    return root


def load(root, split="train", **options):
    config = CityscapesData(root=str(root), height=HEIGHT, width=WIDTH, **options)
    return load_scenes(config, split)


def test_scenes_come_by_city_with_published_ids(root):
    scenes = load(root)
    assert scenes.label_space == CITYSCAPES
    assert scenes.names == ["aachen/aachen_000000_000019", "zurich/zurich_000000_000019"]
    assert scenes.labels[:, 0, 0].tolist() == [33, 7]
    assert load(root, "val").names == ["munster/munster_000000_000019"]


def test_every_published_id_stays_and_the_license_plate_becomes_the_last(root):
    values = np.array([*range(34), 255]).reshape(HEIGHT, WIDTH)
    write_labels(root, "val", "munster", "munster_000000_000019", values)
    labels = load(root, "val").labels[0]
    np.testing.assert_array_equal(labels.ravel(), np.arange(35))
    assert CITYSCAPES.names[labels[-1, -1]] == "license_plate"


def test_instance_maps_serve_where_label_maps_are_missing(root):
    values = full(7)
    values[0] = [24_000, 24_017, 33_999, 26, 0, 255, 65_535]
    folder = root / "gtFine" / "val" / "munster"
    write(folder / "munster_000000_000019_gtFine_instanceIds.png", values, np.uint16)
    (folder / "munster_000000_000019_gtFine_labelIds.png").unlink()
    labels = load(root, "val").labels[0]
    assert labels[0].tolist() == [24, 24, 33, 26, 0, 34, 34]
    assert (labels[1:] == 7).all()


@pytest.mark.parametrize(
    ("kind", "dtype", "value"),
    [("labelIds", np.uint8, 34), ("labelIds", np.uint8, 99), ("instanceIds", np.uint16, 7_001)],
)
def test_a_value_out_of_range_names_its_file(root, kind, dtype, value):
    folder = root / "gtFine" / "train" / "aachen"
    (folder / "aachen_000000_000019_gtFine_labelIds.png").unlink()
    write_labels(root, "train", "aachen", "aachen_000000_000019", full(value), kind, dtype)
    with pytest.raises(
        DataError, match=rf"aachen_000000_000019_gtFine_{kind}\.png: label values {value} .*0 to 33, 255"
    ):
        load(root)


@pytest.mark.parametrize("missing", ["leftImg8bit", "gtFine"])
def test_a_file_without_its_counterpart_is_named(root, missing):
    for path in (root / missing / "train" / "aachen").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"aachen_000000_000019_\w+\.png: has no (label map|image)"):
        load(root)


def write_extra(root, value, suffix="_leftImg8bit.png"):
    """A scene of `train_extra` and its pseudo-label, with the files that are published beside it."""
    name = "augsburg_000000_000000"
    write_image(root, "train_extra", "augsburg", name)
    folder = root / "extraFine" / "train_extra" / "augsburg"
    write(folder / f"{name}{suffix}", full(value))
    write(folder / f"{name}_leftImg8bit_prob.png", full(200))


def test_the_extra_scenes_join_the_training_split_alone_and_only_when_asked_for(root):
    write_extra(root, 7)
    assert len(load(root)) == 2
    assert load(root, extra=True).names == [
        "aachen/aachen_000000_000019",
        "augsburg/augsburg_000000_000000",
        "zurich/zurich_000000_000019",
    ]
    assert len(load(root, "val", extra=True)) == 1


@pytest.mark.parametrize(
    ("extra_ids", "value", "class_name"),
    [
        ("labelIds", 7, "road"),
        ("labelIds", 33, "bicycle"),
        ("labelIds", 0, "unlabeled"),
        ("labelIds", 255, "license_plate"),
        ("trainIds", 0, "road"),
        ("trainIds", 2, "building"),
        ("trainIds", 10, "sky"),
        ("trainIds", 18, "bicycle"),
        ("trainIds", 255, "license_plate"),
    ],
)
def test_pseudo_labels_mean_what_the_config_says(root, extra_ids, value, class_name):
    write_extra(root, value)
    labels = load(root, extra=True, extra_ids=extra_ids).labels[1]
    assert CITYSCAPES.names[labels[0, 0]] == class_name


@pytest.mark.parametrize(("extra_ids", "value"), [("labelIds", 2), ("labelIds", 18), ("trainIds", 21)])
def test_one_kind_of_pseudo_label_is_not_read_as_the_other(root, extra_ids, value):
    write_extra(root, value)
    with pytest.raises(DataError, match=rf"augsburg\S*\.png \(data\.extra_ids is {extra_ids}\): label values {value} "):
        load(root, extra=True, extra_ids=extra_ids)


def test_the_folder_of_the_pseudo_labels_can_be_named(root):
    write_extra(root, 7)
    (root / "extraFine").rename(root / "mine")
    assert len(load(root, extra=True, extra_labels="mine")) == 3
    with pytest.raises(DataError, match=r"extraFine/train_extra: no such folder"):
        load(root, extra=True)


def test_an_extra_scene_without_a_pseudo_label_is_named(root):
    write_extra(root, 7)
    write_image(root, "train_extra", "augsburg", "augsburg_000000_000001")
    with pytest.raises(DataError, match=r"augsburg_000000_000001_leftImg8bit\.png: has no label map"):
        load(root, extra=True)


def test_the_test_split_has_no_labels(root):
    with pytest.raises(DataError, match="train and val are allowed"):
        load(root, "test")


def test_a_missing_data_set_says_where_it_was_looked_for(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=rf"gtFine/ in {tmp_path} or {tmp_path}/cityscapes"):
        load(tmp_path)
    monkeypatch.delenv("SEMANTIC_PALETTE_DATA", raising=False)
    with pytest.raises(DataError, match=r"data\.root.*SEMANTIC_PALETTE_DATA"):
        load_scenes(CityscapesData(), "train")
