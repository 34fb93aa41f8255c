"""Layouts and images as bytes."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from semantic_palette.errors import InvalidInputError
from semantic_palette.layout import encode_png
from semantic_palette.png import check_encoded_size, read_header, without_surplus
from semantic_palette_services.concurrency import WorkerPool

_PNG_LEVEL = 1  # Higher levels cost several times as much for a few per cent fewer bytes of a textured image.
_WEBP_METHOD = 0  # The fastest; lossless either way.
DEFAULT_JPEG_QUALITY = 95
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
"""What Pillow says to a size that it takes for an attack, before anybody can compare it with the size expected."""
_SCAN = b"\xff\xda"
_MAX_SCANS = 100
"""Scans of a progressive JPEG: each is a pass over the whole image, for a few bytes. Encoders make about ten."""
_PNG_DEPTH = 24  # Position of the byte with the bits a channel.


class LabelEncoding(StrEnum):
    """How a layout is encoded."""

    PNG = "png"
    RAW = "raw"


class ImageFormat(StrEnum):
    """How an image is encoded."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"
    RAW = "raw"


@dataclass(frozen=True, slots=True)
class ImageEncoding:
    """A format and, for JPEG, its quality (1 to 100; 0 takes the default of 95).

    Raises:
        InvalidInputError: the quality is out of range, or given for a format that has none.
    """

    format: ImageFormat = ImageFormat.PNG
    quality: int = 0

    def __post_init__(self) -> None:
        if self.format is ImageFormat.JPEG:
            if not 0 <= self.quality <= 100:
                raise InvalidInputError(
                    "image_quality", self.quality, "1 to 100 is allowed, or 0 for the default of 95"
                )
        elif self.quality:
            raise InvalidInputError("image_quality", self.quality, f"{self.format.value} takes no quality; leave it 0")


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An encoded RGB image; ``height`` and ``width`` in pixels."""

    data: bytes
    format: ImageFormat
    height: int
    width: int


def encode_labels(labels_HW: NDArray[np.uint8], encoding: LabelEncoding) -> bytes:
    """Encode a layout ``[H, W]`` of uint8 class ids."""
    return labels_HW.tobytes() if encoding is LabelEncoding.RAW else encode_png(labels_HW)


async def encode_labels_in(pool: WorkerPool, labels_HW: NDArray[np.uint8], encoding: LabelEncoding) -> bytes:
    """As `encode_labels`, in a thread where that takes long."""
    if encoding is LabelEncoding.RAW:
        # A copy of the bytes costs less than the way to a thread and back.
        return encode_labels(labels_HW, encoding)
    return await pool.run(encode_labels, labels_HW, encoding)


def encode_image(image_HW3: NDArray[np.uint8], encoding: ImageEncoding) -> EncodedImage:
    """Encode an RGB image ``[H, W, 3]`` of uint8."""
    height, width = image_HW3.shape[:2]
    data = image_HW3.tobytes() if encoding.format is ImageFormat.RAW else _compress(image_HW3, encoding)
    return EncodedImage(data, encoding.format, height, width)


def _compress(image_HW3: NDArray[np.uint8], encoding: ImageEncoding) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(image_HW3))
    match encoding.format:
        case ImageFormat.JPEG:
            image.save(buffer, "JPEG", quality=encoding.quality or DEFAULT_JPEG_QUALITY, subsampling=0)
        case ImageFormat.WEBP:
            image.save(buffer, "WEBP", lossless=True, method=_WEBP_METHOD)
        case _:
            image.save(buffer, "PNG", compress_level=_PNG_LEVEL)
    return buffer.getvalue()


def decode_image(data: bytes, image_format: ImageFormat, height: int, width: int, field: str) -> NDArray[np.uint8]:
    """Decode an image to RGB, uint8 ``[H, W, 3]``. Its size and kind are checked before a pixel is decoded.

    Raises:
        InvalidInputError: the data is not an image of that format and size with 8 bits a channel, RGB or grey.
    """
    if image_format is ImageFormat.RAW:
        if len(data) != height * width * 3:
            allowed = f"height * width * 3 = {height * width * 3} bytes are allowed"
            raise InvalidInputError(field, f"{len(data)} bytes", allowed)
        return np.frombuffer(data, dtype=np.uint8).reshape(height, width, 3)
    data = _without_surplus(data, image_format, height, width, field)
    try:
        with Image.open(io.BytesIO(data), formats=[image_format.value]) as image:
            _check_image(image, data, height, width, field)
            return np.array(image.convert("RGB"))
    except UnidentifiedImageError:
        # Its text has an address in memory.
        allowed = f"a readable {image_format.value.upper()} file is allowed"
        raise InvalidInputError(field, f"{len(data)} bytes", allowed) from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, *_BOMBS) as error:
        if isinstance(error, InvalidInputError):
            raise
        allowed = f"a readable {image_format.value.upper()} file is allowed ({error})"
        raise InvalidInputError(field, f"{len(data)} bytes", allowed) from error


def _without_surplus(data: bytes, image_format: ImageFormat, height: int, width: int, field: str) -> bytes:
    """An image of strangers without what would cost more to read than its pixels do; checked before Pillow sees it."""
    check_encoded_size(data, height * width * 3, field)
    if image_format is ImageFormat.JPEG and data.count(_SCAN) > _MAX_SCANS:
        raise InvalidInputError(field, f"{data.count(_SCAN)} scans", f"at most {_MAX_SCANS} scans are allowed")
    if image_format is not ImageFormat.PNG:
        return data
    header = read_header(data, field, "a readable PNG file is allowed")
    _check_size(header.height, header.width, height, width, field)
    return without_surplus(data, header, field)


def _check_size(height: int, width: int, wanted_height: int, wanted_width: int, field: str) -> None:
    if (height, width) != (wanted_height, wanted_width):
        allowed = f"{wanted_height}x{wanted_width} (height x width) is allowed"
        raise InvalidInputError(field, f"{height}x{width}", allowed)


def _check_image(image: Image.Image, data: bytes, height: int, width: int, field: str) -> None:
    _check_size(image.height, image.width, height, width, field)
    # Pillow reads PNG files of 16 bits a channel as RGB, and drops half of the bits.
    deep = image.format == "PNG" and data[_PNG_DEPTH] > 8
    if image.mode not in ("RGB", "L") or deep:
        kind = f"{image.mode} of {data[_PNG_DEPTH]} bits" if deep else image.mode
        raise InvalidInputError(field, f"an image of kind {kind}", "RGB or greyscale with 8 bits a channel is allowed")
