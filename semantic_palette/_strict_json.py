"""Strict reading of JSON that describes a bundle: every key known and of its type, every path within the bundle."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from semantic_palette.errors import BundleError, shorten

_SHA256 = re.compile(r"[0-9a-f]{64}")


def strict_object(
    data: object, where: str, types: Mapping[str, type], optional: Mapping[str, type] | None = None
) -> dict[str, Any]:
    """Checks that `data` is an object with these keys of these types, and no others.

    Args:
        data: A JSON value.
        where: What errors call it.
        types: Keys that it must have.
        optional: Keys that it may have.

    Raises:
        BundleError: Names the key that is missing, unknown or of the wrong type.
    """
    if not isinstance(data, dict):
        raise BundleError(f"{where}: {shorten(data)} is not allowed; an object is")
    types = {**types, **{key: value for key, value in (optional or {}).items() if key in data}}
    for key in sorted(types.keys() - data.keys()):
        raise BundleError(f"{where}.{key} is missing")
    for key in sorted(data.keys() - types.keys()):
        raise BundleError(f"{where}.{key} is not a known key")
    for key, expected in types.items():
        # Not isinstance: a JSON `true` is an int to Python.
        if type(data[key]) is not expected:
            raise BundleError(f"{where}.{key}: {shorten(data[key])} is not allowed; {expected.__name__} is")
    return data


def inner_path(file: str, where: str) -> str:
    """Checks that a path stays within the folder it is relative to; errors as `strict_object`."""
    path = PurePosixPath(file)
    outside = path.is_absolute() or ".." in path.parts or "\\" in file or ":" in file
    if outside or not path.parts:
        raise BundleError(f"{where}: {shorten(file)} is not allowed; a path within the bundle is")
    return file


def sha256_digest(sha256: object, where: str) -> str:
    """Checks a hex digest; errors as `strict_object`."""
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise BundleError(f"{where}: {shorten(sha256)} is not allowed; 64 lower-case hex digits are")
    return sha256
