"""The Open Inference Protocol on servers that ask for tokens."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc import aio
from grpc_helpers import Stubs, asynchronous, eventually, sample, serving
from secret_files import TOKEN, write_tokens

from semantic_palette_services.openinference.v2 import open_inference_pb2 as pb
from semantic_palette_services.openinference.v2.open_inference_pb2_grpc import GRPCInferenceServiceStub
from semantic_palette_services.server import reloading

ALICE = (("authorization", f"Bearer {TOKEN}"),)
METHOD = "inference.GRPCInferenceService/ModelStreamInfer"


@pytest.fixture(autouse=True)
def frequent_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "POLL_SECONDS", 0.02)


def alice(folder: Path, **quota: Any) -> Path:
    return write_tokens(folder / "tokens.json", {"name": "alice", "token": TOKEN, **quota})


def stub_of(stubs: Stubs) -> Any:
    return GRPCInferenceServiceStub(stubs.channel)  # type: ignore[no-untyped-call]


def layouts(count: int = 1) -> pb.ModelInferRequest:
    palette = np.full((count, 6), 1 / 6, np.float32)
    return pb.ModelInferRequest(
        model_name="layout",
        parameters={"seed": pb.InferParameter(int64_param=1)},
        inputs=[pb.ModelInferRequest.InferInputTensor(name="palette", datatype="FP32", shape=palette.shape)],
        raw_input_contents=[palette.tobytes()],
    )


@asynchronous
async def test_nothing_is_answered_without_a_token(tiny_root: Path, tmp_path: Path) -> None:
    async with serving(tiny_root, auth_tokens=alice(tmp_path), services=("layout", "openinference")) as (_, stubs):
        stub = stub_of(stubs)
        with pytest.raises(aio.AioRpcError) as refused:
            await stub.ServerLive(pb.ServerLiveRequest())
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(aio.AioRpcError) as refused:
            await stub.ModelStreamInfer().read()
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert (await stub.ServerLive(pb.ServerLiveRequest(), metadata=ALICE)).live


@asynchronous
async def test_a_sample_is_an_item_of_the_quota(tiny_root: Path, tmp_path: Path) -> None:
    tokens = alice(tmp_path, pairs_per_second=4)
    async with serving(tiny_root, auth_tokens=tokens, services=("layout", "openinference")) as (_, stubs):
        stub = stub_of(stubs)
        assert (await stub.ModelInfer(layouts(4), metadata=ALICE)).outputs[0].shape[0] == 4
        with pytest.raises(aio.AioRpcError) as refused:
            await stub.ModelInfer(layouts(4), metadata=ALICE)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "grpc-retry-pushback-ms" in dict(refused.value.trailing_metadata() or ())


@asynchronous
async def test_a_stream_is_slowed_down_to_the_quota(tiny_root: Path, tmp_path: Path) -> None:
    tokens = alice(tmp_path, pairs_per_second=20)
    async with serving(tiny_root, auth_tokens=tokens, services=("layout", "openinference")) as (_, stubs):
        call = stub_of(stubs).ModelStreamInfer(metadata=ALICE)
        started = time.monotonic()
        for _ in range(6):
            await call.write(layouts(5))
        await call.done_writing()
        answers = [answer async for answer in call]
        assert not any(answer.error_message for answer in answers)
        assert len(answers) == 6
        assert time.monotonic() - started >= 0.4  # 20 at once, and 10 more at 20 a second


@asynchronous
async def test_streams_are_counted_and_end_when_their_token_is_revoked(tiny_root: Path, tmp_path: Path) -> None:
    tokens = alice(tmp_path, max_streams=1)
    async with serving(tiny_root, auth_tokens=tokens, services=("layout", "openinference")) as (server, stubs):
        stub = stub_of(stubs)
        call = stub.ModelStreamInfer(metadata=ALICE)
        await call.write(layouts())
        assert (await call.read()).infer_response.outputs
        with pytest.raises(aio.AioRpcError) as refused:
            await stub.ModelStreamInfer(metadata=ALICE).read()
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "1 streams at a time" in (refused.value.details() or "")
        write_tokens(tokens, {"name": "bob", "token": "bob-" + "x" * 40})
        await eventually(lambda: sample(server, "semantic_palette_reloads_total", what="auth_tokens", result="ok") > 0)
        await call.write(layouts())
        with pytest.raises(aio.AioRpcError) as revoked:
            await call.read()
        assert revoked.value.code() is grpc.StatusCode.UNAUTHENTICATED
        await eventually(lambda: sample(server, "semantic_palette_inflight_requests", method=METHOD) == 0)
