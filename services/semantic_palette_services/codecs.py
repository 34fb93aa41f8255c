"""Conversions between protobuf messages and arrays. K classes, H height, W width in pixels.

Whatever a message holds that is not allowed is an `InvalidInputError` (or a subclass) that names the message's field.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from semantic_palette.constraints import Constraints
from semantic_palette.errors import InvalidInputError
from semantic_palette.label_space import LabelClass, LabelSpace
from semantic_palette.layout import check_labels, decode_png
from semantic_palette.pair import Adherence, BundleIdentity, EngineIdentity, PaletteOrigin
from semantic_palette.palette import palette_from_shares, shares_from_palette
from semantic_palette.priority import Priority
from semantic_palette.v1 import common_pb2, palette_service_pb2
from semantic_palette_services.bundle_selection import BundleSelection, BundleView
from semantic_palette_services.encoding import EncodedImage, ImageEncoding, ImageFormat, LabelEncoding, decode_image

_Value = TypeVar("_Value", bound=int)
_Choice = TypeVar("_Choice", bound=StrEnum)

# A palette that is normalised again may change in its last bit, and with it the bytes of a layout. What is already
# normalised is taken as it is, so that a palette is the same number however many services it passes through.
_NORMALISED_WITHIN = 1e-9

_ADHERENCES = MappingProxyType(
    {
        common_pb2.ADHERENCE_UNSPECIFIED: Adherence.NATURAL,
        common_pb2.ADHERENCE_NATURAL: Adherence.NATURAL,
        common_pb2.ADHERENCE_EXACT: Adherence.EXACT,
    }
)
_LABEL_ENCODINGS = MappingProxyType(
    {
        common_pb2.LABEL_ENCODING_UNSPECIFIED: LabelEncoding.PNG,
        common_pb2.LABEL_ENCODING_PNG: LabelEncoding.PNG,
        common_pb2.LABEL_ENCODING_RAW: LabelEncoding.RAW,
    }
)
_IMAGE_FORMATS = MappingProxyType(
    {
        common_pb2.IMAGE_FORMAT_UNSPECIFIED: ImageFormat.PNG,
        common_pb2.IMAGE_FORMAT_PNG: ImageFormat.PNG,
        common_pb2.IMAGE_FORMAT_JPEG: ImageFormat.JPEG,
        common_pb2.IMAGE_FORMAT_WEBP: ImageFormat.WEBP,
        common_pb2.IMAGE_FORMAT_RAW: ImageFormat.RAW,
    }
)
_PRIORITIES = MappingProxyType(
    {
        common_pb2.PRIORITY_INTERACTIVE: Priority.INTERACTIVE,
        common_pb2.PRIORITY_BULK: Priority.BULK,
    }
)
_ORIGINS = MappingProxyType(
    {
        common_pb2.PALETTE_ORIGIN_GIVEN: PaletteOrigin.GIVEN,
        common_pb2.PALETTE_ORIGIN_SAMPLED: PaletteOrigin.SAMPLED,
        common_pb2.PALETTE_ORIGIN_PROJECTED: PaletteOrigin.PROJECTED,
        common_pb2.PALETTE_ORIGIN_MEASURED: PaletteOrigin.MEASURED,
        common_pb2.PALETTE_ORIGIN_EDITED: PaletteOrigin.EDITED,
    }
)


# Later entries win, so that a choice becomes its own enum value rather than UNSPECIFIED.
_ADHERENCE_VALUES = {choice: value for value, choice in _ADHERENCES.items()}
_LABEL_ENCODING_VALUES = {choice: value for value, choice in _LABEL_ENCODINGS.items()}
_IMAGE_FORMAT_VALUES = {choice: value for value, choice in _IMAGE_FORMATS.items()}
_PRIORITY_VALUES = {choice: value for value, choice in _PRIORITIES.items()}
_ORIGIN_VALUES = {choice: value for value, choice in _ORIGINS.items()}


def _choice(table: Mapping[_Value, _Choice], value: int, field: str) -> _Choice:
    choice = next((choice for known, choice in table.items() if known == value), None)
    if choice is None:
        raise InvalidInputError(field, value, ", ".join(f"{k} ({v.value})" for k, v in table.items()) + " are allowed")
    return choice


def adherence_from_proto(value: int, field: str = "adherence") -> Adherence:
    """Read an `Adherence` enum value; unspecified is NATURAL."""
    return _choice(_ADHERENCES, value, field)


def adherence_to_proto(adherence: Adherence) -> common_pb2.Adherence:
    """The enum value of an adherence."""
    return _ADHERENCE_VALUES[adherence]


def priority_from_proto(value: int, default: Priority, field: str = "priority") -> Priority:
    """Read a `Priority` enum value; unspecified is ``default``."""
    return default if value == common_pb2.PRIORITY_UNSPECIFIED else _choice(_PRIORITIES, value, field)


def priority_to_proto(priority: Priority) -> common_pb2.Priority:
    """The enum value of a priority."""
    return _PRIORITY_VALUES[priority]


def label_encoding_from_proto(value: int, field: str = "label_encoding") -> LabelEncoding:
    """Read a `LabelEncoding` enum value; unspecified is PNG."""
    return _choice(_LABEL_ENCODINGS, value, field)


def image_encoding_from_proto(value: int, quality: int) -> ImageEncoding:
    """Read an `ImageFormat` enum value (unspecified is PNG) and the JPEG quality beside it (0 is the default)."""
    return ImageEncoding(_choice(_IMAGE_FORMATS, value, "image_format"), quality)


def image_format_to_proto(image_format: ImageFormat) -> common_pb2.ImageFormat:
    """The enum value of an image format."""
    return _IMAGE_FORMAT_VALUES[image_format]


def origin_to_proto(origin: PaletteOrigin) -> common_pb2.PaletteOrigin:
    """The enum value of a palette's origin."""
    return _ORIGIN_VALUES[origin]


def palette_from_proto(space: LabelSpace, message: common_pb2.Palette, field: str) -> NDArray[np.float64]:
    """Read a palette, float64 ``[K]``, summing to 1.

    Raises:
        UnknownClassError: a class is not of the label space.
        InvalidInputError: a share is not in [0, 1], or they do not sum to 1 within 1e-3.
    """
    palette = palette_from_shares(space, message.shares, field)
    given = np.zeros_like(palette)
    for name, share in message.shares.items():
        given[space.id_of(name)] = share
    return given if abs(float(given.sum()) - 1.0) <= _NORMALISED_WITHIN else palette


def palette_to_proto(space: LabelSpace, palette: NDArray[np.float64]) -> common_pb2.Palette:
    """Write a palette ``[K]`` with every class."""
    return common_pb2.Palette(shares=shares_from_palette(space, palette))


def constraints_from_proto(message: common_pb2.Constraints) -> Constraints:
    """Read constraints; they are checked when they become bounds."""
    return Constraints(dict(message.fixed), dict(message.minimum), dict(message.maximum))


def constraints_to_proto(constraints: Constraints) -> common_pb2.Constraints:
    """Write constraints."""
    return common_pb2.Constraints(fixed=constraints.fixed, minimum=constraints.minimum, maximum=constraints.maximum)


def layout_from_proto(message: common_pb2.LabelMap, bundle: BundleView, field: str) -> NDArray[np.uint8]:
    """Read a layout ``[H, W]`` of the bundle's size and label space.

    Raises:
        InvalidInputError: the encoding is unknown, the data is corrupt, or the size or an id is not the bundle's.
    """
    return label_map_from_proto(message, bundle, bundle.label_space.num_classes, field)


def label_map_from_proto(
    message: common_pb2.LabelMap, bundle: BundleView, num_values: int, field: str
) -> NDArray[np.uint8]:
    """Read a map ``[H, W]`` of the bundle's size with values below ``num_values``; errors as `layout_from_proto`."""
    encoding = label_encoding_from_proto(message.encoding, f"{field}.encoding")
    optional = encoding is LabelEncoding.PNG
    for axis, given, wanted in (("height", message.height, bundle.height), ("width", message.width, bundle.width)):
        _check_axis(f"{field}.{axis}", given, wanted, bundle, optional=optional)
    if encoding is LabelEncoding.PNG:
        return decode_png(message.data, num_values, bundle.height, bundle.width, f"{field}.data")
    if len(message.data) != bundle.height * bundle.width:
        allowed = f"height * width = {bundle.height * bundle.width} bytes are allowed"
        raise InvalidInputError(f"{field}.data", f"{len(message.data)} bytes", allowed)
    labels = np.frombuffer(message.data, dtype=np.uint8).reshape(bundle.height, bundle.width)
    return check_labels(labels, num_values, field=f"{field}.data")


def _check_axis(field: str, given: int, wanted: int, bundle: BundleView, *, optional: bool) -> None:
    if given != wanted and not (optional and given == 0):
        axis = field.rpartition(".")[2]
        raise InvalidInputError(field, given, f"{wanted}, the {axis} of bundle {bundle.name}, is allowed")


def layout_to_proto(data: bytes, encoding: LabelEncoding, height: int, width: int) -> common_pb2.LabelMap:
    """Write an encoded layout."""
    return common_pb2.LabelMap(encoding=_LABEL_ENCODING_VALUES[encoding], height=height, width=width, data=data)


def image_to_proto(image: EncodedImage) -> common_pb2.Image:
    """Write an encoded image."""
    return common_pb2.Image(
        format=_IMAGE_FORMAT_VALUES[image.format], height=image.height, width=image.width, data=image.data
    )


def image_from_proto(message: common_pb2.Image, field: str = "image") -> EncodedImage:
    """Read an encoded image."""
    image_format = _choice(_IMAGE_FORMATS, message.format, f"{field}.format")
    return EncodedImage(message.data, image_format, message.height, message.width)


def pixels_from_proto(message: common_pb2.Image, bundle: BundleView, field: str) -> NDArray[np.uint8]:
    """Read an image ``[H, W, 3]`` of the bundle's size.

    Raises:
        InvalidInputError: the format is unknown, the data is corrupt or no 8-bit RGB or grey, or the size is not the
            bundle's.
    """
    image = image_from_proto(message, field)
    optional = image.format is not ImageFormat.RAW
    for axis, given, wanted in (("height", message.height, bundle.height), ("width", message.width, bundle.width)):
        _check_axis(f"{field}.{axis}", given, wanted, bundle, optional=optional)
    return decode_image(image.data, image.format, bundle.height, bundle.width, f"{field}.data")


def selection_from_proto(message: common_pb2.BundleSelector) -> BundleSelection:
    """Which bundle a request wants."""
    return BundleSelection(name=message.name, version=message.version, digest=message.digest)


def bundle_to_proto(bundle: BundleView | BundleIdentity) -> common_pb2.BundleIdentity:
    """Write which bundle answered."""
    return common_pb2.BundleIdentity(name=bundle.name, version=bundle.version, digest=bundle.digest)


def engine_to_proto(engine: EngineIdentity) -> common_pb2.EngineIdentity:
    """Write what executed a model."""
    return common_pb2.EngineIdentity(
        engine=engine.engine,
        engine_version=engine.engine_version,
        precision=engine.precision,
        model_digest=engine.model_digest,
    )


def engine_from_proto(message: common_pb2.EngineIdentity) -> EngineIdentity:
    """Read what executed a model."""
    return EngineIdentity(message.engine, message.engine_version, message.precision, message.model_digest)


def label_classes_to_proto(space: LabelSpace) -> list[palette_service_pb2.LabelClass]:
    """Write the classes of a label space; colours become 0xRRGGBB."""
    return [
        palette_service_pb2.LabelClass(
            id=entry.id,
            name=entry.name,
            colour=entry.colour[0] << 16 | entry.colour[1] << 8 | entry.colour[2],
            evaluated=entry.evaluated,
            thing=entry.thing,
        )
        for entry in space.classes
    ]


def label_space_from_proto(message: palette_service_pb2.GetLabelSpaceResponse) -> LabelSpace:
    """Read a label space."""
    return LabelSpace(
        message.name,
        [
            LabelClass(
                entry.id,
                entry.name,
                (entry.colour >> 16 & 255, entry.colour >> 8 & 255, entry.colour & 255),
                entry.evaluated,
                entry.thing,
            )
            for entry in message.classes
        ],
    )
