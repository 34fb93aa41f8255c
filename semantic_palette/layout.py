"""Layouts: label maps of 8-bit class ids, uint8 [H, W], and their PNG form.

Legend: K classes, H height, W width. Leading axes are batch axes.
"""

import struct
import zlib
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from semantic_palette import png
from semantic_palette.errors import InvalidInputError
from semantic_palette.label_space import LabelSpace

Labels = npt.NDArray[np.uint8]

MAX_PIXELS = 1 << 26
"""Largest layout that is decoded, unless the caller says otherwise: 8192 x 8192."""


def check_labels(
    labels: npt.ArrayLike,
    num_classes: int,
    height: int | None = None,
    width: int | None = None,
    field: str = "layout",
) -> Labels:
    """Checks a label map of any integer type and returns it as uint8 [H, W].

    Args:
        labels: Class ids, [H, W].
        num_classes: K; ids are below it.
        height: The only height allowed, in pixels. Default: any.
        width: The only width allowed, in pixels. Default: any.
        field: What the errors call the layout.

    Raises:
        InvalidInputError: When the type, the shape or an id is not allowed.
    """
    array = np.asarray(labels)
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "ui":
        raise InvalidInputError(field, f"{array.dtype} {list(array.shape)}", "an integer array [height, width]")
    _check_size(array.shape[0], array.shape[1], height, width, field)
    lowest, highest = int(array.min()), int(array.max())
    if lowest < 0 or highest >= num_classes:
        wrong = lowest if lowest < 0 else highest
        raise InvalidInputError(field, f"class id {wrong}", f"class ids from 0 to {num_classes - 1} are allowed")
    return array.astype(np.uint8, copy=False)


def _check_size(height: int, width: int, only_height: int | None, only_width: int | None, field: str) -> None:
    if (only_height or height) != height or (only_width or width) != width:
        allowed = f"{only_height or 'any'}x{only_width or 'any'} (height x width) is allowed"
        raise InvalidInputError(field, f"{height}x{width}", allowed)


def encode_png(labels: Labels) -> bytes:
    """Encodes a layout [H, W] as 8-bit greyscale PNG whose pixel values are class ids, at compression level 1."""
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(labels)).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def decode_png(
    data: bytes,
    num_classes: int,
    height: int | None = None,
    width: int | None = None,
    field: str = "layout",
    max_pixels: int = MAX_PIXELS,
) -> Labels:
    """Decodes an 8-bit greyscale PNG whose pixel values are class ids. Its size is checked before a pixel is decoded.

    Args:
        data: The PNG file.
        num_classes: K; ids are below it.
        height: The only height allowed, in pixels. Default: any.
        width: The only width allowed, in pixels. Default: any.
        field: What the errors call the layout.
        max_pixels: Largest size allowed.

    Returns:
        uint8 [H, W].

    Raises:
        InvalidInputError: When the data is not such a PNG, or a size or an id is not allowed.
    """
    header = _read_header(data, field)
    actual_height, actual_width = header.height, header.width
    if actual_height * actual_width > max_pixels:
        raise InvalidInputError(field, f"{actual_height}x{actual_width}", f"at most {max_pixels} pixels are allowed")
    _check_size(actual_height, actual_width, height, width, field)
    png.check_encoded_size(data, actual_height * actual_width, field)
    pixels_alone = png.without_surplus(data, header, field)
    try:
        with Image.open(BytesIO(pixels_alone), formats=["PNG"]) as image:
            labels = np.array(image)
    except UnidentifiedImageError:
        # Its text has an address in memory.
        raise InvalidInputError(field, f"{len(data)} bytes", "a readable PNG file is allowed") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise InvalidInputError(field, f"{len(data)} bytes", f"a readable PNG file is allowed ({error})") from error
    return check_labels(labels, num_classes, height, width, field)


def _read_header(data: bytes, field: str) -> png.PngHeader:
    """Returns what the first bytes of a PNG say, without touching the compressed part."""
    header = png.read_header(data, field, "an 8-bit greyscale PNG is allowed")
    if (header.depth, header.colour_type) != (8, png.GREYSCALE):
        given = f"a PNG of bit depth {header.depth} and colour type {header.colour_type}"
        raise InvalidInputError(field, given, "bit depth 8 and colour type 0 (greyscale) are allowed")
    if header.height == 0 or header.width == 0:
        raise InvalidInputError(field, f"{header.height}x{header.width}", "a layout has at least one pixel")
    return header


def one_hot(labels: Labels, num_classes: int) -> npt.NDArray[np.float32]:
    """Encodes ids [..., H, W] below K as float32 [..., K, H, W] of zeros and ones."""
    classes = np.arange(num_classes, dtype=np.uint8)[:, None, None]
    return np.asarray(labels[..., None, :, :] == classes, dtype=np.float32)


def colourise(labels: Labels, space: LabelSpace) -> npt.NDArray[np.uint8]:
    """Paints ids [..., H, W] in the colours of their space: uint8 [..., H, W, 3], RGB."""
    return space.colours[labels]


def resize_nearest(labels: Labels, height: int, width: int) -> Labels:
    """Resizes [..., H, W] to [..., height, width]; every pixel takes the id under its centre."""
    rows = (np.arange(height) * 2 + 1) * labels.shape[-2] // (2 * height)
    columns = (np.arange(width) * 2 + 1) * labels.shape[-1] // (2 * width)
    return labels[..., rows[:, None], columns]


def crop(labels: Labels, top: int, left: int, height: int, width: int) -> Labels:
    """Cuts a rectangle out of a layout [..., H, W]: a copy, [..., height, width].

    Raises:
        InvalidInputError: When the rectangle is empty or not within the layout.
    """
    _check_rectangle(labels, top, left, height, width)
    return labels[..., top : top + height, left : left + width].copy()


def merge(labels: Labels, patch: Labels, top: int, left: int) -> Labels:
    """Pastes a patch [..., h, w] on a layout [..., H, W] and returns a new layout; the inverse of `crop`.

    Raises:
        InvalidInputError: When the patch is not within the layout.
    """
    height, width = patch.shape[-2:]
    _check_rectangle(labels, top, left, height, width)
    merged = labels.copy()
    merged[..., top : top + height, left : left + width] = patch
    return merged


def _check_rectangle(labels: Labels, top: int, left: int, height: int, width: int) -> None:
    if not (0 <= top < top + height <= labels.shape[-2] and 0 <= left < left + width <= labels.shape[-1]):
        allowed = f"a rectangle (top, left, height, width) within {labels.shape[-2]}x{labels.shape[-1]} is allowed"
        raise InvalidInputError("rectangle", (top, left, height, width), allowed)
