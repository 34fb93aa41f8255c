"""A small but real bundle for the tests of the services: true ONNX graphs, golden outputs by numpy, a true manifest.

The layout model is a random linear map of z to class scores, followed by semantically-assisted activation (SAA); the
editor is the same with a background class, merged into the layout it is given; the image model looks colours up and
tints them by z, or, styled, paints every class in the colour that is its style. The style encoder takes the mean colour
of every class. They are tiny, and do what the models of a trained bundle do.

Legend: B batch, K classes, E = K + 1 (background last), H, W height and width, N = H * W, Z and Zi latent sizes,
S style size, M scenes of the style bank.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from semantic_palette.label_space import LabelClass, LabelSpace
from semantic_palette.manifest import FileEntry, Manifest, ModelEntry, TensorSpec, file_sha256
from semantic_palette.palette_model import PaletteModel

Array: TypeAlias = NDArray[Any]

NAMES = ("sky", "building", "road", "tree", "car", "pedestrian", "pole", "sign", "fence", "bicyclist", "grass", "void")
FORBIDDEN = np.float32(-1e9)
GOLDEN_SAMPLES = 16
WEIGHTS_FILE = "layout.weights"

STYLE_SIZE = 3
BANK_SCENES = 5

# Edits of regions that are a smaller share of the frame are done everywhere by a disobedient editor.
OBEYED_AREA = np.float32(0.1)

ImageKind: TypeAlias = Literal["latent", "plain", "styled"]
BASIC = ("layout", "layout_scores", "image")
EDITING = (*BASIC, "editor")
FACES = ("editor", "image", "style_encoder")

# A poisoned layout model fails on palettes that are all of this class, a poisoned image model on such layouts.
POISON_CLASS = 0
POISON_SHARE = np.float32(0.999)


@dataclass(frozen=True)
class Tiny:
    """Sizes and weights of a tiny bundle, and its models in numpy."""

    num_classes: int
    height: int
    width: int
    latent_size: int
    image_latent_size: int
    weights: Array  # float32 [Z, K*H*W]
    bias: Array  # float32 [K*H*W]
    colours: Array  # float32 [K, 3]
    tint: Array  # float32 [Zi, 3]
    editor_weights: Array  # float32 [Z, E*H*W]
    editor_bias: Array  # float32 [E*H*W]
    bank_styles: Array  # float32 [M, K, S]
    bank_present: Array  # bool [M, K]

    @classmethod
    def create(cls, seed: int, num_classes: int, height: int, width: int) -> Tiny:
        rng, more = np.random.default_rng(seed), np.random.default_rng(seed + 3)
        latent_size, image_latent_size = 8, 4
        size, editor_size = num_classes * height * width, (num_classes + 1) * height * width
        return cls(
            num_classes,
            height,
            width,
            latent_size,
            image_latent_size,
            weights=rng.normal(size=(latent_size, size)).astype(np.float32),
            bias=rng.normal(size=size).astype(np.float32),
            colours=rng.uniform(30, 225, size=(num_classes, 3)).round().astype(np.float32),
            tint=rng.normal(scale=8.0, size=(image_latent_size, 3)).astype(np.float32),
            editor_weights=more.normal(size=(latent_size, editor_size)).astype(np.float32),
            editor_bias=more.normal(size=editor_size).astype(np.float32),
            bank_styles=more.uniform(size=(BANK_SCENES, num_classes, STYLE_SIZE)).astype(np.float32),
            bank_present=more.uniform(size=(BANK_SCENES, num_classes)) < 0.7,
        )

    def scores(self, z_BZ: Array, palette_BK: Array) -> Array:
        """log omega of SAA, float32 [B, K, H, W]: f + log t - logsumexp over the pixels of f."""
        return self._saa(z_BZ @ self.weights + self.bias, palette_BK)

    def _saa(self, flat: Array, palette_BK: Array) -> Array:
        f_BKN = flat.reshape(*palette_BK.shape, -1)
        peak = f_BKN.max(axis=2, keepdims=True)
        log_sum = np.log(np.exp(f_BKN - peak).sum(axis=2, keepdims=True)) + peak
        with np.errstate(divide="ignore"):
            log_t = np.log(palette_BK)[:, :, None]
        omega = np.where(palette_BK[:, :, None] > 0, f_BKN + log_t - log_sum, FORBIDDEN).astype(np.float32)
        scores: Array = omega.reshape(*palette_BK.shape, self.height, self.width)
        return scores

    def labels(self, z_BZ: Array, palette_BK: Array) -> Array:
        """Argmax of the scores, uint8 [B, H, W]."""
        labels: Array = self.scores(z_BZ, palette_BK).argmax(axis=1).astype(np.uint8)
        return labels

    def image(self, labels_BHW: Array, z_BZ: Array) -> Array:
        """Colours of the classes, tinted by z, uint8 [B, H, W, 3]."""
        tint = (z_BZ @ self.tint)[:, None, None, :]
        image: Array = np.clip(np.rint(self.colours[labels_BHW] + tint), 0, 255).astype(np.uint8)
        return image

    def edited(self, z_BZ: Array, labels_BHW: Array, mask_BHW: Array, palette_BE: Array, budget: str) -> Array:
        """The layout, painted over in the mask: everywhere (region), or where the background loses (additions)."""
        scores_BEHW = self._saa(z_BZ @ self.editor_weights + self.editor_bias, palette_BE)
        candidates = scores_BEHW if budget == "additions" else scores_BEHW[:, :-1]
        winner = candidates.argmax(axis=1)
        painted = (mask_BHW > 0) & (winner < self.num_classes)
        edited: Array = np.where(painted, winner, labels_BHW).astype(np.uint8)
        return edited

    def styles(self, image_BHW3: Array, labels_BHW: Array) -> Array:
        """Mean colour of every class in [0, 1], 0 where it is absent, float32 [B, K, S]."""
        shown_BKN = self._one_hot(labels_BHW)
        sums = shown_BKN @ image_BHW3.reshape(len(image_BHW3), -1, 3).astype(np.float32)
        styles: Array = sums / (np.maximum(shown_BKN.sum(axis=2), 1) * 255)[:, :, None]
        return styles.astype(np.float32)

    def styled_image(self, labels_BHW: Array, styles_BKS: Array) -> Array:
        """Every class in the colour that is its style, uint8 [B, H, W, 3]."""
        colours = self._one_hot(labels_BHW).transpose(0, 2, 1) @ styles_BKS
        image: Array = np.clip(np.rint(colours * np.float32(255)), 0, 255).astype(np.uint8)
        return image.reshape(*labels_BHW.shape, 3)

    def _one_hot(self, labels_BHW: Array) -> Array:
        ids = np.arange(self.num_classes, dtype=np.uint8)[None, :, None]
        shown: Array = (labels_BHW.reshape(len(labels_BHW), 1, -1) == ids).astype(np.float32)
        return shown

    def label_space(self) -> LabelSpace:
        colours = self.colours.astype(int).tolist()
        classes = [LabelClass(i, NAMES[i], tuple(colours[i])) for i in range(self.num_classes)]
        return LabelSpace("tiny", classes)


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
        activate: whether to make the version the active one.

    Returns:
        The weights, and the models in numpy.
    """
    tiny = Tiny.create(seed, num_classes, height, width)
    root = store / name / version
    root.mkdir(parents=True)
    graphs = {
        "layout": lambda: _layout_graph(tiny, "labels", "layout" in poison, work),
        "layout_scores": lambda: _layout_graph(tiny, "scores", "layout" in poison, work),
        "editor": lambda: _editor_graph(tiny, budget, disobedient, work),
        "image": lambda: _image_graph(tiny, image, "image" in poison, work),
        "style_encoder": lambda: _style_encoder_graph(tiny),
    }
    specs = {operation: _specs(tiny, image)[operation] for operation in models}
    for operation, (inputs, outputs) in specs.items():
        external = operation in ("layout", "layout_scores")
        _save(root, f"{operation}.onnx", _model(graphs[operation](), inputs, outputs), external=external)
    _palette_model(num_classes, seed).save(root / "palette.npz")
    if image == "styled" and bank:
        np.savez(root / "styles.npz", styles=tiny.bank_styles, present=tiny.bank_present)
    golden = _golden(tiny, seed, budget, image)
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


def _golden(tiny: Tiny, seed: int, budget: str, image: ImageKind) -> dict[str, Any]:
    rng = np.random.default_rng(seed + 1)
    palettes = rng.dirichlet(np.ones(tiny.num_classes), GOLDEN_SAMPLES).astype(np.float32)
    z_layout = rng.normal(size=(GOLDEN_SAMPLES, tiny.latent_size)).astype(np.float32)
    z_image = rng.normal(size=(GOLDEN_SAMPLES, tiny.image_latent_size)).astype(np.float32)
    labels = tiny.labels(z_layout, palettes)
    layouts = np.ascontiguousarray(labels[:, ::-1])
    photos = tiny.image(layouts, z_image)
    masks = np.zeros_like(layouts)
    for row, mask in enumerate(masks):
        mask[: 8 + row // 2, row:] = 1
    area = masks.mean(axis=(1, 2), dtype=np.float32)[:, None]
    frame = np.concatenate([palettes * area, 1 - area], axis=1).astype(np.float32)
    styles = tiny.styles(photos, layouts)
    images = tiny.styled_image(layouts, styles) if image == "styled" else photos
    if image == "plain":
        images = tiny.image(layouts, np.zeros_like(z_image))
    return {
        "layout/z": z_layout,
        "layout/palette": palettes,
        "layout/labels": labels,
        "layout_scores/z": z_layout,
        "layout_scores/palette": palettes,
        "layout_scores/scores": tiny.scores(z_layout, palettes),
        "editor/z": z_layout,
        "editor/labels": layouts,
        "editor/mask": masks,
        "editor/palette": frame,
        "editor/edited": tiny.edited(z_layout, layouts, masks, frame, budget),
        "image/labels": layouts,
        "image/z": z_image,
        "image/styles": styles,
        "image/image": images,
        "style_encoder/image": photos,
        "style_encoder/labels": layouts,
        "style_encoder/styles": styles,
    }


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


class _Graph:
    """Collects nodes; every method returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, name: str | None = None) -> str:
        name = name or f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, op: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        output = output or f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def poisoned(self, tensor: str, last_size: int, is_marker: str) -> str:
        """Add zeros of the size of the last axis to ``tensor``; if any item is the marker, one too many, which fails.

        Sizes that cannot be broadcast are something that every engine notices while it runs. (But for OpenVINO with
        a single thread, which loses the errors of graphs with shapes that depend on data, as this one has.)
        """
        flag = self.add("Cast", is_marker, to=TensorProto.INT64)
        extra = self.add("ReduceMax", flag, self.constant(np.array([0])), keepdims=0)
        length = self.add("Add", extra, self.constant(np.int64(last_size)))
        zero, one = self.constant(np.int64(0)), self.constant(np.int64(1))
        numbers = self.add("Cast", self.add("Range", zero, length, one), to=TensorProto.FLOAT)
        return self.add("Add", tensor, self.add("Mul", numbers, self.constant(np.float32(0))))

    def slowed(self, tensor: str, z: str, latent_size: int, work: int) -> str:
        """Add 0 to ``tensor``, computed with ``work`` matrix products."""
        if not work:
            return tensor
        rng = np.random.default_rng(0)
        hidden = self.add("MatMul", z, self.constant(rng.normal(size=(latent_size, 512)).astype(np.float32)))
        square = self.constant((rng.normal(size=(512, 512)) / 23.0).astype(np.float32))
        for _ in range(work):
            hidden = self.add("Tanh", self.add("MatMul", hidden, square))
        # Tanh is below 1, so the floor of a 1e-9th of its size is 0; a factor of 0 might be folded away.
        size = self.add("ReduceMean", self.add("Abs", hidden), keepdims=0)
        return self.add("Add", tensor, self.add("Floor", self.add("Mul", size, self.constant(np.float32(1e-9)))))


def _saa(graph: _Graph, f: str, palette: str) -> str:
    """log omega of scores [B, C, H, W] and a palette [B, C], `FORBIDDEN` where the palette has 0."""
    log_sum = graph.add("ReduceLogSumExp", f, graph.constant(np.array([2, 3])), keepdims=1)
    t = graph.add("Unsqueeze", palette, graph.constant(np.array([2, 3])))
    log_omega = graph.add("Sub", graph.add("Add", f, graph.add("Log", t)), log_sum)
    allowed = graph.add("Greater", t, graph.constant(np.float32(0)))
    return graph.add("Where", allowed, log_omega, graph.constant(FORBIDDEN), output="scores")


def _layout_graph(tiny: Tiny, output: str, poison: bool, work: int) -> _Graph:
    k, h, w = tiny.num_classes, tiny.height, tiny.width
    graph = _Graph()
    linear = graph.add("MatMul", "z", graph.constant(tiny.weights, "weights"))
    flat = graph.slowed(graph.add("Add", linear, graph.constant(tiny.bias, "bias")), "z", tiny.latent_size, work)
    f = graph.add("Reshape", flat, graph.constant(np.array([-1, k, h, w])))
    if poison:
        share = graph.add("Gather", "palette", graph.constant(np.array(POISON_CLASS)), axis=1)
        f = graph.poisoned(f, w, graph.add("Greater", share, graph.constant(POISON_SHARE)))
    scores = _saa(graph, f, "palette")
    if output == "labels":
        graph.add("Cast", graph.add("ArgMax", scores, axis=1, keepdims=0), to=TensorProto.UINT8, output="labels")
    return graph


def _editor_graph(tiny: Tiny, budget: str, disobedient: bool, work: int) -> _Graph:
    k, h, w = tiny.num_classes, tiny.height, tiny.width
    graph = _Graph()
    linear = graph.add("MatMul", "z", graph.constant(tiny.editor_weights))
    flat = graph.slowed(graph.add("Add", linear, graph.constant(tiny.editor_bias)), "z", tiny.latent_size, work)
    scores = _saa(graph, graph.add("Reshape", flat, graph.constant(np.array([-1, k + 1, h, w]))), "palette")
    if budget == "region":
        first, last, axis = (graph.constant(np.array([number])) for number in (0, k, 1))
        scores = graph.add("Slice", scores, first, last, axis)
    winner = graph.add("ArgMax", scores, axis=1, keepdims=0)
    inside = graph.add("Cast", "mask", to=TensorProto.BOOL)
    if disobedient:
        background = graph.add("Gather", "palette", graph.constant(np.array([[k]])), axis=1)
        small = graph.add("Greater", background, graph.constant(np.float32(1) - OBEYED_AREA))
        inside = graph.add("Or", inside, small)
    painted = graph.add("And", inside, graph.add("Less", winner, graph.constant(np.int64(k))))
    kept = graph.add("Cast", "labels", to=TensorProto.INT64)
    graph.add("Cast", graph.add("Where", painted, winner, kept), to=TensorProto.UINT8, output="edited")
    return graph


def _image_graph(tiny: Tiny, kind: ImageKind, poison: bool, work: int) -> _Graph:
    graph = _Graph()
    if kind == "styled":
        shown = graph.add("Transpose", _one_hot(graph, tiny), perm=[0, 2, 1])
        colours = graph.add("Mul", graph.add("MatMul", shown, "styles"), graph.constant(np.float32(255)))
        _paint(graph, graph.add("Reshape", colours, graph.constant(np.array([-1, tiny.height, tiny.width, 3]))))
        return graph
    ids = graph.add("Cast", "labels", to=TensorProto.INT64)
    colours = graph.add("Gather", graph.constant(tiny.colours), ids, axis=0)
    if poison:
        largest = graph.add("ReduceMax", ids, graph.constant(np.array([1, 2])), keepdims=0)
        marker = graph.add("Equal", largest, graph.constant(np.array(POISON_CLASS)))
        colours = graph.poisoned(colours, 3, marker)
    if kind == "latent":
        tint = graph.slowed(graph.add("MatMul", "z", graph.constant(tiny.tint)), "z", tiny.image_latent_size, work)
        colours = graph.add("Add", colours, graph.add("Unsqueeze", tint, graph.constant(np.array([1, 2]))))
    _paint(graph, colours)
    return graph


def _paint(graph: _Graph, colours: str) -> None:
    limits = [graph.constant(np.float32(limit)) for limit in (0, 255)]
    graph.add("Cast", graph.add("Clip", graph.add("Round", colours), *limits), to=TensorProto.UINT8, output="image")


def _style_encoder_graph(tiny: Tiny) -> _Graph:
    graph = _Graph()
    shown = _one_hot(graph, tiny)
    pixels = graph.add("Cast", "image", to=TensorProto.FLOAT)
    flat = graph.add("Reshape", pixels, graph.constant(np.array([0, -1, 3])))
    count = graph.add("ReduceSum", shown, graph.constant(np.array([2])), keepdims=1)
    whole = graph.add("Mul", graph.add("Max", count, graph.constant(np.float32(1))), graph.constant(np.float32(255)))
    graph.add("Div", graph.add("MatMul", shown, flat), whole, output="styles")
    return graph


def _one_hot(graph: _Graph, tiny: Tiny) -> str:
    """Which pixel shows which class, float32 [B, K, N]."""
    ids = graph.add("Cast", "labels", to=TensorProto.INT64)
    flat = graph.add("Reshape", ids, graph.constant(np.array([0, 1, -1])))
    classes = graph.constant(np.arange(tiny.num_classes)[None, :, None])
    return graph.add("Cast", graph.add("Equal", flat, classes), to=TensorProto.FLOAT)


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


def _model(graph: _Graph, inputs: list[TensorSpec], outputs: list[TensorSpec]) -> onnx.ModelProto:
    infos = [[_value_info(spec) for spec in specs] for specs in (inputs, outputs)]
    proto = helper.make_graph(graph.nodes, "tiny", *infos, initializer=graph.constants)
    return helper.make_model(proto, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _value_info(spec: TensorSpec) -> onnx.ValueInfoProto:
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    return helper.make_tensor_value_info(spec.name, dtype, spec.shape)


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
    parameters = {
        "image": tiny.tint.size,
        "editor": tiny.editor_weights.size + tiny.editor_bias.size,
        "style_encoder": 0,
    }
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
