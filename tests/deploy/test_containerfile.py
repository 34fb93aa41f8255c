"""The service image is built as docs/deploy.md says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def instructions() -> list[str]:
    """The instructions of the Containerfile, one a string, without comments."""
    text = (ROOT / "deploy" / "images" / "Containerfile").read_text()
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    return [" ".join(line.split()) for line in lines]


def test_every_stage_starts_from_the_base_of_the_callers_choice(instructions: list[str]) -> None:
    assert instructions[0].startswith("ARG BASE=")
    stages = [instruction for instruction in instructions if instruction.startswith("FROM ")]
    assert len(stages) == 2
    assert all(stage.startswith("FROM ${BASE}") for stage in stages)


def test_image_runs_as_an_ordinary_user(instructions: list[str]) -> None:
    assert [instruction for instruction in instructions if instruction.startswith("USER ")] == ["USER 10001:10001"]


def test_image_has_the_engines_and_no_torch(instructions: list[str]) -> None:
    (install,) = [instruction for instruction in instructions if "pip install" in instruction]
    assert "'.[serve,cpu,openvino,otel]'" in install
    assert "--constraint constraints.txt" in install
    assert re.search(r"! \S+python -c 'import torch'", install), "the build must fail when torch slips in"


def test_build_context_holds_no_bundle_and_no_data() -> None:
    lines = [line for line in (ROOT / ".containerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*", "everything is left out unless it is named"
    named = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert all((ROOT / path).exists() for path in named)
    assert not any(path.startswith(("model_store", "runs", ".git")) for path in named)


def test_everything_that_the_wheel_is_made_of_reaches_the_build() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    admitted = [line[1:] for line in (ROOT / ".containerignore").read_text().splitlines() if line.startswith("!")]
    for source in [*wheel["packages"], *wheel["force-include"]]:
        assert any(Path(source).is_relative_to(path) for path in admitted), source
