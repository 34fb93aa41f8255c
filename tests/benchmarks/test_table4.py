"""The command that repeats the ablation of Table 4, at a size where it shows that it runs, and what it once gave."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = """
extends: fast/streets-ablation
data: {count: 8}
palette: {max_components: 1}
layout:
  generator: {latent_size: 4, widths: [4, 4, 4]}
  phases: [{level: 2, stable_steps: 1, batch_size: 2}]
"""


def test_one_command_trains_and_measures_every_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import table4

    recipe, out = tmp_path / "small.yaml", tmp_path / "out.json"
    recipe.write_text(SMALL)
    arguments = ["--recipe", str(recipe), "--seeds", "1", "--samples", "4", "--runs", str(tmp_path / "runs")]
    monkeypatch.setattr(sys, "argv", ["table4.py", *arguments, "--out", str(out)])
    table4.main()
    rows = json.loads(out.read_text())["rows"]
    assert list(rows) == ["1", "2", "3", "4", "5"]
    assert all(np.isfinite(run["kl"]) for row in rows.values() for run in row["runs"])
    assert "row 5  + palette model" in capsys.readouterr().out
    fusion = {row: table4.row_recipe(table4.load_recipe(recipe), row, 0).layout.generator.fusion for row in (1, 2)}
    assert fusion == {1: False, 2: True}


def test_the_recorded_ablation_has_the_order_that_the_front_page_claims() -> None:
    [path] = (BENCHMARKS / "results").glob("*-table4-*.json")
    rows = json.loads(path.read_text())["rows"]
    mean = {int(row): np.mean([run["kl"] for run in found["runs"]]) for row, found in rows.items()}
    assert all(len(found["runs"]) == 3 for found in rows.values())
    assert mean[1] == max(mean.values())
    assert max(mean[4], mean[5]) < min(mean[1], mean[2], mean[3])
    readme = (BENCHMARKS.parent / "README.md").read_text()
    for row in mean:
        assert f"{mean[row]:.2f}" in readme
