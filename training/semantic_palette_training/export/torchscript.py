"""Operations to TorchScript files, for servers that load nothing else."""

import io
import warnings
import zipfile
from pathlib import Path

import torch
from torch.jit._trace import TracerWarning

from semantic_palette_training.export.operations import Operation


def export_torchscript(operation: Operation, path: Path) -> None:
    """Trace the operation and save it to `path`; the batch axis stays free."""
    with torch.no_grad(), warnings.catch_warnings():
        # The networks compute with their own height and width in Python; those are constants of a bundle.
        warnings.simplefilter("ignore", TracerWarning)
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            operation.module, operation.example(2), check_trace=False
        )
    buffer = io.BytesIO()
    torch.jit.save(traced, buffer)
    _write_without_sources(buffer, path)


def _write_without_sources(archive: io.BytesIO, path: Path) -> None:
    """Copy a TorchScript archive without its debug records: the call stacks, with paths, of the machine that traced."""
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
        for record in source.infolist():
            if not record.filename.endswith(".debug_pkl"):
                target.writestr(zipfile.ZipInfo(record.filename), source.read(record))
