"""`semantic-palette train` from the outside: dry run, a whole smoke run, continuing, errors."""

import importlib.metadata
import re
from hashlib import sha256
from pathlib import Path

import pytest

from semantic_palette.cli.main import run
from semantic_palette_training.cli import parse_duration
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.recipe import load_recipe
from semantic_palette_training.run_manifest import read_run_manifest
from semantic_palette_training.trainers.checkpoint import load_tensors

Output = pytest.CaptureFixture[str]


@pytest.mark.parametrize("recipe", ["smoke/streets", "fast/camvid-cpu"])
def test_dry_run_needs_no_data_and_writes_nothing(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEMANTIC_PALETTE_DATA", raising=False)
    assert run(["train", "--recipe", recipe, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "learning_rate:" in printed
    for network in ("layout generator", "layout discriminator", "image generator", "image discriminator"):
        assert re.search(rf"{network}: \d+\.\d+ M parameters, \d+\.\d+ GFLOP a sample", printed)
    assert not list(tmp_path.iterdir())


def test_a_run_stops_at_the_limit_and_the_same_command_continues(tmp_path: Path, capsys: Output) -> None:
    command = ["train", "--recipe", "smoke/streets", "--out", str(tmp_path / "run")]
    assert run([*command, "--time-limit", "0s"]) == 0
    assert "stopped" in capsys.readouterr().out
    assert run(["export", "--run", str(tmp_path / "run"), "--bundle", "b", "--model-store", str(tmp_path / "s")]) != 0
    assert "image.pt: there is no such file; `semantic-palette train" in " ".join(capsys.readouterr().err.split())
    assert run(command) == 0
    assert "finished" in capsys.readouterr().out
    for stage in ("layout", "image"):
        state = load_tensors(tmp_path / "run" / stage / f"{stage}.pt")
        assert (state["height"], state["width"]) == (32, 64)
    assert (tmp_path / "run" / "palette" / "palette.npz").exists()
    recipe = load_recipe(tmp_path / "run" / "recipe.yaml")
    manifest = read_run_manifest(tmp_path / "run")
    assert manifest.recipe_digest == sha256((tmp_path / "run" / "recipe.yaml").read_bytes()).hexdigest()
    assert manifest.train_digest == load_scenes(recipe.data, "train").digest()
    assert manifest.seeds == {name: getattr(recipe, name).seed for name in recipe.stages()}
    for stage in ("layout", "image"):
        record = manifest.stages[stage]
        assert (tmp_path / "run" / stage / record["curves"]).read_text()
        for session in record["sessions"]:
            assert session["code"]["version"] == importlib.metadata.version("semantic-palette")
            assert session["libraries"].keys() >= {"torch", "numpy"}

    other = tmp_path / "other.yaml"
    other.write_text((tmp_path / "run" / "recipe.yaml").read_text().replace("count: 64", "count: 65"))
    assert run(["train", "--recipe", str(other), "--out", str(tmp_path / "run")]) != 0
    assert "same recipe" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "no/such"], "no/such"),
        (["--recipe", "smoke/streets", "--stages", "layout,color"], "color"),
        (["--recipe", "smoke/streets", "--time-limit", "soon"], "soon"),
    ],
)
def test_bad_arguments_are_named(tmp_path: Path, arguments: list[str], message: str, capsys: Output) -> None:
    assert run(["train", "--out", str(tmp_path / "run"), *arguments]) != 0
    assert message in capsys.readouterr().err


def test_export_without_a_run_says_what_is_missing(tmp_path: Path, capsys: Output) -> None:
    arguments = ["export", "--run", str(tmp_path / "run"), "--bundle", "b", "--model-store", str(tmp_path / "store")]
    assert run(arguments) != 0
    assert "recipe.yaml" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90.0), ("9m", 540.0), ("1.5h", 5400.0)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds
