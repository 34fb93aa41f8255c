"""Request messages from Python arguments. Only what cannot be sent is refused here: the service judges the rest."""

import math
from collections.abc import Sequence

from semantic_palette import _conversions as convert
from semantic_palette import _edit_conversions as edits
from semantic_palette._client_types import EditItem, EditSource, ImageFormat, ImageItem, LayoutItem, LayoutLike
from semantic_palette.constraints import Constraints
from semantic_palette.errors import InvalidInputError
from semantic_palette.label_space import LabelSpace
from semantic_palette.pair import Adherence
from semantic_palette.priority import Priority
from semantic_palette.v1 import common_pb2, factory_service_pb2, image_service_pb2, layout_service_pb2
from semantic_palette.v1 import palette_service_pb2 as palette_pb2


def selector(bundle: str | None, digest: str | None, version: str | None = None) -> common_pb2.BundleSelector:
    return common_pb2.BundleSelector(name=bundle or "", digest=digest or "", version=version or "")


def check_timeout(timeout: float | None) -> float | None:
    if timeout is not None and not (math.isfinite(timeout) and timeout > 0):
        raise InvalidInputError("timeout", timeout, "a positive number of seconds, or None")
    return timeout


def label_space_request(
    bundle: str | None, digest: str | None, version: str | None = None
) -> palette_pb2.GetLabelSpaceRequest:
    return palette_pb2.GetLabelSpaceRequest(bundle=selector(bundle, digest, version))


def palettes_request(
    bundle: common_pb2.BundleSelector, count: int, seed: int, first_index: int, constraints: Constraints | None
) -> palette_pb2.SamplePalettesRequest:
    return palette_pb2.SamplePalettesRequest(
        bundle=bundle,
        count=_unsigned("count", count, bits=32, minimum=1),
        seed=_unsigned("seed", seed),
        first_index=_unsigned("first_index", first_index),
        constraints=convert.constraints_to_proto(constraints or Constraints()),
    )


def layouts_request(
    bundle: common_pb2.BundleSelector,
    items: Sequence[LayoutItem],
    space: LabelSpace,
    adherence: Adherence | str,
    deterministic: bool,
    constraints: Constraints | None,
    priority: Priority | str | None,
) -> layout_service_pb2.GenerateLayoutsRequest:
    return layout_service_pb2.GenerateLayoutsRequest(
        bundle=bundle,
        items=[
            layout_service_pb2.LayoutItem(
                palette=convert.palette_to_proto(item.palette, space, f"items[{i}].palette"),
                seed=_unsigned(f"items[{i}].seed", item.seed),
                index=_unsigned(f"items[{i}].index", item.index),
            )
            for i, item in enumerate(items)
        ],
        adherence=convert.adherence_to_proto(adherence),
        deterministic=deterministic,
        label_encoding=common_pb2.LABEL_ENCODING_PNG,
        constraints=convert.constraints_to_proto(constraints or Constraints()),
        priority=convert.priority_to_proto(priority),
    )


def images_request(
    bundle: common_pb2.BundleSelector,
    items: Sequence[ImageItem],
    deterministic: bool,
    image_format: ImageFormat,
    image_quality: int,
    priority: Priority | str | None,
) -> image_service_pb2.TranslateLayoutsRequest:
    return image_service_pb2.TranslateLayoutsRequest(
        bundle=bundle,
        items=[
            image_service_pb2.ImageItem(
                layout=convert.layout_to_proto(item.layout, f"items[{i}].layout"),
                seed=_unsigned(f"items[{i}].seed", item.seed),
                index=_unsigned(f"items[{i}].index", item.index),
                reference=edits.reference_to_proto(item.reference, f"items[{i}].reference"),
            )
            for i, item in enumerate(items)
        ],
        image_format=convert.image_format_to_proto(image_format),
        image_quality=_unsigned("image_quality", image_quality, bits=32),
        deterministic=deterministic,
        priority=convert.priority_to_proto(priority),
    )


def pairs_request(
    bundle: common_pb2.BundleSelector,
    count: int,
    seed: int,
    first_index: int,
    constraints: Constraints | None,
    layouts: Sequence[LayoutLike] | None,
    adherence: Adherence | str,
    deterministic: bool,
    image_format: ImageFormat,
    image_quality: int,
    priority: Priority | str | None,
) -> factory_service_pb2.GeneratePairsRequest:
    """Palettes are added later, because arrays need the label space to become shares by name."""
    request = factory_service_pb2.GeneratePairsRequest(
        bundle=bundle,
        count=_unsigned("count", count, bits=32, minimum=1),
        seed=_unsigned("seed", seed),
        first_index=_unsigned("first_index", first_index),
        adherence=convert.adherence_to_proto(adherence),
        deterministic=deterministic,
        label_encoding=common_pb2.LABEL_ENCODING_PNG,
        image_format=convert.image_format_to_proto(image_format),
        image_quality=_unsigned("image_quality", image_quality, bits=32),
        priority=convert.priority_to_proto(priority),
    )
    if layouts is None:
        request.sampling.constraints.CopyFrom(convert.constraints_to_proto(constraints or Constraints()))
    else:
        request.layouts.SetInParent()  # an empty list is a source too: the service says that it is empty
        request.layouts.layouts.extend(convert.layouts_to_proto(layouts))
    return request


def edits_request(
    bundle: common_pb2.BundleSelector,
    items: Sequence[EditItem],
    deterministic: bool,
    priority: Priority | str | None,
) -> layout_service_pb2.EditLayoutsRequest:
    return layout_service_pb2.EditLayoutsRequest(
        bundle=bundle,
        items=[
            layout_service_pb2.EditItem(
                layout=convert.layout_to_proto(item.layout, f"items[{i}].layout"),
                edit=edits.edit_to_proto(item, f"items[{i}]"),
                seed=_unsigned(f"items[{i}].seed", item.seed),
                index=_unsigned(f"items[{i}].index", item.index),
            )
            for i, item in enumerate(items)
        ],
        deterministic=deterministic,
        label_encoding=common_pb2.LABEL_ENCODING_PNG,
        priority=convert.priority_to_proto(priority),
    )


def pair_edits_request(
    bundle: common_pb2.BundleSelector,
    sources: Sequence[EditSource],
    count: int,
    seed: int,
    first_index: int,
    deterministic: bool,
    image_format: ImageFormat,
    image_quality: int,
    priority: Priority | str | None,
) -> factory_service_pb2.EditPairsRequest:
    return factory_service_pb2.EditPairsRequest(
        bundle=bundle,
        count=_unsigned("count", count, bits=32, minimum=1),
        seed=_unsigned("seed", seed),
        first_index=_unsigned("first_index", first_index),
        sources=[
            factory_service_pb2.EditSource(
                layout=convert.layout_to_proto(source.layout, f"sources[{i}].layout"),
                image=edits.image_to_proto(source.image, f"sources[{i}].image"),
                edit=edits.edit_to_proto(source, f"sources[{i}]"),
                seed=_unsigned(f"sources[{i}].seed", source.seed),
                index=_unsigned(f"sources[{i}].index", source.index),
            )
            for i, source in enumerate(sources)
        ],
        deterministic=deterministic,
        label_encoding=common_pb2.LABEL_ENCODING_PNG,
        image_format=convert.image_format_to_proto(image_format),
        image_quality=_unsigned("image_quality", image_quality, bits=32),
        priority=convert.priority_to_proto(priority),
    )


def _unsigned(field: str, value: int, *, bits: int = 64, minimum: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value < 1 << bits:
        raise InvalidInputError(field, value, f"an integer from {minimum} to 2**{bits} - 1")
    return value
