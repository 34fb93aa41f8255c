"""How many fields an encoded message has, found without decoding it.

A field takes two bytes on the wire and a hundred in memory, so that a message of the largest size allowed could stand
for gigabytes, and hold up the event loop for seconds, before anybody can count what it asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor

Kind: TypeAlias = Any
"""The descriptor of a type of messages: every implementation of protobuf has a class of its own for it."""

MAX_FIELDS = 1 << 20
"""Most fields of a request, those of its parts included; an entry of a map counts once. Other limits allow no more: a
stream's 4,096 palettes have up to 256 classes each."""

_LEAST_FIELD_BYTES = 2
_LONGEST_VARINT = 10


class _MalformedError(Exception):
    """These bytes are no message."""


def has_too_many_fields(data: bytes, kind: Kind, most: int = MAX_FIELDS) -> bool:
    """Whether an encoded message has more than ``most`` fields; no more are looked at.

    Args:
        data: the message; where it is malformed, fields are counted up to there.
        kind: its type, which is no part of itself.
        most: fields that are allowed.
    """
    if len(data) <= _LEAST_FIELD_BYTES * most:
        return False
    try:
        return _count_down(data, 0, len(data), kind, most) < 0
    except (IndexError, _MalformedError):
        return False  # Whoever decodes it comes no further either.


def _count_down(data: bytes, position: int, end: int, kind: Kind, left: int) -> int:
    """How many fields may still come after those from ``position`` to ``end``; negative once there were too many."""
    messages = _messages_in(kind)
    while position < end and left >= 0:
        left -= 1
        tag, position = _varint(data, position)
        wire_type = tag & 7
        if wire_type == 2:  # so many bytes
            length, position = _varint(data, position)
            part_end = position + length
            if part_end > end:
                raise _MalformedError
            if length and tag >> 3 in messages:
                left = _count_down(data, position, part_end, messages[tag >> 3], left)
            position = part_end
        elif wire_type == 0:
            _, position = _varint(data, position)
        elif wire_type in (1, 5):
            position += 8 if wire_type == 1 else 4
        elif wire_type > 5:
            raise _MalformedError
        # What is left are groups, which no message here has: what is in them counts as if it were outside.
    return left


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number and where it ends."""
    value = data[position]
    if value < 128:
        return value, position + 1
    value &= 127
    for place in range(1, _LONGEST_VARINT):
        byte = data[position + place]
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, position + place + 1
    raise _MalformedError


@lru_cache(maxsize=256)
def _messages_in(kind: Kind) -> Mapping[int, Kind]:
    """The fields of a type that are messages, by number; entries of maps, which are small, are none."""
    return {
        field.number: field.message_type
        for field in kind.fields
        if field.type == FieldDescriptor.TYPE_MESSAGE and not field.message_type.GetOptions().map_entry
    }
