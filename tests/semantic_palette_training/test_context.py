"""Which part of a batch a process takes, and that randomness does not depend on the processes."""

import pytest
import torch

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.trainers.context import TrainContext, train_context
from semantic_palette_training.trainers.randomness import step_generator

CPU = torch.device("cpu")


@pytest.mark.parametrize("batch_size", [6, 12, 42])
@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("micro_batch", [None, 1, 3])
def test_shards_cover_the_batch_once_with_weights_that_sum_to_one(
    batch_size: int, world_size: int, micro_batch: int | None
) -> None:
    shards = [
        shard
        for rank in range(world_size)
        for shard in TrainContext(CPU, rank, world_size, micro_batch).shards(batch_size)
    ]
    rows = [row for shard in shards for row in range(batch_size)[shard.rows]]
    assert rows == list(range(batch_size))
    assert sum(shard.weight for shard in shards) == pytest.approx(1.0)
    assert all(len(range(batch_size)[shard.rows]) == pytest.approx(shard.weight * batch_size) for shard in shards)
    assert len(shards) % world_size == 0, "every process has as many passes"
    if micro_batch is not None:
        assert max(len(range(batch_size)[shard.rows]) for shard in shards) <= micro_batch


@pytest.mark.parametrize("batch_size", [0, 2, 7])
def test_a_batch_that_the_processes_cannot_share_is_refused(batch_size: int) -> None:
    with pytest.raises(InvalidInputError, match=rf"batch_size: {batch_size} .*multiple of the 3 processes"):
        TrainContext(CPU, 0, 3).shards(batch_size)


@pytest.mark.parametrize(("device", "micro_batch", "field"), [("tpu9", None, "device"), (None, 0, "micro_batch")])
def test_bad_options_are_named(device: str | None, micro_batch: int | None, field: str) -> None:
    with pytest.raises(InvalidInputError, match=field), train_context(device, micro_batch):
        pass


def test_alone_nothing_is_exchanged() -> None:
    with train_context("cpu") as context:
        assert context.sum_metrics({"a": torch.tensor(2.0), "b": 1}) == {"a": 2.0, "b": 1.0}
        assert context.any(True)
        assert not context.any(False)
        assert context.is_main


def test_numbers_of_a_step_depend_on_seed_stage_step_and_row_alone() -> None:
    keys = [(0, "layout", 0, 0), (1, "layout", 0, 0), (0, "image", 0, 0), (0, "layout", 1, 0), (0, "layout", 0, 4)]
    draws = [torch.randn(8, generator=step_generator(*key)) for key in keys]
    assert torch.equal(draws[0], torch.randn(8, generator=step_generator(0, "layout", 0)))
    assert all(not torch.equal(draws[0], other) for other in draws[1:])
