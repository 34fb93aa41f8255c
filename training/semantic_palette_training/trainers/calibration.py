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
def calibrated(average: Network, pass_of: Callable[[Network, int], None]) -> Network:
    """A copy of an averaged network with the batch statistics of its own features, in evaluation mode.

    The average follows the trained network's running statistics, which are those of other weights than its own.

    Args:
        average: the averaged network.
        pass_of: runs the network it is given over the batch of a number from 0 to `CALIBRATION_BATCHES` - 1, the same
            one on every process.
    """
    network = copy.deepcopy(average).train()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # A plain mean over the passes.
    for number in range(CALIBRATION_BATCHES if norms else 0):
        pass_of(network, number)
    return network.eval()
