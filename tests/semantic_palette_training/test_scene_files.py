"""What every data set on disk has in common: listing, label values, pairs, sizes."""

import numpy as np
import pytest
from PIL import Image

from semantic_palette.label_space import LabelClass, LabelSpace
from semantic_palette_training.data.scene_files import (
    SceneFile,
    SceneSource,
    id_table,
    ids_reader,
    label_values,
    list_files,
    map_ids,
    pair_files,
    read_image,
    read_scenes,
)
from semantic_palette_training.data.scenes import DataError

SPACE = LabelSpace("two", [LabelClass(0, "ground", (0, 0, 0)), LabelClass(1, "thing", (255, 0, 0))])


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def source(files, **options):
    return SceneSource(tuple(files), SPACE, ids_reader(id_table({7: 0, 255: 1})), **options)


@pytest.fixture
def scene(tmp_path):
    labels = np.where(np.arange(8) < 4, 7, 255).astype(np.uint8)[None].repeat(4, axis=0)
    image = save(tmp_path / "a.png", np.zeros((4, 8, 3), np.uint8))
    return SceneFile("a", image, save(tmp_path / "a_ids.png", labels))


def test_label_values_become_class_ids(scene):
    scenes = read_scenes(source([scene]), 4, 8)
    np.testing.assert_array_equal(scenes.labels[0], np.repeat([0, 1], 4)[None].repeat(4, axis=0))
    assert scenes.names == ["a"]


def test_values_outside_the_table_name_the_file_the_values_and_what_is_allowed():
    table = id_table({0: 0, 1: 1, 2: 1, 255: 0})
    with pytest.raises(DataError, match=r"here: label values 3, 254 are not allowed; allowed are 0 to 2, 255"):
        map_ids(np.array([[0, 3], [254, 255]], np.uint8), table, "here")
    with pytest.raises(DataError, match=r"label values -1, 300 are"):
        map_ids(np.array([[-1, 300]], np.int32), table, "here")


def test_sixteen_bit_label_maps_are_read_and_mapped(tmp_path):
    values = np.array([[7, 24001], [26000, 7]], np.uint16)
    path = save(tmp_path / "instances.png", values)
    np.testing.assert_array_equal(label_values(path), values)
    instances = np.arange(65536)
    instances = np.where(instances > 999, instances // 1000, instances)
    table = id_table({int(value): int(instances[value] != 7) for value in range(65536)}, 65536)
    np.testing.assert_array_equal(map_ids(label_values(path), table, "x"), [[0, 1], [1, 0]])


def test_palette_and_one_bit_label_maps_are_read_by_their_indices(tmp_path):
    ids = np.array([[0, 1], [1, 0]], np.uint8)
    indexed = Image.fromarray(ids)
    indexed.putpalette([10, 20, 30, 40, 50, 60])
    indexed.save(tmp_path / "palette.png")
    Image.fromarray(ids.astype(bool)).save(tmp_path / "bits.png")
    for name in ("palette.png", "bits.png"):
        np.testing.assert_array_equal(label_values(tmp_path / name), ids)


def test_files_are_listed_below_a_folder_by_their_path_without_the_suffix(tmp_path):
    for name in ("b/2_image.png", "a/1_image.png", "a/1_other.png", "a/._1_image.png", "0_image.jpg"):
        save(tmp_path / name, np.zeros((2, 2, 3), np.uint8), format="png")
    assert list(list_files(tmp_path, "_image.png", "_image.jpg")) == ["0", "a/1", "b/2"]
    save(tmp_path / "0_image.png", np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(DataError, match=r"0_image\.png: is there twice, the other is .*0_image\.jpg"):
        list_files(tmp_path, "_image.png", "_image.jpg")
    with pytest.raises(DataError, match=r"nowhere: no such folder"):
        list_files(tmp_path / "nowhere", ".png")


def test_files_without_a_counterpart_are_all_reported_and_stop_the_load(scene):
    files, unmatched = pair_files({"a": scene.image, "b": scene.image}, {"a": scene.labels, "c": scene.labels})
    assert [file.name for file in files] == ["a"]
    assert unmatched == (f"{scene.image}: has no label map", f"{scene.labels}: has no image")
    with pytest.raises(DataError, match=r"a\.png: has no label map \(and 1 more\)"):
        read_scenes(source(files, unmatched=unmatched), 4, 8)


def test_a_split_without_scenes_is_refused():
    with pytest.raises(DataError, match="no scene"):
        read_scenes(source([]), 4, 8)


def test_label_maps_of_another_size_need_the_same_aspect_and_leave_to_differ(scene, tmp_path):
    large = SceneFile("a", save(tmp_path / "large.png", np.zeros((8, 16, 3), np.uint8)), scene.labels)
    with pytest.raises(DataError, match=r"a_ids\.png: size \(8, 4\) differs from \(16, 8\)"):
        read_scenes(source([large]), 4, 8)
    assert read_scenes(source([large], same_size=False), 4, 8).labels[0, 0].tolist() == [0] * 4 + [1] * 4
    square = SceneFile("a", save(tmp_path / "square.png", np.zeros((8, 8, 3), np.uint8)), scene.labels)
    with pytest.raises(DataError, match="aspect"):
        read_scenes(source([square], same_size=False), 4, 8)


def test_many_scenes_keep_their_order(tmp_path):
    files = []
    for number in range(70):
        image = save(tmp_path / f"{number:02}.png", np.full((2, 2, 3), number, np.uint8))
        files.append(
            SceneFile(f"{number:02}", image, save(tmp_path / f"{number:02}_ids.png", np.full((2, 2), 7, np.uint8)))
        )
    assert read_scenes(source(files), 2, 2).images[:, 0, 0, 0].tolist() == list(range(70))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_its_camera_says(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.random.default_rng(0).integers(0, 255, (4, 8, 3), np.uint8)
    path = save(tmp_path / "turned.png", stored, exif=exif)
    # Where the first row and the first column of the stored picture belong, by the definition of EXIF.
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: stored[::-1].transpose(1, 0, 2),
        7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: stored[:, ::-1].transpose(1, 0, 2),
    }[orientation]
    np.testing.assert_array_equal(np.asarray(read_image(path)), upright)


def test_damaged_camera_data_is_an_error_that_names_the_file(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "damaged.webp", np.zeros((4, 8, 3), np.uint8), exif=exif)
    path.write_bytes(path.read_bytes().replace(b"MM\x00*", b"MMMM").replace(b"II*\x00", b"IIII"))
    with pytest.raises(DataError, match=r"damaged\.webp: cannot be read"):
        read_image(path)


def test_an_image_of_sixteen_bits_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"deep\.png: mode .* 8 bits"):
        read_image(save(tmp_path / "deep.png", np.zeros((2, 2), np.uint16)))


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n", "cut"])
def test_a_damaged_file_is_named(tmp_path, content):
    path = save(tmp_path / "damaged.png", np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:1000] if content == "cut" else content)
    with pytest.raises(DataError, match=r"damaged\.png: cannot be read as an image"):
        read_image(path)
