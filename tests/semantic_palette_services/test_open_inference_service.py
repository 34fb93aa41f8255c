"""The Open Inference Protocol over gRPC: the same answers as the other services, and every mistake by its name."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc import aio
from grpc_helpers import Stubs, asynchronous, eventually, sample, serving, serving_in_thread, violations
from grpc_status import rpc_status
from numpy.typing import NDArray
from recording_observer import RecordingObserver
from tiny_bundle import EDITING, FACES, POISON_CLASS, Tiny, write_tiny_bundle

from semantic_palette.editing import Budget, ShareEdit, plan_edit
from semantic_palette.noise import standard_normal
from semantic_palette.priority import Priority
from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import image_service_pb2 as image
from semantic_palette.v1 import layout_service_pb2 as layout
from semantic_palette_services.concurrency import WorkerPool
from semantic_palette_services.layout.operation import LayoutOperation, LayoutOptions, LayoutRequest
from semantic_palette_services.openinference.operation import infer_all
from semantic_palette_services.openinference.parameters import read_parameters
from semantic_palette_services.openinference.v2 import open_inference_pb2 as pb
from semantic_palette_services.openinference.v2.open_inference_pb2_grpc import GRPCInferenceServiceStub
from semantic_palette_services.runtime.executor import DeviceExecutor
from semantic_palette_services.runtime.loaded_bundle import LoadedBundle
from semantic_palette_services.runtime.selection import Candidate
from semantic_palette_services.runtime.settings import RuntimeSettings
from semantic_palette_services.runtime.store import BundleFiles
from semantic_palette_services.server.lifecycle import RunningServer
from semantic_palette_services.server.metrics import Metrics

Code = grpc.StatusCode
Array = NDArray[Any]
SHARES = {"sky": 0.31, "building": 0.2, "road": 0.29, "tree": 0.15, "car": 0.05}
DATATYPES = {"float32": "FP32", "uint8": "UINT8", "int64": "INT64"}


def stub_of(stubs: Stubs) -> Any:
    return GRPCInferenceServiceStub(stubs.channel)  # type: ignore[no-untyped-call]


def parameter(value: object) -> pb.InferParameter:
    match value:
        case bool():
            return pb.InferParameter(bool_param=value)
        case int():
            return pb.InferParameter(uint64_param=value) if value > 2**63 else pb.InferParameter(int64_param=value)
        case str():
            return pb.InferParameter(string_param=value)
        case _:
            return pb.InferParameter(double_param=float(str(value)))


def ask(
    model: str, inputs: dict[str, Array], *, outputs: tuple[str, ...] = (), version: str = "", **parameters: object
) -> pb.ModelInferRequest:
    """A request with raw contents."""
    return pb.ModelInferRequest(
        model_name=model,
        model_version=version,
        id="mine",
        parameters={name: parameter(value) for name, value in parameters.items()},
        inputs=[
            pb.ModelInferRequest.InferInputTensor(name=name, datatype=DATATYPES[array.dtype.name], shape=array.shape)
            for name, array in inputs.items()
        ],
        outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in outputs],
        raw_input_contents=[array.tobytes() for array in inputs.values()],
    )


def output_of(response: pb.ModelInferResponse) -> Array:
    """The only output, raw."""
    [output], [data] = response.outputs, response.raw_output_contents
    dtype = {"UINT8": np.uint8, "FP32": np.float32}[output.datatype]
    return np.frombuffer(data, dtype=dtype).reshape(list(output.shape))


@pytest.fixture(scope="module")
def running(tiny_root: Path) -> Iterator[tuple[RunningServer, Stubs]]:
    with serving_in_thread(tiny_root) as (server, stubs):
        yield server, stubs


@pytest.fixture(scope="module")
def stub(running: tuple[RunningServer, Stubs]) -> Any:
    return stub_of(running[1])


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    """A server of a bundle with an editor and styled images."""
    root = tmp_path_factory.mktemp("faces") / "model_store"
    write_tiny_bundle(root, "faces.small", models=FACES, image="styled")
    with serving_in_thread(root) as (_, stubs):
        yield stubs


@pytest.fixture
def palettes(tiny: Tiny) -> Array:
    palette = np.array([SHARES.get(name, 0.0) for name in tiny.label_space().names], dtype=np.float32)
    return np.tile(palette, (5, 1))


@pytest.fixture
def noises(tiny: Tiny) -> Array:
    return np.stack([standard_normal(11, index, "layout", (tiny.latent_size,)) for index in range(5)])


def typed_layouts(stubs: Stubs, count: int) -> list[bytes]:
    items = [layout.LayoutItem(palette=common.Palette(shares=SHARES), seed=11, index=index) for index in range(count)]
    request = layout.GenerateLayoutsRequest(items=items, deterministic=True, label_encoding=common.LABEL_ENCODING_RAW)
    return [generated.layout.data for generated in stubs.layout.GenerateLayouts(request).layouts]


# What is here.


def test_the_server_is_live_and_ready(stub: Any) -> None:
    assert stub.ServerLive(pb.ServerLiveRequest()).live
    assert stub.ServerReady(pb.ServerReadyRequest()).ready
    metadata = stub.ServerMetadata(pb.ServerMetadataRequest())
    assert metadata.name == "semantic-palette"
    assert metadata.version
    assert "model_stream_infer" in metadata.extensions


@pytest.mark.parametrize(
    ("name", "version", "ready"),
    [
        ("layout", "", True),
        ("tiny.layout", "1", True),
        ("image", "1", True),
        ("layout", "2", False),
        ("editor", "", False),
        ("layout_scores", "", False),
        ("other.layout", "", False),
        ("", "", False),
    ],
)
def test_models_that_are_here_are_ready_and_no_others(stub: Any, name: str, version: str, ready: bool) -> None:
    assert stub.ModelReady(pb.ModelReadyRequest(name=name, version=version)).ready is ready


def test_metadata_is_the_manifests(stub: Any, tiny: Tiny) -> None:
    metadata = stub.ModelMetadata(pb.ModelMetadataRequest(name="image"))
    assert (metadata.name, list(metadata.versions), metadata.platform) == ("tiny.image", ["1"], "onnx_onnxv1")
    tensors = [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in (*metadata.inputs, *metadata.outputs)]
    assert tensors == [
        ("labels", "UINT8", [-1, tiny.height, tiny.width]),
        ("z", "FP32", [-1, tiny.image_latent_size]),
        ("image", "UINT8", [-1, tiny.height, tiny.width, 3]),
    ]


def test_a_bundles_name_may_have_dots(faces: Stubs) -> None:
    assert stub_of(faces).ModelMetadata(pb.ModelMetadataRequest(name="faces.small.editor")).name == "faces.small.editor"


# The same answers.


def test_layouts_are_those_of_the_layout_service(
    running: tuple[RunningServer, Stubs], stub: Any, palettes: Array, noises: Array
) -> None:
    response = stub.ModelInfer(ask("layout", {"palette": palettes, "z": noises}, deterministic=True))
    assert [labels.tobytes() for labels in output_of(response)] == typed_layouts(running[1], 5)
    assert (response.model_name, response.model_version, response.id) == ("tiny.layout", "1", "mine")


def test_a_seed_takes_the_place_of_noise(running: tuple[RunningServer, Stubs], stub: Any, palettes: Array) -> None:
    response = stub.ModelInfer(ask("layout", {"palette": palettes[:3]}, seed=11, index=2, deterministic=True))
    assert [labels.tobytes() for labels in output_of(response)] == typed_layouts(running[1], 5)[2:]


def test_images_are_those_of_the_image_service(running: tuple[RunningServer, Stubs], stub: Any, tiny: Tiny) -> None:
    labels = np.random.default_rng(0).integers(0, 6, (3, tiny.height, tiny.width), dtype=np.uint8)
    maps = [
        common.LabelMap(encoding=common.LABEL_ENCODING_RAW, height=tiny.height, width=tiny.width, data=one.tobytes())
        for one in labels
    ]
    request = image.TranslateLayoutsRequest(
        items=[image.ImageItem(layout=label_map, seed=4, index=9 + row) for row, label_map in enumerate(maps)],
        image_format=common.IMAGE_FORMAT_RAW,
        deterministic=True,
    )
    expected = [answer.data for answer in running[1].image.TranslateLayouts(request).images]
    response = stub.ModelInfer(ask("tiny.image", {"labels": labels}, seed=4, index=9, deterministic=True))
    assert [pixels.tobytes() for pixels in output_of(response)] == expected


def test_edits_are_those_of_the_layout_service(tmp_path: Path) -> None:
    tiny = write_tiny_bundle(tmp_path, models=EDITING)
    labels = np.random.default_rng(0).integers(0, 6, (tiny.height, tiny.width), dtype=np.uint8)
    mask = np.zeros_like(labels)
    mask[2:12, 4:20] = 1
    edit = common.LayoutEdit(
        region=common.Region(box=common.Box(left=4, top=2, right=20, bottom=12)),
        target=common.ShareTargets(shares={"road": 0.7}),
    )
    label_map = common.LabelMap(
        encoding=common.LABEL_ENCODING_RAW, height=tiny.height, width=tiny.width, data=labels.tobytes()
    )
    request = layout.EditLayoutsRequest(
        items=[layout.EditItem(layout=label_map, edit=edit, seed=5, index=7)],
        label_encoding=common.LABEL_ENCODING_RAW,
        deterministic=True,
    )
    plan = plan_edit(tiny.label_space(), labels, mask > 0, ShareEdit(target={"road": 0.7}), Budget.REGION)
    inputs = {"labels": labels[None], "mask": mask[None], "palette": plan.palette_E[None]}
    with serving_in_thread(tmp_path, services=("layout", "openinference")) as (_, stubs):
        [expected] = stubs.layout.EditLayouts(request).layouts
        response = stub_of(stubs).ModelInfer(ask("editor", inputs, seed=5, index=7, deterministic=True))
    assert output_of(response).tobytes() == expected.layout.data


def test_styles_go_from_the_encoder_to_the_image_model(faces: Stubs, tiny: Tiny) -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 6, (2, tiny.height, tiny.width), dtype=np.uint8)
    photos = rng.integers(0, 256, (2, tiny.height, tiny.width, 3), dtype=np.uint8)
    stub = stub_of(faces)
    styles = output_of(stub.ModelInfer(ask("style_encoder", {"labels": labels, "image": photos})))
    np.testing.assert_allclose(styles, tiny.styles(photos, labels), rtol=1e-5)
    images = output_of(stub.ModelInfer(ask("image", {"labels": labels, "styles": styles})))
    assert np.abs(images.astype(int) - tiny.styled_image(labels, styles).astype(int)).max() <= 1


def test_typed_contents_are_answered_with_typed_contents(stub: Any, palettes: Array, noises: Array) -> None:
    raw = stub.ModelInfer(ask("layout", {"palette": palettes, "z": noises}, deterministic=True))
    request = ask("layout", {"palette": palettes, "z": noises}, deterministic=True)
    request.ClearField("raw_input_contents")
    for tensor, array in zip(request.inputs, (palettes, noises), strict=True):
        tensor.contents.fp32_contents.extend(array.ravel().tolist())
    typed = stub.ModelInfer(request)
    assert not typed.raw_output_contents
    assert list(typed.outputs[0].contents.uint_contents) == output_of(raw).ravel().tolist()


def test_more_samples_than_a_batch_come_back_in_order(stub: Any, palettes: Array, tiny: Tiny) -> None:
    many = np.tile(palettes, (20, 1))
    labels = output_of(stub.ModelInfer(ask("layout", {"palette": many}, seed=11, deterministic=True)))
    assert labels.shape == (100, tiny.height, tiny.width)
    last = output_of(stub.ModelInfer(ask("layout", {"palette": many[:1]}, seed=11, index=99, deterministic=True)))
    np.testing.assert_array_equal(labels[99:], last)


def test_the_answer_says_what_made_it(
    running: tuple[RunningServer, Stubs], stub: Any, palettes: Array, noises: Array
) -> None:
    bundle = running[0].bundle
    assert bundle is not None
    response = stub.ModelInfer(ask("layout", {"palette": palettes, "z": noises}, bundle_digest=bundle.digest))
    facts = {name: value.string_param for name, value in response.parameters.items()}
    engine = bundle.models["layout"].engine
    assert facts == {
        "bundle_digest": bundle.digest,
        "engine": "onnxruntime",
        "engine_version": engine.engine_version,
        "precision": "fp32",
        "model_digest": engine.model_digest,
    }


def test_items_share_batches_with_those_of_other_services(
    tiny_files: BundleFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whichever size the timings of a busy machine favour.
    monkeypatch.setattr(Candidate, "best_batch_size", 8)
    asyncio.run(_share_a_batch(tiny_files))


async def _share_a_batch(tiny_files: BundleFiles) -> None:
    executor, observer, pool = DeviceExecutor(), RecordingObserver(), WorkerPool(2)
    settings = RuntimeSettings(engine="onnxruntime", threads=1, max_batch_size=8, max_queue=64)
    bundle = await LoadedBundle.load(tiny_files, settings, executor, ["layout"], observer)
    model, busy, held = bundle.models["layout"], threading.Event(), threading.Event()
    operation = LayoutOperation(
        bundle, bundle.models, pool=pool, observer=Metrics().of_bundle("tiny", "1", bundle.label_space.names)
    )
    palette = np.full(6, 1 / 6)

    def hold() -> None:
        busy.set()
        held.wait(20)

    device = asyncio.create_task(executor.run(hold))
    await asyncio.to_thread(busy.wait, 20)
    typed = asyncio.create_task(operation.generate(LayoutRequest(palette, 0, 0), LayoutOptions()))
    # In another order than the layout service's.
    arrays = {"palette": palette[None].astype(np.float32), "z": np.zeros((1, 8), np.float32)}
    with model.reserve(1) as room:
        raw = asyncio.create_task(infer_all(model, arrays, pool, None, room, deterministic=False))
        await eventually(lambda: observer.depth["layout"] == 2)
        held.set()
        await asyncio.gather(device, typed, raw)
    assert observer.sizes["layout"] == [2]
    await bundle.close()
    await executor.close()
    pool.close()


# Several bundles.


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, Stubs]]:
    """A server of two versions of a bundle, the second active, and of another bundle."""
    root = tmp_path_factory.mktemp("several") / "model_store"
    write_tiny_bundle(root, "town", "1", seed=1, models=("layout",), activate=False)
    write_tiny_bundle(root, "town", "2", seed=2, models=("layout",))
    write_tiny_bundle(root, "faces", "5", models=FACES, image="styled")
    with serving_in_thread(root, bundle="town/2,town/1,faces") as running:
        yield running


def test_a_model_is_found_in_every_bundle_and_version(several: tuple[RunningServer, Stubs]) -> None:
    stub = stub_of(several[1])
    answers = {}
    for name, version in (("layout", ""), ("town.layout", "2"), ("layout", "1")):
        response = stub.ModelInfer(layouts(model=name, version=version, deterministic=True))
        assert response.model_name == "town.layout"
        assert response.model_version == (version or "2")
        answers[name, version] = output_of(response).tobytes()
    assert answers["layout", ""] == answers["town.layout", "2"] != answers["layout", "1"]
    assert list(stub.ModelMetadata(pb.ModelMetadataRequest(name="layout")).versions) == ["2", "1"]
    assert list(stub.ModelMetadata(pb.ModelMetadataRequest(name="faces.editor")).versions) == ["5"]
    assert not stub.ModelReady(pb.ModelReadyRequest(name="editor")).ready  # not the default bundle's


def test_a_digest_finds_the_version_that_has_it(several: tuple[RunningServer, Stubs]) -> None:
    stub = stub_of(several[1])
    old = stub.ModelInfer(layouts(version="1"))
    digest = old.parameters["bundle_digest"].string_param
    assert stub.ModelInfer(layouts(bundle_digest=digest)).model_version == "1"
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(layouts(version="2", bundle_digest=digest))
    error: Any = caught.value
    assert error.code() is Code.FAILED_PRECONDITION
    assert f"pinned to digest '{digest}'" in error.details()


def test_an_unknown_model_is_told_what_every_bundle_has(several: tuple[RunningServer, Stubs]) -> None:
    faces = "faces.editor, faces.image, faces.style_encoder in version 5"
    served = f"town.layout in version 2; town.layout in version 1; {faces}"
    for name, version in (("town.image", ""), ("layout", "3"), ("village.layout", "")):
        with pytest.raises(grpc.RpcError) as caught:
            stub_of(several[1]).ModelInfer(layouts(model=name, version=version))
        error: Any = caught.value
        assert error.code() is Code.NOT_FOUND
        assert served in error.details()


# Mistakes.


def images(value: int = 0, dtype: str = "uint8", **parameters: object) -> pb.ModelInferRequest:
    return ask("image", {"labels": np.full((2, 16, 32), value, dtype)}, **({"seed": 1} | parameters))


def layouts(
    scale: float = 1.0, count: int = 1, *, model: str = "layout", version: str = "", **parameters: object
) -> pb.ModelInferRequest:
    palette = np.full((count, 6), scale / 6, np.float32)
    return ask(model, {"palette": palette}, version=version, **({"seed": 1} | parameters))


def with_noise(value: float) -> pb.ModelInferRequest:
    return ask("layout", {"palette": np.full((1, 6), 1 / 6, np.float32), "z": np.full((1, 8), value, np.float32)})


def one_share(value: float) -> pb.ModelInferRequest:
    palette = np.zeros((2, 6), np.float32)
    palette[0, 0], palette[1] = 1, [1 - value, value, 0, 0, 0, 0]
    return ask("layout", {"palette": palette}, seed=1)


MISTAKES: dict[str, tuple[pb.ModelInferRequest, str, str]] = {
    "class id": (images(6), "inputs[labels][0]", "class ids from 0 to 5"),
    "another type": (images(0, "int64"), "inputs[labels].datatype", "UINT8 is"),
    "no noise and no seed": (
        ask("image", {"labels": np.zeros((1, 16, 32), np.uint8)}),
        "inputs",
        "the parameter seed may take the place of z",
    ),
    "noise and a seed": (
        ask("layout", {"palette": np.full((1, 6), 1 / 6, np.float32), "z": np.zeros((1, 8), np.float32)}, seed=1),
        "inputs",
        "z comes from the parameter seed",
    ),
    "shares that do not sum": (layouts(0.9), "inputs[palette][0]", "shares that sum to 0.9"),
    "negative share": (one_share(-0.25), "inputs[palette][1][0]", "1.25"),
    "share that is no number": (one_share(np.nan), "inputs[palette][1][0]", "nan"),
    "noise that is no number": (with_noise(np.inf), "inputs[z][0][0]", "inf"),
    "too many samples": (layouts(count=257), "inputs[palette].shape[0]", "1 to 256"),
    "unknown parameter": (layouts(colour="red"), "parameters[colour]", "deterministic"),
    "sequence": (layouts(sequence_id=4), "parameters[sequence_id]", "no sequences"),
    "seed that is negative": (layouts(seed=-1), "parameters[seed]", "from 0"),
    "seed that is a text": (layouts(seed="1"), "parameters[seed]", "'1'"),
    "seed that is true": (layouts(seed=True), "parameters[seed]", "True"),
    "priority that is a text": (layouts(priority="high"), "parameters[priority]", "'high'"),
    "timeout that is negative": (layouts(timeout=-1), "parameters[timeout]", "-1"),
    "truth that is a number": (layouts(deterministic=1), "parameters[deterministic]", "true or false"),
    "digest that is a number": (layouts(bundle_digest=1), "parameters[bundle_digest]", "text"),
    "index without a seed": (
        ask("layout", {"palette": np.full((1, 6), 1 / 6, np.float32)}, index=1),
        "parameters[index]",
        "seed",
    ),
    "indices beyond 64 bits": (layouts(count=2, index=2**64 - 1), "parameters[index]", "0 to 18446744073709551614"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_named(stub: Any, case: str) -> None:
    request, field, text = MISTAKES[case]
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(request)
    error: Any = caught.value
    assert error.code() is Code.INVALID_ARGUMENT
    [(found, description)] = violations(error)
    assert found == field
    assert text in description
    assert text in error.details()


@pytest.mark.parametrize(
    ("inputs", "field", "text"),
    [
        ({"mask": 2}, "inputs[mask][0]", "0 (stays) and 1 (may change)"),
        ({"mask": 0}, "inputs[mask][0]", "no pixel"),
        ({"labels": 6}, "inputs[labels][0]", "class id 6"),
    ],
)
def test_a_mistake_in_an_edit_is_named(faces: Stubs, inputs: dict[str, int], field: str, text: str) -> None:
    arrays: dict[str, Array] = {
        name: np.full((1, 16, 32), inputs.get(name, default), np.uint8)
        for name, default in (("labels", 0), ("mask", 1))
    }
    arrays["palette"] = np.array([[0.5, 0.5, 0, 0, 0, 0, 0]], np.float32)
    with pytest.raises(grpc.RpcError) as caught:
        stub_of(faces).ModelInfer(ask("editor", arrays, seed=0))
    [(found, description)] = violations(caught.value)
    assert found == field
    assert text in description


def test_a_model_without_noise_takes_no_seed(faces: Stubs) -> None:
    labels = np.zeros((1, 16, 32), np.uint8)
    with pytest.raises(grpc.RpcError, match=r"faces\.small\.image takes no noise z"):
        stub_of(faces).ModelInfer(ask("image", {"labels": labels, "styles": np.zeros((1, 6, 3), np.float32)}, seed=0))


@pytest.mark.parametrize(
    ("name", "version"), [("nothing", ""), ("layout", "2"), ("layout_scores", ""), ("other.layout", "1")]
)
def test_an_unknown_model_is_not_found_and_the_answer_says_what_is_there(stub: Any, name: str, version: str) -> None:
    for call in (
        lambda: stub.ModelInfer(pb.ModelInferRequest(model_name=name, model_version=version)),
        lambda: stub.ModelMetadata(pb.ModelMetadataRequest(name=name, version=version)),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call()
        error: Any = caught.value
        assert error.code() is Code.NOT_FOUND
        assert "served: tiny.layout, tiny.image in version 1" in error.details()
        info = error_details_pb2.ErrorInfo()
        status = rpc_status.from_call(error)
        assert status is not None
        assert any(packed.Unpack(info) for packed in status.details)
        assert info.reason == "UNKNOWN_MODEL"


def test_another_digest_is_a_failed_precondition(stub: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(layouts(bundle_digest="0" * 64))
    error: Any = caught.value
    assert error.code() is Code.FAILED_PRECONDITION


def test_a_timeout_that_cannot_be_met_is_refused(stub: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(layouts(timeout=1))
    error: Any = caught.value
    assert error.code() is Code.DEADLINE_EXCEEDED
    assert stub.ModelInfer(layouts(timeout=0, priority=3)).outputs  # 0 is none, as Triton has it
    assert stub.ModelInfer(layouts(timeout=60_000_000)).outputs


@pytest.mark.parametrize(
    ("level", "priority"),
    [(0, Priority.INTERACTIVE), (1, Priority.INTERACTIVE), (2, Priority.BULK), (9, Priority.BULK)],
)
def test_priorities_are_counted_as_triton_does(level: int, priority: Priority) -> None:
    assert read_parameters({"priority": pb.InferParameter(uint64_param=level)}).priority is priority


def test_palettes_within_the_tolerance_are_normalised(stub: Any) -> None:
    exact, close = (output_of(stub.ModelInfer(layouts(scale, deterministic=True))) for scale in (1.0, 1.0005))
    np.testing.assert_array_equal(exact, close)


def test_a_sample_that_breaks_the_model_fails_its_own_call_without_telling_why(poisoned_root: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 6, (1, 16, 32), dtype=np.uint8)
    with serving_in_thread(poisoned_root, services=("openinference",)) as (_, stubs):
        stub = stub_of(stubs)
        calls = [
            stub.ModelInfer.future(ask("image", {"labels": one}, seed=1))
            for one in [labels] * 5 + [np.full_like(labels, POISON_CLASS)] + [labels] * 5
        ]
        codes = [call.code() for call in calls]
        assert calls[5].details().startswith("internal error ")
    assert codes.pop(5) is Code.INTERNAL
    assert set(codes) == {Code.OK}


# Streams.


@asynchronous
async def test_a_stream_answers_in_order_and_survives_mistakes(tiny_root: Path) -> None:
    async with serving(tiny_root, services=("layout", "openinference")) as (_, stubs):
        call = stub_of(stubs).ModelStreamInfer()
        requests = [layouts(0.5 if number == 3 else 1.0, seed=number) for number in range(40)]
        for number, request in enumerate(requests):
            request.id = str(number)
        requests[5].model_name = "nothing"
        requests[7].parameters["triton_enable_empty_final_response"].bool_param = True

        async def send() -> None:
            for request in requests:
                await call.write(request)
            await call.done_writing()

        sending = asyncio.create_task(send())
        answers = [answer async for answer in call]
        await sending
        assert await call.code() is Code.OK
        assert [answer.infer_response.id for answer in answers] == [str(number) for number in range(40)]
        failed = {int(answer.infer_response.id): answer.error_message for answer in answers if answer.error_message}
        assert failed.keys() == {3, 5}
        assert failed[3].startswith("INVALID_ARGUMENT: inputs[palette][0]: 'shares that sum to 0.5'")
        assert failed[5].startswith("NOT_FOUND: model 'nothing' is not served here")
        assert not answers[3].infer_response.outputs
        assert answers[7].infer_response.parameters["triton_final_response"].bool_param
        alone = await stub_of(stubs).ModelInfer(layouts(seed=20, deterministic=True))
        assert output_of(answers[20].infer_response).shape == output_of(alone).shape


@asynchronous
async def test_bytes_that_are_no_request_end_the_stream_as_bad_input(tiny_root: Path) -> None:
    async with serving(tiny_root, services=("layout", "openinference")) as (_, stubs):
        call = stubs.channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")()
        await call.write(layouts().SerializeToString())
        assert pb.ModelStreamInferResponse.FromString(await call.read()).infer_response.outputs
        await call.write(b"\xff\xff")
        with pytest.raises(aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is Code.INVALID_ARGUMENT
        [(field, _)] = violations(caught.value)
        assert field == "request"


@asynchronous
async def test_a_stream_that_is_cancelled_leaves_nothing_behind(store_root: Path) -> None:
    write_tiny_bundle(store_root, work=100)
    async with serving(store_root, services=("layout", "openinference")) as (server, stubs):
        call = stub_of(stubs).ModelStreamInfer()
        for _ in range(10):
            await call.write(layouts(count=8))
        await call.read()
        call.cancel()
        await eventually(lambda: sample(server, "semantic_palette_inflight_items", model="layout") == 0)
        method = "inference.GRPCInferenceService/ModelStreamInfer"
        await eventually(lambda: sample(server, "semantic_palette_inflight_requests", method=method) == 0)
        assert sample(server, "semantic_palette_requests_total", method=method, code="CANCELLED") == 1


@asynchronous
async def test_a_draining_server_answers_what_it_has_read_and_ends_the_stream(store_root: Path) -> None:
    write_tiny_bundle(store_root, work=100)

    def made(server: RunningServer) -> int:
        return round(sample(server, "semantic_palette_batch_size_sum", model="layout"))

    async with AsyncExitStack() as stack:
        async with serving(store_root, services=("layout", "openinference")) as (server, _):
            channel = await stack.enter_async_context(aio.insecure_channel(server.address))
            call = stub_of(Stubs.of(channel)).ModelStreamInfer()
            for number in range(20):
                request = layouts(seed=number)
                request.id = str(number)
                await call.write(request)
            await eventually(lambda: made(server) > 0)
        answers = [answer.infer_response.id async for answer in _until_refused(call)]
        assert await call.code() is Code.UNAVAILABLE
    assert answers == [str(number) for number in range(made(server))]


async def _until_refused(call: Any) -> AsyncIterator[pb.ModelStreamInferResponse]:
    while True:
        try:
            answer = await call.read()
        except aio.AioRpcError:
            return
        if answer is aio.EOF:
            return
        yield answer


# The process.


@asynchronous
async def test_the_protocol_alone_serves_what_it_can_show(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path, models=EDITING)
    async with serving(tmp_path, services=("openinference",)) as (server, stubs):
        assert server.bundle is not None
        assert set(server.bundle.models) == {"layout", "editor", "image"}
        assert (await stub_of(stubs).ModelInfer(layouts())).outputs
        method = "inference.GRPCInferenceService/ModelInfer"
        assert sample(server, "semantic_palette_requests_total", method=method, code="OK") == 1
        assert sample(server, "semantic_palette_batch_size_sum", model="layout") == 1


@asynchronous
async def test_beside_a_service_it_shows_that_services_models(tiny_root: Path) -> None:
    async with serving(tiny_root, services=("layout", "openinference")) as (_, stubs):
        stub = stub_of(stubs)
        assert (await stub.ModelReady(pb.ModelReadyRequest(name="layout"))).ready
        assert not (await stub.ModelReady(pb.ModelReadyRequest(name="image"))).ready


@asynchronous
async def test_a_server_without_the_protocol_does_not_answer_it(tiny_root: Path) -> None:
    async with serving(tiny_root, services=("palette",)) as (_, stubs):
        with pytest.raises(aio.AioRpcError) as caught:
            await stub_of(stubs).ServerLive(pb.ServerLiveRequest())
        assert caught.value.code() is Code.UNIMPLEMENTED
