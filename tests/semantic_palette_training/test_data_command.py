"""The commands `semantic-palette data`, run as a user runs them."""

import json

import numpy as np
import pytest
from own_folder import VALUES, save, write_folder

from semantic_palette.cli.main import run
from semantic_palette_training.data import load_scenes
from semantic_palette_training.data.folder import FolderData
from semantic_palette_training.data.streets import streets


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path / "mine", train=6, val=3, label_space=False)


def read_space(root):
    return json.loads((root / "label_space.json").read_text())


def test_init_writes_a_label_space_that_loads(root, capsys):
    assert run(["data", "init", str(root)]) == 0
    assert "name the classes" in capsys.readouterr().out
    space = read_space(root)
    present = np.unique(np.concatenate([streets(6, 0, 24, 48).labels, streets(3, 1, 24, 48).labels]))
    assert [entry["values"] for entry in space["classes"]] == [[int(VALUES[class_id])] for class_id in present]
    assert space["classes"][-1]["name"] == "void"
    assert space["classes"][-1]["evaluated"] is False
    scenes = load_scenes(FolderData(root=str(root), height=24, width=48), "train")
    np.testing.assert_array_equal(present[scenes.labels], streets(6, 0, 24, 48).labels)


def test_init_leaves_values_out_where_they_are_ids(tmp_path):
    for name in "ab":
        save(tmp_path / f"images/{name}.png", np.zeros((2, 2, 3), np.uint8))
        save(tmp_path / f"labels/{name}.png", np.array([[0, 1], [1, 2]], np.uint8))
    assert run(["data", "init", str(tmp_path)]) == 0
    assert [set(entry) for entry in read_space(tmp_path)["classes"]] == [{"name", "colour"}] * 3


def test_init_takes_the_colours_of_colour_maps(tmp_path, capsys):
    colours = np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8)
    for name in "ab":
        save(tmp_path / f"frames/{name}.png", np.zeros((1, 2, 3), np.uint8))
        save(tmp_path / f"masks/{name}.png", colours)
    settings = ["--set", "images=frames", "--set", "labels=masks", "--set", "heldout=0.5"]
    assert run(["data", "init", str(tmp_path), *settings]) == 0
    assert [entry["colour"] for entry in read_space(tmp_path)["classes"]] == ["#0000ff", "#ff0000"]
    assert "2 of 2" in capsys.readouterr().out
    assert run(["data", "check", str(tmp_path), *settings]) == 1  # both scenes are the same
    config = FolderData(root=str(tmp_path), height=1, width=2, images="frames", labels="masks", heldout=0.5)
    assert load_scenes(config, "train").labels.tolist() == [[[1, 0]]]


def test_init_overwrites_nothing(root, capsys):
    (root / "label_space.json").write_text("mine")
    assert run(["data", "init", str(root)]) == 2
    assert (root / "label_space.json").read_text() == "mine"
    assert "nothing is overwritten" in capsys.readouterr().err


def test_init_names_the_map_with_which_there_are_too_many_values(tmp_path, capsys):
    save(tmp_path / "images/a.png", np.zeros((20, 20, 3), np.uint8))
    save(tmp_path / "labels/a.png", np.arange(400, dtype=np.uint16).reshape(20, 20))
    assert run(["data", "init", str(tmp_path)]) == 1
    assert "labels/a.png: with it, the label maps hold more than 256 values" in capsys.readouterr().err


def test_init_refuses_a_mixture_of_colours_and_numbers(root, capsys):
    save(root / "val/labels/000.png", np.zeros((24, 48, 3), np.uint8))
    assert run(["data", "init", str(root)]) == 1
    assert "val/labels/000.png: has colours (mode RGB), other label maps have one channel" in capsys.readouterr().err


def test_check_ends_with_1_and_names_every_file_where_something_is_wrong(root, capsys):
    assert run(["data", "init", str(root)]) == 0
    assert run(["data", "check", str(root)]) == 0
    assert "nothing has to be fixed" in capsys.readouterr().out
    for name in ("001", "004"):
        save(root / f"train/labels/{name}.png", np.full((24, 48), 99, np.uint8))
    assert run(["data", "check", str(root)]) == 1
    printed = capsys.readouterr().out
    assert "train/labels/001.png: label values 99" in printed
    assert "train/labels/004.png: label values 99" in printed
    assert "2 problems to fix" in printed


def test_check_prints_its_report_as_json(root, capsys):
    assert run(["data", "init", str(root), "--out", str(root / "space.json")]) == 0
    capsys.readouterr()
    (root / "val/images/002.png").unlink()
    assert run(["data", "check", str(root), "--label-space", str(root / "space.json"), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [(part["split"], part["scenes"]) for part in report["splits"]] == [("train", 6), ("val", 2)]
    assert report["problems"][0]["kind"] == "unmatched"
    assert sum(entry["mean_share"] for entry in report["splits"][0]["classes"]) == pytest.approx(1)


def test_check_reads_known_layouts_and_recipes(tmp_path, capsys):
    for split in ("train", "val"):
        save(tmp_path / split / "a.png", np.full((4, 8, 3), len(split), np.uint8))
        save(tmp_path / f"{split}annot" / "a.png", np.full((4, 8), len(split), np.uint8))
    assert run(["data", "check", str(tmp_path), "--dataset", "camvid"]) == 0
    assert run(["data", "check", str(tmp_path), "--recipe", "fast/camvid-cpu"]) == 0
    assert "pavement" in capsys.readouterr().out
    assert run(["data", "check", "--dataset", "streets"]) == 0
    assert "nothing to check" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check"], "folder"),
        (["check", "x", "--dataset", "kitti"], "data.name: 'kitti'"),
        (["check", "x", "--recipe", "smoke/streets", "--dataset", "camvid"], "either"),
        (["check", "x", "--set", "root"], "key=value"),
        (["check", "x", "--set", "colour=1"], "data.colour"),
        (["check", "x"], "data init"),
        (["prepare", "--dataset", "streets"], "drawn"),
        (["prepare", "{root}", "--splits", "all"], "splits: 'all'"),
        (["prepare", "{root}", "--set", "height=0"], "data.height: 0"),
    ],
)
def test_mistakes_in_the_options_are_named(root, capsys, arguments, message):
    write_folder(root, train=1, val=1)
    assert run(["data", *(argument.format(root=root) for argument in arguments)]) == 2
    assert message in capsys.readouterr().err


def test_prepare_fills_the_cache_that_runs_use(root, tmp_path, monkeypatch, capsys):
    assert run(["data", "init", str(root)]) == 0
    command = ["data", "prepare", str(root), "--height", "12", "--width", "24", "--cache", str(tmp_path / "cache")]
    assert run(command) == 0
    printed = capsys.readouterr().out
    assert "train: prepared: 6 scenes" in printed
    assert f"SEMANTIC_PALETTE_CACHE={tmp_path / 'cache'}" in printed
    monkeypatch.setenv("SEMANTIC_PALETTE_CACHE", str(tmp_path / "cache"))
    for split, count in (("train", 6), ("val", 3)):
        scenes = load_scenes(FolderData(root=str(root), height=12, width=24), split)
        assert isinstance(scenes.labels, np.memmap)
        assert len(scenes) == count
    assert run(command) == 0
    assert "val: up to date: 3 scenes" in capsys.readouterr().out
