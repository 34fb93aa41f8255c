"""Bring your own data: where files may lie, what label maps may hold, and what the label space file says."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.data import DataError, load_scenes
from semantic_palette_training.data.folder import FolderData
from semantic_palette_training.data.folder_labels import folder_labels
from semantic_palette_training.data.registry import label_space_of, scene_source

H, W = 4, 6
CLASSES = [
    {"name": "water", "colour": [30, 100, 200], "values": [3, 4]},
    {"name": "quay", "colour": "#808080", "values": [7]},
    {"name": "void", "values": [0, 255], "evaluated": False},
]


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write_space(root: Path, classes: list[dict[str, object]] = CLASSES) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "label_space.json").write_text(json.dumps({"name": "harbour", "classes": classes}))


def write_scene(image: Path, labels: Path, value: int = 7) -> None:
    save(image, np.full((H, W, 3), value, np.uint8))
    save(labels, np.full((H, W), value, np.uint8))


def config(root: Path, **options: object) -> FolderData:
    return FolderData(root=str(root), height=H, width=W, **options)


@pytest.mark.parametrize("layout", ["{split}/images|{split}/labels", "images/{split}|labels/{split}"])
@pytest.mark.parametrize(("train", "val"), [("train", "val"), ("training", "validation"), ("train", "valid")])
def test_splits_may_be_the_outer_or_the_inner_folders(tmp_path, layout, train, val):
    write_space(tmp_path)
    for split, names in ((train, "abc"), (val, "de")):
        images, labels = layout.format(split=split).split("|")
        for name in names:
            write_scene(tmp_path / images / "deep" / f"{name}.jpg", tmp_path / labels / "deep" / f"{name}.png")
    scenes = {split: load_scenes(config(tmp_path), split) for split in ("train", "val")}
    assert scenes["train"].names == ["deep/a", "deep/b", "deep/c"]
    assert scenes["val"].names == ["deep/d", "deep/e"]
    assert scenes["train"].label_space.names == ("water", "quay", "void")
    assert scenes["train"].label_space.evaluated_ids == (0, 1)
    with pytest.raises(DataError, match="no folders of the split 'test'"):
        load_scenes(config(tmp_path), "test")


@pytest.mark.parametrize("by", ["runs", "hash"])
@pytest.mark.parametrize("folder", [".", "train"])
def test_without_a_folder_to_validate_on_a_share_is_held_out(tmp_path, by, folder):
    write_space(tmp_path)
    for number in range(40):
        name = f"{number:03}"
        write_scene(tmp_path / folder / f"images/{name}.webp", tmp_path / folder / f"labels/{name}_mask.png")
    files = {
        split: [file.name for file in scene_source(config(tmp_path, heldout=0.2, heldout_by=by), split).files]
        for split in ("train", "val")
    }
    assert sorted(files["train"] + files["val"]) == [f"{number:03}" for number in range(40)]
    if by == "runs":
        assert files["val"] == [f"{number:03}" for number in range(16, 24)]
    else:
        assert 3 <= len(files["val"]) <= 15
        (tmp_path / folder / "images/000b.webp").write_bytes((tmp_path / folder / "images/000.webp").read_bytes())
        (tmp_path / folder / "labels/000b.png").write_bytes((tmp_path / folder / "labels/000_mask.png").read_bytes())
        more = [file.name for file in scene_source(config(tmp_path, heldout=0.2, heldout_by=by), "val").files]
        assert set(more) - {"000b"} == set(files["val"])


@pytest.mark.parametrize(("count", "share"), [(2, 0.01), (2, 0.99), (3, 0.5), (1000, 0.1), (997, 0.33)])
@pytest.mark.parametrize("by", ["runs", "hash"])
def test_a_held_out_share_is_about_what_was_asked_and_never_all_or_nothing(count, share, by):
    from semantic_palette_training.data.heldout import held_out

    flags = held_out([f"scene{number:05}" for number in range(count)], share, by)
    assert 0 < sum(flags) < count
    assert abs(sum(flags) - share * count) <= max(1, 0.1 * count)
    if by == "runs" and count > 500:
        changes = np.flatnonzero(np.diff(flags))
        assert len(changes) == 2 * min(10, round(share * count / 20))


def test_label_maps_may_lie_beside_their_images(tmp_path):
    write_space(tmp_path)
    for name in "abcd":
        write_scene(tmp_path / f"frames/{name}.png", tmp_path / f"frames/{name}_labelIds.png")
    source = scene_source(config(tmp_path, images="frames", labels="frames"), "train")
    assert len(source.files) == 3
    assert all(file.labels.name == f"{file.name}_labelIds.png" for file in source.files)
    assert source.unmatched == ()


def test_suffixes_choose_among_many_files(tmp_path):
    write_space(tmp_path)
    for name in "ab":
        images, labels = tmp_path / "images/town" / f"{name}_left.png", tmp_path / "labels/town" / f"{name}_ids.png"
        write_scene(images, labels)
        write_scene(images.with_name(f"{name}_right.png"), labels.with_name(f"{name}_colour.png"))
    files = []
    for split in ("train", "val"):
        source = scene_source(config(tmp_path, image_suffix="_left", label_suffix="_ids", heldout=0.5), split)
        assert source.unmatched == ()
        files += [(file.name, file.image.name, file.labels.name) for file in source.files]
    assert sorted(files) == [(f"town/{name}", f"{name}_left.png", f"{name}_ids.png") for name in "ab"]


def test_files_that_make_no_scene_are_named_at_load(tmp_path):
    write_space(tmp_path)
    for name in "ab":
        write_scene(tmp_path / f"images/{name}.png", tmp_path / f"labels/{name}.png")
    save(tmp_path / "images/only.png", np.zeros((H, W, 3), np.uint8))
    save(tmp_path / "labels/alone.png", np.zeros((H, W), np.uint8))
    save(tmp_path / "labels/a_mask.png", np.zeros((H, W), np.uint8))
    save(tmp_path / "labels/b.jpg", np.zeros((H, W), np.uint8))
    (tmp_path / "labels/.DS_Store").write_bytes(b"")
    unmatched = scene_source(config(tmp_path), "train").unmatched
    for expected in (
        "images/only.png: has no label map",
        "labels/alone.png: has no image",
        "labels/a_mask.png: makes the same scene as",
        "labels/b.jpg: a label map must be a PNG",
    ):
        assert any(expected in message for message in unmatched), expected
    assert len(unmatched) == 4
    with pytest.raises(DataError, match=r"\(and 3 more\); `semantic-palette data check`"):
        load_scenes(config(tmp_path), "train")


def test_a_missing_folder_says_what_is_there(tmp_path):
    write_space(tmp_path)
    (tmp_path / "imgs").mkdir()
    with pytest.raises(DataError, match=r"images: no such folder .*has imgs/.*data\.images"):
        load_scenes(config(tmp_path), "train")
    write_scene(tmp_path / "val/images/a.png", tmp_path / "val/labels/a.png")
    with pytest.raises(DataError, match=r"no folders of the split 'train', though there is .*val/images"):
        load_scenes(config(tmp_path), "train")


def label_map(tmp_path: Path, array: np.ndarray, classes: list[dict[str, object]] = CLASSES) -> np.ndarray:
    """The class ids that come of one label map, in a set of two equal scenes."""
    write_space(tmp_path, classes)
    for name in "ab":
        save(tmp_path / f"images/{name}.png", np.zeros((*array.shape[:2], 3), np.uint8))
        save(tmp_path / f"labels/{name}.png", array)
    size = {"height": array.shape[0], "width": array.shape[1]}
    return load_scenes(FolderData(root=str(tmp_path), heldout=0.5, **size), "train").labels[0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_values_stand_for_their_classes(tmp_path, dtype):
    ids = label_map(tmp_path, np.array([[3, 4, 7], [0, 255, 7]], dtype))
    np.testing.assert_array_equal(ids, [[0, 0, 1], [2, 2, 1]])


def test_values_above_255_stand_for_classes_too(tmp_path):
    classes = [{"name": "road", "values": [1000]}, {"name": "sky", "values": [65535, 2]}]
    np.testing.assert_array_equal(label_map(tmp_path, np.array([[1000, 65535, 2]], np.uint16), classes), [[0, 1, 1]])


@pytest.mark.parametrize("value", [1, 8, 254])
def test_a_value_of_no_class_names_the_file(tmp_path, value):
    with pytest.raises(DataError, match=rf"labels/[ab]\.png: label values {value} are not .* 0, 3 to 4, 7, 255"):
        label_map(tmp_path, np.array([[3, value]], np.uint8))


def test_colour_maps_are_read_by_the_colours_of_the_classes(tmp_path):
    classes = [{"name": "a", "colour": [255, 0, 0]}, {"name": "b", "colour": "#0000ff"}]
    colours = np.array([[[255, 0, 0], [0, 0, 255], [255, 0, 0]]], np.uint8)
    np.testing.assert_array_equal(label_map(tmp_path, colours, classes), [[0, 1, 0]])
    opaque = np.concatenate([colours, np.full((1, 3, 1), 255, np.uint8)], axis=-1)
    np.testing.assert_array_equal(label_map(tmp_path, opaque, classes), [[0, 1, 0]])


def test_several_colours_may_stand_for_a_class_even_in_palette_images(tmp_path):
    classes = [{"name": "a", "values": ["#ff0000", "#ff0001"]}, {"name": "b", "values": ["#000000"]}]
    colours = np.array([[[255, 0, 0], [255, 0, 1], [0, 0, 0]]], np.uint8)
    np.testing.assert_array_equal(label_map(tmp_path, colours, classes), [[0, 0, 1]])
    for path in tmp_path.glob("labels/*.png"):
        with Image.fromarray(colours).quantize(3) as indexed:
            assert indexed.mode == "P"
            indexed.save(path)
    scenes = load_scenes(FolderData(root=str(tmp_path), heldout=0.5, height=1, width=3), "train")
    np.testing.assert_array_equal(scenes.labels[0], [[0, 0, 1]])


def test_an_unknown_colour_names_the_file_the_colour_and_how_much_of_it(tmp_path):
    colours = np.array([[[255, 0, 0], [254, 0, 0], [254, 0, 0]]], np.uint8)
    with pytest.raises(DataError, match=r"labels/[ab]\.png: colours #fe0000 \(2 pixels\) are no class .*'harbour'"):
        label_map(tmp_path, colours, [{"name": "a", "colour": [255, 0, 0]}])


def test_colour_maps_are_refused_where_values_are_numbers(tmp_path):
    with pytest.raises(DataError, match=r"\.png: mode 'RGB'; values .* are numbers"):
        label_map(tmp_path, np.zeros((1, 2, 3), np.uint8))


def test_a_space_as_the_package_writes_it_is_one_of_ids_and_colours():
    from semantic_palette.label_space import STREETS

    labels = folder_labels(STREETS.to_json())
    assert labels.space == STREETS
    assert labels.colours[0x87CEEB] == 0


def test_classes_may_share_a_colour_where_label_maps_hold_ids():
    from semantic_palette.label_space import CITYSCAPES

    labels = folder_labels(CITYSCAPES.to_json())
    assert labels.space == CITYSCAPES
    assert labels.colours is None


def test_missing_colours_are_made_up_and_differ():
    labels = folder_labels({"name": "many", "classes": [{"name": f"c{i}"} for i in range(256)]})
    assert len({tuple(colour) for colour in labels.space.colours.tolist()}) == 256


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([{"name": "a", "color": [1, 2, 3]}], r"classes\[0\]: .*maybe id, colour"),
        ([{"name": "a", "colour": "red"}], r"classes\[0\]\.colour: 'red'"),
        ([{"name": "a", "id": 1}], r"classes\[0\]\.id: 1"),
        ([{"name": "a", "values": [1]}, {"name": "b"}], r"classes\[1\]\.values: None .*all classes have values"),
        ([{"name": "a", "values": [1]}, {"name": "b", "values": [1]}], r"classes\[1\]\.values: 1 .*'a' already"),
        ([{"name": "a", "values": [1]}, {"name": "b", "values": ["#000000"]}], "all numbers or all colours"),
        ([{"name": "a", "values": [-1]}], r"values: -1"),
        ([{"name": "a", "values": [True]}], r"values: True"),
        ([{"name": "a", "values": []}], r"values: \[\]"),
        ([{"name": "a", "evaluated": "no"}], r"evaluated: 'no'"),
    ],
)
def test_mistakes_in_the_label_space_name_file_and_key(tmp_path, classes, message):
    write_space(tmp_path, classes)
    with pytest.raises(InvalidInputError, match=r"label_space\.json: label_space\.classes.*") as caught:
        label_space_of(config(tmp_path))
    assert caught.match(message)


def test_a_label_space_that_is_missing_or_no_json_is_named(tmp_path):
    with pytest.raises(InvalidInputError, match=r"data\.label_space: .*data init"):
        load_scenes(config(tmp_path), "train")
    (tmp_path / "label_space.json").write_text("{,}")
    with pytest.raises(InvalidInputError, match=r"data\.label_space: .*JSON"):
        load_scenes(config(tmp_path), "train")


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
def test_a_share_out_of_range_is_refused(tmp_path, share):
    write_space(tmp_path)
    with pytest.raises(InvalidInputError, match=r"data\.heldout"):
        load_scenes(config(tmp_path, heldout=share), "train")
