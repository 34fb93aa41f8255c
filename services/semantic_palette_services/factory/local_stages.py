"""Stages in this process: the operations of the bundle that a stream is pinned to, called directly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from semantic_palette.constraints import Constraints
from semantic_palette.pair import Adherence
from semantic_palette_services.bundle_operations import BundleOperations
from semantic_palette_services.bundle_selection import BundleSelection
from semantic_palette_services.concurrency import WorkerPool
from semantic_palette_services.factory.stages import (
    EditTask,
    ImageTask,
    LayoutTask,
    PinnedBundle,
    StagedEdit,
    StagedImage,
    StagedLayout,
)
from semantic_palette_services.image.operation import ImageOptions, ImageRequest
from semantic_palette_services.layout.edit_operation import EditRequest
from semantic_palette_services.layout.operation import LayoutOptions, LayoutRequest
from semantic_palette_services.palette.operation import DrawnPalette
from semantic_palette_services.runtime.errors import OverloadError
from semantic_palette_services.runtime.registry import BundleRegistry

_ATTEMPTS = 5

Result = TypeVar("Result")


class _LocalStage:
    """A stage of this process.

    Args:
        bundles: the bundles of this process.
    """

    def __init__(self, bundles: BundleRegistry[BundleOperations]) -> None:
        self._bundles = bundles

    def hold(self, bundle: PinnedBundle) -> AbstractContextManager[object]:
        """See `PaletteStage.hold`."""
        return self._lease(bundle)

    def _lease(self, bundle: PinnedBundle) -> AbstractContextManager[BundleOperations]:
        return self._bundles.lease(BundleSelection(name=bundle.name, digest=bundle.digest))


class LocalPaletteStage(_LocalStage):
    """The palette operations of this process."""

    async def pin(self, selection: BundleSelection, deadline: float | None) -> PinnedBundle:
        """See `PaletteStage.pin`."""
        with self._bundles.lease(selection) as operations:
            bundle = operations.loaded
            return PinnedBundle(
                bundle.name,
                bundle.version,
                bundle.digest,
                bundle.label_space,
                bundle.height,
                bundle.width,
                bundle.operations,
                bundle.styled,
            )

    async def sample(
        self,
        bundle: PinnedBundle,
        seed: int,
        first_index: int,
        count: int,
        constraints: Constraints,
        deadline: float | None,
    ) -> list[DrawnPalette]:
        """See `PaletteStage.sample`."""
        with self._lease(bundle) as operations:
            return await operations.palette.sample(seed, first_index, count, constraints)


class LocalLayoutStage(_LocalStage):
    """The layout operations of this process; edits are planned in `pool`, for that reads whole frames."""

    def __init__(self, bundles: BundleRegistry[BundleOperations], pool: WorkerPool) -> None:
        super().__init__(bundles)
        self._pool = pool

    async def generate(self, bundle: PinnedBundle, task: LayoutTask, deadline: float | None) -> StagedLayout:
        """See `LayoutStage.generate`."""
        bounded = task.adherence is Adherence.EXACT and not task.constraints.is_empty
        options = LayoutOptions(
            adherence=task.adherence,
            deterministic=task.deterministic,
            bounds=task.constraints.bounds(bundle.label_space) if bounded else None,
            priority=task.priority,
        )
        request = LayoutRequest(task.palette, task.seed, task.index)
        with self._lease(bundle) as operations:
            layout = await _retry_when_overloaded(lambda: operations.layout.generate(request, options, deadline))
        return StagedLayout(layout.labels, layout.achieved, layout.kl, layout.engine)

    async def edit(self, bundle: PinnedBundle, task: EditTask, deadline: float | None) -> StagedEdit:
        """See `LayoutStage.edit`."""
        with self._lease(bundle) as operations:
            edits = operations.edits
            plan = await self._pool.run(edits.plan, task.labels, task.mask, task.edit)
            request = EditRequest(task.labels, task.mask, plan, task.seed, task.index)
            edited = await _retry_when_overloaded(
                lambda: edits.edit(request, deadline, deterministic=task.deterministic, priority=task.priority)
            )
        return StagedEdit(edited.labels, edited.region, edited.engine)


class LocalImageStage(_LocalStage):
    """The image operations of this process."""

    async def translate(self, bundle: PinnedBundle, task: ImageTask, deadline: float | None) -> StagedImage:
        """See `ImageStage.translate`."""
        options = ImageOptions(encoding=task.encoding, deterministic=task.deterministic, priority=task.priority)
        request = ImageRequest(task.labels, task.seed, task.index, task.reference)
        with self._lease(bundle) as operations:
            image = await _retry_when_overloaded(lambda: operations.image.translate(request, options, deadline))
            return StagedImage(image, operations.image.engine(options))


async def _retry_when_overloaded(attempt: Callable[[], Awaitable[Result]]) -> Result:
    """What gRPC's retries do for remote stages: an overloaded model slows a stream down before it breaks it."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return await attempt()
        except OverloadError as error:
            await asyncio.sleep(error.retry_after_seconds)
    return await attempt()
