"""A small but real bundle for the tests of the services: true ONNX graphs, golden outputs by numpy, a true manifest.

The layout model is a random linear map of z to class scores, followed by semantically-assisted activation (SAA); the
editor is the same with a background class, merged into the layout it is given; the image model looks colours up and
tints them by z, or, styled, paints every class in the colour that is its style. The style encoder takes the mean colour
of every class. They are tiny, and do what the models of a trained bundle do.

Legend: B batch, K classes, E = K + 1 (background last), H, W height and width, N = H * W, Z and Zi latent sizes,
S style size, M scenes of the style bank.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from tiny_graphs import (
    OBEYED_AREA,
    POISON_CLASS,
    POISON_SHARE,
    ImageKind,
    editor_graph,
    image_graph,
    layout_graph,
    model_of,
    style_encoder_graph,
)
from tiny_models import NAMES, STYLE_SIZE, Tiny

from semantic_palette.manifest import FileEntry, Manifest, ModelEntry, TensorSpec, file_sha256
from semantic_palette.palette_model import PaletteModel

__all__ = [
    "BASIC",
    "EDITING",
    "FACES",
    "NAMES",
    "OBEYED_AREA",
    "POISON_CLASS",
    "POISON_SHARE",
    "Tiny",
    "corrupt",
    "falsify",
    "write_tiny_bundle",
]

GOLDEN_SAMPLES = 16
WEIGHTS_FILE = "layout.weights"

BASIC = ("layout", "layout_scores", "image")
EDITING = (*BASIC, "editor")
FACES = ("editor", "image", "style_encoder")


def write_tiny_bundle(
    store: Path,
    name: str = "tiny",
    version: str = "1",
    *,
    seed: int = 0,
    num_classes: int = 6,
    height: int = 16,
    width: int = 32,
    models: Collection[str] = BASIC,
    budget: str = "region",
    image: ImageKind = "latent",
    bank: bool = True,
    schema: int = 2,
    poison: Collection[str] = (),
    disobedient: bool = False,
    work: int = 0,
    ballast: int = 0,
    activate: bool = True,
) -> Tiny:
    """Write a bundle to a model store.

    Args:
        store: root of the model store; made if it is not there.
        name: name of the bundle.
        version: version of the bundle.
        seed: of the weights.
        num_classes: K, at most 12.
        height: H.
        width: W.
        models: operations that the bundle has.
        budget: of the editor, "region" or "additions".
        image: what the image model takes beside labels: "latent", "plain" (nothing) or "styled".
        bank: whether a bundle with styled images has a style bank.
        schema: of the manifest; 1 for `BASIC` alone.
        poison: models that fail on the marker input, of "layout" (layout and layout_scores) and "image".
        disobedient: whether the editor paints the whole frame where the region is small (`OBEYED_AREA`).
        work: matrix products of size 512 that are added to each model with z to slow it down; about 0.1 ms each.
        ballast: bytes of weights that are added to the image model and change nothing.
        activate: whether to make the version the active one.

    Returns:
        The weights, and the models in numpy.
    """
    tiny = Tiny.create(seed, num_classes, height, width)
    root = store / name / version
    root.mkdir(parents=True)
    graphs = {
        "layout": lambda: layout_graph(tiny, "labels", "layout" in poison, work),
        "layout_scores": lambda: layout_graph(tiny, "scores", "layout" in poison, work),
        "editor": lambda: editor_graph(tiny, budget, disobedient, work),
        "image": lambda: image_graph(tiny, image, "image" in poison, work, ballast),
        "style_encoder": lambda: style_encoder_graph(tiny),
    }
    specs = {operation: _specs(tiny, image)[operation] for operation in models}
    for operation, (inputs, outputs) in specs.items():
        external = operation in ("layout", "layout_scores")
        _save(root, f"{operation}.onnx", model_of(graphs[operation](), inputs, outputs), external=external)
    _palette_model(num_classes, seed).save(root / "palette.npz")
    if image == "styled" and bank:
        np.savez(root / "styles.npz", styles=tiny.bank_styles, present=tiny.bank_present)
    golden = _golden(tiny, seed, models, budget, image)
    np.savez(root / "golden.npz", **(_golden_of_schema_1(golden) if schema == 1 else golden))
    _manifest(tiny, root, name, version, specs, budget, schema).write(root / "manifest.json")
    if activate:
        (store / name / "active").write_text(f"{version}\n")
    return tiny


def corrupt(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def falsify(bundle: Path) -> None:
    """Give the image model the golden outputs of other inputs, and the manifest a digest that agrees.

    Nothing but the check against golden outputs can notice.
    """
    golden, manifest = bundle / "golden.npz", bundle / "manifest.json"
    with np.load(golden) as file:
        arrays = dict(file)
    np.savez(golden, **(arrays | {"image/image": arrays["image/image"][::-1]}))
    content = json.loads(manifest.read_text())
    content["golden"]["sha256"] = file_sha256(golden)
    manifest.write_text(json.dumps(content))


def _golden(tiny: Tiny, seed: int, models: Collection[str], budget: str, image: ImageKind) -> dict[str, Any]:
    """Inputs and outputs of every model of the bundle, as `<operation>/<tensor>`."""
    rng = np.random.default_rng(seed + 1)
    palettes = rng.dirichlet(np.ones(tiny.num_classes), GOLDEN_SAMPLES).astype(np.float32)
    z_layout = rng.normal(size=(GOLDEN_SAMPLES, tiny.latent_size)).astype(np.float32)
    z_image = rng.normal(size=(GOLDEN_SAMPLES, tiny.image_latent_size)).astype(np.float32)
    drawn = rng.integers(tiny.num_classes, size=(GOLDEN_SAMPLES, tiny.height, tiny.width)).astype(np.uint8)
    photos = tiny.image(drawn, z_image)
    arrays: dict[str, Any] = {}
    if "layout" in models:
        labels = tiny.labels(z_layout, palettes)
        arrays |= _named("layout", z=z_layout, palette=palettes, labels=labels)
    if "layout_scores" in models:
        scores = tiny.scores(z_layout, palettes)
        arrays |= _named("layout_scores", z=z_layout, palette=palettes, scores=scores)
    if "editor" in models:
        mask = np.zeros_like(drawn)
        for row, inside in enumerate(mask):
            inside[: 8 + row // 2, row:] = 1
        area = mask.mean(axis=(1, 2), dtype=np.float32)[:, None]
        palette = np.concatenate([palettes * area, 1 - area], axis=1).astype(np.float32)
        edited = tiny.edited(z_layout, drawn, mask, palette, budget)
        arrays |= _named("editor", z=z_layout, labels=drawn, mask=mask, palette=palette, edited=edited)
    if "image" in models and image == "styled":
        styles = tiny.styles(photos, drawn)
        arrays |= _named("image", labels=drawn, styles=styles, image=tiny.styled_image(drawn, styles))
    elif "image" in models:
        z_image = z_image if image == "latent" else np.zeros_like(z_image)
        arrays |= _named("image", labels=drawn, z=z_image, image=tiny.image(drawn, z_image))
    if "style_encoder" in models:
        arrays |= _named("style_encoder", image=photos, labels=drawn, styles=tiny.styles(photos, drawn))
    return arrays


def _named(operation: str, **tensors: Any) -> dict[str, Any]:
    return {f"{operation}/{name}": tensor for name, tensor in tensors.items()}


def _golden_of_schema_1(golden: dict[str, Any]) -> dict[str, Any]:
    names = {
        "palettes": "layout/palette",
        "z_layout": "layout/z",
        "labels": "layout/labels",
        "layouts": "image/labels",
        "z_image": "image/z",
        "images": "image/image",
    }
    return {name: golden[key] for name, key in names.items()}


def _palette_model(num_classes: int, seed: int) -> PaletteModel:
    rng = np.random.default_rng(seed + 2)
    means = rng.dirichlet(np.full(num_classes, 4.0), 3)
    covariances = np.stack([np.eye(num_classes) * 4e-4 for _ in means])
    return PaletteModel(np.array([0.5, 0.3, 0.2]), means, covariances)


def _specs(tiny: Tiny, image: ImageKind) -> dict[str, tuple[list[TensorSpec], list[TensorSpec]]]:
    k, h, w = tiny.num_classes, tiny.height, tiny.width
    z = TensorSpec("z", "float32", ["batch", tiny.latent_size])
    palette = TensorSpec("palette", "float32", ["batch", k])
    labels, mask, edited = (TensorSpec(name, "uint8", ["batch", h, w]) for name in ("labels", "mask", "edited"))
    photo = TensorSpec("image", "uint8", ["batch", h, w, 3])
    styles = TensorSpec("styles", "float32", ["batch", k, STYLE_SIZE])
    z_image = TensorSpec("z", "float32", ["batch", tiny.image_latent_size])
    beside = {"latent": [z_image], "plain": [], "styled": [styles]}[image]
    return {
        "layout": ([z, palette], [labels]),
        "layout_scores": ([z, palette], [TensorSpec("scores", "float32", ["batch", k, h, w])]),
        "editor": ([z, labels, mask, TensorSpec("palette", "float32", ["batch", k + 1])], [edited]),
        "image": ([labels, *beside], [photo]),
        "style_encoder": ([photo, labels], [styles]),
    }


def _save(root: Path, file: str, model: onnx.ModelProto, *, external: bool) -> None:
    """Save a model; ``weights`` and ``bias`` go to the file that both layout models share."""
    if external:
        data, offset = b"", 0
        for tensor in model.graph.initializer:
            if tensor.name in ("weights", "bias"):
                raw = tensor.raw_data
                onnx.external_data_helper.set_external_data(tensor, WEIGHTS_FILE, offset=offset, length=len(raw))
                tensor.ClearField("raw_data")
                data, offset = data + raw, offset + len(raw)
        (root / WEIGHTS_FILE).write_bytes(data)
    (root / file).write_bytes(model.SerializeToString())


def _manifest(
    tiny: Tiny,
    root: Path,
    name: str,
    version: str,
    specs: dict[str, tuple[list[TensorSpec], list[TensorSpec]]],
    budget: str,
    schema: int,
) -> Manifest:
    models = {}
    parameters = {"image": tiny.tint.size, "style_encoder": 0}
    for operation, (inputs, outputs) in specs.items():
        file = f"{operation}.onnx"
        shared = {WEIGHTS_FILE: file_sha256(root / WEIGHTS_FILE)} if operation.startswith("layout") else {}
        number = parameters.get(operation, tiny.weights.size + tiny.bias.size)
        attributes = {"budget": budget} if operation == "editor" else {}
        sha256 = file_sha256(root / file)
        models[operation] = ModelEntry(file, sha256, shared, inputs, outputs, number, number, attributes)
    bank = root / "styles.npz"
    return Manifest(
        name=name,
        version=version,
        label_space=tiny.label_space(),
        height=tiny.height,
        width=tiny.width,
        palette_model=FileEntry("palette.npz", file_sha256(root / "palette.npz")),
        models=models,
        torchscript={},
        golden=FileEntry("golden.npz", file_sha256(root / "golden.npz")),
        training={},
        data={"name": "random weights", "licence": "Apache-2.0", "use": "tests"},
        quality={},
        parity={},
        created="2026-01-01T00:00:00Z",
        package_version="0.1.0",
        style_bank=FileEntry(bank.name, file_sha256(bank)) if bank.exists() else None,
        schema_version=schema,
    )
