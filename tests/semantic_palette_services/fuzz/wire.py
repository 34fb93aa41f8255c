"""Serialized messages with bytes changed, so that what arrives need not be a message at all."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

_VARINTS = (b"\xff" * 9 + b"\x01", b"\x80" * 10 + b"\x01", b"\xff\xff\xff\xff\x0f", b"\x80\x00", b"\x00")


def scramble(rng: Random, data: bytes) -> bytes:
    """The bytes after one to four changes."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        data = rng.choice(_CHANGES)(rng, data)
    return data


def _flip(rng: Random, data: bytes) -> bytes:
    changed = bytearray(data or b"\0")
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _set(rng: Random, data: bytes) -> bytes:
    changed = bytearray(data or b"\0")
    changed[rng.randrange(len(changed))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
    return bytes(changed)


def _truncate(rng: Random, data: bytes) -> bytes:
    return data[: rng.randint(0, len(data))]


def _cut(rng: Random, data: bytes) -> bytes:
    start, end = sorted((rng.randint(0, len(data)), rng.randint(0, len(data))))
    return data[:start] + data[end:]


def _insert(rng: Random, data: bytes) -> bytes:
    position = rng.randint(0, len(data))
    inserted = rng.choice(_VARINTS) if rng.random() < 0.5 else rng.randbytes(rng.choice((1, 4, 64)))
    return data[:position] + inserted + data[position:]


def _twice(rng: Random, data: bytes) -> bytes:
    """Every field again: singular messages merge, maps have their keys twice, lists double."""
    return data + data if len(data) < 1_000_000 else data


def _unknown(rng: Random, data: bytes) -> bytes:
    """A field that the type does not have, of each wire type in turn."""
    return data + rng.choice((b"\xf8\x3f\x05", b"\xf9\x3f" + bytes(8), b"\xfa\x3f\x03abc", b"\xfb\x3f\xfc\x3f"))


def _nest(rng: Random, data: bytes) -> bytes:
    """Groups within groups, deeper than a parser should follow."""
    depth = rng.choice((1, 50, 5000))
    return data + b"\x0b" * depth + (b"\x0c" * depth if rng.random() < 0.5 else b"")


def _noise(rng: Random, data: bytes) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 10, 1000, 100_000)))


_CHANGES: tuple[Callable[[Random, bytes], bytes], ...] = (
    _flip,
    _flip,
    _flip,
    _set,
    _set,
    _truncate,
    _cut,
    _insert,
    _twice,
    _unknown,
    _nest,
    _noise,
)
