"""The cache of scenes: the same scenes as read from files, used while nothing changed, and built scene by scene."""

import json
import os
import tracemalloc

import numpy as np
import pytest
import torch
from own_folder import VALUES, save, write_folder

from semantic_palette_training.data import DataError, load_scenes
from semantic_palette_training.data.folder import FolderData
from semantic_palette_training.data.prepared import prepare_scenes, prepared_scenes
from semantic_palette_training.data.registry import scene_source


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMANTIC_PALETTE_CACHE", str(tmp_path / "cache"))
    root = write_folder(tmp_path / "mine", train=6, val=3)
    return FolderData(root=str(root), height=12, width=24)


def prepare(config, split="train"):
    return prepare_scenes(config, split, scene_source(config, split))


def cached(config, split="train"):
    return prepared_scenes(config, split, scene_source(config, split))


def test_prepared_scenes_are_the_scenes_that_are_read(config):
    read = load_scenes(config, "train")
    assert cached(config) is None
    done = prepare(config)
    assert (done.built, done.num_scenes, done.num_bytes) == (True, 6, 6 * 12 * 24 * 4)
    loaded = load_scenes(config, "train")
    assert isinstance(loaded.labels, np.memmap)
    np.testing.assert_array_equal(loaded.labels, read.labels)
    np.testing.assert_array_equal(loaded.images, read.images)
    assert (loaded.names, loaded.label_space) == (read.names, read.label_space)
    assert loaded.digest() == read.digest() == done.digest
    assert cached(config, "val") is None


def test_the_digest_is_stored_and_not_computed_again(config):
    done = prepare(config)
    stored = done.folder / "scenes.json"
    stored.write_text(stored.read_text().replace(done.digest, "0" * 64))
    assert load_scenes(config, "train").digest() == "0" * 64


def test_preparing_again_does_nothing(config):
    first, second = prepare(config), prepare(config)
    assert (first.built, second.built) == (True, False)
    assert (first.folder, first.digest) == (second.folder, second.digest)
    assert os.listdir(first.folder.parent) == [first.folder.name]


def changed_labels(config, path):
    with_other = np.full((24, 48), VALUES[1], np.uint8)
    save(path / "train/labels/000.png", with_other)


def added_scene(config, path):
    for folder in ("images", "labels"):
        (path / f"train/{folder}/zzz.png").write_bytes((path / f"train/{folder}/000.png").read_bytes())


def renamed_class(config, path):
    space = path / "label_space.json"
    space.write_text(space.read_text().replace('"sky"', '"heaven"'))


def other_values(config, path):
    values = json.loads((path / "label_space.json").read_text())
    first, second = values["classes"][0], values["classes"][1]
    first["values"], second["values"] = second["values"], first["values"]
    (path / "label_space.json").write_text(json.dumps(values))


def cut_file(config, path):
    (labels,) = (path.parent / "cache").glob("*/labels.npy")
    labels.write_bytes(labels.read_bytes()[:-100])


def damaged_json(config, path):
    (stored,) = (path.parent / "cache").glob("*/scenes.json")
    stored.write_text("{")


@pytest.mark.parametrize("change", [changed_labels, added_scene, renamed_class, other_values, cut_file, damaged_json])
def test_a_stale_or_damaged_cache_is_ignored_and_built_again(config, change, tmp_path):
    prepare(config)
    change(config, tmp_path / "mine")
    assert cached(config) is None
    fresh = load_scenes(config, "train")
    done = prepare(config)
    assert done.built
    assert cached(config).digest() == fresh.digest()
    np.testing.assert_array_equal(cached(config).labels, fresh.labels)
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_another_size_has_a_cache_of_its_own(config):
    prepare(config)
    other = FolderData(root=config.root, height=6, width=12)
    assert cached(other) is None
    prepare(other)
    assert cached(other).labels.shape == (6, 6, 12)
    assert cached(config).labels.shape == (6, 12, 24)


def test_the_same_folder_by_another_path_is_the_same_cache(config, tmp_path, monkeypatch):
    prepare(config)
    monkeypatch.chdir(tmp_path)
    assert cached(FolderData(root="mine", height=12, width=24)) is not None


def test_a_mapped_cache_can_be_trained_on_and_is_never_written(config):
    done = prepare(config)
    before = (done.folder / "labels.npy").read_bytes()
    scenes = load_scenes(config, "train")
    tensor = torch.from_numpy(scenes.labels)  # an error if the array were read-only: warnings are errors here
    tensor[0] = 0
    assert (done.folder / "labels.npy").read_bytes() == before
    assert load_scenes(config, "train").labels[0].any()


def test_scenes_mapped_before_a_rebuild_stay_what_they_were(config, tmp_path):
    prepare(config)
    mapped = load_scenes(config, "train")
    before = mapped.labels.copy()
    changed_labels(config, tmp_path / "mine")
    prepare(config)
    np.testing.assert_array_equal(mapped.labels, before)


def test_a_bad_file_ends_preparing_and_leaves_nothing(config, tmp_path):
    save(tmp_path / "mine/train/labels/003.png", np.full((24, 48), 99, np.uint8))
    with pytest.raises(DataError, match=r"003\.png: label values 99"):
        prepare(config)
    assert list((tmp_path / "cache").iterdir()) == []


def test_few_scenes_are_in_memory_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMANTIC_PALETTE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    root = write_folder(tmp_path / "mine", train=64, val=1, height=4, width=8)
    config = FolderData(root=str(root), height=128, width=256)
    source = scene_source(config, "train")
    tracemalloc.start()
    done = prepare_scenes(config, "train", source)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert done.num_bytes == 64 * 128 * 256 * 4
    assert peak < done.num_bytes / 3
