"""Operations to TorchScript files, for servers that load nothing else."""

import warnings
from pathlib import Path

import torch
from torch.jit._trace import TracerWarning

from semantic_palette_training.export.modules import Operation


def export_torchscript(operation: Operation, path: Path) -> None:
    """Trace the operation and save it to `path`; the batch axis stays free."""
    with torch.no_grad(), warnings.catch_warnings():
        # The networks compute with their own height and width in Python; those are constants of a bundle.
        warnings.simplefilter("ignore", TracerWarning)
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            operation.module, operation.example(2), check_trace=False
        )
    torch.jit.save(traced, str(path))
