"""A bundle in memory: its palette model, and its models behind engines and batchers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from numpy.typing import NDArray

from semantic_palette.errors import BundleError
from semantic_palette.label_space import LabelSpace
from semantic_palette.manifest import Manifest, ModelEntry
from semantic_palette.pair import EngineIdentity
from semantic_palette.palette_model import PaletteModel
from semantic_palette_services.runtime.batcher import Batcher, Outputs, Room
from semantic_palette_services.runtime.engines.base import check_sample
from semantic_palette_services.runtime.executor import DeviceExecutor
from semantic_palette_services.runtime.golden import Golden
from semantic_palette_services.runtime.item_queue import Arrays
from semantic_palette_services.runtime.observer import BatchObserver
from semantic_palette_services.runtime.selection import EngineChoice, Selection, select_engine
from semantic_palette_services.runtime.settings import RuntimeSettings
from semantic_palette_services.runtime.store import BundleFiles

OPERATIONS = ("layout", "layout_scores", "image")


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
        operation: "layout", "layout_scores" or "image".
        entry: the manifest's description of the model.
        choice: which engines it runs on, and why.
        batcher: what forms its batches.
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
        self._selection = selection
        self.batcher = Batcher(
            selection.engine.run,
            executor,
            max_batch_size=selection.choice.best.best_batch_size,
            max_queue=settings.max_queue,
            name=operation,
            observer=observer,
            run_deterministic=selection.deterministic_engine.run,
            measured_seconds=selection.choice.best.seconds,
        )

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

    def reserve(self, count: int) -> AbstractContextManager[Room]:
        """Keep room in the queue for items that are still to be prepared; see `Batcher.reserve`."""
        return self.batcher.reserve(count)

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
        return await self.batcher.submit(inputs, deadline=deadline, deterministic=deterministic, room=room)

    def run_batch(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run the engine of ordinary items directly, past the queue: what benchmarks compare with.

        The caller sees to it that nothing else runs on the device meanwhile.
        """
        return self._selection.engine.run(inputs)

    async def close(self) -> None:
        """Stop the batcher, then free the engines."""
        await self.batcher.close()
        self._selection.close()


class LoadedBundle:
    """A bundle that answers. Get one from `load`, in the event loop that will use it.

    Attributes:
        manifest: what is in the bundle.
        digest: hex sha256 of the manifest.
        palette_model: the bundle's distribution of palettes.
        models: models by operation; those that were asked for.
    """

    def __init__(self, files: BundleFiles, palette_model: PaletteModel, models: dict[str, ServedModel]) -> None:
        self.manifest: Manifest = files.manifest
        self.digest = files.digest
        self.palette_model = palette_model
        self.models = models

    @property
    def name(self) -> str:
        """Name of the bundle."""
        return self.manifest.name

    @property
    def version(self) -> str:
        """Version of the bundle."""
        return self.manifest.version

    @property
    def label_space(self) -> LabelSpace:
        """The classes of its layouts."""
        return self.manifest.label_space

    @property
    def height(self) -> int:
        """Height of layouts and images, in pixels."""
        return self.manifest.height

    @property
    def width(self) -> int:
        """Width of layouts and images, in pixels."""
        return self.manifest.width

    @property
    def healthy(self) -> bool:
        """Whether the engines of all models live."""
        return all(model.batcher.healthy for model in self.models.values())

    @classmethod
    async def load(
        cls,
        files: BundleFiles,
        settings: RuntimeSettings,
        executor: DeviceExecutor,
        models: Collection[str] = OPERATIONS,
        observer: BatchObserver | None = None,
    ) -> LoadedBundle:
        """Load a verified bundle; engines are chosen on the device's thread, where they will run.

        Args:
            files: the bundle, from `ModelStore.open`.
            settings: engine, threads, and limits of batches and queues.
            executor: the device.
            models: operations wanted; none of them for palettes only.
            observer: told of every event of the batchers.

        Raises:
            BundleError: the bundle lacks a model that is wanted, or a file of it cannot be read.
            EngineUnavailableError, EngineLoadError, ParityError: no engine runs a model, see `select_engine`.
        """
        missing = sorted(set(models) - files.manifest.models.keys())
        if missing:
            has = ", ".join(sorted(files.manifest.models)) or "none"
            raise BundleError(f"bundle {files.manifest.name}: there is no model {', '.join(missing)}, only {has}")
        palette_path = files.path / files.manifest.palette_model.file
        bundle = cls(files, await asyncio.to_thread(PaletteModel.load, palette_path), {})
        if not models:
            return bundle
        golden = await asyncio.to_thread(Golden.load, files.path / files.manifest.golden.file)
        try:
            for operation in sorted(models, key=OPERATIONS.index):
                entry = files.manifest.models[operation]
                select = partial(select_engine, operation, files.path / entry.file, entry, golden, settings)
                selection = await executor.run(select)
                bundle.models[operation] = ServedModel(operation, entry, selection, executor, settings, observer)
        except BaseException:
            await bundle.close()
            raise
        return bundle

    async def drain(self) -> None:
        """Accept nothing new; return when everything accepted has been answered."""
        await asyncio.gather(*(model.batcher.drain() for model in self.models.values()))

    async def close(self) -> None:
        """Stop: what waits fails with DrainingError, what runs is finished, then engines are freed."""
        for model in self.models.values():
            await model.close()
