"""Every kind of model becomes a bundle: editors, image generators with and without a code, baselines, styles."""

import numpy as np
import onnx
import pytest
from export_runs import DATA, HEIGHT, NUM_CLASSES, WIDTH, editor, image_generator, layout_generator, write_run
from PIL import Image

from semantic_palette.errors import BundleError
from semantic_palette.manifest import Manifest, verify_files
from semantic_palette.parity import broken, measure
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.export.bundle import export_bundle
from semantic_palette_training.export.engines import engines, onnxruntime_engine

COMBINATIONS = {
    "editor and gaugan": lambda: {"editor": editor("region"), "image": image_generator("gaugan")},
    "faces": lambda: {"editor": editor("additions"), "image": image_generator("sean")},
    "baseline": lambda: {"layout": layout_generator("none"), "image": image_generator("pix2pixhd")},
}
INPUTS = {
    "editor and gaugan": {"editor": ["z", "labels", "mask", "palette"], "image": ["labels"]},
    "faces": {
        "editor": ["z", "labels", "mask", "palette"],
        "image": ["labels", "styles"],
        "style_encoder": ["image", "labels"],
    },
    "baseline": {"layout": ["z", "palette"], "layout_scores": ["z", "palette"], "image": ["labels"]},
}


@pytest.fixture(scope="module", params=COMBINATIONS)
def bundle(request, tmp_path_factory):
    """The name of a combination, its folder and its manifest."""
    run = write_run(tmp_path_factory.mktemp("run"), **COMBINATIONS[request.param]())
    path = export_bundle(
        run, tmp_path_factory.mktemp("store"), "tiny", natural_samples=6, exact_samples=2, edit_samples=8
    )
    return request.param, path, Manifest.read(path / "manifest.json")


@pytest.fixture(scope="module")
def golden(bundle):
    with np.load(bundle[1] / "golden.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def test_the_bundle_is_complete_and_its_digests_verify(bundle):
    name, path, manifest = bundle
    verify_files(path, manifest)
    named = {entry.file for entry in manifest.files()} | {"manifest.json", "MODEL_CARD.md", "sample_sheet.png"}
    assert {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()} == named
    assert {key: [spec.name for spec in entry.inputs] for key, entry in manifest.models.items()} == INPUTS[name]
    budgets = {"editor and gaugan": {"budget": "region"}, "faces": {"budget": "additions"}}
    if "editor" in manifest.models:
        assert manifest.models["editor"].attributes == budgets[name]


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


def test_edits_stay_in_their_mask_and_paint_no_class_that_is_not_asked_for(bundle, golden):
    _, _, manifest = bundle
    if "editor" not in manifest.models:
        assert not [key for key in golden if key.startswith("editor/")]
        return
    before, mask, palette, after = (golden[f"editor/{key}"] for key in ("labels", "mask", "palette", "edited"))
    heldout = load_scenes(DATA, "val").labels
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
            assert shares[NUM_CLASSES] == pytest.approx(1.0 - inside.mean(), abs=1e-6)


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


def test_a_styled_bundle_lends_the_looks_of_training_scenes(bundle):
    name, path, manifest = bundle
    if name != "faces":
        assert manifest.style_bank is None
        return
    with np.load(path / manifest.style_bank.file, allow_pickle=False) as file:
        styles, present = file["styles"], file["present"]
    train = load_scenes(DATA, "train")
    assert (styles.dtype, styles.shape, present.dtype) == (np.float32, (24, NUM_CLASSES, 5), np.bool_)
    np.testing.assert_array_equal(present, train.palettes() > 0)
    assert not styles[~present].any()
    encoder = onnxruntime_engine(path / "style_encoder.onnx")
    encoded = encoder.run({"image": train.images[:3], "labels": train.labels[:3]})
    np.testing.assert_allclose(encoded, styles[:3], atol=1e-4)


def test_no_image_of_the_data_set_is_in_the_golden_samples(bundle, golden):
    name, _, _ = bundle
    if name == "faces":
        shipped = golden["style_encoder/image"]
        assert shipped.shape == (16, HEIGHT, WIDTH, 3)
        real = load_scenes(DATA, "val").images.astype(np.int64)
        assert min(np.abs(real - image).mean() for image in shipped.astype(np.int64)) > 8


def test_a_damaged_style_bank_no_longer_verifies(bundle):
    name, path, manifest = bundle
    if name == "faces":
        file = path / manifest.style_bank.file
        content = file.read_bytes()
        try:
            file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
            with pytest.raises(BundleError, match=r"styles\.npz"):
                verify_files(path, manifest)
        finally:
            file.write_bytes(content)
