"""Batch statistics of averaged networks, measured once training is finished."""

import copy
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)

CALIBRATION_BATCHES = 64
"""Batches over which the statistics are measured."""


@torch.no_grad()
def calibrated(average: Network, passes: Callable[[Network], None]) -> Network:
    """A copy of an averaged network with the batch statistics of its own features, in evaluation mode.

    The average follows the trained network's running statistics, which are those of other weights than its own.

    Args:
        average: the averaged network.
        passes: runs the network it is given over batches, the same ones on every process.
    """
    network = copy.deepcopy(average).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm):
            module.reset_running_stats()
            module.momentum = None  # A plain mean over the passes.
    passes(network)
    return network.eval()
