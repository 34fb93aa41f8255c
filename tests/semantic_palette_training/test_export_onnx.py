"""Models that share a weights file, and what the exporter refuses."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from semantic_palette_training.export.errors import ExportError
from semantic_palette_training.export.onnx import write_with_weights

WEIGHTS = np.arange(512, dtype=np.float32)


def scaled(weights: np.ndarray, operator: str, name: str = "weights") -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", name], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 512])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 512])],
        [numpy_helper.from_array(weights, name), numpy_helper.from_array(np.ones(2, np.float32), "small")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(path) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.ones((2, 512), np.float32)})[0]


def test_models_read_their_weights_from_one_file(tmp_path):
    models = {"add.onnx": scaled(WEIGHTS, "Add"), "multiply.onnx": scaled(WEIGHTS, "Mul")}
    write_with_weights(models, tmp_path, "shared.weights")
    assert (tmp_path / "shared.weights").read_bytes() == WEIGHTS.tobytes()
    np.testing.assert_array_equal(run(tmp_path / "add.onnx")[1], WEIGHTS + 1)
    np.testing.assert_array_equal(run(tmp_path / "multiply.onnx")[1], WEIGHTS)
    assert all((tmp_path / name).stat().st_size < 1024 for name in models)


@pytest.mark.parametrize("other", [scaled(WEIGHTS + 1, "Mul"), scaled(WEIGHTS, "Mul", "others")])
def test_models_with_different_weights_do_not_share(tmp_path, other):
    with pytest.raises(ExportError, match=r"b\.onnx and a\.onnx do not have the same weights"):
        write_with_weights({"a.onnx": scaled(WEIGHTS, "Add"), "b.onnx": other}, tmp_path, "shared.weights")


def test_an_invalid_model_is_not_written_unnoticed(tmp_path):
    model = scaled(WEIGHTS, "Add")
    model.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(onnx.checker.ValidationError, match="NoSuchOperator"):
        write_with_weights({"model.onnx": model}, tmp_path, "model.weights")
