"""The protocol's element types that have a numpy type of fixed size, and where typed contents keep them.

BOOL, BYTES and BF16 are missing: no operation of a bundle has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from semantic_palette.errors import BundleError
from semantic_palette.manifest import TensorSpec


@dataclass(frozen=True, slots=True)
class DataType:
    """One type.

    Attributes:
        name: the protocol's name of it, such as "FP32".
        dtype: numpy's, in the order of bytes of this machine.
        contents: field of typed contents that holds its elements; None where they are always raw.
        typed_bytes: most bytes that an element takes in typed contents.
    """

    name: str
    dtype: np.dtype[np.generic]
    contents: str | None
    typed_bytes: int

    @property
    def raw_dtype(self) -> np.dtype[np.generic]:
        """The type of raw contents, which are little-endian on every machine."""
        return self.dtype.newbyteorder("<")


# Integers travel as varints: seven bits a byte, and ten bytes for whatever is negative.
_TYPES = MappingProxyType(
    {
        "uint8": ("UINT8", "uint_contents", 2),
        "uint16": ("UINT16", "uint_contents", 3),
        "uint32": ("UINT32", "uint_contents", 5),
        "uint64": ("UINT64", "uint64_contents", 10),
        "int8": ("INT8", "int_contents", 10),
        "int16": ("INT16", "int_contents", 10),
        "int32": ("INT32", "int_contents", 10),
        "int64": ("INT64", "int64_contents", 10),
        "float16": ("FP16", None, 0),
        "float32": ("FP32", "fp32_contents", 4),
        "float64": ("FP64", "fp64_contents", 8),
    }
)

DTYPES: tuple[str, ...] = tuple(_TYPES)
"""numpy's names of the types."""


def data_type(spec: TensorSpec) -> DataType:
    """The type of a tensor's elements.

    Raises:
        BundleError: the protocol has no such type.
    """
    if spec.dtype not in _TYPES:
        raise BundleError(f"tensor {spec.name}: the Open Inference Protocol has no type for {spec.dtype}")
    name, contents, typed_bytes = _TYPES[spec.dtype]
    return DataType(name, np.dtype(spec.dtype), contents, typed_bytes)
