"""The check of a data set: everything wrong is found at once, and nothing that is right is called wrong."""

import shutil

import numpy as np
import pytest
from own_folder import VALUES, save, write_folder
from PIL import Image

from semantic_palette.palette import histogram
from semantic_palette_training.data.camvid import CamvidData
from semantic_palette_training.data.check import check_data
from semantic_palette_training.data.duplicates import duplicates, fingerprint
from semantic_palette_training.data.folder import FolderData
from semantic_palette_training.data.streets import StreetsData, streets


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path / "mine", train=6, val=3)


def check(root):
    return check_data(FolderData(root=str(root), height=24, width=48))


def test_a_good_set_has_no_problems_and_its_shares_are_those_of_its_pixels(root):
    report = check(root)
    assert (report.problems, report.duplicates) == ([], [])
    assert [(part.split, part.scenes, part.sizes) for part in report.splits] == [
        ("train", 6, {"24x48": 6}),
        ("val", 3, {"24x48": 3}),
    ]
    labels = streets(6, 0, 24, 48).labels
    shares = [entry.mean_share for entry in report.splits[0].classes]
    np.testing.assert_allclose(shares, histogram(labels, 12).mean(axis=0), atol=1e-12)
    present = [int((labels == class_id).any(axis=(1, 2)).sum()) for class_id in range(12)]
    assert [entry.scenes for entry in report.splits[0].classes] == present


def test_all_problems_are_collected_each_with_its_file(root):
    save(root / "train/labels/000.png", np.full((24, 48), 99, np.uint8))
    save(root / "train/labels/001.png", np.full((24, 48), 77, np.uint8))
    (root / "train/images/002.png").write_bytes(b"no picture")
    save(root / "train/images/003.png", np.zeros((24, 50, 3), np.uint8))
    (root / "train/images/004.png").unlink()
    save(root / "val/images/new.png", np.zeros((24, 48, 3), np.uint8))
    problems = {(problem.split, problem.kind): problem.message for problem in check(root).problems}
    assert len(check(root).problems) == 6
    assert "train/labels/001.png: label values 77 are not allowed" in problems["train", "labels"]
    assert "train/images/002.png: cannot be read" in problems["train", "image"]
    assert "train/labels/003.png: size (48, 24) differs" in problems["train", "size"]
    assert "train/labels/004.png: has no image" in problems["train", "unmatched"]
    assert "val/images/new.png: has no label map" in problems["val", "unmatched"]


def test_an_image_in_two_splits_is_a_problem_however_it_is_encoded(root):
    with Image.open(root / "train/images/002.png") as image:
        image.save(root / "val/images/000.png", compress_level=0)
    (problem,) = check(root).problems
    assert (problem.split, problem.kind) == ("val", "duplicate")
    assert problem.message == "val/000: is the same image as train/002"


def test_equal_labels_and_similar_images_are_remarks(root):
    shutil.copy(root / "train/labels/001.png", root / "val/labels/001.png")
    scenes = streets(1, 9, 64, 128)
    save(root / "train/images/large.png", scenes.images[0])
    Image.fromarray(scenes.images[0]).save(root / "val/images/large.jpg", quality=85)
    save(root / "train/labels/large.png", VALUES[scenes.labels[0]])
    save(root / "val/labels/large.png", np.full((64, 128), VALUES[4], np.uint8))
    report = check(root)
    assert report.problems == []
    kinds = {duplicate.kind: (duplicate.first, duplicate.second) for duplicate in report.duplicates}
    assert kinds == {"labels": ("train/001", "val/001"), "look": ("train/large", "val/large")}
    assert sum("in two splits" in remark or "look like" in remark for remark in report.remarks) == 2


def test_scenes_that_only_have_the_same_kind_of_content_are_no_duplicates():
    scenes = streets(24, 5, 64, 128)
    prints = [
        fingerprint(str(index), Image.fromarray(scenes.images[index]), scenes.labels[index]) for index in range(24)
    ]
    assert duplicates({"train": prints[:16], "val": prints[16:]}) == []


def test_plain_pictures_of_different_colours_do_not_look_alike():
    labels = np.zeros((2, 8, 8), np.uint8)
    labels[1] = 1
    plain = [
        fingerprint("x", Image.fromarray(np.full((8, 8, 3), grey, np.uint8)), labels[i])
        for i, grey in enumerate((10, 200))
    ]
    assert duplicates({"train": plain[:1], "val": plain[1:]}) == []


def test_classes_that_are_nowhere_or_not_in_training_are_named(root):
    for split, number in (("train", 6), ("val", 3)):
        for index in range(number):
            path = root / split / "labels" / f"{index:03}.png"
            values = np.full((24, 48), VALUES[0], np.uint8)
            values[0, index] = VALUES[4]
            if split == "val":
                values[1, 1] = VALUES[9]
            save(path, values)
    remarks = check(root).remarks
    assert any(remark.startswith("never present: building, ") and "road" not in remark for remark in remarks)
    assert "in val but not in train: car" in remarks


def test_small_scenes_are_named(root):
    report = check_data(FolderData(root=str(root), height=48, width=48))
    assert "train: 6 scenes are smaller than 48x48" in report.remarks


def test_a_missing_split_is_a_problem_and_a_missing_test_split_is_none(root):
    shutil.rmtree(root / "train")
    (problem,) = check(root).problems
    assert (problem.split, problem.kind) == ("train", "split")


def test_files_of_a_divided_folder_are_reported_once(tmp_path):
    root = write_folder(tmp_path / "mine", train=12)
    save(root / "train/labels/lonely.png", np.full((24, 48), VALUES[0], np.uint8))
    report = check(root)
    assert [part.scenes for part in report.splits] == [11, 1]
    assert [problem.kind for problem in report.problems] == ["unmatched"]


def test_known_layouts_are_checked_by_their_own_readers(tmp_path):
    for split in ("train", "val"):
        save(tmp_path / split / "a.png", np.full((4, 8, 3), len(split), np.uint8))
        save(tmp_path / f"{split}annot" / "a.png", np.full((4, 8), 12 if split == "val" else 11, np.uint8))
    report = check_data(CamvidData(root=str(tmp_path), height=4, width=8))
    (problem,) = report.problems
    assert "valannot/a.png: label values 12 are not allowed; allowed are 0 to 11" in problem.message


def test_drawn_scenes_have_nothing_to_check():
    assert check_data(StreetsData()).splits == []
