"""A step's random numbers: keyed by seed, stage and step, so that resuming needs no generator state and every process
of a run draws the same."""

import zlib

import numpy as np
import torch


def step_generator(seed: int, stage: str, step: int, first_row: int = 0) -> torch.Generator:
    """A CPU generator for one step of a stage.

    What is small is drawn for the whole global batch and then cut into shards, so that the processes together use the
    numbers that one alone would. What is large (noise a pixel) is drawn a shard, keyed by its first row.

    Args:
        seed: of the run's stage.
        stage: its name, so that two stages of one seed draw different numbers.
        step: index of the step.
        first_row: first sample of the shard that the numbers are for.
    """
    entropy = [seed, zlib.crc32(stage.encode()), step, first_row]
    state = np.random.SeedSequence(entropy).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]) >> 1)
