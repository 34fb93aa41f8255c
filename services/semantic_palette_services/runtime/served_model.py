"""One model of a bundle behind its engines and its batcher."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semantic_palette.errors import BundleError
from semantic_palette.manifest import Manifest, ModelEntry
from semantic_palette.noise import standard_normal
from semantic_palette.pair import EngineIdentity
from semantic_palette.priority import Priority
from semantic_palette_services.bundle_selection import MissingOperationError
from semantic_palette_services.runtime.admission import Room
from semantic_palette_services.runtime.batch_arrays import Outputs
from semantic_palette_services.runtime.batcher import Batcher
from semantic_palette_services.runtime.engines.base import blank_batch, check_sample
from semantic_palette_services.runtime.executor import DeviceExecutor
from semantic_palette_services.runtime.item_queue import Arrays
from semantic_palette_services.runtime.observer import BatchObserver
from semantic_palette_services.runtime.selection import EngineChoice, Selection
from semantic_palette_services.runtime.settings import RuntimeSettings
from semantic_palette_services.runtime.statistics import StatisticsRecorder
from semantic_palette_services.tracing import traced


def model_digest(entry: ModelEntry) -> str:
    """What identifies the computation of a model: hex sha256 of its file or, where its weights are in files of their
    own, of the lines ``<sha256>  <file>`` (as sha256sum prints them) of the model's file and then of those, by name.
    """
    if not entry.external_files:
        return entry.sha256
    files = [(entry.file, entry.sha256), *sorted(entry.external_files.items())]
    return hashlib.sha256("".join(f"{sha256}  {file}\n" for file, sha256 in files).encode()).hexdigest()


class ServedModel:
    """One model of a bundle, ready to answer.

    Attributes:
        operation: which, such as "layout" or "image".
        entry: the manifest's description of the model.
        choice: which engines it runs on, and why.
        batcher: what forms its batches.
        statistics: what it has done.
    """

    def __init__(
        self,
        operation: str,
        entry: ModelEntry,
        selection: Selection,
        executor: DeviceExecutor,
        settings: RuntimeSettings,
        observer: BatchObserver | None,
    ) -> None:
        self.operation = operation
        self.entry = entry
        self.choice: EngineChoice = selection.choice
        self.statistics = StatisticsRecorder(observer)
        self._selection = selection
        self._executor = executor
        self._closed = False
        self.batcher = Batcher(
            lambda inputs: self._selection.engine.run(inputs),
            executor,
            max_batch_size=selection.choice.best.best_batch_size,
            limits=settings.queue_limits,
            name=operation,
            observer=self.statistics,
            run_deterministic=lambda inputs: self._selection.deterministic_engine.run(inputs),
            measured_seconds=selection.choice.best.seconds,
        )
        executor.tenants.add(self)

    @property
    def healthy(self) -> bool:
        """Whether the engines live."""
        return self.batcher.healthy

    @property
    def max_batch_size(self) -> int:
        """Most items in a batch: the size at which the engine was measured to be fastest an item."""
        return self.choice.best.best_batch_size

    @property
    def engine(self) -> EngineIdentity:
        """What answers ordinary items; see `engine_for` for deterministic ones."""
        return self.engine_for(deterministic=False)

    def engine_for(self, *, deterministic: bool) -> EngineIdentity:
        """What answers items, deterministic or ordinary."""
        engine = self._selection.deterministic_engine if deterministic else self._selection.engine
        return EngineIdentity(engine.name, engine.version, engine.precision, model_digest(self.entry))

    def takes(self, name: str) -> bool:
        """Whether the model has an input of this name."""
        return any(spec.name == name for spec in self.entry.inputs)

    @property
    def latent_size(self) -> int:
        """Length of the noise vector ``z`` of a sample.

        Raises:
            BundleError: the manifest gives the model no ``z`` of fixed length.
        """
        for spec in self.entry.inputs:
            if spec.name == "z" and isinstance(spec.shape[-1], int):
                return spec.shape[-1]
        raise BundleError(f"manifest.models.{self.operation}.inputs: there is no z of fixed length")

    def noise(self, seed: int, index: int, stage: str) -> dict[str, NDArray[np.float32]]:
        """The noise input of a sample, float32 [Z], by its name; nothing where the model takes none."""
        return {"z": standard_normal(seed, index, stage, (self.latent_size,))} if self.takes("z") else {}

    def reserve(self, count: int, priority: Priority = Priority.INTERACTIVE) -> AbstractContextManager[Room]:
        """Keep room in the queue for items that are still to be prepared; see `Batcher.reserve`."""
        return self.batcher.reserve(count, priority)

    async def infer(
        self,
        inputs: Arrays,
        deadline: float | None = None,
        deterministic: bool = False,
        room: Room | None = None,
    ) -> Outputs:
        """Run one sample; see `Batcher.submit` for the arguments, the answer and the errors.

        Raises:
            InvalidInputError: an input is missing, unknown, or of the wrong dtype or shape.
        """
        check_sample(self.entry.inputs, inputs)
        with traced(f"infer {self.operation}", {"model": self.operation, "deterministic": deterministic}):
            return await self.batcher.submit(inputs, deadline=deadline, deterministic=deterministic, room=room)

    def run_batch(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run the engine of ordinary items directly, past the queue: what benchmarks compare with.

        The caller sees to it that nothing else runs on the device meanwhile.
        """
        return self._selection.engine.run(inputs)

    async def reload(self) -> None:
        """Load the engines again after one, or the device, has died; afterwards the model answers.

        Raises:
            Exception: it cannot be loaded, or does not answer; the model stays as it is.
        """
        await self._executor.run(self._load_again)
        self.batcher.revive()

    def _load_again(self) -> None:
        # Freed first, so that they need not fit the device twice; but not under the feet of a thread that hangs.
        if not self.batcher.engine_in_use:
            self._selection.close()
        selection = self._selection.load_again()
        # At every size that is planned apart: the first batch that is answered shall take no longer than others.
        for engine, size in (
            (selection.engine, self.max_batch_size),
            (selection.engine, 1),
            (selection.deterministic_engine, 1),
        ):
            engine.run(blank_batch(self.entry.inputs, size))
        self._selection = selection
        if self._closed:
            selection.close()

    async def close(self) -> None:
        """Stop the batcher, then free the engines."""
        self._closed = True
        self._executor.tenants.discard(self)
        await self.batcher.close()
        if not self.batcher.engine_in_use:
            # Large models take a tenth of a second to free, in which the libraries need no Python.
            await asyncio.to_thread(self._selection.close)


class ServedModels(dict[str, ServedModel]):
    """Models by operation; asking for one that is not there tells what is.

    Args:
        manifest: of the bundle that they are of.

    Raises:
        MissingOperationError: by ``models[operation]``, where there is none.
    """

    def __init__(self, manifest: Manifest) -> None:
        super().__init__()
        self._manifest = manifest

    def __missing__(self, operation: str) -> ServedModel:
        raise MissingOperationError(self._manifest.name, operation, self._manifest.models)
