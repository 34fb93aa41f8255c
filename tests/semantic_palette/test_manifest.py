"""Manifests: strict reading, digests, and paths that stay in the bundle."""

import hashlib
import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from semantic_palette.errors import BundleError
from semantic_palette.label_space import STREETS
from semantic_palette.manifest import (
    FileEntry,
    Manifest,
    ModelEntry,
    TensorSpec,
    file_sha256,
    manifest_digest,
    verify_files,
)

FILES = ["palette.npz", "layout.onnx", "layout.weights", "torchscript/layout.pt", "golden.npz", "styles.npz"]


@pytest.fixture
def bundle(tmp_path: Path) -> tuple[Path, Manifest]:
    """A folder with the files of a manifest, and the manifest."""
    entries = {}
    for file in FILES:
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(file.encode())
        entries[file] = FileEntry(file, hashlib.sha256(file.encode()).hexdigest())
    model = ModelEntry(
        file="layout.onnx",
        sha256=entries["layout.onnx"].sha256,
        external_files={"layout.weights": entries["layout.weights"].sha256},
        inputs=[TensorSpec("z", "float32", ["batch", 64]), TensorSpec("palette", "float32", ["batch", 12])],
        outputs=[TensorSpec("labels", "uint8", ["batch", 128, 256])],
        parameters=1000,
        macs=2000,
        attributes={"budget": "region"},
    )
    manifest = Manifest(
        name="streets",
        version="1",
        label_space=STREETS,
        height=128,
        width=256,
        palette_model=entries["palette.npz"],
        models={"layout": model},
        torchscript={"layout": entries["torchscript/layout.pt"]},
        golden=entries["golden.npz"],
        style_bank=entries["styles.npz"],
        training={"steps": 10},
        data={"name": "streets", "licence": "Apache-2.0", "use": "any"},
        quality={"kl": 0.1},
        parity={"layout.onnx": 1.0},
        created="2026-01-01T00:00:00Z",
        package_version="0.1.0",
    )
    return tmp_path, manifest


def test_write_and_read_round_trip(bundle: tuple[Path, Manifest]) -> None:
    root, manifest = bundle
    path = root / "manifest.json"
    manifest.write(path)
    assert Manifest.read(path) == manifest
    assert manifest_digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    verify_files(root, Manifest.read(path))
    assert {entry.file for entry in manifest.files()} == set(FILES)


@pytest.mark.parametrize("file", FILES)
def test_a_changed_file_is_an_error_with_both_digests(bundle: tuple[Path, Manifest], file: str) -> None:
    root, manifest = bundle
    expected = file_sha256(root / file)
    (root / file).write_bytes(b"changed")
    with pytest.raises(BundleError) as caught:
        verify_files(root, manifest)
    message = str(caught.value)
    assert file in message
    assert expected in message
    assert hashlib.sha256(b"changed").hexdigest() in message


def test_a_missing_file_is_an_error_that_names_it(bundle: tuple[Path, Manifest]) -> None:
    root, manifest = bundle
    (root / "golden.npz").unlink()
    with pytest.raises(BundleError, match=r"golden\.npz"):
        verify_files(root, manifest)


def _changed(manifest: Manifest, path: list[Any], value: Any) -> dict[str, Any]:
    data = deepcopy(manifest.to_json())
    target = data
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["schema_version"], 3, "schema_version: 3 is not supported; 1 and 2 are"),
        (["schema_version"], True, "schema_version: True"),
        (["schema_version"], 1, "is not a known key"),
        (["style_bank"], None, "manifest.style_bank"),
        (["style_bank", "sha256"], "abc", "manifest.style_bank.sha256"),
        (["models", "layout", "attributes"], "region", "manifest.models.layout.attributes"),
        (["models", "layout", "attributes", "budget"], 1, "manifest.models.layout.attributes[budget]: 1"),
        (["height"], 0, "manifest.height"),
        (["width"], "256", "manifest.width"),
        (["width"], True, "manifest.width"),
        (["surprise"], 1, "manifest.surprise is not a known key"),
        (["label_space", "classes"], [], "label_space.classes"),
        (["golden", "sha256"], "abc", "manifest.golden.sha256"),
        (["golden", "sha256"], "A" * 64, "manifest.golden.sha256"),
        (["golden", "file"], "../golden.npz", "manifest.golden.file"),
        (["golden", "file"], "/etc/passwd", "manifest.golden.file"),
        (["golden", "file"], "a/../../b", "manifest.golden.file"),
        (["golden", "file"], "..\\b", "manifest.golden.file"),
        (["golden", "file"], "C:b", "manifest.golden.file"),
        (["golden", "file"], "", "manifest.golden.file"),
        (["palette_model"], "palette.npz", "manifest.palette_model"),
        (["models", "layout", "macs"], 1.5, "manifest.models.layout.macs"),
        (["models", "layout", "external_files"], {"../w": "0" * 64}, "external_files"),
        (["models", "layout", "external_files"], {"w": 3}, "external_files[w]"),
        (["models", "layout", "inputs", 0, "shape"], [None], "inputs[0].shape"),
        (["models", "layout", "inputs", 0], {"name": "z"}, "inputs[0].dtype is missing"),
        (["torchscript", "layout"], {}, "torchscript.layout.file is missing"),
    ],
)
def test_a_wrong_manifest_is_an_error_that_names_the_key(
    bundle: tuple[Path, Manifest], path: list[Any], value: Any, words: str
) -> None:
    with pytest.raises(BundleError) as caught:
        Manifest.from_json(_changed(bundle[1], path, value))
    assert words in str(caught.value)


def tensor(name: str, dtype: str, *sizes: int | str) -> dict[str, Any]:
    return {"name": name, "dtype": dtype, "shape": list(sizes)}


def with_all_operations(manifest: Manifest) -> dict[str, Any]:
    """The manifest with the models of every operation, as JSON."""
    data = manifest.to_json()
    labels, mask, edited = (tensor(name, "uint8", "batch", 128, 256) for name in ("labels", "mask", "edited"))
    z, styles = tensor("z", "float32", "batch", 8), tensor("styles", "float32", "batch", 12, 16)
    photo, palette = (tensor("image", "uint8", "batch", 128, 256, 3), tensor("palette", "float32", "batch", 12))
    signatures = {
        "layout": ([z, palette], labels),
        "layout_scores": ([z, palette], tensor("scores", "float32", "batch", 12, 128, 256)),
        "editor": ([z, labels, mask, tensor("palette", "float32", "batch", 13)], edited),
        "image": ([labels, styles], photo),
        "style_encoder": ([photo, labels], styles),
    }
    entry = {key: value for key, value in data["models"]["layout"].items() if key != "attributes"}
    data["models"] = {
        operation: deepcopy(entry | {"inputs": inputs, "outputs": [output]})
        for operation, (inputs, output) in signatures.items()
    }
    data["models"]["editor"]["attributes"] = {"budget": "additions"}
    return data


def test_every_operation_can_be_in_a_bundle(bundle: tuple[Path, Manifest]) -> None:
    data = with_all_operations(bundle[1])
    assert Manifest.from_json(data).to_json() == data
    for beside in ([], [tensor("z", "float32", "batch", 4)]):
        changed = deepcopy(data)
        changed["models"]["image"]["inputs"][1:] = beside
        assert len(Manifest.from_json(changed).models["image"].inputs) == 1 + len(beside)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["editor", "attributes"], {"budget": "frame"}, "attributes.budget: 'frame' is unknown; region, additions are"),
        (["editor", "inputs", 3, "shape"], ["batch", 12], "editor.inputs[3].shape"),
        (["editor", "outputs", 0, "name"], "labels", "editor.outputs: (labels) is not allowed; (edited) is"),
        (["layout", "inputs", 1, "shape"], ["batch", 13], "[batch, 12] is"),
        (["layout", "inputs", 0, "shape"], ["batch", 0], "[batch, Z] is"),
        (["layout", "inputs", 0, "shape"], ["batch", 8, 1], "[batch, Z] is"),
        (["layout", "inputs", 0, "shape"], [1, 8], "layout.inputs[0].shape"),
        (["layout", "inputs", 0, "shape"], ["batch", "any"], "layout.inputs[0].shape"),
        (["layout", "inputs"], [], "layout.inputs: () is not allowed; (z, palette) is"),
        (["layout", "outputs", 0, "shape"], ["batch", 256, 128], "[batch, 128, 256] is"),
        (["layout", "outputs", 0, "dtype"], "int64", "layout.outputs[0].dtype: 'int64'"),
        (["image", "outputs", 0, "shape"], ["batch", 3, 128, 256], "[batch, 128, 256, 3] is"),
        (["image", "inputs", 1, "shape"], ["batch", 12, 8], "styles of 16 and 8 numbers"),
        (["style_encoder", "inputs", 0, "name"], "photo", "style_encoder.inputs: (photo, labels)"),
    ],
)
def test_an_operation_that_no_service_could_run_is_refused(
    bundle: tuple[Path, Manifest], path: list[Any], value: Any, words: str
) -> None:
    data = with_all_operations(bundle[1])
    target = data["models"]
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(BundleError) as caught:
        Manifest.from_json(data)
    assert words in str(caught.value)


def test_an_unknown_operation_is_refused(bundle: tuple[Path, Manifest]) -> None:
    data = with_all_operations(bundle[1])
    data["models"]["depth"] = data["models"]["image"]
    with pytest.raises(BundleError, match=r"manifest\.models\.depth is no known operation; layout, layout_scores, "):
        Manifest.from_json(data)
    # Of schema 1, which is as it was, nothing more is asked than before.
    del data["style_bank"], data["models"]["editor"]
    assert "depth" in Manifest.from_json(data | {"schema_version": 1}).models


@pytest.mark.parametrize(("num_classes", "fits"), [(255, True), (256, False)])
def test_the_background_of_an_editor_needs_an_id(bundle: tuple[Path, Manifest], num_classes: int, fits: bool) -> None:
    data = with_all_operations(bundle[1])
    classes = [{"id": i, "name": f"class {i}", "colour": [i, 0, 0]} for i in range(num_classes)]
    data["label_space"] = {"name": "many", "classes": classes}
    data["models"] = {"editor": data["models"]["editor"]}
    data["models"]["editor"]["inputs"][3]["shape"] = ["batch", num_classes + 1]
    if fits:
        assert Manifest.from_json(data).label_space.num_classes == num_classes
        return
    with pytest.raises(BundleError, match="256 classes are not allowed; an editor has at most 255"):
        Manifest.from_json(data)


@pytest.mark.parametrize("key", ["golden", "models", "package_version", "schema_version"])
def test_a_missing_key_is_named(bundle: tuple[Path, Manifest], key: str) -> None:
    data = bundle[1].to_json()
    del data[key]
    with pytest.raises(BundleError, match=f"manifest.{key} is missing"):
        Manifest.from_json(data)


def test_what_schema_2_added_is_optional_and_unknown_to_schema_1(bundle: tuple[Path, Manifest]) -> None:
    data = bundle[1].to_json()
    del data["style_bank"]
    del data["models"]["layout"]["attributes"]
    plain = Manifest.from_json(data)
    assert plain.style_bank is None
    assert plain.models["layout"].attributes == {}
    assert plain.to_json() == data
    assert "styles.npz" not in {entry.file for entry in plain.files()}
    first = Manifest.from_json(data | {"schema_version": 1})
    assert first == replace(plain, schema_version=1)
    assert first.to_json() == data | {"schema_version": 1}
    data["models"]["layout"]["attributes"] = {}
    with pytest.raises(BundleError, match=r"models\.layout\.attributes is not a known key"):
        Manifest.from_json(data | {"schema_version": 1})


def test_the_committed_bundle_of_schema_1_keeps_its_bytes(tmp_path: Path) -> None:
    path = Path(__file__).parents[2] / "model_store" / "camvid" / "1" / "manifest.json"
    manifest = Manifest.read(path)
    assert manifest.schema_version == 1
    manifest.write(tmp_path / "manifest.json")
    assert (tmp_path / "manifest.json").read_bytes() == path.read_bytes()


def test_unreadable_manifests_are_errors_that_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Manifest.read(path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Manifest.read(path)
    path.write_text(json.dumps([]), encoding="utf-8")
    with pytest.raises(BundleError, match="an object"):
        Manifest.read(path)


def test_the_same_manifest_has_the_same_bytes(bundle: tuple[Path, Manifest]) -> None:
    root, manifest = bundle
    manifest.write(root / "a.json")
    Manifest.read(root / "a.json").write(root / "b.json")
    assert (root / "a.json").read_bytes() == (root / "b.json").read_bytes()
