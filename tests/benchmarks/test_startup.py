"""The command that measures how long a server takes to start."""

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_the_command_says_how_long_a_server_takes_until_it_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import startup

    out = tmp_path / "out.json"
    store = str(BENCHMARKS.parent / "model_store")
    arguments = ["--model-store", store, "--bundle", "camvid", "--runs", "2", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["startup.py", *arguments])
    startup.main()
    found = json.loads(out.read_text())
    assert found["bundle"].startswith("camvid/1@")
    assert found["seconds"] == [found["median"]["seconds"]]
    assert found["median"]["cpu_seconds"] > 0.0
    assert found["first"]["seconds"] > 0.0
