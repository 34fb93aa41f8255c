"""Where and with whom a stage trains: the device, the processes, and which part of a batch is this process's.

Gradients are summed over processes by hand rather than by `DistributedDataParallel`: the gradient penalty
differentiates the critic twice, a step runs several passes before one backward pass, and the levels above the active
one take no part, none of which its hooks allow together.
"""

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from semantic_palette.errors import InvalidInputError

Network = TypeVar("Network", bound=nn.Module)

#: How long processes wait for each other: fitting a palette model to a large data set takes one of them a while.
_PATIENCE = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Shard:
    """The samples of a global batch that go through the networks together in this process."""

    rows: slice
    """Which samples of the global batch."""
    weight: float
    """Their share of the global batch: what a mean over the shard is multiplied by before it is differentiated."""


@dataclass(frozen=True, slots=True)
class TrainContext:
    """A device, and this process's place among those that train together."""

    device: torch.device
    rank: int = 0
    world_size: int = 1
    micro_batch: int | None = None
    """Most samples that go through a network at once; a larger share of the batch is accumulated. None: no limit."""

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    def place(self, network: Network) -> Network:
        """The network on the device, channels last; on several GPUs its batch statistics are those of all."""
        if self.world_size > 1 and self.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        # Channels-last convolutions took 0.4 to 0.9 of the time on a Zen 4 core, the least where channels are few.
        return network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def adam(self, network: nn.Module, learning_rate: float, betas: tuple[float, float]) -> torch.optim.Adam:
        """An optimiser of the network: fused, one pass over the weights instead of ten, where operations are done."""
        return torch.optim.Adam(network.parameters(), learning_rate, betas, fused=self.device.type != "meta")

    def autocast(self, enabled: bool) -> AbstractContextManager[Any]:
        """Network passes in bfloat16, if `enabled`; what needs float32 casts to it itself.

        Nothing on torch's meta device, on which operations are counted but not done.
        """
        if not enabled or self.device.type == "meta":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def shards(self, batch_size: int, field: str = "batch_size") -> list[Shard]:
        """This process's part of a global batch, cut into passes of at most `micro_batch` samples.

        Every process has as many passes as the others: those of networks with shared batch statistics wait for each
        other.

        Raises:
            InvalidInputError: the processes cannot share the batch evenly; calls it by `field`.
        """
        share, rest = divmod(batch_size, self.world_size)
        if rest or not share:
            raise InvalidInputError(field, batch_size, f"a multiple of the {self.world_size} processes")
        first = share * self.rank
        passes = 1 if self.micro_batch is None else -(-share // self.micro_batch)
        bounds = [first + share * i // passes for i in range(passes + 1)]
        return [Shard(slice(a, b), (b - a) / batch_size) for a, b in itertools.pairwise(bounds)]

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over processes; call it between the last backward pass and the update."""
        if self.world_size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        for gradient, summed in zip(
            gradients, torch.split(flat, [gradient.numel() for gradient in gradients]), strict=True
        ):
            gradient.copy_(summed.view_as(gradient))

    def sum_metrics(self, metrics: Mapping[str, float | Tensor]) -> dict[str, float]:
        """Metrics summed over processes: shards contribute their weighted means. The same on every process."""
        values = torch.stack(
            [torch.as_tensor(value, dtype=torch.float32).to(self.device) for value in metrics.values()]
        )
        if self.world_size > 1:
            dist.all_reduce(values)
        return dict(zip(metrics, values.tolist(), strict=True))

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set on any process; all of them must ask."""
        if self.world_size == 1:
            return flag
        # On the CPU, whose group is another than the GPUs': nothing waits for a GPU.
        votes = torch.tensor(float(flag))
        dist.all_reduce(votes)
        return bool(votes.item() > 0)

    def barrier(self) -> None:
        """Wait for the other processes."""
        if self.world_size > 1:
            dist.barrier()


@contextmanager
def train_context(device: str | None = None, micro_batch: int | None = None) -> Iterator[TrainContext]:
    """The context of this process: alone, or one of those that torchrun started.

    Args:
        device: `cpu`, `cuda` or `cuda:1`; by default a GPU where there is one, the process's own under torchrun.
        micro_batch: see `TrainContext`.

    Raises:
        InvalidInputError: there is no such device, or `micro_batch` is below 1.
    """
    if micro_batch is not None and micro_batch < 1:
        raise InvalidInputError("micro_batch", micro_batch, "at least 1")
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    rank, local_rank = int(os.environ.get("RANK", "0")), int(os.environ.get("LOCAL_RANK", "0"))
    chosen = _device(device, local_rank)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if world_size > 1:
        backend = "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield TrainContext(chosen, rank, world_size, micro_batch)
    finally:
        if world_size > 1:
            dist.destroy_process_group()


def _device(name: str | None, local_rank: int) -> torch.device:
    if name is None:
        return torch.device("cuda", local_rank) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidInputError("device", name, "cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InvalidInputError("device", name, "cpu; no GPU is visible here")
    if device.type not in ("cpu", "cuda"):
        raise InvalidInputError("device", name, "cpu, cuda or cuda:N")
    return torch.device("cuda", local_rank) if name == "cuda" else device
