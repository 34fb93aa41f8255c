"""Items to a batch and back: values and owners of memory."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from semantic_palette_services.runtime.batch_arrays import split, stack
from semantic_palette_services.runtime.errors import EngineOutputError
from semantic_palette_services.runtime.item_queue import Item


def items(*rows: Any) -> list[Item]:
    loop = asyncio.new_event_loop()
    made = [Item({"x": np.array(row)}, loop.create_future(), 0.0, None, False) for row in rows]
    loop.close()
    return made


@pytest.mark.parametrize("rows", [[[1, 2]], [[1, 2], [3, 4], [5, 6]]])
def test_what_is_stacked_and_split_is_what_it_was(rows: list[list[int]]) -> None:
    batch = stack(items(*rows))
    assert batch["x"].tolist() == rows
    assert batch["x"].flags.c_contiguous
    assert batch["x"].flags.writeable
    assert [answer["x"].tolist() for answer in split(batch, len(rows))] == rows


def test_the_answer_of_one_of_several_keeps_nothing_but_itself_and_that_of_one_alone_is_not_copied() -> None:
    outputs = {"y": np.zeros((4, 2))}
    assert all(answer["y"].base is None for answer in split(outputs, 4))
    single = {"y": np.zeros((1, 2))}
    assert np.shares_memory(split(single, 1)[0]["y"], single["y"])


def test_outputs_for_another_number_of_items_are_refused() -> None:
    with pytest.raises(EngineOutputError, match=r"output y has shape \(3, 2\) for a batch of 1"):
        split({"y": np.zeros((3, 2))}, 1)
