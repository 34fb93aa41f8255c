"""Streams of mutated requests: every request has an answer, and none of them ends the stream."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import cast

import grpc
import numpy as np
from fuzz.messages import mutate
from fuzz.open_inference import requests
from grpc_helpers import asynchronous, sample, serving
from tiny_bundle import EDITING, write_tiny_bundle

from semantic_palette_services.openinference.v2 import open_inference_pb2 as pb
from semantic_palette_services.openinference.v2.open_inference_pb2_grpc import GRPCInferenceServiceStub

NUMBER = 600
EXPECTED = {"", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "DEADLINE_EXCEEDED"}


def mutated(seed: int) -> pb.ModelInferRequest:
    rng = Random(seed)
    labels = (np.arange(16 * 32).reshape(16, 32) // 37 % 6).astype(np.uint8)
    valid = requests(labels, np.dstack([labels * 40] * 3))["/inference.GRPCInferenceService/ModelInfer"]
    request = pb.ModelInferRequest()
    request.CopyFrom(cast(pb.ModelInferRequest, rng.choice(valid)))
    for _ in range(rng.randrange(3)):
        mutate(rng, request)
    return request


@asynchronous
async def test_every_request_of_a_stream_is_answered_whatever_it_is(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path, models=(*EDITING, "style_encoder"), image="styled")
    async with serving(tmp_path, services=("openinference",)) as (server, stubs):
        stub = GRPCInferenceServiceStub(stubs.channel)  # type: ignore[no-untyped-call]
        call = stub.ModelStreamInfer()

        async def send() -> None:
            for seed in range(NUMBER):
                await call.write(mutated(seed))
            await call.done_writing()

        sending = asyncio.create_task(send())
        answers = [answer async for answer in call]
        await sending
        assert await call.code() is grpc.StatusCode.OK
        assert [answer.infer_response.id for answer in answers] == [mutated(seed).id for seed in range(NUMBER)]
        kinds = [answer.error_message.partition(":")[0] for answer in answers]
        assert set(kinds) <= EXPECTED
        assert min(kinds.count(""), kinds.count("INVALID_ARGUMENT")) > NUMBER // 10
        assert all(answer.infer_response.outputs for answer in answers if not answer.error_message)
        for model in server.bundle.models if server.bundle else ():
            assert sample(server, "semantic_palette_inflight_items", model=model) == 0
