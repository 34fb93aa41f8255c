"""ADE-Indoor: a miniature tree in the folder layout of the MIT scene parsing benchmark."""

import numpy as np
import pytest
from PIL import Image

from semantic_palette.label_space import ADE_INDOOR
from semantic_palette_training.data.ade_indoor import AdeIndoorData
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.data.scenes import DataError

HEIGHT, WIDTH = 12, 16


def write_scene(root, split, name, labels):
    for folder, ending, array in (("images", ".jpg", np.full((HEIGHT, WIDTH, 3), 90)), ("annotations", ".png", labels)):
        path = root / folder / split / f"{name}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(array, np.uint8)).save(path)


@pytest.fixture
def root(tmp_path):
    """Three training scenes, of which a street is not indoors, and one to validate on, with all label values."""
    root = tmp_path / "ade-indoor"
    all_values = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 151
    for number in (1, 2, 3):
        write_scene(root, "training", f"ADE_train_{number:08d}", np.full((HEIGHT, WIDTH), number))
    write_scene(root, "validation", "ADE_val_00000001", all_values)
    (root / "sceneCategories.txt").write_text(
        "ADE_train_00000001 bedroom\nADE_train_00000002 street\nADE_train_00000003 airport_terminal\n"
        "ADE_val_00000001 living_room\n"
    )
    return root


def load(root, split="train"):
    config = AdeIndoorData(root=str(root), height=HEIGHT, width=WIDTH)
    return load_scenes(config, split)


def test_indoor_scenes_alone_are_read(root):
    scenes = load(root)
    assert scenes.label_space == ADE_INDOOR
    assert scenes.names == ["ADE_train_00000001", "ADE_train_00000003"]
    assert [ADE_INDOOR.names[scene[0, 0]] for scene in scenes.labels] == ["wall", "sky"]


# Label values and names as the benchmark's objectInfo150.txt has them.
@pytest.mark.parametrize(
    ("value", "class_name"),
    [
        (0, "other_objects"),
        (1, "wall"),
        (4, "floor"),
        (8, "bed"),
        (11, "cabinet"),
        (15, "door"),
        (45, "chest_of_drawers"),
        (66, "toilet"),
        (90, "television"),
        (108, "washer"),
        (119, "oven"),
        (131, "screen"),
        (142, "crt_screen"),
        (149, "clock"),
        (7, "other_objects"),
        (21, "other_objects"),
        (84, "other_objects"),
        (150, "other_objects"),
    ],
)
def test_label_values_become_the_classes_of_their_names(root, value, class_name):
    labels = load(root, "val").labels[0]
    assert ADE_INDOOR.names[labels.ravel()[value]] == class_name


def test_the_classes_of_the_space_are_reached_in_order_by_one_label_value_each(root):
    ids = load(root, "val").labels[0].ravel()[:151]
    named = ids[ids > 0]
    np.testing.assert_array_equal(named, np.arange(1, ADE_INDOOR.num_classes))


def test_a_value_out_of_range_names_its_file(root):
    write_scene(root, "training", "ADE_train_00000003", np.full((HEIGHT, WIDTH), 151))
    with pytest.raises(DataError, match=r"ADE_train_00000003\.png: label values 151 .*0 to 150"):
        load(root)


@pytest.mark.parametrize(("folder", "ending"), [("images", "jpg"), ("annotations", "png")])
def test_a_file_without_its_counterpart_is_named(root, folder, ending):
    (root / folder / "training" / f"ADE_train_00000001.{ending}").unlink()
    with pytest.raises(DataError, match=r"ADE_train_00000001\.\w+: has no (label map|image)"):
        load(root)


def test_a_scene_outdoors_needs_no_counterpart(root):
    (root / "annotations" / "training" / "ADE_train_00000002.png").unlink()
    assert len(load(root)) == 2


def test_a_scene_without_a_category_is_named(root):
    write_scene(root, "training", "ADE_train_00000004", np.ones((HEIGHT, WIDTH)))
    with pytest.raises(DataError, match=r"ADE_train_00000004\.png: sceneCategories\.txt has no line"):
        load(root)


def test_a_missing_or_damaged_list_of_categories_is_named(root):
    (root / "sceneCategories.txt").write_text("ADE_train_00000001 bedroom\nADE_train_00000002\n")
    with pytest.raises(DataError, match=r"sceneCategories\.txt, line 2: 'ADE_train_00000002'"):
        load(root)
    (root / "sceneCategories.txt").unlink()
    with pytest.raises(DataError, match=r"sceneCategories\.txt: cannot be read"):
        load(root)


def test_the_test_split_has_no_labels(root):
    with pytest.raises(DataError, match="train and val are allowed"):
        load(root, "test")


def test_a_missing_data_set_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(DataError, match=rf"annotations/ in {tmp_path} or {tmp_path}/ade-indoor"):
        load(tmp_path)
