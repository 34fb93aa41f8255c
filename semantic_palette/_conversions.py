"""Protobuf messages to the client's dataclasses and back. K classes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from semantic_palette._client_types import (
    BundleDescription,
    EncodedImage,
    GeneratedLayout,
    ImageFormat,
    LayoutLike,
    PaletteLike,
    SampledPalette,
)
from semantic_palette._service_errors import ProtocolError
from semantic_palette.constraints import Constraints
from semantic_palette.editing import Box
from semantic_palette.errors import InvalidInputError
from semantic_palette.label_space import LabelClass, LabelSpace
from semantic_palette.layout import check_labels, decode_png, encode_png
from semantic_palette.pair import (
    Adherence,
    BundleIdentity,
    EditOrigin,
    EngineIdentity,
    Pair,
    PaletteOrigin,
    Provenance,
)
from semantic_palette.palette import shares_from_palette
from semantic_palette.priority import Priority
from semantic_palette.v1 import common_pb2, factory_service_pb2, layout_service_pb2, palette_service_pb2

if TYPE_CHECKING:
    from semantic_palette.v1.common_pb2 import Adherence as AdherenceValue
    from semantic_palette.v1.common_pb2 import ImageFormat as ImageFormatValue
    from semantic_palette.v1.common_pb2 import Priority as PriorityValue

_ADHERENCES = {
    Adherence.NATURAL: common_pb2.ADHERENCE_NATURAL,
    Adherence.EXACT: common_pb2.ADHERENCE_EXACT,
}
_IMAGE_FORMATS: "dict[ImageFormat, ImageFormatValue]" = {
    "png": common_pb2.IMAGE_FORMAT_PNG,
    "jpeg": common_pb2.IMAGE_FORMAT_JPEG,
    "webp": common_pb2.IMAGE_FORMAT_WEBP,
    "raw": common_pb2.IMAGE_FORMAT_RAW,
}
_PRIORITIES = {
    Priority.INTERACTIVE: common_pb2.PRIORITY_INTERACTIVE,
    Priority.BULK: common_pb2.PRIORITY_BULK,
}
_ADHERENCE_NAMES = {value: name for name, value in _ADHERENCES.items()}
_IMAGE_FORMAT_NAMES = {value: name for name, value in _IMAGE_FORMATS.items()}
_ORIGINS = {
    common_pb2.PALETTE_ORIGIN_GIVEN: PaletteOrigin.GIVEN,
    common_pb2.PALETTE_ORIGIN_SAMPLED: PaletteOrigin.SAMPLED,
    common_pb2.PALETTE_ORIGIN_PROJECTED: PaletteOrigin.PROJECTED,
    common_pb2.PALETTE_ORIGIN_MEASURED: PaletteOrigin.MEASURED,
    common_pb2.PALETTE_ORIGIN_EDITED: PaletteOrigin.EDITED,
}


@contextmanager
def reading(message: str) -> Iterator[None]:
    """Turns what cannot be read in a service's answer into ProtocolError."""
    try:
        yield
    except (InvalidInputError, KeyError) as error:
        raise ProtocolError(f"the service's {message} cannot be read: {error}") from error


def adherence_to_proto(adherence: Adherence | str) -> "AdherenceValue":
    if adherence not in _ADHERENCES:
        raise InvalidInputError("adherence", str(adherence), f"one of {', '.join(_ADHERENCES)}")
    return _ADHERENCES[Adherence(adherence)]


def priority_to_proto(priority: Priority | str | None) -> "PriorityValue":
    """None leaves it to the service."""
    if priority is None:
        return common_pb2.PRIORITY_UNSPECIFIED
    if priority not in _PRIORITIES:
        raise InvalidInputError("priority", str(priority), f"one of {', '.join(_PRIORITIES)}")
    return _PRIORITIES[Priority(priority)]


def image_format_to_proto(image_format: ImageFormat) -> "ImageFormatValue":
    if image_format not in _IMAGE_FORMATS:
        raise InvalidInputError("image_format", image_format, f"one of {', '.join(_IMAGE_FORMATS)}")
    return _IMAGE_FORMATS[image_format]


def palette_to_proto(palette: PaletteLike, space: LabelSpace, field: str) -> common_pb2.Palette:
    """Shares are sent as they are given: the service is their one judge."""
    if not isinstance(palette, np.ndarray):
        try:
            return common_pb2.Palette(shares=dict(palette))
        except (TypeError, ValueError) as error:
            raise InvalidInputError(field, palette, f"shares by class name ({error})") from error
    if palette.shape != (space.num_classes,):
        raise InvalidInputError(field, list(palette.shape), f"an array of {space.num_classes} shares")
    return common_pb2.Palette(shares=shares_from_palette(space, palette))


def constraints_to_proto(constraints: Constraints) -> common_pb2.Constraints:
    return common_pb2.Constraints(
        fixed=dict(constraints.fixed), minimum=dict(constraints.minimum), maximum=dict(constraints.maximum)
    )


def layout_to_proto(layout: LayoutLike, field: str) -> common_pb2.LabelMap:
    """Which sizes and ids a bundle takes is the service's to judge."""
    data = layout if isinstance(layout, bytes) else encode_png(check_labels(layout, num_classes=256, field=field))
    return common_pb2.LabelMap(encoding=common_pb2.LABEL_ENCODING_PNG, data=data)


def layouts_to_proto(layouts: Sequence[LayoutLike]) -> list[common_pb2.LabelMap]:
    return [layout_to_proto(layout, f"layouts[{i}]") for i, layout in enumerate(layouts)]


def palettes_to_proto(palettes: Sequence[PaletteLike], space: LabelSpace) -> list[common_pb2.Palette]:
    return [palette_to_proto(palette, space, f"palettes[{i}]") for i, palette in enumerate(palettes)]


def bundle_from_proto(message: common_pb2.BundleIdentity) -> BundleIdentity:
    return BundleIdentity(message.name, message.version, message.digest)


def engine_from_proto(message: common_pb2.EngineIdentity) -> EngineIdentity:
    return EngineIdentity(message.engine, message.engine_version, message.precision, message.model_digest)


def description_from_proto(message: palette_service_pb2.GetLabelSpaceResponse) -> BundleDescription:
    with reading("label space"):
        classes = [
            LabelClass(c.id, c.name, (c.colour >> 16 & 255, c.colour >> 8 & 255, c.colour & 255), c.evaluated, c.thing)
            for c in message.classes
        ]
        space = LabelSpace(message.name, classes)
    return BundleDescription(bundle_from_proto(message.bundle), space, message.height, message.width)


def palette_from_proto(message: common_pb2.Palette, space: LabelSpace) -> NDArray[np.float64]:
    """Not normalised again: an achieved palette is a ratio of counts, to be kept to the last bit."""
    palette = np.zeros(space.num_classes)
    for name, share in message.shares.items():
        palette[space.id_of(name)] = share
    return palette


def sampled_palette_from_proto(message: palette_service_pb2.SampledPalette, space: LabelSpace) -> SampledPalette:
    with reading("palette"):
        return SampledPalette(message.index, palette_from_proto(message.palette, space), _ORIGINS[message.origin])


def labels_from_proto(message: common_pb2.LabelMap, bundle: BundleDescription) -> NDArray[np.uint8]:
    return decode_png(message.data, bundle.label_space.num_classes, bundle.height, bundle.width)


def generated_layout_from_proto(
    message: layout_service_pb2.GeneratedLayout, bundle: BundleDescription
) -> GeneratedLayout:
    with reading("layout"):
        achieved = palette_from_proto(message.achieved, bundle.label_space)
        return GeneratedLayout(labels_from_proto(message.layout, bundle), message.layout.data, achieved, message.kl)


def image_from_proto(message: common_pb2.Image) -> EncodedImage:
    with reading("image"):
        return EncodedImage(message.data, _IMAGE_FORMAT_NAMES[message.format], message.height, message.width)


def pair_from_proto(message: factory_service_pb2.Pair, bundle: BundleDescription) -> Pair:
    with reading("pair"):
        return Pair(**pair_fields(message, bundle))


def pair_fields(message: factory_service_pb2.Pair, bundle: BundleDescription) -> dict[str, Any]:
    """The fields of a `Pair`, which those of its kinds share."""
    return {
        "index": message.provenance.index,
        "labels": labels_from_proto(message.layout, bundle),
        "label_data": message.layout.data,
        "image_data": message.image.data,
        "image_format": _IMAGE_FORMAT_NAMES[message.image.format],
        "requested": palette_from_proto(message.requested, bundle.label_space),
        "achieved": palette_from_proto(message.achieved, bundle.label_space),
        "kl": message.kl,
        "provenance": _provenance_from_proto(message.provenance),
    }


def _provenance_from_proto(message: factory_service_pb2.Provenance) -> Provenance:
    return Provenance(
        bundle=bundle_from_proto(message.bundle),
        seed=message.seed,
        index=message.index,
        adherence=_ADHERENCE_NAMES[message.adherence],
        deterministic=message.deterministic,
        palette_origin=_ORIGINS[message.palette_origin],
        layout_engine=engine_from_proto(message.layout_engine) if message.HasField("layout_engine") else None,
        image_engine=engine_from_proto(message.image_engine),
        service_version=message.service_version,
        edit=_edit_origin_from_proto(message.edit) if message.HasField("edit") else None,
    )


def _edit_origin_from_proto(message: factory_service_pb2.EditOrigin) -> EditOrigin:
    area, change = message.edit.region.WhichOneof("area"), message.edit.WhichOneof("change")
    region: Box | bytes | None = message.edit.region.mask.data if area == "mask" else None
    if area == "box":
        box = message.edit.region.box
        region = Box(box.left, box.top, box.right, box.bottom)
    return EditOrigin(
        message.seed,
        message.index,
        message.source,
        message.labels_sha256,
        message.image_sha256,
        region,
        dict(message.edit.target.shares) if change == "target" else None,
        dict(message.edit.deltas.deltas) if change == "deltas" else None,
    )
