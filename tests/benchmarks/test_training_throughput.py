"""The command that compares training with the published way, at a size where it shows that it runs."""

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_the_command_trains_both_ways_and_says_how_much_faster_ours_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import training_throughput

    out = tmp_path / "out.json"
    arguments = ["--level", "1", "--widths", "4", "4", "--latent", "4", "--batch", "2", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", ["training_throughput.py", *arguments, "--device", "cpu", "--out", str(out)])
    training_throughput.main()
    report = json.loads(out.read_text())
    rates = report["images_per_second"]
    assert {"published", "ours", "ours lazy"} <= set(rates)
    assert min(rates.values()) > 0
    assert report["ratio_to_published"]["published"]["median"] == 1.0


def test_the_recorded_measurement_is_at_least_twice_the_published_way() -> None:
    [path] = (BENCHMARKS / "results").glob("*-training-throughput-*.json")
    report = json.loads(path.read_text())
    assert report["ratio_to_published"]["ours"]["least"] >= 2
    assert (
        f"{report['ratio_to_published']['ours']['median']:.1f} times its images a second"
        in (BENCHMARKS.parent / "README.md").read_text()
    )
