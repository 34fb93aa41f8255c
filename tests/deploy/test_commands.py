"""The commands that the README promises: make targets, set-up errors, the palettes of the demo."""

from __future__ import annotations

import json
import os
import re
import subprocess
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from semantic_palette.label_space import label_space
from semantic_palette.palette import palette_from_shares, total_variation

ROOT = Path(__file__).resolve().parents[2]
TARGETS = [
    "setup",
    "demo",
    "up",
    "test",
    "fuzz",
    "soak",
    "lint",
    "format",
    "proto",
    "metrics",
    "settings",
    "train",
    "export",
    "bench",
    "gpu-check",
    "images",
    "clean",
    "help",
]


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_help_names_every_target() -> None:
    listed = re.findall(r"^make ([\w-]+)", run("make", "help").stdout, flags=re.MULTILINE)
    assert listed == TARGETS


def test_setup_names_the_interpreter_it_refuses(tmp_path: Path) -> None:
    result = run("scripts/setup", str(tmp_path / "venv"), "/bin/false", "")

    assert result.returncode == 1
    assert "PYTHON=/bin/false is not a Python 3.11, 3.12 or 3.13" in result.stderr
    assert not (tmp_path / "venv").exists()


def test_setup_says_that_python_is_missing(tmp_path: Path) -> None:
    result = run("/bin/sh", "scripts/setup", str(tmp_path / "venv"), "", "", PATH=str(tmp_path))

    assert result.returncode == 1
    assert "Python 3.11, 3.12 or 3.13 is missing" in result.stderr


def test_export_without_a_run_says_what_it_needs() -> None:
    result = run("make", "export", "--old-file=.venv/.ready")

    assert result.returncode != 0
    assert "make export RUN=runs/NAME BUNDLE=NAME" in result.stderr


def test_images_names_the_missing_builder() -> None:
    result = run("make", "images", "PODMAN=no-such-builder")

    assert result.returncode != 0
    assert "no-such-builder is missing" in result.stderr


def test_versions_of_the_package_and_of_the_deployed_image_agree() -> None:
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
    kubernetes = ROOT / "deploy" / "kubernetes"
    (image,) = yaml.safe_load((kubernetes / "base" / "kustomization.yaml").read_text())["images"]
    writer = yaml.safe_load((kubernetes / "model-store-writer.yaml").read_text())

    assert version is not None
    assert image["newTag"] == version.group(1)
    assert writer["spec"]["containers"][0]["image"] == f"{image['newName']}:{image['newTag']}"


@pytest.mark.parametrize("script", [".ci/run", "scripts/setup", "scripts/up", "scripts/images"])
def test_scripts_can_be_executed(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)


def test_demo_palettes_are_three_clearly_different_scenes() -> None:
    space = label_space("camvid")
    palettes = [
        palette_from_shares(space, shares) for shares in json.loads((ROOT / "docs" / "demo_palettes.json").read_text())
    ]

    assert len(palettes) == 3
    assert all(total_variation(one, other) > 0.3 for one, other in combinations(palettes, 2))
