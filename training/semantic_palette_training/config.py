"""Strict conversion between dataclass configs and plain YAML values."""

import contextlib
import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from semantic_palette.errors import InvalidInputError

Config = TypeVar("Config")


def from_plain(cls: type[Config], values: Mapping[str, Any], path: str = "") -> Config:
    """Build the config dataclass `cls` from YAML values.

    Raises:
        InvalidInputError: an unknown or missing key, or a value of the wrong type; names the key by its full path.
    """
    if not isinstance(values, Mapping):
        raise InvalidInputError(path or cls.__name__, values, "a mapping is expected")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise InvalidInputError(_join(path, str(key)), values[key], f"known keys are {', '.join(fields)}")
    hints = typing.get_type_hints(cls)
    arguments = {}
    for name, field in fields.items():
        if name in values:
            arguments[name] = _convert(hints[name], values[name], _join(path, name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise InvalidInputError(_join(path, name), None, "this key is required")
    return cls(**arguments)


def to_plain(config: Any) -> Any:
    """A config dataclass as values that YAML and JSON write."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {field.name: to_plain(getattr(config, field.name)) for field in dataclasses.fields(config)}
    if isinstance(config, list | tuple):
        return [to_plain(item) for item in config]
    return config


def require_at_least(field: str, value: float, lowest: float) -> None:
    """Raise an InvalidInputError that names `field` when `value` is below `lowest` or not finite."""
    _require(field, value, value >= lowest, f"at least {lowest}")


def require_above(field: str, value: float, bound: float) -> None:
    """The same unless `value` is above `bound`."""
    _require(field, value, value > bound, f"above {bound}")


def require_within(field: str, value: float, lowest: float, highest: float) -> None:
    """The same unless `value` lies between `lowest` and `highest` or is one of them."""
    _require(field, value, lowest <= value <= highest, f"{lowest} to {highest}")


def require_decay(field: str, value: float) -> None:
    """The same unless `value` can be the decay of an average that follows anything."""
    _require(field, value, 0 <= value < 1, "at least 0 and below 1")


def require_sizes(field: str, sizes: Sequence[int]) -> None:
    """The same unless there are sizes, such as widths of layers, each at least 1."""
    if not sizes or min(sizes) < 1:
        raise InvalidInputError(field, tuple(sizes), "one or more, each at least 1")


def _require(field: str, value: float, holds: bool, allowed: str) -> None:
    if not math.isfinite(value):
        raise InvalidInputError(field, value, f"{allowed}, and finite")
    if not holds:
        raise InvalidInputError(field, value, allowed)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _convert(hint: Any, value: Any, path: str) -> Any:
    """`value` as the type `hint`, for the types configs use: scalars, Literal, tuples, dataclasses and unions."""
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return from_plain(typing.cast(type[Any], hint), value, path)
    if origin is typing.Literal:
        if value not in typing.get_args(hint):
            raise InvalidInputError(path, value, f"one of {', '.join(map(str, typing.get_args(hint)))} is expected")
        return value
    if origin in (types.UnionType, typing.Union):
        return _convert_union(typing.get_args(hint), value, path)
    if origin is tuple:
        return _convert_tuple(typing.get_args(hint), value, path)
    return _convert_scalar(hint, value, path)


def _convert_union(arms: tuple[Any, ...], value: Any, path: str) -> Any:
    """`X | None`, or one of several dataclasses, chosen by their field `name`, a Literal."""
    if value is None and type(None) in arms:
        return None
    arms = tuple(arm for arm in arms if arm is not type(None))
    if len(arms) == 1:
        return _convert(arms[0], value, path)
    if not isinstance(value, Mapping):
        raise InvalidInputError(path, value, "a mapping with a key `name` is expected")
    by_name = {name: arm for arm in arms for name in typing.get_args(typing.get_type_hints(arm)["name"])}
    if value.get("name") not in by_name:
        raise InvalidInputError(_join(path, "name"), value.get("name"), f"one of {', '.join(by_name)} is expected")
    return from_plain(by_name[value["name"]], value, path)


def _convert_tuple(arms: tuple[Any, ...], value: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise InvalidInputError(path, value, "a list is expected")
    if len(arms) == 2 and arms[1] is Ellipsis:
        arms = (arms[0],) * len(value)
    if len(arms) != len(value):
        raise InvalidInputError(path, value, f"a list of {len(arms)} is expected")
    return tuple(_convert(arm, item, f"{path}[{i}]") for i, (arm, item) in enumerate(zip(arms, value, strict=True)))


def _convert_scalar(hint: type, value: Any, path: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str):
        # YAML 1.1 reads 1e-3 as text; only 1.0e-3 is a number to it.
        with contextlib.suppress(ValueError):
            return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise InvalidInputError(path, value, f"a value of type {hint.__name__} is expected")
    return value
