"""Every engine answers like the golden outputs, and refuses what the manifest does not allow."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tiny_bundle import Tiny, write_tiny_bundle

from semantic_palette.errors import InvalidInputError
from semantic_palette.manifest import ModelEntry
from semantic_palette_services.runtime.engines import openvino as openvino_engine
from semantic_palette_services.runtime.engines import registry
from semantic_palette_services.runtime.engines.base import Engine
from semantic_palette_services.runtime.engines.registry import ENGINES, EngineKind, candidates
from semantic_palette_services.runtime.errors import EngineDiedError, EngineLoadError, EngineUnavailableError
from semantic_palette_services.runtime.golden import Golden
from semantic_palette_services.runtime.store import BundleFiles

EVERY_ENGINE = pytest.mark.parametrize("kind", ENGINES, ids=lambda kind: kind.key)


def load(kind: EngineKind, files: BundleFiles, operation: str = "layout", threads: int = 1) -> Engine:
    entry = files.manifest.models[operation]
    try:
        return kind.load(files.path / entry.file, entry, threads)
    except EngineUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def golden(tiny_files: BundleFiles) -> Golden:
    return Golden.load(tiny_files.path / tiny_files.manifest.golden.file, tiny_files.manifest)


@EVERY_ENGINE
@pytest.mark.parametrize("size", [1, 3, 16])
def test_every_model_answers_at_every_batch_size(
    kind: EngineKind, size: int, tiny_files: BundleFiles, golden: Golden
) -> None:
    outputs: dict[str, Any] = {}
    for operation in ("layout", "layout_scores", "image"):
        engine = load(kind, tiny_files, operation)
        outputs |= engine.run({name: array[:size] for name, array in golden[operation].inputs.items()})
        engine.close()
    tolerance = 0.02 if kind.key == "openvino-bf16" else 0.0
    assert (outputs["labels"] == golden["layout"].outputs["labels"][:size]).mean() >= 1.0 - tolerance
    assert (outputs["scores"].argmax(axis=1) == golden["layout"].outputs["labels"][:size]).mean() >= 1.0 - tolerance
    assert np.abs(outputs["image"].astype(int) - golden["image"].outputs["image"][:size]).max() <= (
        2 if tolerance else 0
    )
    assert [outputs[name].dtype for name in ("labels", "scores", "image")] == [np.uint8, np.float32, np.uint8]


@EVERY_ENGINE
def test_single_precision_scores_are_those_of_the_formula(
    kind: EngineKind, tiny_files: BundleFiles, tiny: Tiny, golden: Golden
) -> None:
    engine = load(kind, tiny_files, "layout_scores")
    palettes = golden["layout"].inputs["palette"][:2].copy()
    palettes[:, 1] = 0.0
    scores = engine.run({"z": golden["layout"].inputs["z"][:2], "palette": palettes})["scores"]
    if engine.precision == "fp32":
        np.testing.assert_allclose(
            scores, tiny.scores(golden["layout"].inputs["z"][:2], palettes), rtol=1e-5, atol=1e-4
        )
    assert (scores[:, 1] <= -1e8).all()


@EVERY_ENGINE
def test_answers_survive_the_next_run(kind: EngineKind, tiny_files: BundleFiles, golden: Golden) -> None:
    engine = load(kind, tiny_files)
    first = engine.run({name: array[:4] for name, array in golden["layout"].inputs.items()})["labels"]
    kept = first.copy()
    engine.run({name: array[4:8] for name, array in golden["layout"].inputs.items()})
    np.testing.assert_array_equal(first, kept)
    first[:] = 0


@EVERY_ENGINE
def test_a_batch_of_one_gives_the_same_bytes_every_time(
    kind: EngineKind, tiny_files: BundleFiles, golden: Golden
) -> None:
    inputs = {name: array[:1] for name, array in golden["layout_scores"].inputs.items()}
    engines = [load(kind, tiny_files, "layout_scores", threads) for threads in (1, 1, 2)]
    engines[1].run({name: array[3:9] for name, array in golden["layout_scores"].inputs.items()})
    answers = {engine.run(inputs)["scores"].tobytes() for engine in engines for _ in range(3)}
    assert len(answers) == 1


@EVERY_ENGINE
def test_inputs_that_the_manifest_does_not_allow_are_named(
    kind: EngineKind, tiny_files: BundleFiles, golden: Golden
) -> None:
    engine = load(kind, tiny_files)
    good = {name: array[:2] for name, array in golden["layout"].inputs.items()}
    bad: list[tuple[dict[str, Any], str]] = [
        ({"z": good["z"]}, "inputs: .*the model takes palette, z"),
        (good | {"extra": good["z"]}, "inputs: .*the model takes palette, z"),
        (good | {"z": good["z"].astype(np.float64)}, "z: 'float64' .*dtype must be float32"),
        (good | {"palette": good["palette"][:, :5]}, r"palette: \[2, 5\] .*shape must be \['batch', 6\]"),
        (good | {"palette": good["palette"][0]}, r"palette: \[6\] .*shape must be"),
        (good | {"palette": good["palette"][:1]}, "batch size: .*same batch size"),
        ({name: array[:0] for name, array in good.items()}, "batch size: .*at least 1"),
    ]
    for inputs, message in bad:
        with pytest.raises(InvalidInputError, match=message):
            engine.run(inputs)
    assert engine.run(good)["labels"].shape == (2, 16, 32)


@EVERY_ENGINE
def test_a_file_that_is_no_model_is_not_loaded(kind: EngineKind, tiny_files: BundleFiles, tmp_path: Path) -> None:
    load(kind, tiny_files).close()
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(EngineLoadError, match=r"broken\.onnx"):
        kind.load(broken, tiny_files.manifest.models["layout"], 1)


@EVERY_ENGINE
def test_a_model_without_its_weights_file_is_not_loaded(
    kind: EngineKind, tiny_files: BundleFiles, tmp_path: Path
) -> None:
    load(kind, tiny_files).close()
    lonely = Path(shutil.copy(tiny_files.path / "layout.onnx", tmp_path))
    with pytest.raises(EngineLoadError, match=r"layout\.onnx"):
        kind.load(lonely, tiny_files.manifest.models["layout"], 1)


@EVERY_ENGINE
def test_a_model_that_is_not_what_the_manifest_says_is_not_loaded(kind: EngineKind, tiny_files: BundleFiles) -> None:
    load(kind, tiny_files).close()
    entry: ModelEntry = tiny_files.manifest.models["image"]
    with pytest.raises(EngineLoadError, match=r"inputs are .*palette.*the manifest says .*labels"):
        kind.load(tiny_files.path / "layout.onnx", entry, 1)
    layout = tiny_files.manifest.models["layout"]
    renamed = dataclasses.replace(layout, outputs=tiny_files.manifest.models["layout_scores"].outputs)
    with pytest.raises(EngineLoadError, match=r"outputs are .*labels.*the manifest says .*scores"):
        kind.load(tiny_files.path / "layout.onnx", renamed, 1)


@EVERY_ENGINE
def test_a_closed_engine_says_so(kind: EngineKind, tiny_files: BundleFiles, golden: Golden) -> None:
    engine = load(kind, tiny_files)
    engine.close()
    engine.close()
    with pytest.raises(EngineDiedError, match="closed"):
        engine.run(golden["layout"].inputs)


@EVERY_ENGINE
@pytest.mark.parametrize("operation", ["layout", "image"])
def test_the_poison_of_the_tiny_bundle_is_poison(
    kind: EngineKind, operation: str, store_root: Path, tiny_files: BundleFiles, golden: Golden
) -> None:
    load(kind, tiny_files).close()
    write_tiny_bundle(store_root, poison=(operation,))
    entry = tiny_files.manifest.models[operation]
    engine = kind.load(store_root / "tiny" / "1" / entry.file, entry, 2)
    inputs = {name: array[:4].copy() for name, array in golden[operation].inputs.items()}
    assert len(engine.run(inputs)[entry.outputs[0].name]) == 4
    if operation == "layout":
        inputs["palette"][2] = np.eye(6, dtype=np.float32)[0]
    else:
        inputs["labels"][2] = 0
    with pytest.raises(Exception, match=r"(?i)broadcast|mismatch"):
        engine.run(inputs)


def test_the_two_layout_models_share_one_weights_file(tiny_files: BundleFiles) -> None:
    for operation in ("layout", "layout_scores"):
        model = onnx.load(tiny_files.path / f"{operation}.onnx", load_external_data=False)
        external = [tensor.name for tensor in model.graph.initializer if tensor.external_data]
        assert external == ["weights", "bias"]
        assert list(tiny_files.manifest.models[operation].external_files) == ["layout.weights"]


def test_work_slows_a_tiny_model_and_changes_nothing(store_root: Path, tiny_files: BundleFiles, golden: Golden) -> None:
    write_tiny_bundle(store_root, work=3)
    slow = ENGINES[0].load(store_root / "tiny" / "1" / "image.onnx", tiny_files.manifest.models["image"], 1)
    np.testing.assert_array_equal(slow.run(golden["image"].inputs)["image"], golden["image"].outputs["image"])


def test_bfloat16_is_refused_on_a_cpu_without_it(tiny_files: BundleFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    class OldCore(openvino.Core):
        def get_property(self, *args: Any) -> Any:
            return ["FP32"] if args[-1] == "OPTIMIZATION_CAPABILITIES" else super().get_property(*args)

    old_core = OldCore()
    monkeypatch.setattr(openvino_engine, "openvino_core", lambda: old_core)
    entry = tiny_files.manifest.models["layout"]
    with pytest.raises(EngineUnavailableError, match="openvino-bf16: this CPU has no bfloat16"):
        openvino_engine.OpenVinoEngine(tiny_files.path / entry.file, entry, 1, precision="bf16")


def test_what_is_not_installed_is_left_out_and_said_when_it_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda module: None if module == "openvino" else object())
    assert [kind.key for kind in candidates("auto")] == ["onnxruntime"]
    with pytest.raises(EngineUnavailableError, match=r"install semantic-palette\[openvino\]"):
        candidates("openvino-bf16")
    monkeypatch.setattr(registry, "find_spec", lambda _: None)
    with pytest.raises(
        EngineUnavailableError, match=r"install semantic-palette\[cpu\] or semantic-palette\[openvino\]"
    ):
        candidates("auto")


def test_an_unknown_engine_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidInputError, match=r"engine: 'tensorflow' .*onnxruntime, openvino, openvino-bf16"):
        candidates("tensorflow")


def test_engine_libraries_are_imported_when_they_are_used() -> None:
    code = (
        "import sys, semantic_palette_services.runtime.loaded_bundle;"
        "print(sorted({'onnxruntime', 'openvino', 'torch', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


SIGNALLED = """
import os, signal, sys
from pathlib import Path
from semantic_palette_services.runtime.engines.registry import candidates
from semantic_palette_services.runtime.errors import EngineUnavailableError
from semantic_palette_services.runtime.store import ModelStore

files = ModelStore(Path(sys.argv[1])).open()
entry = files.manifest.models["image"]
received = []
signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
engines = []
for kind in candidates("auto"):
    try:
        engines.append(kind.load(files.path / entry.file, entry, 0))
    except EngineUnavailableError:
        pass
assert engines
while engines:
    engines.pop(0).close()
os.kill(os.getpid(), signal.SIGTERM)
assert received == [signal.SIGTERM]
"""


def test_signals_are_heard_after_engines_have_come_and_gone(tiny_root: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", SIGNALLED, str(tiny_root)], capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
