"""`edit` with the real services, from the command line to the files, on tiny bundles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grpc_helpers import serving_in_process
from numpy.typing import NDArray
from PIL import Image
from tiny_bundle import EDITING, FACES, write_tiny_bundle

from semantic_palette.cli.main import run

INSIDE = np.zeros((16, 32), bool)
INSIDE[2:14, 4:28] = True
BOX = ("--box", "4,2,28,14")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a bundle of everything, which is active, and one of faces."""
    root = tmp_path_factory.mktemp("edit") / "model_store"
    write_tiny_bundle(root, models=EDITING)
    write_tiny_bundle(root, "faces", models=FACES, budget="additions", image="styled", activate=False)
    return root


@pytest.fixture(scope="module")
def pairs(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pairs") / "pairs"
    assert command(root, "generate", "--count", 2, "--seed", 7, "--out", out) == 0
    return out


def command(root: Path, name: str, *options: object) -> int:
    return run([name, "--model-store", str(root), "--engine", "onnxruntime", *map(str, options)])


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "pairs.jsonl").read_text().splitlines()]


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def test_nothing_changes_outside_of_the_box(root: Path, pairs: Path, tmp_path: Path) -> None:
    options = (pairs, "--pair", 1, *BOX, "--target", "car=0.4", "--count", 3, "--deterministic")
    assert command(root, "edit", *options, "--out", tmp_path / "here") == 0
    before = lines(pairs)[1]
    for line in lines(tmp_path / "here"):
        for kind in ("label", "image"):
            old, new = pixels(pairs / before[kind]), pixels(tmp_path / "here" / line[kind])
            np.testing.assert_array_equal(new[~INSIDE], old[~INSIDE])
            assert (new != old)[INSIDE].any()
    with serving_in_process(root) as server:
        address = ["--address", server.address, "--out", str(tmp_path / "there")]
        assert run(["edit", *map(str, options), *address]) == 0
    for line in lines(tmp_path / "here"):
        for kind in ("label", "image"):
            assert (tmp_path / "there" / line[kind]).read_bytes() == (tmp_path / "here" / line[kind]).read_bytes()


def test_faces_are_edited_from_files(
    root: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = lines(pairs)[0]
    files = ("--labels", pairs / before["label"], "--image", pairs / before["image"])
    out = tmp_path / "out"
    assert command(root, "edit", *files, "--bundle", "faces/1", "--add", "pedestrian=0.25", "--out", out) == 0
    printed = capsys.readouterr().out
    assert "shares of the region" in printed
    assert "pedestrian" in printed
    [line] = lines(out)
    old, new = pixels(pairs / before["label"]), pixels(out / line["label"])
    assert (line["bundle"], set(new[new != old].tolist())) == ("faces", {5})


def test_what_a_bundle_cannot_do_is_said(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(root, "generate", "--count", 1, "--bundle", "faces/1", "--out", tmp_path / "out") == 2
    assert "there is no layout; the bundle has editor, image, style_encoder" in capsys.readouterr().err
