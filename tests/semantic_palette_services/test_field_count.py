"""Messages of millions of fields, which take a few bytes each, are refused before they are decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_helpers import serving_in_thread, violations

from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import factory_service_pb2 as factory
from semantic_palette.v1 import layout_service_pb2 as layout
from semantic_palette_services.server.field_count import MAX_FIELDS, has_too_many_fields

ITEM = b"\x12\x00"  # field 2, GenerateLayoutsRequest.items, of no bytes
KIND = layout.GenerateLayoutsRequest.DESCRIPTOR


def part(number: int, content: bytes) -> bytes:
    """A field of bytes on the wire, shorter than 16 KiB."""
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return bytes([number << 3 | 2]) + length + content


@pytest.mark.parametrize(
    "data",
    [
        ITEM * 101,
        part(2, b"\x0a\x00" * 100),
        part(2, part(1, b"\x0a\x00" * 50)) * 2,
        b"\x18\x01" * 101,
        b"\x13\x14" * 101,
        b"\xf8\xff\xff\xff\x0f\x01" * 101,
    ],
    ids=["parts", "parts of a part", "parts of parts", "numbers", "groups", "unknown numbers"],
)
def test_fields_are_counted_wherever_they_are(data: bytes) -> None:
    assert has_too_many_fields(data, KIND, most=100)
    assert not has_too_many_fields(data, KIND, most=204)


def test_a_field_of_many_bytes_counts_once_whatever_is_in_them() -> None:
    pixels = common.LabelMap(data=ITEM * 4000)
    message = factory.GeneratePairsRequest(count=1, layouts=factory.LayoutList(layouts=[pixels])).SerializeToString()
    assert not has_too_many_fields(message, factory.GeneratePairsRequest.DESCRIPTOR, most=10)


@pytest.mark.parametrize(
    "data", [b"\xff" * 3000, b"\x80" * 3000, b"\x12\xff\x7f" + ITEM * 1000, b"\x16" * 1000, ITEM * 90 + b"\x12"]
)
def test_what_is_no_message_is_left_to_whoever_decodes_it(data: bytes) -> None:
    assert not has_too_many_fields(data, KIND, most=100)


def test_the_largest_request_that_limits_allow_is_not_too_much() -> None:
    shares = {f"a class with a long name, number {number}": 1 / 256 for number in range(256)}
    palettes = factory.PaletteList(palettes=[common.Palette(shares=shares)] * 4000)
    message = factory.GeneratePairsRequest(count=1, palettes=palettes).SerializeToString()
    assert not has_too_many_fields(message, factory.GeneratePairsRequest.DESCRIPTOR)


@pytest.mark.parametrize(
    ("method", "field"),
    [("semantic_palette.v1.LayoutService/GenerateLayouts", 2), ("inference.GRPCInferenceService/ModelInfer", 5)],
)
def test_millions_of_empty_items_are_bad_input(tiny_root: Path, method: str, field: int) -> None:
    with serving_in_thread(tiny_root) as (_, stubs):
        with pytest.raises(grpc.RpcError) as caught:
            stubs.channel.unary_unary(f"/{method}")(part(field, b"") * (MAX_FIELDS + 1))
        error: Any = caught.value
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert [name for name, _ in violations(error)] == ["request"]
        assert f"more than {MAX_FIELDS} fields" in error.details()
