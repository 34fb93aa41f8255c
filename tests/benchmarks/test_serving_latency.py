"""The commands that measure what a stream of pairs leaves of the device, and of the patience of others."""

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CAMVID = ["--model-store", str(BENCHMARKS.parent / "model_store"), "--bundle", "camvid", "--rounds", "1"]


def test_the_command_says_how_long_the_device_idles_beside_a_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import device_idle

    out = tmp_path / "out.json"
    arguments = [*CAMVID, "--pairs", "16", "--warm-up", "4", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["device_idle.py", *arguments])
    device_idle.main()
    [entry] = json.loads(out.read_text())["rounds"]
    assert 0.0 <= entry["idle_share"] < 1.0
    assert 0.0 < entry["engine_share"] <= 1.0 - entry["idle_share"] + 1e-3
    assert entry["turns"] > 1


def test_the_command_says_what_a_stream_costs_those_who_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import interactive_latency

    out = tmp_path / "out.json"
    arguments = [*CAMVID, "--rate", "3", "--duration", "2", "--warm-up", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["interactive_latency.py", *arguments])
    interactive_latency.main()
    [entry] = json.loads(out.read_text())["rounds"]
    assert entry["alone"]["calls"] == entry["beside_a_stream"]["calls"] > 0
    assert entry["beside_a_stream"]["turn_seconds_longest"] > 0
