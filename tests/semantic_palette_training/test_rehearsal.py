"""Wrong values show before anything is trained, whichever stage they belong to."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from semantic_palette.cli.main import run
from semantic_palette.errors import InvalidInputError
from semantic_palette_training.pipeline import run_recipe
from semantic_palette_training.recipe import Recipe, dump_recipe, find_recipe, load_recipe, merged, recipe_names
from semantic_palette_training.rehearsal import rehearse
from semantic_palette_training.trainers.context import TrainContext

ALONE = TrainContext(torch.device("cpu"))

MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "image phase": ({"image": {"phases": [{"height": 13, "steps": 1, "batch_size": 2}]}}, r"image\.phases"),
    "image size": ({"image": {"max_shift": 64}}, r"image\.max_shift"),
    "layout size": ({"layout": {"generator": {"widths": [8, 8]}}}, r"layout\.generator\.widths"),
    "penalty": ({"layout": {"penalty_every": 0}}, r"layout\.penalty_every"),
    "editor crop": ({"editor": {"task": {"crop_sides": [0.5, 1.5]}}}, r"editor\.task\.crop_sides"),
    "end to end": ({"end_to_end": {"steps": 0}}, r"end_to_end\.steps"),
    "no weights": (
        {"image": {"objective": {"name": "hinge", "perceptual": {"weights": "no/vgg.pth", "sha256": "0" * 64}}}},
        "no/vgg.pth",
    ),
}


def changed(changes: dict[str, Any], folder: Path) -> Recipe:
    values = yaml.safe_load(dump_recipe(load_recipe(find_recipe("smoke/streets-all"))))
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(merged(values, changes)))
    return load_recipe(path)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_any_stage_shows_before_the_first(mistake: str, tmp_path: Path) -> None:
    changes, message = MISTAKES[mistake]
    recipe = changed(changes, tmp_path)
    with pytest.raises(InvalidInputError, match=message):
        run_recipe(recipe, tmp_path / "run", ALONE)
    assert not (tmp_path / "run").exists()


def test_a_dry_run_shows_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed({"end_to_end": {"batch_size": 0}}, tmp_path)
    assert run(["train", "--recipe", str(tmp_path / "recipe.yaml"), "--dry-run"]) != 0
    assert "end_to_end.batch_size" in capsys.readouterr().err


def test_processes_that_cannot_share_a_batch_are_refused(tmp_path: Path) -> None:
    recipe = changed({}, tmp_path)
    rehearse(recipe, recipe.stages(), world_size=2)
    for stage in ("layout.phases[0]", "editor.phases[0]", "image.phases[0]", "end_to_end"):
        name = re.escape(stage)
        with pytest.raises(InvalidInputError, match=rf"^{name}\.batch_size: .*multiple of the 3 processes"):
            rehearse(recipe, [stage.split(".")[0]], world_size=3)


#: Section 5 of the paper: classes of scenes and their number, by folder of recipes.
SCENES = {"cityscapes": 2975, "cityscapes-25k": 22973, "idd": 6993, "ade-indoor": 4520, "cityscapes-256x512": 2975}
EPOCHS = (600, 450, 450, 300, 300, 150, 150)
ROW = ("fusion", "multi_scale", "real", "fake", "palette_source")
TABLE_4 = {
    "table-4-row-1": (False, False, "hard", "gumbel", "data"),
    "table-4-row-2": (True, False, "hard", "gumbel", "data"),
    "table-4-row-3": (True, True, "hard", "gumbel", "data"),
    "table-4-row-4": (True, True, "soft", "soft", "data"),
    "semantic-palette": (True, True, "soft", "soft", "model"),
}


@pytest.mark.parametrize("row", TABLE_4)
def test_the_rows_of_table_4_have_its_switches(row: str) -> None:
    layout = load_recipe(find_recipe(f"paper/cityscapes/{row}")).layout
    assert layout is not None
    fusion, *others = (getattr(layout.generator if name == "fusion" else layout, name) for name in ROW)
    assert (fusion, *others) == TABLE_4[row]
    assert layout.conditional == "saa_losses"


def test_the_baselines_are_what_the_paper_says() -> None:
    switches = {}
    for name in ("baseline-1", "baseline-2", "sb-gan", "pgan-cgan"):
        recipe = load_recipe(find_recipe(f"paper/cityscapes/{name}"))
        assert recipe.layout is not None
        assert recipe.image is not None
        generator = recipe.layout.generator
        switches[name] = (
            generator.conditioning,
            generator.discriminator_conditioning,
            recipe.layout.conditional,
            recipe.layout.fake,
            recipe.image.generator.name,
        )
    assert switches == {
        "baseline-1": ("input", False, "matching", "soft", "gaugan"),
        "baseline-2": ("input", True, "none", "soft", "gaugan"),
        "sb-gan": ("none", False, "none", "gumbel", "gaugan"),
        "pgan-cgan": ("none", False, "none", "gumbel", "pix2pixhd"),
    }


@pytest.mark.parametrize("name", [name for name in recipe_names() if name.startswith("paper/")])
def test_the_papers_schedules_are_its_epochs(name: str) -> None:
    recipe = load_recipe(find_recipe(name))
    scenes = SCENES.get(name.split("/")[1], 24183)
    for section in (recipe.layout, recipe.editor):
        for phase in section.phases if section else ():
            assert phase.stable_steps * phase.batch_size / scenes == pytest.approx(EPOCHS[phase.level], rel=5e-3)
            assert phase.fade_steps in ((0,) if phase.level == 0 else (phase.stable_steps,))
    if recipe.end_to_end is not None:
        assert recipe.end_to_end.steps * recipe.end_to_end.batch_size / scenes == pytest.approx(200, rel=1e-3)
    if recipe.image is not None and recipe.image.generator.name != "sean":
        assert recipe.image.phases[0].steps * recipe.image.phases[0].batch_size / scenes == pytest.approx(200, rel=1e-3)


def test_a_dry_run_takes_the_editors_sinkhorn_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = changed({"editor": {"generator": {"sinkhorn_steps": 3}}}, tmp_path)
    assert recipe.editor is not None
    assert recipe.editor.generator.sinkhorn_steps == 3
    assert run(["train", "--recipe", str(tmp_path / "recipe.yaml"), "--dry-run"]) == 0
    assert "sinkhorn_steps: 3" in capsys.readouterr().out
