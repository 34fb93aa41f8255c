"""Images of a few bytes that stand for gigabytes. Run as a script, it decodes each and prints how much memory grew."""

from __future__ import annotations

import io
import resource
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from semantic_palette.errors import InvalidInputError
from semantic_palette.layout import decode_png
from semantic_palette_services.encoding import ImageFormat, decode_image

HEIGHT, WIDTH = 16, 32
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB = 0, 2


def endless() -> bytes:
    """A zlib stream of half a megabyte that inflates to half a gigabyte."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    # Begins anew after a full flush, so it may be repeated.
    block = deflate.compress(bytes(1 << 24)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return b"\x78\xda" + block * 32


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    colour: int = _GREY,
    height: int = HEIGHT,
    width: int = WIDTH,
    before: bytes = b"",
    pixels: bytes | None = None,
    after: bytes = b"",
) -> bytes:
    """A black PNG, with chunks before and after its pixels."""
    if pixels is None:
        pixels = zlib.compress(bytes(height * (width * (3 if colour == _RGB else 1) + 1)))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    return _SIGNATURE + header + before + chunk(b"IDAT", pixels) + after + chunk(b"IEND", b"")


def texts(count: int) -> bytes:
    """Chunks of text, each of which inflates to a megabyte: as much as Pillow lets one have."""
    return b"".join(chunk(b"zTXt", b"k%d\0\0" % i + zlib.compress(bytes(1 << 20))) for i in range(count))


def webp(height: int, width: int) -> bytes:
    """A WebP that claims a size."""
    data = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(20)
    body = b"WEBPVP8L" + struct.pack("<I", len(data)) + data + b"\0"
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg(height: int = HEIGHT, width: int = WIDTH, scans: int = 0) -> bytes:
    """A JPEG that claims a size, or has so many scans more than it needs."""
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    frame = data.index(b"\xff\xc2") + 5
    data = data[:frame] + struct.pack(">HH", height, width) + data[frame + 4 :]
    scan = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + scan * scans + data[-2:]


def _text(kind: bytes, prefix: bytes) -> bytes:
    return chunk(kind, prefix + endless())


LABELS: dict[str, Callable[[], bytes]] = {
    "a huge size": lambda: png(height=50_000, width=50_000, pixels=endless()),
    "pixels without end": lambda: png(pixels=endless()),
    "a row too many": lambda: png(pixels=zlib.compress(bytes((HEIGHT + 1) * (WIDTH + 1)))),
}
"""Layouts that are refused."""

HARMLESS_LABELS: dict[str, Callable[[], bytes]] = {
    "compressed text": lambda: png(before=_text(b"zTXt", b"k\0\0")),
    "compressed text at the end": lambda: png(after=_text(b"zTXt", b"k\0\0")),
    "international text": lambda: png(before=_text(b"iTXt", b"k\0\1\0\0\0")),
    "a colour profile": lambda: png(before=_text(b"iCCP", b"k\0\0")),
    "many texts": lambda: png(before=texts(100)),
}
"""Layouts with something beside their pixels that is not inflated; without it they are fine."""

IMAGES: dict[str, tuple[ImageFormat, Callable[[], bytes]]] = {
    "PNG of a huge size": (ImageFormat.PNG, lambda: png(_RGB, 50_000, 50_000, pixels=endless())),
    "PNG pixels without end": (ImageFormat.PNG, lambda: png(_RGB, pixels=endless())),
    "PNG with too much beside its pixels": (ImageFormat.PNG, lambda: png(_RGB, before=_text(b"zTXt", b"k\0\0") * 3)),
    "WebP of a huge size": (ImageFormat.WEBP, lambda: webp(16_383, 16_383)),
    "WebP of a large size": (ImageFormat.WEBP, lambda: webp(9_000, 9_000)),
    "JPEG of a huge size": (ImageFormat.JPEG, lambda: jpeg(50_000, 50_000)),
    "JPEG of many scans": (ImageFormat.JPEG, lambda: jpeg(scans=1000)),
}
"""Images that are refused."""


def megabytes() -> float:
    """The most memory that this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Decodes every bomb."""
    decode_png(png(), 6, HEIGHT, WIDTH)
    decode_image(jpeg(), ImageFormat.JPEG, HEIGHT, WIDTH, "image")
    labels = {name: make() for name, make in (LABELS | HARMLESS_LABELS).items()}
    images = {name: (kind, make()) for name, (kind, make) in IMAGES.items()}
    before = megabytes()
    for name, data in labels.items():
        try:
            decode_png(data, 6, HEIGHT, WIDTH)
        except InvalidInputError:
            assert name in LABELS
    for kind, data in images.values():
        try:
            decode_image(data, kind, HEIGHT, WIDTH, "image")
        except InvalidInputError:
            continue
        raise AssertionError("it was decoded")
    print(megabytes() - before)


if __name__ == "__main__":
    main()
