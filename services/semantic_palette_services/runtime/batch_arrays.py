"""From the arrays of items to those of a batch, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from semantic_palette_services.runtime.errors import EngineOutputError
from semantic_palette_services.runtime.item_queue import Item

Outputs: TypeAlias = dict[str, NDArray[Any]]


def stack(items: Sequence[Item]) -> Outputs:
    """The inputs of items, all alike, with a batch axis first."""
    return {name: np.stack([item.inputs[name] for item in items]) for name in items[0].inputs}


def split(outputs: Outputs, size: int) -> list[Outputs]:
    """The outputs of each item of a batch of ``size``.

    Raises:
        EngineOutputError: the arrays are not of a batch of that size.
    """
    for name, array in outputs.items():
        if array.ndim == 0 or array.shape[0] != size:
            raise EngineOutputError(f"output {name} has shape {array.shape} for a batch of {size}")
    if size == 1:  # the batch is the item's own
        return [{name: array[0] for name, array in outputs.items()}]
    # Copies: a view would keep the arrays of the whole batch in memory for as long as one of its items is in use.
    return [{name: array[index].copy() for name, array in outputs.items()} for index in range(size)]
