"""Calls of our services for a load test: prepared once, sent without retries, each attempt a sample."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc.aio
import numpy as np

from semantic_palette._channel import Connection
from semantic_palette._client_types import BundleDescription
from semantic_palette._conversions import description_from_proto, priority_to_proto
from semantic_palette.bundle_reference import BundleReference
from semantic_palette.errors import InvalidInputError
from semantic_palette.layout import encode_png
from semantic_palette.loadtest.recorder import OK
from semantic_palette.loadtest.runner import Call, Send
from semantic_palette.priority import Priority
from semantic_palette.v1 import common_pb2, factory_service_pb2, image_service_pb2, layout_service_pb2
from semantic_palette.v1 import palette_service_pb2 as palette_pb2

NUM_CONTENTS = 64
"""Different palettes or layouts that calls carry, in turn."""
PREPARE_SECONDS = 30.0
"""Time for each question before the load."""


class Workload(enum.StrEnum):
    """Which call is made."""

    LAYOUTS = "layouts"
    """`GenerateLayouts`, of palettes drawn from the bundle's palette model."""
    IMAGES = "images"
    """`TranslateLayouts`, of made-up layouts."""
    PAIRS = "pairs"
    """`GeneratePairs`, of the same palettes; a call is over when its stream is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What calls ask for.

    Attributes:
        workload: which call.
        items: layouts or images a call, or pairs a stream.
        exact: exact adherence instead of natural.
        raw: layouts and images travel raw instead of as PNG.
        priority: of the calls. Default: the service's, bulk for streams and interactive for others.
    """

    workload: Workload
    items: int = 1
    exact: bool = False
    raw: bool = False
    priority: Priority | None = None


async def prepare_calls(connection: Connection, content: Content, bundle: str | None, seed: int) -> Send:
    """Asks for the bundle and, where calls carry palettes, for those; returns what makes calls.

    Invalid calls carry a palette that sums to 2, or a layout with a class that the bundle does not have.

    Args:
        connection: to services of which one is the palette service, as it is in every pod.
        content: what calls ask for.
        bundle: reference to the bundle. Default: the service's default bundle.
        seed: of contents; call i asks for sample indices from i times `content.items` on.

    Raises:
        grpc.aio.AioRpcError: the services do not answer.
        InvalidInputError: another version of the bundle is served.
    """
    wanted = BundleReference.parse(bundle)
    selector = common_pb2.BundleSelector(name=wanted.name or "", digest=wanted.digest or "")
    request = palette_pb2.GetLabelSpaceRequest(bundle=selector)
    description = description_from_proto(await connection.palette.GetLabelSpace(request, timeout=PREPARE_SECONDS))
    identity = description.identity
    if not wanted.admits(identity):
        raise InvalidInputError("bundle", bundle, f"the services serve {identity.name}/{identity.version}")
    selector.digest = identity.digest
    if content.workload is Workload.IMAGES:
        return _image_calls(connection, content, selector, description, seed)
    asked = palette_pb2.SamplePalettesRequest(bundle=selector, count=NUM_CONTENTS, seed=seed)
    sampled = await connection.palette.SamplePalettes(asked, timeout=PREPARE_SECONDS)
    palettes = [sample.palette for sample in sampled.palettes]
    make = _layout_calls if content.workload is Workload.LAYOUTS else _pair_calls
    return make(connection, content, selector, palettes, seed)


def _layout_calls(
    connection: Connection,
    content: Content,
    selector: common_pb2.BundleSelector,
    palettes: list[common_pb2.Palette],
    seed: int,
) -> Send:
    def build(call: Call) -> layout_service_pb2.GenerateLayoutsRequest:
        palette = _doubled(palettes[0]) if call.poison else palettes[call.index % len(palettes)]
        first = call.index * content.items
        return layout_service_pb2.GenerateLayoutsRequest(
            bundle=selector,
            items=[
                layout_service_pb2.LayoutItem(palette=palette, seed=seed, index=first + i) for i in range(content.items)
            ],
            adherence=_adherence(content),
            label_encoding=_label_encoding(content),
            priority=priority_to_proto(content.priority),
        )

    return _unary(lambda call, timeout: connection.layout.GenerateLayouts(build(call), timeout=timeout))


def _image_calls(
    connection: Connection,
    content: Content,
    selector: common_pb2.BundleSelector,
    description: BundleDescription,
    seed: int,
) -> Send:
    layouts = [_label_map(labels, content.raw) for labels in made_up_layouts(description, NUM_CONTENTS, seed)]
    unknown = np.full((description.height, description.width), description.label_space.num_classes, np.uint8)
    poison = _label_map(unknown, content.raw)
    image_format = common_pb2.IMAGE_FORMAT_RAW if content.raw else common_pb2.IMAGE_FORMAT_PNG

    def build(call: Call) -> image_service_pb2.TranslateLayoutsRequest:
        first = call.index * content.items
        return image_service_pb2.TranslateLayoutsRequest(
            bundle=selector,
            items=[
                image_service_pb2.ImageItem(
                    layout=poison if call.poison else layouts[(first + i) % len(layouts)], seed=seed, index=first + i
                )
                for i in range(content.items)
            ],
            image_format=image_format,
            priority=priority_to_proto(content.priority),
        )

    return _unary(lambda call, timeout: connection.image.TranslateLayouts(build(call), timeout=timeout))


def _pair_calls(
    connection: Connection,
    content: Content,
    selector: common_pb2.BundleSelector,
    palettes: list[common_pb2.Palette],
    seed: int,
) -> Send:
    image_format = common_pb2.IMAGE_FORMAT_RAW if content.raw else common_pb2.IMAGE_FORMAT_PNG

    async def send(call: Call) -> str:
        palette = _doubled(palettes[0]) if call.poison else palettes[call.index % len(palettes)]
        request = factory_service_pb2.GeneratePairsRequest(
            bundle=selector,
            count=content.items,
            seed=seed,
            first_index=call.index * content.items,
            palettes=factory_service_pb2.PaletteList(palettes=[palette]),
            adherence=_adherence(content),
            label_encoding=_label_encoding(content),
            image_format=image_format,
            priority=priority_to_proto(content.priority),
        )
        stream = connection.factory.GeneratePairs(request, timeout=call.timeout)
        try:
            received = 0
            async for _ in stream:
                received += 1
        except grpc.aio.AioRpcError as error:
            return error.code().name
        finally:
            stream.cancel()
        return OK if received == content.items else f"{received} OF {content.items} PAIRS"

    return send


def _unary(begin: Callable[[Call, float | None], Any]) -> Send:
    async def send(call: Call) -> str:
        try:
            await begin(call, call.timeout)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return OK

    return send


def made_up_layouts(
    description: BundleDescription, count: int, seed: int
) -> list["np.ndarray[Any, np.dtype[np.uint8]]"]:
    """Layouts uint8 [H, W] of the bundle's size and classes, in horizontal bands with ragged edges."""
    rng = np.random.default_rng(seed)
    num_classes, height, width = description.label_space.num_classes, description.height, description.width
    layouts = []
    for _ in range(count):
        edges_KW = np.sort(rng.uniform(0, height, (num_classes, 1)), axis=0) + rng.normal(0, 2, (num_classes, width))
        bands_HW = (np.arange(height)[:, None, None] > edges_KW.T[None]).sum(axis=2)
        layouts.append(np.minimum(bands_HW, num_classes - 1).astype(np.uint8))
    return layouts


def _label_map(labels: "np.ndarray[Any, np.dtype[np.uint8]]", raw: bool) -> common_pb2.LabelMap:
    encoding = common_pb2.LABEL_ENCODING_RAW if raw else common_pb2.LABEL_ENCODING_PNG
    height, width = labels.shape
    data = labels.tobytes() if raw else encode_png(labels)
    return common_pb2.LabelMap(encoding=encoding, height=height, width=width, data=data)


def _doubled(palette: common_pb2.Palette) -> common_pb2.Palette:
    return common_pb2.Palette(shares={name: 2 * share for name, share in palette.shares.items()})


def _adherence(content: Content) -> Any:
    return common_pb2.ADHERENCE_EXACT if content.exact else common_pb2.ADHERENCE_NATURAL


def _label_encoding(content: Content) -> Any:
    return common_pb2.LABEL_ENCODING_RAW if content.raw else common_pb2.LABEL_ENCODING_PNG
