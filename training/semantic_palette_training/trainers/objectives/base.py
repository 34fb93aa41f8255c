"""What an objective of the image generator is: a discriminator, and the losses of both sides on a batch.

Legend: B batch, K classes, H and W pixels, N numbers.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Autocast = Callable[[], AbstractContextManager[Any]]
"""Gives the context in which networks run; losses are computed outside of it, in float32."""

Losses = tuple[Tensor, dict[str, Tensor]]
"""What is minimised, a mean over the samples of a batch, and its detached terms, for the curves."""


@dataclass(frozen=True, slots=True)
class SceneBatch:
    """Real scenes."""

    labels_BHW: Tensor
    """Class ids, uint8."""
    layout_BKHW: Tensor
    """The same as the networks see them, one-hot or softened, float32."""
    image_B3HW: Tensor
    """Float32 in [-1, 1]."""


class Objective(nn.Module, ABC):
    """Trains an image generator against a discriminator. Needs no trainer: losses are functions of tensors alone.

    Args:
        autocast: for the passes of networks.
    """

    discriminator: nn.Module

    def __init__(self, autocast: Autocast) -> None:
        super().__init__()
        self.autocast = autocast

    def draws(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """The random numbers that the losses of a batch need, [B, N] on the CPU, drawn for the whole global batch."""
        return torch.empty(batch_size, 0)

    @abstractmethod
    def discriminator_loss(self, scenes: SceneBatch, fake_B3HW: Tensor, draws_BN: Tensor) -> Losses:
        """What the discriminator minimises.

        Args:
            scenes: real scenes.
            fake_B3HW: images generated from their layouts, detached.
            draws_BN: the samples' rows of `draws`, on the device.
        """

    @abstractmethod
    def generator_loss(self, scenes: SceneBatch, fake_B3HW: Tensor) -> Losses:
        """What the generator minimises. The discriminator gets no gradients.

        Args:
            scenes: real scenes.
            fake_B3HW: images generated from their layouts.
        """


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Passes through the network inside give no gradients to its weights."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
