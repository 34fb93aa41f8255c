"""PNG files from strangers: what they claim is checked before anything is inflated, and nothing else is inflated."""

import struct
import zlib
from dataclasses import dataclass

from semantic_palette.errors import InvalidInputError

GREYSCALE = 0

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_CHUNK = _SIGNATURE + b"\x00\x00\x00\rIHDR"
_HEADER = struct.Struct(">16sIIBBBBB")
_LENGTH = struct.Struct(">I")
_FRAME_BYTES = 12  # length, type and checksum of a chunk
_CHECKSUM_BYTES = 4
_PIXELS = b"IDAT"
_ANCILLARY = 0x20  # bit of a chunk type's first letter
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES = 7  # of an interlaced image, each with rows of its own
_SLACK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class PngHeader:
    """What the first bytes of a PNG say: size in pixels, bits a channel, colour type, and whether it is interlaced."""

    height: int
    width: int
    depth: int
    colour_type: int
    interlaced: bool

    @property
    def raw_bytes(self) -> int:
        """Most bytes that its pixels are inflated to: rows with a filter byte each."""
        row = (self.width * self.depth * _CHANNELS.get(self.colour_type, 4) + 7) // 8 + 1
        return self.height * row + (_PASSES * (self.height + self.width + _PASSES) if self.interlaced else 0)


def read_header(data: bytes, field: str, wanted: str) -> PngHeader:
    """Reads the header of a PNG.

    Raises:
        InvalidInputError: it is no PNG; `wanted` says what is allowed.
    """
    if not data.startswith(_HEADER_CHUNK) or len(data) < _HEADER.size:
        raise InvalidInputError(field, f"{len(data)} bytes that are not PNG", wanted)
    _, width, height, depth, colour_type, _, _, interlace = _HEADER.unpack_from(data)
    return PngHeader(height, width, depth, colour_type, bool(interlace))


def check_encoded_size(data: bytes, raw_bytes: int, field: str) -> None:
    """Checks that encoded pixels are not much larger than the pixels are: what else is in there nobody asked for.

    Raises:
        InvalidInputError: they are.
    """
    most = 2 * raw_bytes + _SLACK_BYTES
    if len(data) > most:
        raise InvalidInputError(field, f"{len(data)} bytes", f"at most {most} bytes are allowed for its size")


def without_surplus(data: bytes, header: PngHeader, field: str) -> bytes:
    """Returns a PNG without the chunks that its pixels do not need: text, profiles, further frames of an animation.

    Readers inflate them, and a few of their bytes can stand for gigabytes. Other malformed data is left to the reader.

    Args:
        data: the file.
        header: its header, whose size has been checked.
        field: what errors call it.

    Raises:
        InvalidInputError: its pixels are inflated to more than its size needs; they were inflated no further.
    """
    kept, pixels = [_SIGNATURE], zlib.decompressobj()
    inflated, position = 0, len(_SIGNATURE)
    while position + _FRAME_BYTES <= len(data):
        end = position + _FRAME_BYTES + _LENGTH.unpack_from(data, position)[0]
        kind = data[position + _LENGTH.size : position + 2 * _LENGTH.size]
        if not kind[0] & _ANCILLARY:
            kept.append(data[position:end])
        if kind == _PIXELS and not pixels.eof:
            body = data[position + 2 * _LENGTH.size : end - _CHECKSUM_BYTES]
            inflated += _inflate(pixels, body, header.raw_bytes - inflated + 1)
            if inflated > header.raw_bytes:
                needed = f"{header.raw_bytes} bytes are allowed, which {header.height}x{header.width} pixels need"
                raise InvalidInputError(field, f"pixels that inflate to more than {header.raw_bytes} bytes", needed)
        position = end
    return b"".join(kept)


def _inflate(pixels: "zlib._Decompress", body: bytes, most: int) -> int:
    """How many bytes, at most `most`, the next bytes of a stream are inflated to; 0 for what is malformed."""
    try:
        return len(pixels.decompress(body, most))
    except zlib.error:
        return 0
