"""From a bundle in the store to one that answers: verified, loaded beside the others, checked, measured."""

from __future__ import annotations

import asyncio
import logging
import time

from semantic_palette_services.bundle_operations import BundleOperations
from semantic_palette_services.bundle_selection import BundleSelection
from semantic_palette_services.concurrency import WorkerPool
from semantic_palette_services.runtime.executor import DeviceExecutor
from semantic_palette_services.runtime.held_bundle import BundleState
from semantic_palette_services.runtime.loaded_bundle import LoadedBundle
from semantic_palette_services.runtime.registry import BundleRegistry
from semantic_palette_services.runtime.settings import RuntimeSettings
from semantic_palette_services.runtime.store import BundleFiles, ModelStore
from semantic_palette_services.server.bundle_metrics import BundleMetrics
from semantic_palette_services.server.metrics import Metrics
from semantic_palette_services.server.settings import ServerSettings

logger = logging.getLogger(__name__)


class BundleLoader:
    """Loads bundles with the models that the services of this process use.

    Args:
        settings: which services, and how models are run.
        store: where bundles are.
        executor: the device, shared by all bundles.
        pool: threads for what would block the event loop.
        metrics: are told about everything.
    """

    def __init__(
        self, settings: ServerSettings, store: ModelStore, executor: DeviceExecutor, pool: WorkerPool, metrics: Metrics
    ) -> None:
        self.store = store
        self._settings = settings
        self._executor = executor
        self._pool = pool
        self._metrics = metrics
        self._observers: dict[LoadedBundle, BundleMetrics] = {}
        self._runtime = RuntimeSettings(
            engine=settings.engine,
            threads=settings.engine_threads,
            max_batch_size=settings.max_batch_size,
            max_queue=settings.max_queue,
            max_queue_seconds=settings.max_queue_seconds,
        )

    async def load(self, files: BundleFiles, started: float) -> BundleOperations:
        """Load a verified bundle.

        Args:
            files: the bundle, from `ModelStore.open`.
            started: when its verification began, by `time.perf_counter`.

        Raises:
            BundleError: a file of it cannot be read.
            RuntimeServiceError: no engine runs its models.
        """
        manifest = files.manifest
        # What a bundle lacks is told to those who ask for it: few bundles have everything.
        models = [operation for operation in self._settings.models if operation in manifest.models]
        if self._settings.models and not models:
            logger.warning("bundle %s has no model for %s", manifest.name, ", ".join(self._settings.services))
        observer = self._metrics.of_bundle(manifest.name, manifest.version, manifest.label_space.names)
        try:
            loaded = await LoadedBundle.load(files, self._runtime, self._executor, models, observer)
        except BaseException:
            observer.remove()
            raise
        seconds = time.perf_counter() - started
        observer.loaded(loaded, seconds)
        self._observers[loaded] = observer
        return BundleOperations(loaded, self._pool, observer, seconds)

    def state_changed(self, operations: BundleOperations, state: BundleState | None) -> None:
        """Tell the metrics; for `BundleRegistry`."""
        if state is None:
            self._observers.pop(operations.loaded).remove()
        else:
            self._observers[operations.loaded].activated(state is BundleState.ACTIVE)


async def load_at_start(settings: ServerSettings, loader: BundleLoader) -> BundleRegistry[BundleOperations]:
    """Load the bundles of the settings; of several versions of a bundle, the first is the active one.

    Raises:
        BundleError: a bundle is missing or corrupt.
        RuntimeServiceError: no engine runs the models of one.
    """
    registry = BundleRegistry(settings.unload_delay, loader.state_changed)
    try:
        for reference in settings.bundles:
            started = time.perf_counter()
            files = await asyncio.to_thread(
                loader.store.open, reference.name, reference.version, digest=reference.digest
            )
            if registry.find(BundleSelection(name=files.manifest.name, digest=files.digest)) is not None:
                continue
            operations = await loader.load(files, started)
            registry.add(operations)
            if all(held.bundle.name != operations.name for held in registry.held[:-1]):
                registry.activate(operations)
    except BaseException:
        await registry.close()
        raise
    return registry
