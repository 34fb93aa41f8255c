"""Single values that are unlikely, wrong or hostile, with enough valid ones among them to get past the first check."""

from __future__ import annotations

import io
import math
import struct
import zlib
from random import Random
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from PIL import Image
from tiny_bundle import NAMES

HEIGHT, WIDTH, CLASSES = 16, 32, 6
"""Of the tiny bundle."""

_REALS = (0.0, 1.0, 0.5, 1 / 3, 0.1, 0.2, 0.999, 1.001, 2.0, 100.0)
_ODD_REALS = (-0.0, -1.0, math.nan, math.inf, -math.inf, 5e-324, 1e-300, 1.7e308, -1.7e308, 1 + 2**-52, 1e-9)
_COUNTS = (0, 1, 2, 3, 4, 7, 8, 16, 31, 32, 50, 95, 100)
_ODD_COUNTS = (127, 128, 255, 256, 257, 4096, 4097, 65535, 10**6, 10**6 + 1, 2**31 - 1, 2**32 - 1)
_WORDS = (*NAMES[:CLASSES], "tiny", "1", "2", "3", "")
_ODD_WORDS = (
    "lava",
    "Sky",
    " sky",
    "sky\0",
    "../../etc/passwd",
    "/dev/zero",
    "tiny/1@" + "0" * 64,
    "0" * 64,
    "%s%n{0}",
    "[bold red]",
    "\u202e\u0000\U0001f6a6",
    "é" * 300,
    "x" * 100_000,
)


def real(rng: Random) -> float:
    """A share, most often; else no number that anyone should send."""
    kind = rng.random()
    if kind < 0.4:
        return rng.choice(_REALS)
    return rng.choice(_ODD_REALS) if kind < 0.7 else rng.uniform(-0.2, 1.2)


def integer(rng: Random, lowest: int, highest: int) -> int:
    """A small count, most often; else one near some limit."""
    kind = rng.random()
    if kind < 0.5:
        value = rng.choice(_COUNTS)
    elif kind < 0.7:
        value = rng.choice(_ODD_COUNTS)
    elif kind < 0.85:
        value = rng.choice((lowest, highest, highest - 1, lowest + 1))
    else:
        value = rng.randint(lowest, highest)
    return min(max(value, lowest), highest)


def text(rng: Random) -> str:
    """The name of a class or of the bundle, most often; else a hostile one."""
    if rng.random() < 0.6:
        return rng.choice(_WORDS)
    return rng.choice(_ODD_WORDS) if rng.random() < 0.8 else "".join(chr(rng.randrange(1, 0xD7FF)) for _ in range(9))


def scalar(rng: Random, field: FieldDescriptor) -> Any:
    """A value for a field that is no message."""
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_DOUBLE:
            return real(rng)
        case FieldDescriptor.CPPTYPE_FLOAT:
            return struct.unpack("f", struct.pack("f", max(-3.4e38, min(3.4e38, real(rng)))))[0]
        case FieldDescriptor.CPPTYPE_INT32:
            return integer(rng, -(2**31), 2**31 - 1)
        case FieldDescriptor.CPPTYPE_INT64:
            return integer(rng, -(2**63), 2**63 - 1)
        case FieldDescriptor.CPPTYPE_UINT32:
            return integer(rng, 0, 2**32 - 1)
        case FieldDescriptor.CPPTYPE_UINT64:
            return integer(rng, 0, 2**64 - 1)
        case FieldDescriptor.CPPTYPE_BOOL:
            return rng.random() < 0.5
        case FieldDescriptor.CPPTYPE_ENUM:
            known = [value.number for value in field.enum_type.values]
            return rng.choice(known) if rng.random() < 0.8 else rng.choice((-1, 6, 99, 2**31 - 1, -(2**31)))
        case _:
            return blob(rng) if field.type == FieldDescriptor.TYPE_BYTES else text(rng)


def blob(rng: Random) -> bytes:
    """An encoded picture or something like one."""
    data = _picture(rng)
    kind = rng.random()
    if kind < 0.6 or not data:
        return data
    if kind < 0.75:
        return data[: rng.randrange(len(data))]
    if kind < 0.9:
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 8))):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed)
    return data + rng.randbytes(rng.choice((1, 100)))


def _picture(rng: Random) -> bytes:
    height, width = (HEIGHT, WIDTH) if rng.random() < 0.8 else rng.choice(((1, 1), (8, 32), (32, 16), (300, 700)))
    labels = np.frombuffer(rng.randbytes(height * width), np.uint8).reshape(height, width) % CLASSES
    colours = np.frombuffer(rng.randbytes(height * width * 3), np.uint8).reshape(height, width, 3)
    match rng.randrange(12):
        case 0 | 1 | 2:
            return encoded(labels, "PNG")
        case 3 | 4:
            return labels.tobytes()
        case 5:
            return encoded(colours, rng.choice(("PNG", "JPEG", "WEBP")))
        case 6:
            return colours.tobytes()
        case 7:
            return encoded(labels.astype(np.uint16) << 8, "PNG")
        case 8:
            return encoded(colours, rng.choice(("GIF", "BMP", "TIFF", "PPM")))
        case 9:
            return _with_size(encoded(labels, "PNG"), *rng.choice(((2**31 - 1, 2**31 - 1), (30_000, 30_000), (0, 0))))
        case 10:
            return _odd_png(rng, labels, colours)
        case _:
            return rng.randbytes(rng.choice((0, 1, 8, HEIGHT * WIDTH, 5000)))


def encoded(pixels: Any, image_format: str) -> bytes:
    """Pixels as a picture file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format)
    return buffer.getvalue()


def _odd_png(rng: Random, labels: Any, colours: Any) -> bytes:
    """A PNG of another kind than those that we write."""
    buffer = io.BytesIO()
    picture = Image.fromarray(labels)
    match rng.randrange(4):
        case 0:
            Image.fromarray(colours).convert("P").save(buffer, "PNG")
        case 1:
            Image.fromarray(colours).convert("RGBA").save(buffer, "PNG")
        case 2:
            picture.convert("1").save(buffer, "PNG")
        case _:
            picture.save(buffer, "PNG", save_all=True, append_images=[picture, picture])
    return buffer.getvalue()


def _with_size(png: bytes, height: int, width: int) -> bytes:
    """The same PNG with another size in its header."""
    data = bytearray(png)
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)
