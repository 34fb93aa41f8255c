"""CelebAMask-HQ: a miniature tree in the official folder layout."""

import numpy as np
import pytest
from PIL import Image

from semantic_palette.label_space import CELEBAMASK_HQ
from semantic_palette_training.data.celebamask import CelebAMaskData
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.data.scenes import DataError

SIZE = 8
MAPPING = """idx     orig_idx       orig_file
0       119613        119614.jpg
1       162769        162770.jpg
2       162770        162771.jpg
2001    182636        182637.jpg
29999   182637        182638.jpg
"""


def write_image(root, index):
    path = root / "CelebA-HQ-img" / f"{index}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((2 * SIZE, 2 * SIZE, 3), 90, np.uint8)).save(path)


def write_mask(root, index, part, rows, columns=slice(None), size=SIZE, mode="RGB"):
    mask = np.zeros((size, size), np.uint8)
    mask[rows, columns] = 255
    path = root / "CelebAMask-HQ-mask-anno" / str(index // 2000) / f"{index:05d}_{part}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).convert(mode).save(path)


@pytest.fixture
def root(tmp_path):
    """Five faces: two to train on, two to validate on, one to test on, each with skin on its left half."""
    root = tmp_path / "celebamask-hq"
    for index in (0, 1, 2, 2001, 29999):
        write_image(root, index)
        write_mask(root, index, "skin", slice(None), slice(0, SIZE // 2))
    (root / "CelebA-HQ-to-CelebA-mapping.txt").write_text(MAPPING)
    return root


def load(root, split="train"):
    config = CelebAMaskData(root=str(root), height=SIZE, width=SIZE)
    return load_scenes(config, split)


def test_faces_fall_into_the_splits_of_celeba(root):
    assert load(root, "train").names == ["00000", "00001"]
    assert load(root, "val").names == ["00002", "02001"]
    assert load(root, "test").names == ["29999"]


def test_what_no_mask_covers_is_background(root):
    scenes = load(root)
    assert scenes.label_space == CELEBAMASK_HQ
    np.testing.assert_array_equal(scenes.labels[0], np.tile([1] * 4 + [0] * 4, (SIZE, 1)))


def test_masks_are_painted_in_the_order_of_the_parts(root):
    # Each part covers a row less than the one painted before it, so that every part shows in one row.
    parts = ["skin", "nose", "l_eye", "u_lip", "hair", "hat", "neck", "cloth"]
    for row, part in enumerate(parts):
        write_mask(root, 0, part, slice(row, None))
    expected = np.repeat([CELEBAMASK_HQ.id_of(part) for part in parts], SIZE).reshape(SIZE, SIZE)
    np.testing.assert_array_equal(load(root).labels[0], expected)


def test_a_part_painted_early_does_not_show_through(root):
    write_mask(root, 0, "hair", slice(None))
    write_mask(root, 0, "r_ear", slice(None))
    assert (load(root).labels[0] == CELEBAMASK_HQ.id_of("hair")).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1"])
def test_masks_of_any_mode_are_read(root, mode):
    write_mask(root, 0, "hat", slice(0, 2), mode=mode)
    hat = load(root).labels[0] == CELEBAMASK_HQ.id_of("hat")
    assert hat[:2].all()
    assert not hat[2:].any()


def test_masks_of_two_sizes_are_refused(root):
    write_mask(root, 0, "hair", slice(0, 2), size=2 * SIZE)
    with pytest.raises(DataError, match=r"00000_hair\.png: size \(16, 16\) differs from \(8, 8\) of .*00000_skin\.png"):
        load(root)


@pytest.mark.parametrize("name", ["00000_moustache.png", "skin.png", "123_skin.png"])
def test_a_file_that_is_no_mask_of_a_part_is_named(root, name):
    write_mask(root, 0, "hair", slice(0, 2))
    folder = root / "CelebAMask-HQ-mask-anno" / "0"
    (folder / "00000_hair.png").rename(folder / name)
    with pytest.raises(DataError, match=rf"0/{name}: is no mask; .*skin, nose"):
        load(root)


def test_a_file_without_its_counterpart_is_named(root):
    (root / "CelebAMask-HQ-mask-anno" / "0" / "00001_skin.png").unlink()
    with pytest.raises(DataError, match=r"CelebA-HQ-img/1\.jpg: has no mask"):
        load(root)
    (root / "CelebA-HQ-img" / "2.jpg").unlink()
    with pytest.raises(DataError, match=r"00002_skin\.png: has no image"):
        load(root, "val")


def test_a_face_that_the_mapping_has_not_is_named(root):
    write_image(root, 5)
    write_mask(root, 5, "skin", slice(None))
    with pytest.raises(DataError, match=r"5\.jpg: CelebA-HQ-to-CelebA-mapping\.txt has no line"):
        load(root)


def test_a_missing_or_damaged_mapping_is_named(root):
    path = root / "CelebA-HQ-to-CelebA-mapping.txt"
    path.write_text(MAPPING + "seven\n")
    with pytest.raises(DataError, match=r"mapping\.txt, line 7: 'seven'"):
        load(root)
    path.unlink()
    with pytest.raises(DataError, match=r"mapping\.txt: cannot be read"):
        load(root)


def test_a_missing_data_set_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(DataError, match=rf"CelebA-HQ-img/ in {tmp_path} or {tmp_path}/celebamask-hq"):
        load(tmp_path)
