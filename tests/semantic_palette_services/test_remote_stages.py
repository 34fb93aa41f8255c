"""What the factory makes of the answers of services in other processes."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.message import Message
from grpc import aio
from grpc_helpers import asynchronous

from semantic_palette.errors import InvalidInputError
from semantic_palette.label_space import STREETS
from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import image_service_pb2 as image
from semantic_palette.v1 import layout_service_pb2 as layout
from semantic_palette.v1 import palette_service_pb2 as palette
from semantic_palette_services.bundle_selection import BundleSelection
from semantic_palette_services.encoding import ImageEncoding, ImageFormat
from semantic_palette_services.factory import stage_channel
from semantic_palette_services.factory.remote_stages import RemoteImageStage, RemotePaletteStage
from semantic_palette_services.factory.stage_channel import StageAnswerError, StageChannel, StageUnavailableError
from semantic_palette_services.factory.stages import ImageTask, PinnedBundle
from semantic_palette_services.image.style_cache import StyleReference
from semantic_palette_services.runtime.errors import DeadlineUnmetError, DrainingError
from semantic_palette_services.server.errors import status_of

Code = grpc.StatusCode
STAGE_TIMEOUT = 10.0


async def outcome(method: Any, seconds_left: float | None, read: Any = lambda answer: answer) -> Any:
    """What asking with a stage timeout of 10 s gives: the result, or the error."""
    channel = StageChannel("layout:50051", STAGE_TIMEOUT)
    deadline = None if seconds_left is None else asyncio.get_running_loop().time() + seconds_left
    try:
        return await channel.ask(method, common.Palette(), deadline, read)
    except Exception as error:
        return error
    finally:
        await channel.close()


def failing(code: Code) -> Any:
    async def method(request: Message, *, timeout: float, metadata: Any) -> None:
        raise aio.AioRpcError(code, aio.Metadata(), aio.Metadata())

    return method


@pytest.mark.parametrize(
    ("code", "seconds_left", "expected"),
    [
        (Code.CANCELLED, None, Code.UNAVAILABLE),
        (Code.CANCELLED, 5.0, Code.UNAVAILABLE),
        (Code.DEADLINE_EXCEEDED, None, Code.UNAVAILABLE),
        (Code.DEADLINE_EXCEEDED, 60.0, Code.UNAVAILABLE),
        (Code.DEADLINE_EXCEEDED, 5.0, Code.DEADLINE_EXCEEDED),
        (Code.NOT_FOUND, None, Code.NOT_FOUND),
    ],
)
@asynchronous
async def test_the_limit_of_a_stage_is_not_the_callers_deadline(
    code: Code, seconds_left: float | None, expected: Code
) -> None:
    error = await outcome(failing(code), seconds_left)
    assert status_of(error).code is expected
    assert isinstance(error, StageUnavailableError) == (expected is Code.UNAVAILABLE)


@pytest.mark.parametrize(("seconds_left", "calls"), [(None, 3), (60.0, 3), (5.0, 1)])
@asynchronous
async def test_a_stage_with_too_long_a_queue_is_asked_again(
    seconds_left: float | None, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage_channel, "_PAUSES", (0.001,) * 4)
    refused = status_of(DeadlineUnmetError("layout", 70.0, 10.0))
    called = 0

    async def method(request: Message, *, timeout: float, metadata: Any) -> str:
        nonlocal called
        called += 1
        if called < 3:
            raise aio.AioRpcError(refused.code, aio.Metadata(), aio.Metadata(*refused.trailing_metadata))
        return "answer"

    end = await outcome(method, seconds_left)
    assert called == calls
    assert end == "answer" if calls == 3 else status_of(end).code is Code.DEADLINE_EXCEEDED


@asynchronous
async def test_a_stage_whose_queue_stays_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_channel, "_PAUSES", (0.001,) * 4)
    refused = status_of(DeadlineUnmetError("layout", 70.0, 10.0))

    async def method(request: Message, *, timeout: float, metadata: Any) -> None:
        raise aio.AioRpcError(refused.code, aio.Metadata(), aio.Metadata(*refused.trailing_metadata))

    assert isinstance(await outcome(method, None), StageUnavailableError)


@asynchronous
async def test_callers_are_not_told_where_a_stage_is_that_cannot_be_reached(caplog: pytest.LogCaptureFixture) -> None:
    channel = StageChannel("127.0.0.1:1", STAGE_TIMEOUT)
    try:
        with pytest.raises(StageUnavailableError, match="UNAVAILABLE") as caught:
            await RemotePaletteStage(channel).pin(BundleSelection(), None)
    finally:
        await channel.close()
    status = status_of(caught.value)
    assert status.code is Code.UNAVAILABLE
    assert "127.0.0.1" not in f"{status.message} {status.trailing_metadata}"
    assert "127.0.0.1:1 gave up a call with UNAVAILABLE" in caplog.text


@asynchronous
async def test_what_a_stage_says_of_its_being_unavailable_is_passed_on() -> None:
    async def method(request: Message, *, timeout: float, metadata: Any) -> None:
        said = aio.Metadata(*status_of(DrainingError("layout")).trailing_metadata)
        raise aio.AioRpcError(Code.UNAVAILABLE, aio.Metadata(), said, "the server stops")

    status = status_of(await outcome(method, None))
    assert (status.code, status.message) == (Code.UNAVAILABLE, "the server stops")
    assert b"DRAINING" in dict(status.trailing_metadata)["grpc-status-details-bin"]


@asynchronous
async def test_a_call_lasts_no_longer_than_the_caller_and_the_stage_allow() -> None:
    async def method(request: Message, *, timeout: float, metadata: Any) -> float:
        return timeout

    assert await outcome(method, None) == STAGE_TIMEOUT
    assert await outcome(method, 60.0) == STAGE_TIMEOUT
    assert await outcome(method, 5.0) == pytest.approx(5.0, abs=0.5)
    assert await outcome(method, -1.0) == 0.0


class RecordingChannel(StageChannel):
    """Keeps what is asked, and answers with a given message."""

    def __init__(self, answer: Message) -> None:
        super().__init__("image:50051", STAGE_TIMEOUT)
        self.answer = answer
        self.requests: list[Any] = []

    async def ask(self, method: Any, request: Message, deadline: float | None, read: Any) -> Any:
        async def reply(asked: Message, *, timeout: float, metadata: Any) -> Message:
            self.requests.append(asked)
            return self.answer

        return await super().ask(reply, request, deadline, read)


def pinned(styled: bool | None) -> PinnedBundle:
    return PinnedBundle("tiny", "1", "0" * 64, STREETS, 4, 8, None, styled)


def image_task() -> ImageTask:
    labels, photo = np.zeros((4, 8), np.uint8), np.zeros((4, 8, 3), np.uint8)
    reference = StyleReference(photo, labels)
    return ImageTask(labels, 1, 2, ImageEncoding(ImageFormat.RAW), deterministic=False, reference=reference)


def image_answer(height: int = 4, width: int = 8) -> image.TranslateLayoutsResponse:
    raw = common.Image(format=common.IMAGE_FORMAT_RAW, height=height, width=width, data=bytes(height * width * 3))
    return image.TranslateLayoutsResponse(images=[raw])


@pytest.mark.parametrize(("styled", "sent"), [(True, True), (False, False), (None, True)])
@asynchronous
async def test_references_travel_only_where_they_count(styled: bool | None, sent: bool) -> None:
    channel = RecordingChannel(image_answer())
    await RemoteImageStage(channel).translate(pinned(styled), image_task(), None)
    await channel.close()
    assert [request.items[0].HasField("reference") for request in channel.requests] == [sent]


@pytest.mark.parametrize("styled", [True, False, None])
@asynchronous
async def test_the_palette_service_says_what_the_bundle_has(styled: bool | None) -> None:
    classes = [palette.LabelClass(id=0, name="road"), palette.LabelClass(id=1, name="sky")]
    answer = palette.GetLabelSpaceResponse(classes=classes, name="two", height=4, width=8, styled=styled)
    answer.operations.extend([] if styled is None else ["editor", "image"])
    channel = RecordingChannel(answer)
    bundle = await RemotePaletteStage(channel).pin(BundleSelection(), None)
    await channel.close()
    assert bundle.styled is styled
    assert bundle.operations == (None if styled is None else {"editor", "image"})


@asynchronous
async def test_a_malformed_answer_is_not_the_callers_fault() -> None:
    async def method(request: Message, *, timeout: float, metadata: Any) -> Message:
        return layout.GenerateLayoutsResponse()

    def wrong_size(answer: Message) -> None:
        raise InvalidInputError("layout.height", 3, "16 is allowed")

    def wrong_number(answer: layout.GenerateLayoutsResponse) -> None:
        (_,) = answer.layouts

    for read in (wrong_size, wrong_number):
        error = await outcome(method, None, read)
        assert isinstance(error, StageAnswerError)
        assert status_of(error).code is Code.INTERNAL
