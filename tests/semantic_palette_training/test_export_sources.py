"""What `read_run` says about runs that cannot be exported, and which models it takes."""

import json

import pytest
import torch
import yaml
from export_runs import NUM_CLASSES, editor, image_generator, layout_generator, write_run

from semantic_palette_training.export.errors import ExportError
from semantic_palette_training.export.sources import read_run
from semantic_palette_training.trainers.checkpoint import load_tensors, save_tensors


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path)


def change(run, kind, **values):
    path = run / kind / f"{kind}.pt"
    save_tensors(load_tensors(path) | values, path)


def test_a_run_is_read_with_its_networks(run):
    trained = read_run(run)
    assert (trained.shape.num_classes, trained.shape.height, trained.shape.width) == (NUM_CLASSES, 16, 32)
    assert trained.label_space.name == "streets"
    assert trained.models.keys() == {"layout", "image"}
    assert trained.models["layout"].stage == "layout"
    assert trained.manifest.stages["layout"]["seconds"] == 90.0
    assert not any(model.network.training for model in trained.models.values())


def test_a_run_holds_any_subset_of_models(tmp_path):
    trained = read_run(write_run(tmp_path, editor=editor()))
    assert list(trained.models) == ["editor"]


def test_what_was_trained_together_wins(tmp_path):
    joint = image_generator("spade pyramid")
    run = write_run(tmp_path, layout=layout_generator(), image=image_generator(), end_to_end_image=joint)
    trained = read_run(run)
    assert {kind: model.stage for kind, model in trained.models.items()} == {"layout": "layout", "image": "end_to_end"}
    torch.testing.assert_close(trained.models["image"].network.state_dict(), joint.state_dict(), atol=0, rtol=0)


def test_a_stage_that_the_recipe_has_must_be_finished(run):
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe | {"end_to_end": {"seed": 0}}))
    with pytest.raises(ExportError, match="--stages end_to_end` makes it"):
        read_run(run)
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe | {"editor": {"seed": 0}, "end_to_end": None}))
    with pytest.raises(ExportError, match=r"editor/editor\.pt: there is no such file"):
        read_run(run)
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    change(run, "layout", step=2)
    with pytest.raises(ExportError, match=r"stopped at step 2 of 3.*--stages layout` finishes it"):
        read_run(run)


def test_a_recipe_without_models_is_refused(run):
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    (run / "recipe.yaml").write_text(yaml.safe_dump({"data": recipe["data"]}))
    with pytest.raises(ExportError, match="needs one of layout, editor, image"):
        read_run(run)


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("layout/layout.pt", "layout"),
        ("image/image.pt", "image"),
        ("palette/palette.npz", "palette"),
        ("recipe.yaml", "STAGES"),
        ("run.json", "STAGES"),
    ],
)
def test_a_missing_file_is_named_with_the_command_that_makes_it(run, file, stages):
    (run / file).unlink()
    with pytest.raises(ExportError) as error:
        read_run(run)
    assert str(run / file) in str(error.value)
    assert f"semantic-palette train --recipe RECIPE --out {run} --stages {stages}" in str(error.value)


def test_a_checkpoint_that_is_not_tensors_is_refused(run):
    (run / "image" / "image.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(ExportError, match=r"image/image\.pt: not a readable checkpoint"):
        read_run(run)


def test_diverged_weights_are_refused(run):
    weights = load_tensors(run / "layout" / "layout.pt")["weights"]
    name = next(iter(weights))
    change(run, "layout", weights=weights | {name: torch.full_like(weights[name], float("nan"))})
    with pytest.raises(ExportError, match=f"{name} has values that are not finite"):
        read_run(run)


def test_weights_of_another_network_are_refused(run):
    config = load_tensors(run / "image" / "image.pt")["model_config"]
    change(run, "image", model_config=config | {"widths": [8, 8]})
    with pytest.raises(ExportError, match=r"image/image\.pt: does not fit"):
        read_run(run)


def test_stages_of_different_sizes_are_refused(run):
    change(run, "image", height=32)
    with pytest.raises(ExportError, match="trained with different height"):
        read_run(run)


def test_a_layout_network_of_another_size_is_refused(run):
    for stage in ("layout", "image"):
        change(run, stage, height=32, width=64)
    with pytest.raises(ExportError, match="16x32 at the last level"):
        read_run(run)


def test_a_recipe_without_data_is_refused(run):
    (run / "recipe.yaml").write_text("description: nothing else\n")
    with pytest.raises(ExportError, match=r"recipe\.yaml: is not a recipe"):
        read_run(run)


def test_a_broken_manifest_of_the_run_is_refused(run):
    (run / "run.json").write_text("{}")
    with pytest.raises(ExportError, match=r"run\.json: is not the manifest of a run"):
        read_run(run)


def test_a_broken_palette_report_is_refused(run):
    (run / "palette" / "palette.json").write_text(json.dumps({"criterion": "bic"})[:-1])
    with pytest.raises(ExportError, match="palette model cannot be read"):
        read_run(run)
