"""From errors to gRPC statuses."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from grpc_helpers import asynchronous, sample, serving
from tiny_bundle import write_tiny_bundle

from semantic_palette.errors import (
    BundleError,
    BundleNotFoundError,
    InfeasibleConstraintsError,
    InvalidInputError,
    UnknownClassError,
)
from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import layout_service_pb2 as layout
from semantic_palette_services.bundle_selection import BundleMismatchError
from semantic_palette_services.runtime.errors import (
    DeadlineUnmetError,
    DrainingError,
    EngineDiedError,
    InferenceError,
    QueueFullError,
)
from semantic_palette_services.server.errors import CallStatus, status_of

Detail = TypeVar("Detail", bound=Message)
Code = grpc.StatusCode


def detail(trailers: Any, kind: type[Detail]) -> Detail:
    status = status_pb2.Status.FromString(dict(trailers)["grpc-status-details-bin"])
    for packed in status.details:
        message = kind()
        if packed.Unpack(message):
            return message
    raise AssertionError(f"no {kind.__name__} in {status}")


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (InvalidInputError("count", 0, "1 to 9 is allowed"), Code.INVALID_ARGUMENT, "INVALID_INPUT"),
        (InfeasibleConstraintsError("c", 1, "less"), Code.INVALID_ARGUMENT, "INFEASIBLE_CONSTRAINTS"),
        (UnknownClassError("palette[lava]", "lava", "sky"), Code.NOT_FOUND, "UNKNOWN_CLASS"),
        (BundleNotFoundError("no such bundle"), Code.NOT_FOUND, "BUNDLE_NOT_FOUND"),
        (BundleMismatchError("tiny", "a", "b"), Code.FAILED_PRECONDITION, "BUNDLE_MISMATCH"),
        (QueueFullError("layout", 8, 0.25), Code.RESOURCE_EXHAUSTED, "QUEUE_FULL"),
        (DeadlineUnmetError("layout", 2.0, 1.0), Code.DEADLINE_EXCEEDED, "DEADLINE_UNMET"),
        (DrainingError("layout"), Code.UNAVAILABLE, "DRAINING"),
        (EngineDiedError("layout", "secret"), Code.UNAVAILABLE, "ENGINE_DIED"),
    ],
)
def test_every_known_error_has_its_code_and_a_reason(error: Exception, code: Code, reason: str) -> None:
    status = status_of(error)
    assert status.code is code
    assert detail(status.trailing_metadata, error_details_pb2.ErrorInfo).reason == reason


@pytest.mark.parametrize(
    "error",
    [RuntimeError("secret path /etc"), InferenceError("layout", "secret"), BundleError("secret"), KeyError("secret")],
)
def test_what_is_not_the_callers_doing_is_logged_with_an_id_and_not_told(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        status = status_of(error)
    assert status.code is Code.INTERNAL
    assert "secret" not in status.message
    assert all(b"secret" not in value for _, value in status.trailing_metadata if isinstance(value, bytes))
    identifier = status.message.removeprefix("internal error ")
    [record] = caplog.records
    assert identifier in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_a_full_queue_says_when_to_come_back_in_both_ways() -> None:
    trailers = status_of(QueueFullError("layout", 8, 0.25)).trailing_metadata
    assert dict(trailers)["grpc-retry-pushback-ms"] == "250"
    assert detail(trailers, error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() == 250
    assert detail(trailers, error_details_pb2.QuotaFailure).violations[0].subject == "layout"


def test_long_values_are_cut_to_fit_the_trailers() -> None:
    status = status_of(InvalidInputError("palette", "x" * 100_000, "y" * 100_000))
    assert sum(len(key) + len(value) for key, value in status.trailing_metadata) + len(status.message) < 8000


def relayed(code: Code, trailers: aio.Metadata) -> CallStatus:
    return status_of(aio.AioRpcError(code, aio.Metadata(), trailers, details="from the layout service"))


def test_a_stages_status_is_passed_on_with_its_details() -> None:
    original = status_of(QueueFullError("layout", 8, 0.25))
    trailers = aio.Metadata(*original.trailing_metadata, ("other", "dropped"))
    status = relayed(Code.RESOURCE_EXHAUSTED, trailers)
    assert (status.code, status.message) == (Code.RESOURCE_EXHAUSTED, "from the layout service")
    assert dict(status.trailing_metadata) == dict(original.trailing_metadata)


def test_a_stages_fault_is_an_internal_error_of_ours() -> None:
    status = relayed(Code.UNKNOWN, aio.Metadata())
    assert status.code is Code.INTERNAL
    assert "layout service" not in status.message


@asynchronous
async def test_overload_is_refused_with_a_push_back_and_counted(store_root: Path) -> None:
    write_tiny_bundle(store_root, work=20)
    items = [layout.LayoutItem(palette=common.Palette(shares={"road": 1.0}), index=index) for index in range(4)]
    async with serving(store_root, services=("layout",), max_queue=8, max_items=8) as (server, stubs):
        calls = [stubs.layout.GenerateLayouts(layout.GenerateLayoutsRequest(items=items)) for _ in range(30)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, aio.AioRpcError)]
        assert refused
        assert len(refused) < len(calls)
        for error in refused:
            assert error.code() is Code.RESOURCE_EXHAUSTED
            trailers = dict(error.trailing_metadata() or ())
            assert int(trailers["grpc-retry-pushback-ms"]) >= 1
            assert detail(error.trailing_metadata(), error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() >= 1
        assert sample(server, "semantic_palette_shed_total", model="layout", reason="queue_full") >= len(refused)
        assert sample(server, "semantic_palette_inflight_items", model="layout") == 0
