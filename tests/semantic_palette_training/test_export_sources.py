"""What `read_run` says about runs that cannot be exported."""

import json

import pytest
import torch
from export_runs import write_run

from semantic_palette_training.export.errors import ExportError
from semantic_palette_training.export.sources import read_run
from semantic_palette_training.trainers.checkpoint import load_tensors, save_tensors


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path)


def change(run, stage, **values):
    path = run / stage / "model.pt"
    save_tensors(load_tensors(path) | values, path)


def test_a_run_is_read_with_its_networks(run):
    trained = read_run(run)
    assert (trained.height, trained.width, trained.label_space.name) == (16, 32, "streets")
    assert trained.steps == {"layout": 3, "image": 3}
    assert not trained.layout.training
    assert not trained.image.training


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("layout/model.pt", "layout"),
        ("image/model.pt", "image"),
        ("palette/palette.npz", "palette"),
        ("recipe.yaml", "palette,layout,image"),
    ],
)
def test_a_missing_file_is_named_with_the_command_that_makes_it(run, file, stages):
    (run / file).unlink()
    with pytest.raises(ExportError) as error:
        read_run(run)
    assert str(run / file) in str(error.value)
    assert f"semantic-palette train --recipe RECIPE --out {run} --stages {stages}" in str(error.value)


def test_a_checkpoint_that_is_not_tensors_is_refused(run):
    (run / "image" / "model.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(ExportError, match=r"image/model\.pt: not a readable checkpoint"):
        read_run(run)


def test_diverged_weights_are_refused(run):
    weights = load_tensors(run / "layout" / "model.pt")["weights"]
    name = next(iter(weights))
    change(run, "layout", weights=weights | {name: torch.full_like(weights[name], float("nan"))})
    with pytest.raises(ExportError, match=f"{name} has values that are not finite"):
        read_run(run)


def test_weights_of_another_network_are_refused(run):
    config = load_tensors(run / "image" / "model.pt")["model_config"]
    change(run, "image", model_config=config | {"widths": [8, 8]})
    with pytest.raises(ExportError, match=r"image/model\.pt: does not fit"):
        read_run(run)


def test_stages_of_different_sizes_are_refused(run):
    change(run, "image", height=32)
    with pytest.raises(ExportError, match="trained with different height"):
        read_run(run)


def test_a_layout_network_of_another_size_is_refused(run):
    for stage in ("layout", "image"):
        change(run, stage, height=32, width=64)
    with pytest.raises(ExportError, match="makes 16x32, not 32x64"):
        read_run(run)


def test_a_recipe_without_data_is_refused(run):
    (run / "recipe.yaml").write_text("description: nothing else\n")
    with pytest.raises(ExportError, match=r"recipe\.yaml: is not a recipe"):
        read_run(run)


def test_a_broken_palette_report_is_refused(run):
    (run / "palette" / "palette.json").write_text(json.dumps({"criterion": "bic"})[:-1])
    with pytest.raises(ExportError, match="palette model cannot be read"):
        read_run(run)
