"""A run becomes a bundle that is complete, correct and new, or nothing at all."""

import dataclasses
import json
import shutil
import zipfile

import numpy as np
import onnx
import onnx.reference
import pytest
import yaml
from export_runs import DATA, HEIGHT, NUM_CLASSES, WIDTH, image_generator, layout_generator, write_run
from PIL import Image

from semantic_palette.errors import BundleError, InvalidInputError
from semantic_palette.manifest import Manifest, TensorSpec, verify_files
from semantic_palette.noise import standard_normal
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.config import to_plain
from semantic_palette_training.data.facts import DATA_FACTS
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.export import bundle as bundle_module
from semantic_palette_training.export.bundle import export_bundle
from semantic_palette_training.export.engines import engines, onnxruntime_engine
from semantic_palette_training.export.errors import ExportError, ParityError
from semantic_palette_training.export.golden import _golden_size
from semantic_palette_training.export.inputs import InputSource
from semantic_palette_training.export.model_card import model_card
from semantic_palette_training.export.operations import image_operations, layout_operations
from semantic_palette_training.export.parity import PARITY_SEED, check_parity, parity_cases
from semantic_palette_training.export.provenance import training_record
from semantic_palette_training.export.sources import read_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """The bundle, in a store where version 3 is taken."""
    store = tmp_path_factory.mktemp("store")
    taken = store / "tiny" / "3"
    taken.mkdir(parents=True)
    (taken / "manifest.json").write_text("somebody's")
    return export_bundle(run, store, "tiny", natural_samples=20, exact_samples=3)


@pytest.fixture(scope="module")
def manifest(exported):
    return Manifest.read(exported / "manifest.json")


@pytest.fixture(scope="module")
def operations():
    found = (*layout_operations(layout_generator()), *image_operations(image_generator()))
    return {operation.name: operation for operation in found}


@pytest.fixture(scope="module")
def cases(operations, exported):
    palette_model = PaletteModel.load(exported / "palette.npz")
    return parity_cases(operations, InputSource(operations, palette_model, load_scenes(DATA, "val"), PARITY_SEED))


def files(manifest):
    return {name: (entry.file, manifest.torchscript[name].file) for name, entry in manifest.models.items()}


def layout_inputs(batch_size):
    rng = np.random.default_rng(batch_size)
    palettes = rng.dirichlet(np.full(NUM_CLASSES, 0.5), batch_size)
    palettes[:, 4] = 0.0
    palettes /= palettes.sum(axis=1, keepdims=True)
    return {"z": rng.standard_normal((batch_size, 8)).astype(np.float32), "palette": palettes.astype(np.float32)}


def test_the_next_version_is_written_beside_the_others_and_nothing_else(exported):
    store = exported.parent.parent
    assert exported == store / "tiny" / "4"
    assert sorted(path.name for path in store.iterdir()) == ["tiny"]
    assert sorted(path.name for path in exported.parent.iterdir()) == ["3", "4"]
    assert [path.name for path in (exported.parent / "3").iterdir()] == ["manifest.json"]
    assert (exported.parent / "3" / "manifest.json").read_text() == "somebody's"


def test_other_users_can_read_the_bundle(exported):
    assert exported.stat().st_mode & 0o555 == 0o555


def test_the_bundle_is_complete_and_its_digests_verify(exported, manifest):
    verify_files(exported, manifest)
    named = {entry.file for entry in manifest.files()} | {"manifest.json", "MODEL_CARD.md", "sample_sheet.png"}
    assert {path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()} == named
    assert (manifest.name, manifest.version, manifest.height, manifest.width) == ("tiny", "4", HEIGHT, WIDTH)
    assert manifest.models.keys() == manifest.torchscript.keys() == {"layout", "layout_scores", "image"}


def test_a_changed_file_no_longer_verifies(exported, manifest, tmp_path):
    copy = shutil.copytree(exported, tmp_path / "copy")
    content = bytearray((copy / "layout.weights").read_bytes())
    content[100] ^= 1
    (copy / "layout.weights").write_bytes(content)
    with pytest.raises(BundleError, match=r"layout\.weights"):
        verify_files(copy, manifest)


def test_a_folder_s_own_paths_do_not_get_into_the_manifest(run, tmp_path):
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    recipe["data"] |= {"root": "scenes", "label_space": "../classes.json"}
    trained = dataclasses.replace(read_run(run), recipe=recipe)
    assert training_record(trained)["recipe"]["data"] == to_plain(DATA)


def test_both_layout_models_read_the_same_weights_file(exported, manifest):
    for name in ("layout", "layout_scores"):
        model = onnx.load(exported / f"{name}.onnx", load_external_data=False)
        tensors = [tensor for tensor in model.graph.initializer if tensor.external_data]
        locations = {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}
        assert locations == {"layout.weights"}
        assert max(len(tensor.raw_data) for tensor in model.graph.initializer) < 1024
        assert list(manifest.models[name].external_files) == ["layout.weights"]
    weights = 4 * manifest.models["layout"].parameters
    assert (exported / "layout.weights").stat().st_size < weights + 4096 * len(tensors)


def test_graphs_are_plain_and_carry_nothing_of_this_machine(exported, manifest):
    for entry in manifest.models.values():
        model = onnx.load(exported / entry.file, load_external_data=False)
        assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 20)]
        assert not model.functions
        content = (exported / entry.file).read_bytes()
        for trace in (b"site-packages", b".py", b"stack_trace", b"pkg.torch", b"/home/"):
            assert trace not in content
    assert "/home/someone" not in (exported / "manifest.json").read_text()
    for entry in manifest.torchscript.values():
        with zipfile.ZipFile(exported / entry.file) as archive:
            for record in archive.namelist():
                assert b"site-packages" not in archive.read(record), record
                assert __file__.encode() not in archive.read(record), record


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_any_batch_size_gives_what_the_trained_networks_give(exported, manifest, operations, batch_size):
    inputs = layout_inputs(batch_size)
    labels = operations["layout"].run(inputs)
    image_inputs = {"labels": labels, "z": np.full((batch_size, 4), 0.5, np.float32)}
    image = operations["image"].run(image_inputs).astype(np.int64)
    for name, given, expected in (("layout", inputs, labels), ("image", image_inputs, image)):
        for engine in engines(*(exported / file for file in files(manifest)[name])):
            output = engine.run(given)
            assert output.shape == expected.shape, engine.name
            if engine.full_precision:
                assert np.abs(output - expected).max() <= 1, engine.name


def test_a_class_whose_share_is_zero_never_appears_and_its_scores_say_so(exported, manifest):
    inputs = layout_inputs(6)
    for engine in engines(*(exported / file for file in files(manifest)["layout"])):
        assert not (engine.run(inputs) == 4).any(), engine.name
    scores = onnxruntime_engine(exported / "layout_scores.onnx").run(inputs)
    assert (scores[:, 4] == np.float32(-1e9)).all()
    labels = onnxruntime_engine(exported / "layout.onnx").run(inputs)
    np.testing.assert_array_equal(scores.argmax(axis=1), labels)


def test_the_onnx_reference_evaluator_runs_the_layout_model(exported, operations):
    inputs = layout_inputs(2)
    evaluator = onnx.reference.ReferenceEvaluator(str(exported / "layout.onnx"))
    labels = evaluator.run(None, inputs)[0]
    assert np.mean(labels == operations["layout"].run(inputs)) > 0.999


def test_input_and_output_specs_are_those_of_the_files(exported, manifest):
    names = {1: "float32", 2: "uint8"}
    for entry in manifest.models.values():
        graph = onnx.load(exported / entry.file, load_external_data=False).graph
        for values, specs in ((graph.input, entry.inputs), (graph.output, entry.outputs)):
            for value, spec in zip(values, specs, strict=True):
                tensor = value.type.tensor_type
                assert (value.name, names[tensor.elem_type]) == (spec.name, spec.dtype)
                assert [dim.dim_param or dim.dim_value for dim in tensor.shape.dim] == spec.shape
        assert entry.parameters > 1000
        assert entry.macs > 1000


def test_golden_samples_are_those_that_serving_draws_and_eager_answers(exported, operations):
    with np.load(exported / "golden.npz", allow_pickle=False) as arrays:
        golden = dict(arrays)
    shapes = {name: (array.dtype.name, array.shape) for name, array in golden.items()}
    assert shapes == {
        "layout/z": ("float32", (16, 8)),
        "layout/palette": ("float32", (16, NUM_CLASSES)),
        "layout/labels": ("uint8", (16, HEIGHT, WIDTH)),
        "layout_scores/z": ("float32", (16, 8)),
        "layout_scores/palette": ("float32", (16, NUM_CLASSES)),
        "layout_scores/scores": ("float32", (16, NUM_CLASSES, HEIGHT, WIDTH)),
        "image/labels": ("uint8", (16, HEIGHT, WIDTH)),
        "image/z": ("float32", (16, 4)),
        "image/image": ("uint8", (16, HEIGHT, WIDTH, 3)),
    }
    palettes = PaletteModel.load(exported / "palette.npz").sample(0, 0, 16).palettes
    np.testing.assert_array_equal(golden["layout/palette"], palettes.astype(np.float32))
    np.testing.assert_array_equal(golden["layout/z"][5], standard_normal(0, 5, "layout", (8,)))
    np.testing.assert_array_equal(golden["image/z"][5], standard_normal(0, 5, "image", (4,)))
    heldout = load_scenes(DATA, "val").labels
    assert all((heldout == labels).all(axis=(1, 2)).any() for labels in golden["image/labels"])
    for name, operation in operations.items():
        inputs = {spec.name: golden[f"{name}/{spec.name}"] for spec in operation.inputs}
        np.testing.assert_array_equal(golden[f"{name}/{operation.output.name}"], operation.run(inputs))


def test_operations_with_large_outputs_have_fewer_golden_samples(operations):
    output = TensorSpec("scores", "float32", ["batch", 35, 128, 256])
    scores = dataclasses.replace(operations["layout_scores"], output=output)
    assert _golden_size(scores) == 2
    assert _golden_size(operations["layout"]) == 16


def test_parity_is_reported_for_every_file_and_engine(manifest):
    assert manifest.parity["batch_sizes"] == [1, 2, 5]
    for name, reports in manifest.parity["operations"].items():
        assert {"onnxruntime-fp32", "openvino-fp32", "torchscript-fp32"} <= reports.keys()
        for engine, metrics in reports.items():
            assert metrics["passed"] or engine == "openvino-bf16", (name, engine, metrics)


def test_quality_is_measured_on_the_exported_files(manifest):
    quality = manifest.quality
    assert quality["engine"] == "onnxruntime-fp32"
    assert quality["natural"]["count"] == 20
    assert quality["natural"]["kl_mean"] > 0.01
    assert quality["exact"]["exact_share"] == 1.0
    assert quality["exact"]["kl_mean"] < 1e-2
    assert 0.0 < quality["nearest_training_layout"]["generated"]["least"] < 1.0


@pytest.mark.parametrize("broken", ["layout.weights", "image.onnx", "torchscript/image.pt"])
def test_a_file_that_is_not_the_trained_network_is_refused(exported, operations, cases, tmp_path, broken):
    copy = shutil.copytree(exported, tmp_path / "copy")
    if broken == "layout.weights":
        weights = np.fromfile(copy / broken, np.float32)
        (weights * 1.5).tofile(copy / broken)
        expected = r"layout\.onnx on onnxruntime-fp32.*layout_scores\.onnx on openvino-fp32"
    elif broken == "image.onnx":
        model = onnx.load(copy / broken, load_external_data=False)
        (rounding,) = (node for node in model.graph.node if node.op_type == "Round")
        rounding.op_type = "Neg"
        onnx.save(model, copy / broken)
        expected = r"image\.onnx on onnxruntime-fp32: psnr_db is .*, at least 35 is needed"
    else:
        shutil.copy(copy / "torchscript" / "layout.pt", copy / broken)
        expected = r"image\.onnx or torchscript/image\.pt cannot be run; no bundle is written: RuntimeError: Tensors"
    with pytest.raises(ParityError, match=expected):
        check_parity(copy, operations, cases)


def test_a_failed_export_leaves_nothing(run, tmp_path, monkeypatch):
    def fail(operations, root):
        (root / "layout.onnx").write_text("half a file")
        raise ParityError("layout.onnx differs")

    monkeypatch.setattr(bundle_module, "_write_models", fail)
    with pytest.raises(ParityError):
        export_bundle(run, tmp_path / "store", "tiny")
    assert list((tmp_path / "store").iterdir()) == []


def test_a_version_taken_in_the_meantime_is_not_overwritten(run, exported, manifest, tmp_path, monkeypatch):
    """Another export publishes version 1 after this one has chosen it."""
    root = shutil.copytree(exported, tmp_path / "tiny" / ".export-x")
    versions = iter([1, 1, 2])
    monkeypatch.setattr(bundle_module, "_next_version", lambda bundle: next(versions))
    (tmp_path / "tiny" / "1").mkdir()
    (tmp_path / "tiny" / "1" / "theirs").touch()
    keys = ("models", "torchscript", "parity", "palette_model", "golden", "quality", "data")
    facts = {key: getattr(manifest, key) for key in keys}
    path = bundle_module._publish(root, bundle_module.read_run(run), facts)
    assert path.name == "2"
    assert Manifest.read(path / "manifest.json").version == "2"
    assert [file.name for file in (tmp_path / "tiny" / "1").iterdir()] == ["theirs"]


def test_a_missing_checkpoint_is_said_before_anything_is_written(tmp_path):
    with pytest.raises(ExportError, match=r"recipe\.yaml: there is no such file; `semantic-palette train "):
        export_bundle(tmp_path / "nothing", tmp_path / "store", "tiny")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("name", ["", "Tiny", "../tiny", ".hidden", "a/b", "a" * 65])
def test_a_name_that_no_bundle_can_have_is_refused(run, tmp_path, name):
    with pytest.raises(InvalidInputError, match="bundle"):
        export_bundle(run, tmp_path, name)


def test_the_card_states_data_licence_quality_and_limits(exported, manifest):
    card = (exported / "MODEL_CARD.md").read_text()
    assert card.startswith("# tiny, version 4\n")
    assert f"{manifest.quality['natural']['kl_mean']:.2g}" in card
    assert f"{manifest.quality['natural']['fsd']:.2f}" in card
    assert "Apache-2.0" in card
    assert "| image | openvino-fp32 |" in card
    with Image.open(exported / "sample_sheet.png") as sheet:
        assert sheet.width > 400
    camvid = dataclasses.replace(manifest, data=manifest.data | DATA_FACTS["camvid"])
    assert "CC BY-NC 4.0, inherited from the training data: research use only" in model_card(camvid)


def test_the_manifest_is_plain_json_without_paths(exported):
    values = json.loads((exported / "manifest.json").read_text())
    assert values["training"]["recipe"]["data"]["name"] == "streets"
    assert values["training"]["recipe"]["image"] == {"seed": 0}
    assert values["training"]["stages"]["layout"]["steps"] == 3
    assert values["training"]["stages"]["layout"]["seconds"] == 90.0
    assert [session["seconds"] for session in values["training"]["stages"]["layout"]["sessions"]] == [60.0, 30.0]
    assert values["training"]["models"]["layout"]["stage"] == "layout"
    assert values["training"]["models"]["layout"]["config"]["conditioning"] == "saa"
    assert values["data"]["scenes"] == {"train": 24, "heldout": 6}
