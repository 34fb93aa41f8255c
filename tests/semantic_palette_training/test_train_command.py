"""`semantic-palette train` from the outside: dry run, a whole smoke run, continuing, errors."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from semantic_palette_training.cli import parse_duration, register
from semantic_palette_training.trainers.checkpoint import load_tensors

app = typer.Typer()
register(app)
runner = CliRunner()


def test_dry_run_prints_the_recipe_and_its_costs_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, ["train", "--recipe", "smoke/streets", "--dry-run"])
    assert result.exit_code == 0, result.output
    assert "learning_rate:" in result.output
    assert "layout: " in result.output
    assert "M parameters" in result.output
    assert "GFLOP a sample" in result.output
    assert not list(tmp_path.iterdir())


def test_a_run_stops_at_the_limit_and_the_same_command_continues(tmp_path: Path) -> None:
    command = ["train", "--recipe", "smoke/streets", "--out", str(tmp_path / "run")]
    stopped = runner.invoke(app, [*command, "--time-limit", "0s"])
    assert stopped.exit_code == 0, stopped.output
    assert "stopped" in stopped.output
    finished = runner.invoke(app, command)
    assert finished.exit_code == 0, finished.output
    assert "finished" in finished.output
    for stage in ("layout", "image"):
        state = load_tensors(tmp_path / "run" / stage / "model.pt")
        assert (state["height"], state["width"]) == (32, 64)
    assert (tmp_path / "run" / "palette" / "palette.npz").exists()

    other = tmp_path / "other.yaml"
    other.write_text((tmp_path / "run" / "recipe.yaml").read_text().replace("count: 64", "count: 65"))
    refused = runner.invoke(app, ["train", "--recipe", str(other), "--out", str(tmp_path / "run")])
    assert refused.exit_code == 1
    assert "same recipe" in refused.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "no/such"], "no/such"),
        (["--recipe", "smoke/streets", "--stages", "layout,color"], "color"),
        (["--recipe", "smoke/streets", "--time-limit", "soon"], "soon"),
    ],
)
def test_bad_arguments_are_named(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = runner.invoke(app, ["train", "--out", str(tmp_path / "run"), *arguments])
    assert result.exit_code != 0
    assert message in result.output


def test_export_without_a_run_says_what_is_missing(tmp_path: Path) -> None:
    arguments = ["export", "--run", str(tmp_path / "run"), "--bundle", "b", "--model-store", str(tmp_path / "store")]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 1
    assert "error:" in result.output
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90.0), ("9m", 540.0), ("1.5h", 5400.0)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds
