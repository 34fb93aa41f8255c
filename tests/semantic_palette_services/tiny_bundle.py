"""A small but real bundle for the tests of the services: true ONNX graphs, golden outputs by numpy, a true manifest.

The layout model is a random linear map of z to class scores, followed by semantically-assisted activation (SAA); the
image model looks colours up and tints them by z. They are tiny, and do what the models of a trained bundle do.

Legend: B batch, K classes, H, W height and width, Z and Zi latent sizes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

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

    @classmethod
    def create(cls, seed: int, num_classes: int, height: int, width: int) -> Tiny:
        rng = np.random.default_rng(seed)
        latent_size, image_latent_size = 8, 4
        size = num_classes * height * width
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
        )

    def scores(self, z_BZ: Array, palette_BK: Array) -> Array:
        """log omega of SAA, float32 [B, K, H, W]: f + log t - logsumexp over the pixels of f."""
        f_BKN = (z_BZ @ self.weights + self.bias).reshape(len(z_BZ), self.num_classes, -1)
        peak = f_BKN.max(axis=2, keepdims=True)
        log_sum = np.log(np.exp(f_BKN - peak).sum(axis=2, keepdims=True)) + peak
        with np.errstate(divide="ignore"):
            log_t = np.log(palette_BK)[:, :, None]
        omega = np.where(palette_BK[:, :, None] > 0, f_BKN + log_t - log_sum, FORBIDDEN).astype(np.float32)
        scores: Array = omega.reshape(len(z_BZ), self.num_classes, self.height, self.width)
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
    poison: Collection[str] = (),
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
        poison: models that fail on the marker input, of "layout" (layout and layout_scores) and "image".
        work: matrix products of size 512 that are added to each model to slow it down; about 0.1 ms each.
        activate: whether to make the version the active one.

    Returns:
        The weights, and the models in numpy.
    """
    tiny = Tiny.create(seed, num_classes, height, width)
    root = store / name / version
    root.mkdir(parents=True)
    _save(root, "layout.onnx", _layout_graph(tiny, "labels", "layout" in poison, work), external=True)
    _save(root, "layout_scores.onnx", _layout_graph(tiny, "scores", "layout" in poison, work), external=True)
    _save(root, "image.onnx", _image_graph(tiny, "image" in poison, work), external=False)
    _palette_model(num_classes, seed).save(root / "palette.npz")
    np.savez(root / "golden.npz", **_golden(tiny, seed))
    _manifest(tiny, root, name, version).write(root / "manifest.json")
    if activate:
        (store / name / "active").write_text(f"{version}\n")
    return tiny


def corrupt(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def _golden(tiny: Tiny, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed + 1)
    palettes = rng.dirichlet(np.ones(tiny.num_classes), GOLDEN_SAMPLES).astype(np.float32)
    z_layout = rng.normal(size=(GOLDEN_SAMPLES, tiny.latent_size)).astype(np.float32)
    z_image = rng.normal(size=(GOLDEN_SAMPLES, tiny.image_latent_size)).astype(np.float32)
    labels = tiny.labels(z_layout, palettes)
    layouts = np.ascontiguousarray(labels[:, ::-1])
    return {
        "palettes": palettes,
        "z_layout": z_layout,
        "labels": labels,
        "layouts": layouts,
        "z_image": z_image,
        "images": tiny.image(layouts, z_image),
    }


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


def _layout_graph(tiny: Tiny, output: str, poison: bool, work: int) -> onnx.ModelProto:
    k, h, w = tiny.num_classes, tiny.height, tiny.width
    graph = _Graph()
    linear = graph.add("MatMul", "z", graph.constant(tiny.weights, "weights"))
    flat = graph.slowed(graph.add("Add", linear, graph.constant(tiny.bias, "bias")), "z", tiny.latent_size, work)
    f = graph.add("Reshape", flat, graph.constant(np.array([-1, k, h, w])))
    if poison:
        share = graph.add("Gather", "palette", graph.constant(np.array(POISON_CLASS)), axis=1)
        f = graph.poisoned(f, w, graph.add("Greater", share, graph.constant(POISON_SHARE)))
    log_sum = graph.add("ReduceLogSumExp", f, graph.constant(np.array([2, 3])), keepdims=1)
    t = graph.add("Unsqueeze", "palette", graph.constant(np.array([2, 3])))
    log_omega = graph.add("Sub", graph.add("Add", f, graph.add("Log", t)), log_sum)
    allowed = graph.add("Greater", t, graph.constant(np.float32(0)))
    scores = graph.add("Where", allowed, log_omega, graph.constant(FORBIDDEN), output="scores")
    if output == "labels":
        graph.add("Cast", graph.add("ArgMax", scores, axis=1, keepdims=0), to=TensorProto.UINT8, output="labels")
    return _model(graph, *_specs(tiny)["layout" if output == "labels" else "layout_scores"])


def _image_graph(tiny: Tiny, poison: bool, work: int) -> onnx.ModelProto:
    graph = _Graph()
    ids = graph.add("Cast", "labels", to=TensorProto.INT64)
    colours = graph.add("Gather", graph.constant(tiny.colours), ids, axis=0)
    if poison:
        largest = graph.add("ReduceMax", ids, graph.constant(np.array([1, 2])), keepdims=0)
        marker = graph.add("Equal", largest, graph.constant(np.array(POISON_CLASS)))
        colours = graph.poisoned(colours, 3, marker)
    tint = graph.slowed(graph.add("MatMul", "z", graph.constant(tiny.tint)), "z", tiny.image_latent_size, work)
    tinted = graph.add("Add", colours, graph.add("Unsqueeze", tint, graph.constant(np.array([1, 2]))))
    limits = [graph.constant(np.float32(limit)) for limit in (0, 255)]
    graph.add("Cast", graph.add("Clip", graph.add("Round", tinted), *limits), to=TensorProto.UINT8, output="image")
    return _model(graph, *_specs(tiny)["image"])


def _specs(tiny: Tiny) -> dict[str, tuple[list[TensorSpec], list[TensorSpec]]]:
    k, h, w = tiny.num_classes, tiny.height, tiny.width
    z = TensorSpec("z", "float32", ["batch", tiny.latent_size])
    palette = TensorSpec("palette", "float32", ["batch", k])
    labels = TensorSpec("labels", "uint8", ["batch", h, w])
    z_image = TensorSpec("z", "float32", ["batch", tiny.image_latent_size])
    return {
        "layout": ([z, palette], [labels]),
        "layout_scores": ([z, palette], [TensorSpec("scores", "float32", ["batch", k, h, w])]),
        "image": ([labels, z_image], [TensorSpec("image", "uint8", ["batch", h, w, 3])]),
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


def _manifest(tiny: Tiny, root: Path, name: str, version: str) -> Manifest:
    models = {}
    for operation, (inputs, outputs) in _specs(tiny).items():
        file = f"{operation}.onnx"
        shared = {} if operation == "image" else {WEIGHTS_FILE: file_sha256(root / WEIGHTS_FILE)}
        parameters = tiny.tint.size if operation == "image" else tiny.weights.size + tiny.bias.size
        models[operation] = ModelEntry(
            file, file_sha256(root / file), shared, inputs, outputs, parameters=parameters, macs=parameters
        )
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
    )
