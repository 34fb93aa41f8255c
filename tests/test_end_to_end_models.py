"""Every kind of model from scenes to files that serve: the paper's systems trained shrunk, exported, checked, served.

Editors in both budgets, image generators with no code and with styles, and a baseline without palettes.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image

from semantic_palette.cli.main import run
from semantic_palette.manifest import Manifest, verify_files
from semantic_palette.parity import broken, measure
from semantic_palette_services.runtime.store import ModelStore
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.export.bundle import export_bundle
from semantic_palette_training.export.engines import engines, onnxruntime_engine
from semantic_palette_training.export.sources import read_run

RECIPES = {
    "streets": "paper/cityscapes/editor",
    "faces": "paper/celebamask-hq/face-editor",
    "baseline": "paper/cityscapes/pgan-cgan",
}
INPUTS = {
    "streets": {"editor": ["z", "labels", "mask", "palette"], "image": ["labels"]},
    "faces": {
        "editor": ["z", "labels", "mask", "palette"],
        "image": ["labels", "styles"],
        "style_encoder": ["image", "labels"],
    },
    "baseline": {"layout": ["z", "palette"], "layout_scores": ["z", "palette"], "image": ["labels"]},
}
BUDGETS = {"streets": {"budget": "region"}, "faces": {"budget": "additions"}}

Bundle = tuple[str, Path, Manifest]

every_recipe = pytest.mark.parametrize("root", RECIPES, indirect=True, scope="module")
editors = pytest.mark.parametrize("root", ["streets", "faces"], indirect=True, scope="module")
faces = pytest.mark.parametrize("root", ["faces"], indirect=True, scope="module")
baseline = pytest.mark.parametrize("root", ["baseline"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run and a store whose only bundle is active; its name is that of the recipe here."""
    root = tmp_path_factory.mktemp("models") / str(request.param)
    assert run(["train", "--smoke", "--recipe", RECIPES[request.param], "--out", str(root / "run")]) == 0
    export_bundle(root / "run", root / "store", root.name, natural_samples=6, exact_samples=2, edit_samples=8)
    ModelStore(root / "store").activate(root.name, "1")
    return root


@pytest.fixture(scope="module")
def bundle(root: Path) -> Bundle:
    """The name of the recipe, the folder of the bundle and its manifest."""
    path = root / "store" / root.name / "1"
    return root.name, path, Manifest.read(path / "manifest.json")


@pytest.fixture(scope="module")
def golden(bundle: Bundle) -> dict[str, NDArray[Any]]:
    with np.load(bundle[1] / "golden.npz", allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def scenes(root: Path) -> dict[str, Scenes]:
    data = read_run(root / "run").data
    return {split: load_scenes(data, split) for split in ("train", "val")}


@every_recipe
def test_the_bundle_is_complete_and_its_digests_verify(bundle):
    name, path, manifest = bundle
    verify_files(path, manifest)
    named = {entry.file for entry in manifest.files()} | {"manifest.json", "MODEL_CARD.md", "sample_sheet.png"}
    assert {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()} == named
    assert {key: [spec.name for spec in entry.inputs] for key, entry in manifest.models.items()} == INPUTS[name]
    assert name == "baseline" or manifest.models["editor"].attributes == BUDGETS[name]
    assert (manifest.style_bank is not None) == ("style_encoder" in manifest.models)


@every_recipe
def test_models_read_their_weights_from_a_file_of_their_own(bundle):
    _, path, manifest = bundle
    for name, entry in manifest.models.items():
        weights = f"{'layout' if name == 'layout_scores' else name}.weights"
        assert list(entry.external_files) == [weights]
        model = onnx.load(path / entry.file, load_external_data=False)
        assert max(len(tensor.raw_data) for tensor in model.graph.initializer) < 1024
        assert not model.functions
        assert entry.macs > 1000
        assert 4 * entry.parameters < (path / weights).stat().st_size + 1024 * len(model.graph.initializer)


@every_recipe
def test_every_engine_answers_the_golden_samples(bundle, golden):
    _, path, manifest = bundle
    for name, entry in manifest.models.items():
        tensors = {spec.name: golden[f"{name}/{spec.name}"] for spec in (*entry.inputs, *entry.outputs)}
        output = entry.outputs[0].name
        assert len({len(array) for array in tensors.values()}) == 1
        for spec in (*entry.inputs, *entry.outputs):
            assert tensors[spec.name].dtype.name == spec.dtype
            assert list(tensors[spec.name].shape[1:]) == spec.shape[1:]
        inputs = {spec.name: tensors[spec.name][:3] for spec in entry.inputs}
        for engine in engines(path / entry.file, path / manifest.torchscript[name].file):
            if engine.full_precision:
                metrics = measure(output, inputs, tensors[output][:3], engine.run(inputs), entry.attributes)
                assert not broken(metrics, full_precision=True), (name, engine.name, metrics)


@editors
def test_edits_stay_in_their_mask_and_paint_no_class_that_is_not_asked_for(bundle, golden, scenes):
    _, _, manifest = bundle
    before, mask, palette, after = (golden[f"editor/{key}"] for key in ("labels", "mask", "palette", "edited"))
    heldout = scenes["val"].labels
    assert all((heldout == labels).all(axis=(1, 2)).any() for labels in before)
    np.testing.assert_allclose(palette.sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(after[mask == 0], before[mask == 0])
    whole = mask.all(axis=(1, 2))
    additions = manifest.models["editor"].attributes["budget"] == "additions"
    assert (0 < whole.sum() < len(whole)) == additions
    for labels, inside, shares, edited in zip(before, mask > 0, palette, after, strict=True):
        painted = inside & (edited != labels) if additions else inside
        assert (shares[edited[painted]] > 0).all()
        if not additions:
            assert shares[-1] == pytest.approx(1.0 - inside.mean(), abs=1e-6)


@every_recipe
def test_quality_is_measured_on_what_the_bundle_does(bundle):
    _, path, manifest = bundle
    quality, card = manifest.quality, (path / "MODEL_CARD.md").read_text()
    assert ("natural" in quality) == ("layout" in manifest.models) == ("FSD of natural layouts" in card)
    assert ("edits" in quality) == ("editor" in manifest.models) == ("Edits of held-out layouts" in card)
    if "edits" in quality:
        assert quality["edits"]["count"] == 8
        assert 0.0 < quality["edits"]["kl_mean"] <= quality["edits"]["kl_worst"]
    assert "| image | openvino-fp32 |" in card
    with Image.open(path / "sample_sheet.png") as sheet:
        assert sheet.width > 400
        assert len(sheet.getcolors(1 << 24)) > 20


@faces
def test_a_styled_bundle_lends_the_looks_of_training_scenes(bundle, scenes):
    _, path, manifest = bundle
    with np.load(path / manifest.style_bank.file, allow_pickle=False) as file:
        styles, present = file["styles"], file["present"]
    train = scenes["train"]
    assert (styles.dtype, present.dtype, styles.shape[:2]) == (np.float32, np.bool_, present.shape)
    np.testing.assert_array_equal(present, train.palettes() > 0)
    assert not styles[~present].any()
    encoder = onnxruntime_engine(path / "style_encoder.onnx")
    encoded = encoder.run({"image": train.images[:3], "labels": train.labels[:3]})
    np.testing.assert_allclose(encoded, styles[:3], atol=1e-4)


@faces
def test_no_image_of_the_data_set_is_in_the_golden_samples(golden, scenes):
    real = scenes["val"].images.astype(np.int64)
    assert min(np.abs(real - image).mean() for image in golden["style_encoder/image"].astype(np.int64)) > 8


@editors
def test_a_pair_is_edited_and_keeps_what_is_outside_of_the_box(root, scenes, tmp_path):
    before, photo = scenes["val"].labels[0], scenes["val"].images[0]
    Image.fromarray(before).save(tmp_path / "labels.png")
    Image.fromarray(photo).save(tmp_path / "image.png")
    inside = np.zeros(before.shape, bool)
    inside[8:28, 4:30] = True
    files = ["--labels", str(tmp_path / "labels.png"), "--image", str(tmp_path / "image.png")]
    asked = ["--box", "4,8,30,28", "--target", "pedestrian=0.5", "--count", "2", "--out", str(tmp_path / "edited")]
    assert run(["edit", "--model-store", str(root / "store"), *files, *asked]) == 0
    records = [json.loads(line) for line in (tmp_path / "edited" / "pairs.jsonl").read_text().splitlines()]
    assert len(records) == 2
    for record in records:
        labels, image = (np.asarray(Image.open(tmp_path / "edited" / record[key])) for key in ("label", "image"))
        np.testing.assert_array_equal(labels[~inside], before[~inside])
        np.testing.assert_array_equal(image[~inside], photo[~inside])
        assert (labels != before)[inside].any()
        assert (image != photo)[inside].any()


@baseline
def test_a_baseline_makes_pairs(root, tmp_path):
    command = ["generate", "--model-store", str(root / "store"), "--count", "3", "--seed", "3"]
    assert run([*command, "--out", str(tmp_path / "pairs")]) == 0
    assert len((tmp_path / "pairs" / "pairs.jsonl").read_text().splitlines()) == 3
