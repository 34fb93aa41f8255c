"""Stages in this process: the operations, called directly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from semantic_palette.constraints import Constraints
from semantic_palette.pair import Adherence
from semantic_palette_services.bundle_selection import check_selection
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
from semantic_palette_services.image.operation import ImageOperation, ImageOptions, ImageRequest
from semantic_palette_services.layout.edit_operation import EditOperation, EditRequest
from semantic_palette_services.layout.operation import LayoutOperation, LayoutOptions, LayoutRequest
from semantic_palette_services.palette.operation import DrawnPalette, PaletteOperation
from semantic_palette_services.runtime.errors import OverloadError

_ATTEMPTS = 5

Result = TypeVar("Result")


class LocalPaletteStage:
    """The palette operation of this process."""

    def __init__(self, operation: PaletteOperation) -> None:
        self._operation = operation

    async def pin(self, name: str, digest: str, deadline: float | None) -> PinnedBundle:
        """See `PaletteStage.pin`."""
        bundle = self._operation.bundle
        check_selection(bundle, name, digest)
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
        check_selection(self._operation.bundle, bundle.name, bundle.digest)
        return await self._operation.sample(seed, first_index, count, constraints)


class LocalLayoutStage:
    """The layout operations of this process; edits are planned in `pool`, for that reads whole frames."""

    def __init__(self, operation: LayoutOperation, edits: EditOperation, pool: WorkerPool) -> None:
        self._operation = operation
        self._edits = edits
        self._pool = pool

    async def generate(self, bundle: PinnedBundle, task: LayoutTask, deadline: float | None) -> StagedLayout:
        """See `LayoutStage.generate`."""
        check_selection(self._operation.bundle, bundle.name, bundle.digest)
        bounded = task.adherence is Adherence.EXACT and not task.constraints.is_empty
        options = LayoutOptions(
            adherence=task.adherence,
            deterministic=task.deterministic,
            bounds=task.constraints.bounds(bundle.label_space) if bounded else None,
            priority=task.priority,
        )
        request = LayoutRequest(task.palette, task.seed, task.index)
        layout = await _retry_when_overloaded(lambda: self._operation.generate(request, options, deadline))
        return StagedLayout(layout.labels, layout.achieved, layout.kl, layout.engine)

    async def edit(self, bundle: PinnedBundle, task: EditTask, deadline: float | None) -> StagedEdit:
        """See `LayoutStage.edit`."""
        check_selection(self._edits.bundle, bundle.name, bundle.digest)
        plan = await self._pool.run(self._edits.plan, task.labels, task.mask, task.edit)
        request = EditRequest(task.labels, task.mask, plan, task.seed, task.index)
        edited = await _retry_when_overloaded(
            lambda: self._edits.edit(request, deadline, deterministic=task.deterministic, priority=task.priority)
        )
        return StagedEdit(edited.labels, edited.region, edited.engine)


class LocalImageStage:
    """The image operation of this process."""

    def __init__(self, operation: ImageOperation) -> None:
        self._operation = operation

    async def translate(self, bundle: PinnedBundle, task: ImageTask, deadline: float | None) -> StagedImage:
        """See `ImageStage.translate`."""
        check_selection(self._operation.bundle, bundle.name, bundle.digest)
        options = ImageOptions(encoding=task.encoding, deterministic=task.deterministic, priority=task.priority)
        request = ImageRequest(task.labels, task.seed, task.index, task.reference)
        image = await _retry_when_overloaded(lambda: self._operation.translate(request, options, deadline))
        return StagedImage(image, self._operation.engine(options))


async def _retry_when_overloaded(attempt: Callable[[], Awaitable[Result]]) -> Result:
    """What gRPC's retries do for remote stages: an overloaded model slows a stream down before it breaks it."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return await attempt()
        except OverloadError as error:
            await asyncio.sleep(error.retry_after_seconds)
    return await attempt()
