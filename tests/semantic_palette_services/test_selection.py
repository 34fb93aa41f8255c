"""`auto` serves with the fastest engine that reproduces the golden outputs, and explains itself."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_bundle import EDITING, write_tiny_bundle

from semantic_palette.errors import BundleError
from semantic_palette.manifest import ModelEntry
from semantic_palette_services.runtime import engine_probe, selection
from semantic_palette_services.runtime.engines.registry import EngineKind
from semantic_palette_services.runtime.errors import EngineLoadError, EngineUnavailableError, ParityError
from semantic_palette_services.runtime.golden import Golden
from semantic_palette_services.runtime.parity import ParityReport, compare
from semantic_palette_services.runtime.selection import (
    Candidate,
    EngineChoice,
    Selection,
    SelectionSteps,
    advance,
    select_engine,
    selection_steps,
)
from semantic_palette_services.runtime.settings import RuntimeSettings
from semantic_palette_services.runtime.store import BundleFiles, ModelStore

SETTINGS = RuntimeSettings(threads=1, max_batch_size=8)


@pytest.fixture(scope="module")
def golden(tiny_files: BundleFiles) -> Golden:
    return Golden.load(tiny_files.path / tiny_files.manifest.golden.file, tiny_files.manifest)


class ScriptedEngine:
    """Answers from the golden outputs, after a time, with a share of the pixels changed."""

    name, version = "scripted", "1"

    def __init__(self, golden: Golden, precision: str, seconds: tuple[float, float], wrong: float) -> None:
        self.precision = precision
        self.closed = False
        self.runs = 0
        self._golden, self._seconds, self._wrong = golden, seconds, wrong

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        size = len(inputs["z"])
        self.runs += 1
        time.sleep(self._seconds[0] + self._seconds[1] * size)
        rows = [int(np.flatnonzero((self._golden["layout"].inputs["z"] == z).all(axis=1))[0]) for z in inputs["z"]]
        labels = self._golden["layout"].outputs["labels"][rows].copy()
        changed = round(self._wrong * labels[0].size)
        flat = labels.reshape(size, -1)
        flat[:, :changed] = (flat[:, :changed] + 1) % 6
        return {"labels": labels}

    def close(self) -> None:
        self.closed = True


class Script:
    """Stands for the registry: engines by key, and those that were loaded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, golden: Golden) -> None:
        self.golden = golden
        self.kinds: list[EngineKind] = []
        self.loaded: dict[str, ScriptedEngine] = {}
        monkeypatch.setattr(selection, "candidates", lambda engine: tuple(self.kinds))

    def engine(self, key: str, *, seconds: tuple[float, float], wrong: float = 0.0, precision: str = "fp32") -> None:
        def load(path: Path, entry: ModelEntry, threads: int) -> ScriptedEngine:
            self.loaded[key] = ScriptedEngine(self.golden, precision, seconds, wrong)
            return self.loaded[key]

        self.kinds.append(EngineKind(key, "scripted", "scripted", load))

    def failing(self, key: str, error: Exception) -> None:
        def load(path: Path, entry: ModelEntry, threads: int) -> ScriptedEngine:
            raise error

        self.kinds.append(EngineKind(key, "scripted", "scripted", load))

    def select(self, files: BundleFiles) -> Selection:
        entry = files.manifest.models["layout"]
        return select_engine("layout", files.path / entry.file, entry, self.golden["layout"], SETTINGS)

    def steps(self, files: BundleFiles) -> SelectionSteps:
        entry = files.manifest.models["layout"]
        return selection_steps("layout", files.path / entry.file, entry, self.golden["layout"], SETTINGS)

    @property
    def work(self) -> int:
        """How many engines were loaded, and how often they ran."""
        return len(self.loaded) + sum(engine.runs for engine in self.loaded.values())


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, golden: Golden) -> Script:
    return Script(monkeypatch, golden)


def test_between_two_steps_others_can_have_the_device(script: Script, tiny_files: BundleFiles) -> None:
    script.engine("one", seconds=(0.001, 0.0))
    script.engine("wrong", seconds=(0.001, 0.0), wrong=0.5)
    script.engine("two", seconds=(0.002, 0.0))
    steps, before = script.steps(tiny_files), 0
    while (chosen := advance(steps)) is None:
        assert script.work - before <= 1
        before = script.work
    assert chosen.choice.chosen in ("one", "two")
    assert before > 10


def test_steps_that_are_given_up_close_the_engines(script: Script, tiny_files: BundleFiles) -> None:
    script.engine("one", seconds=(0.001, 0.0))
    script.engine("two", seconds=(0.001, 0.0))
    steps = script.steps(tiny_files)
    while "two" not in script.loaded:
        assert advance(steps) is None
    del steps
    assert [engine.closed for engine in script.loaded.values()] == [True, True]


def test_the_fastest_engine_serves_and_the_first_that_is_exact_answers_deterministic_items(
    script: Script, tiny_files: BundleFiles
) -> None:
    script.engine("slow", seconds=(0.01, 0.0))
    script.engine("fast", seconds=(0.001, 0.0))
    script.engine("middle", seconds=(0.005, 0.0))
    chosen = script.select(tiny_files)
    assert (chosen.choice.chosen, chosen.choice.deterministic) == ("fast", "slow")
    assert {key: engine.closed for key, engine in script.loaded.items()} == {
        "slow": False,
        "fast": False,
        "middle": True,
    }
    chosen.close()
    assert all(engine.closed for engine in script.loaded.values())


def test_a_fast_engine_that_answers_otherwise_is_not_used(script: Script, tiny_files: BundleFiles) -> None:
    script.engine("wrong", seconds=(0.0, 0.0), wrong=0.01)
    script.engine("right", seconds=(0.002, 0.0))
    choice = script.select(tiny_files).choice
    assert (choice.chosen, choice.deterministic) == ("right", "right")
    assert not choice.candidates[0].accepted
    assert "equal_pixels is 0.990234, at least 0.999 is needed" in choice.candidates[0].reason
    assert script.loaded["wrong"].closed


def test_engines_that_cannot_run_here_are_explained(script: Script, tiny_files: BundleFiles) -> None:
    script.failing("absent", EngineUnavailableError("absent", "this CPU is too old"))
    script.failing("picky", EngineLoadError("picky", "layout.onnx", "unsupported operator"))
    script.engine("right", seconds=(0.0, 0.0))
    explanation = script.select(tiny_files).choice.explain().splitlines()
    assert explanation[0] == "layout: right, deterministic items right"
    assert "this CPU is too old" in explanation[1]
    assert "unsupported operator" in explanation[2]
    assert "ms a batch of 8" in explanation[3]


def test_without_a_faithful_engine_the_model_is_not_served(script: Script, tiny_files: BundleFiles) -> None:
    script.engine("wrong", seconds=(0.0, 0.0), wrong=0.5)
    script.engine("coarse", seconds=(0.0, 0.0), wrong=0.02, precision="bf16")
    with pytest.raises(ParityError, match=r"(?s)wrong: .*coarse: .*kl_change is") as caught:
        script.select(tiny_files)
    assert caught.value.model == "layout"
    assert all(engine.closed for engine in script.loaded.values())


def test_a_pinned_engine_that_cannot_load_says_why(script: Script, tiny_files: BundleFiles) -> None:
    script.failing("pinned", EngineUnavailableError("pinned", "this CPU is too old"))
    with pytest.raises(EngineUnavailableError, match="too old"):
        script.select(tiny_files)


def test_a_slow_engine_is_held_against_fewer_samples_and_says_so(
    script: Script, tiny_files: BundleFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_probe, "PARITY_SECONDS", 0.03)
    monkeypatch.setattr(engine_probe, "TIMING_SECONDS", 0.0)
    script.engine("slow", seconds=(0.02, 0.0))
    choice = script.select(tiny_files).choice
    assert "8 golden samples: equal_pixels 1," in choice.candidates[0].reason
    assert set(choice.best.seconds) == {1, 8}
    assert all(seconds >= 0.02 for seconds in choice.best.seconds.values())


@pytest.mark.parametrize("max_batch_size", [1, 5, 40])
def test_any_largest_batch_can_be_timed(
    max_batch_size: int, script: Script, tiny_files: BundleFiles, golden: Golden
) -> None:
    script.engine("only", seconds=(0.001, 0.0))
    entry = tiny_files.manifest.models["layout"]
    settings = RuntimeSettings(max_batch_size=max_batch_size)
    choice = select_engine("layout", tiny_files.path / entry.file, entry, golden["layout"], settings).choice
    assert set(choice.best.seconds) == {1, max_batch_size}
    assert choice.best.best_batch_size == max_batch_size


def test_batches_are_only_as_large_as_pays() -> None:
    shrinks = Candidate("a", True, "", {1: 0.010, 8: 0.120})
    grows = Candidate("b", True, "", {1: 0.010, 8: 0.060})
    assert shrinks.best_batch_size == 1
    assert grows.best_batch_size == 8
    assert grows.seconds_per_item < shrinks.seconds_per_item
    # Items of such a batch would wait for each other and save next to nothing.
    assert Candidate("x", True, "", {1: 0.100, 8: 0.780}).best_batch_size == 1
    assert Candidate("x", True, "", {1: 0.100, 8: 0.700}).best_batch_size == 8


def test_the_engines_that_are_installed_run_the_tiny_bundle(tiny_files: BundleFiles, golden: Golden) -> None:
    for operation, entry in tiny_files.manifest.models.items():
        chosen = select_engine(operation, tiny_files.path / entry.file, entry, golden[operation], SETTINGS)
        assert [candidate.key for candidate in chosen.choice.candidates if candidate.accepted][:2] == [
            "onnxruntime",
            "openvino",
        ]
        assert chosen.choice.deterministic == "onnxruntime"
        assert isinstance(chosen.choice, EngineChoice)
        chosen.close()


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_pinned_engine_does_everything(engine: str, tiny_files: BundleFiles, golden: Golden) -> None:
    entry = tiny_files.manifest.models["image"]
    settings = dataclasses.replace(SETTINGS, engine=engine)
    chosen = select_engine("image", tiny_files.path / entry.file, entry, golden["image"], settings)
    assert (chosen.choice.chosen, chosen.choice.deterministic) == (engine, engine)
    assert chosen.engine is chosen.deterministic_engine
    chosen.close()


def report(golden: Golden, operation: str, precision: str, **outputs: NDArray[Any]) -> ParityReport:
    return compare(precision, golden[operation], range(len(golden[operation])), outputs, {})


def test_parity_of_labels_is_stricter_in_single_precision(golden: Golden) -> None:
    right = golden["layout"].outputs["labels"]
    labels = right.copy()
    labels[:, 0, :2] = labels[:, 5, :2]  # at most 2 of 512 pixels: 0.4 %
    assert not report(golden, "layout", "fp32", labels=labels).passed
    assert report(golden, "layout", "bf16", labels=right).passed
    assert report(golden, "layout_scores", "fp32", scores=golden["layout_scores"].outputs["scores"]).passed


def test_parity_of_lower_precisions_also_holds_the_proportions(golden: Golden) -> None:
    labels = golden["layout"].outputs["labels"].copy()
    flat = labels.reshape(len(labels), -1)
    for row in flat:  # every change goes the same way, from the most frequent class to the rarest there is
        counts = np.bincount(row, minlength=6)
        row[np.flatnonzero(row == counts.argmax())[:5]] = counts.argmin()
    held = report(golden, "layout", "bf16", labels=labels)
    assert "kl_change is" in held.reason
    assert "equal_pixels" not in held.reason
    assert not held.passed


def test_parity_of_images_is_that_of_the_worst_one(golden: Golden) -> None:
    right = golden["image"].outputs["image"]
    noise = np.random.default_rng(0).integers(-3, 4, right.shape)
    images = np.clip(right + noise, 0, 255).astype(np.uint8)
    assert report(golden, "image", "bf16", image=images).passed
    images[5] = right[6]
    assert not report(golden, "image", "bf16", image=images).passed


def test_an_editor_that_changes_what_it_may_not_fails_parity(store_root: Path) -> None:
    write_tiny_bundle(store_root, models=EDITING)
    files = ModelStore(store_root).open()
    golden = Golden.load(files.path / "golden.npz", files.manifest)
    edited = golden["editor"].outputs["edited"].copy()
    assert report(golden, "editor", "fp32", edited=edited).passed
    outside = np.argwhere(golden["editor"].inputs["mask"][3] == 0)[0]
    edited[3, *outside] = (edited[3, *outside] + 1) % 6
    held = report(golden, "editor", "bf16", edited=edited)
    assert not held.passed
    assert "outside_pixels is 1" in held.reason


def test_outputs_of_another_size_fail_parity(golden: Golden) -> None:
    assert not report(golden, "layout", "fp32", labels=golden["layout"].outputs["labels"][:, :8]).passed
    assert not report(golden, "image", "fp32", image=golden["image"].outputs["image"][:, :8]).passed


def test_golden_files_that_cannot_be_used_are_bundle_errors(tmp_path: Path, tiny_files: BundleFiles) -> None:
    path, manifest = tmp_path / "golden.npz", tiny_files.manifest
    path.write_bytes(b"PK nonsense")
    with pytest.raises(BundleError, match=r"golden\.npz: cannot be read"):
        Golden.load(path, manifest)
    with np.load(tiny_files.path / "golden.npz") as file:
        arrays = dict(file)
    np.savez(path, **{name: array for name, array in arrays.items() if name != "layout/palette"})
    with pytest.raises(BundleError, match="layout/palette"):
        Golden.load(path, manifest)
    assert len(Golden.load(path, manifest, ["image"])["image"]) == 16
    np.savez(path, **(arrays | {"image/labels": arrays["image/labels"][:3]}))
    with pytest.raises(BundleError, match=r"arrays of image must have the same number of samples.*'labels': 3"):
        Golden.load(path, manifest)
