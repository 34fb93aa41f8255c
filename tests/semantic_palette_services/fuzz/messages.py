"""Messages of random fields, and valid messages with some fields changed; both from their descriptors alone."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from fuzz.values import scalar

_DEEPEST = 8
_MANY = (300, 5000)
_MOST_BYTES = 8_000_000


def randomise(rng: Random, message: Message, depth: int = 0) -> None:
    """Set about half of the fields of a message, and of the messages in it, to random values."""
    for field in message.DESCRIPTOR.fields:
        if rng.random() < 0.5:
            _set(rng, message, field, depth)


def mutate(rng: Random, message: Message) -> None:
    """Change one field somewhere within a message."""
    holder, field = _pick(rng, message)
    if field is None:
        return
    if field.is_repeated and not _is_map(field) and len(getattr(holder, field.name)):
        rng.choice(_LIST_CHANGES)(rng, holder, field)
    elif rng.random() < 0.2:
        holder.ClearField(field.name)
    else:
        _set(rng, holder, field, 0)


def _pick(rng: Random, message: Message) -> tuple[Message, FieldDescriptor | None]:
    """A field of the message or of one that it holds, and the message that has it."""
    while message.DESCRIPTOR.fields:
        field = rng.choice(message.DESCRIPTOR.fields)
        inner = _messages_in(message, field)
        if not inner or rng.random() < 0.25:
            return message, field
        message = rng.choice(inner)
    return message, None


def _messages_in(message: Message, field: FieldDescriptor) -> list[Message]:
    if field.message_type is None or _is_map(field):
        return []
    if field.is_repeated:
        return list(getattr(message, field.name))
    return [getattr(message, field.name)] if message.HasField(field.name) else []


def _set(rng: Random, message: Message, field: FieldDescriptor, depth: int) -> None:
    if _is_map(field):
        _fill_map(rng, getattr(message, field.name), field)
    elif field.message_type is not None:
        if depth < _DEEPEST:
            for inner in _fresh(rng, message, field):
                randomise(rng, inner, depth + 1)
    elif field.is_repeated:
        values = [scalar(rng, field) for _ in range(rng.choice((0, 1, 2, 5, 50)))]
        _assign(message, field, values)
    else:
        _assign(message, field, scalar(rng, field))


def _fresh(rng: Random, message: Message, field: FieldDescriptor) -> list[Message]:
    """New messages in a field, which holds nothing else then."""
    if not field.is_repeated:
        getattr(message, field.name).SetInParent()
        return [getattr(message, field.name)]
    message.ClearField(field.name)
    return [getattr(message, field.name).add() for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 9)))]


def _fill_map(rng: Random, entries: Any, field: FieldDescriptor) -> None:
    key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
    entries.clear()
    for _ in range(rng.choice((0, 1, 1, 2, 3, 6, 40))):
        name = scalar(rng, key)
        if value.message_type is not None:
            randomise(rng, entries[name], _DEEPEST - 1)
        else:
            entries[name] = scalar(rng, value)


def _assign(message: Message, field: FieldDescriptor, value: Any) -> None:
    if field.is_repeated:
        message.ClearField(field.name)
        getattr(message, field.name).extend(value)
    else:
        setattr(message, field.name, value)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _drop(rng: Random, message: Message, field: FieldDescriptor) -> None:
    del getattr(message, field.name)[rng.randrange(len(getattr(message, field.name)))]


def _repeat(rng: Random, message: Message, field: FieldDescriptor) -> None:
    """Copy an element once or, sometimes, beyond what one request may hold."""
    elements = getattr(message, field.name)
    element = rng.choice(elements)
    copies = rng.choice(_MANY) if rng.random() < 0.1 else 1
    if isinstance(element, Message):
        copies = min(copies, _MOST_BYTES // (element.ByteSize() + 1))
    elements.extend([element] * copies)


def _replace(rng: Random, message: Message, field: FieldDescriptor) -> None:
    elements = getattr(message, field.name)
    position = rng.randrange(len(elements))
    if field.message_type is None:
        elements[position] = scalar(rng, field)
    else:
        elements[position].Clear()
        randomise(rng, elements[position])


_LIST_CHANGES: tuple[Callable[[Random, Message, FieldDescriptor], None], ...] = (_drop, _repeat, _replace)
