"""The models of the tiny bundle, as ONNX graphs: what `tiny_models` computes in numpy.

Legend: as in `tiny_models`, and C classes or classes with the background.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tiny_models import FORBIDDEN, Tiny

from semantic_palette.manifest import TensorSpec

# Edits of regions that are a smaller share of the frame are done everywhere by a disobedient editor.
OBEYED_AREA = np.float32(0.1)

# A poisoned layout model fails on palettes that are all of this class, a poisoned image model on such layouts.
POISON_CLASS = 0
POISON_SHARE = np.float32(0.999)

ImageKind: TypeAlias = Literal["latent", "plain", "styled"]


class Graph:
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


def _saa(graph: Graph, f: str, palette: str) -> str:
    """log omega of scores [B, C, H, W] and a palette [B, C], `FORBIDDEN` where the palette has 0."""
    log_sum = graph.add("ReduceLogSumExp", f, graph.constant(np.array([2, 3])), keepdims=1)
    t = graph.add("Unsqueeze", palette, graph.constant(np.array([2, 3])))
    log_omega = graph.add("Sub", graph.add("Add", f, graph.add("Log", t)), log_sum)
    allowed = graph.add("Greater", t, graph.constant(np.float32(0)))
    return graph.add("Where", allowed, log_omega, graph.constant(FORBIDDEN), output="scores")


def layout_graph(tiny: Tiny, output: str, poison: bool, work: int) -> Graph:
    k, h, w = tiny.num_classes, tiny.height, tiny.width
    graph = Graph()
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


def editor_graph(tiny: Tiny, budget: str, disobedient: bool, work: int) -> Graph:
    k, h, w = tiny.num_classes, tiny.height, tiny.width
    graph = Graph()
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


def image_graph(tiny: Tiny, kind: ImageKind, poison: bool, work: int, ballast: int = 0) -> Graph:
    graph = Graph()
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
    if ballast:
        colours = graph.add("Add", colours, _ballast(graph, ids, ballast))
    _paint(graph, colours)
    return graph


def _ballast(graph: Graph, ids: str, size: int) -> str:
    """0 for every pixel, looked up by its class in so many bytes of weights that otherwise nobody reads."""
    weights = np.random.default_rng(0).normal(size=(size // 4, 1)).astype(np.float32)
    weights[:256] = 0
    return graph.add("Gather", graph.constant(weights), ids, axis=0)


def _paint(graph: Graph, colours: str) -> None:
    limits = [graph.constant(np.float32(limit)) for limit in (0, 255)]
    graph.add("Cast", graph.add("Clip", graph.add("Round", colours), *limits), to=TensorProto.UINT8, output="image")


def style_encoder_graph(tiny: Tiny) -> Graph:
    graph = Graph()
    shown = _one_hot(graph, tiny)
    pixels = graph.add("Cast", "image", to=TensorProto.FLOAT)
    flat = graph.add("Reshape", pixels, graph.constant(np.array([0, -1, 3])))
    count = graph.add("ReduceSum", shown, graph.constant(np.array([2])), keepdims=1)
    whole = graph.add("Mul", graph.add("Max", count, graph.constant(np.float32(1))), graph.constant(np.float32(255)))
    graph.add("Div", graph.add("MatMul", shown, flat), whole, output="styles")
    return graph


def _one_hot(graph: Graph, tiny: Tiny) -> str:
    """Which pixel shows which class, float32 [B, K, N]."""
    ids = graph.add("Cast", "labels", to=TensorProto.INT64)
    flat = graph.add("Reshape", ids, graph.constant(np.array([0, 1, -1])))
    classes = graph.constant(np.arange(tiny.num_classes)[None, :, None])
    return graph.add("Cast", graph.add("Equal", flat, classes), to=TensorProto.FLOAT)


def model_of(graph: Graph, inputs: list[TensorSpec], outputs: list[TensorSpec]) -> onnx.ModelProto:
    infos = [[_value_info(spec) for spec in specs] for specs in (inputs, outputs)]
    proto = helper.make_graph(graph.nodes, "tiny", *infos, initializer=graph.constants)
    return helper.make_model(proto, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _value_info(spec: TensorSpec) -> onnx.ValueInfoProto:
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    return helper.make_tensor_value_info(spec.name, dtype, spec.shape)
