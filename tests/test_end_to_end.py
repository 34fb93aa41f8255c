"""Scenes to pairs, with every part real: train the smoke recipe, export the run, serve the bundle, ask for pairs."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semantic_palette.budget import integer_budget
from semantic_palette.cli.main import run
from semantic_palette.label_space import STREETS
from semantic_palette.palette import histogram, palette_from_shares
from semantic_palette_services.runtime.store import ModelStore
from semantic_palette_training.export.bundle import export_bundle


@pytest.fixture(scope="module")
def model_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("factory")
    assert run(["train", "--recipe", "smoke/streets", "--out", str(root / "run")]) == 0
    export_bundle(root / "run", root / "store", "streets", natural_samples=20, exact_samples=3)
    ModelStore(root / "store").activate("streets", "1")
    return root / "store"


def generate(model_store: Path, out: Path, *options: str) -> list[dict[str, object]]:
    command = ["generate", "--model-store", str(model_store), "--out", str(out), "--seed", "3", *options]
    assert run(command) == 0
    return [json.loads(line) for line in (out / "pairs.jsonl").read_text().splitlines()]


def test_a_trained_bundle_makes_pairs_that_say_what_they_achieved(model_store: Path, tmp_path: Path) -> None:
    records = generate(model_store, tmp_path / "pairs", "--count", "5", "--min", "road=0.2")
    assert [record["id"] for record in records] == [f"{index:06d}" for index in range(5)]
    for record in records:
        labels = np.asarray(Image.open(tmp_path / "pairs" / str(record["label"])))
        image = np.asarray(Image.open(tmp_path / "pairs" / str(record["image"])))
        assert labels.shape == (32, 64)
        assert image.shape == (32, 64, 3)
        assert isinstance(record["requested"], dict)
        assert isinstance(record["achieved"], dict)
        assert record["requested"]["road"] >= 0.2 - 1e-9
        np.testing.assert_allclose(histogram(labels, 12), list(record["achieved"].values()), atol=1e-9)


def test_exact_pairs_meet_their_integer_budgets(model_store: Path, tmp_path: Path) -> None:
    for record in generate(model_store, tmp_path / "pairs", "--count", "4", "--adherence", "exact"):
        labels = np.asarray(Image.open(tmp_path / "pairs" / str(record["label"])))
        requested = record["requested"]
        assert isinstance(requested, dict)
        budget = integer_budget(palette_from_shares(STREETS, requested), labels.size)
        assert np.bincount(labels.ravel(), minlength=12).tolist() == budget.tolist()


def test_deterministic_pairs_are_the_same_bytes_every_time(model_store: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    generate(model_store, first, "--count", "3", "--deterministic")
    generate(model_store, second, "--count", "3", "--deterministic")
    for path in sorted((first / "labels").iterdir()) + sorted((first / "images").iterdir()):
        assert path.read_bytes() == (second / path.parent.name / path.name).read_bytes()
