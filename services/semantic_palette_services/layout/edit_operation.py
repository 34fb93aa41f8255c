"""Editing layouts within regions. K classes, E = K + 1 (background last), Z latent size, H height, W width."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from semantic_palette.editing import Budget, EditPlan, Mask, RegionShares, ShareEdit, keep_outside, plan_edit
from semantic_palette.pair import EngineIdentity
from semantic_palette.priority import Priority
from semantic_palette_services.bundle_selection import BundleView
from semantic_palette_services.concurrency import WorkerPool, gather_or_cancel
from semantic_palette_services.runtime.admission import Room
from semantic_palette_services.runtime.served_model import ServedModel


class EditObserver(Protocol):
    """Is told how well every edit follows its request; must be quick."""

    def layout_edited(self, region: RegionShares) -> None:
        """A layout was edited."""


@dataclass(frozen=True, slots=True, eq=False)
class EditRequest:
    """One layout to edit; its noise depends on (seed, index) alone."""

    labels: NDArray[np.uint8]
    """Class ids, uint8 ``[H, W]``, of the bundle's size and label space."""
    mask: Mask
    """Pixels that may change, bool ``[H, W]``."""
    plan: EditPlan
    """From `EditOperation.plan`."""
    seed: int
    index: int


@dataclass(frozen=True, slots=True, eq=False)
class EditedLayout:
    """A layout uint8 ``[H, W]`` after its edit, what became of the region, and what executed the editor."""

    labels: NDArray[np.uint8]
    region: RegionShares
    engine: EngineIdentity


class EditOperation:
    """Edits layouts with the editor of one bundle.

    Args:
        bundle: the bundle.
        models: of which ``editor`` is needed:
            ``(z [Z], labels [H, W], mask [H, W], palette [E]) -> edited [H, W]``.
        pool: threads to draw noise and to count whole frames in.
        observer: is told about every edit.
    """

    def __init__(
        self, bundle: BundleView, models: Mapping[str, ServedModel], pool: WorkerPool, observer: EditObserver
    ) -> None:
        self.bundle = bundle
        self._models = models
        self._pool = pool
        self._observer = observer

    def engine(self, *, deterministic: bool) -> EngineIdentity:
        """What executes the editor."""
        return self._models["editor"].engine_for(deterministic=deterministic)

    def plan(self, labels: NDArray[np.uint8], mask: Mask, edit: ShareEdit, field: str = "edit") -> EditPlan:
        """Work out what the editor has to be given; see `plan_edit`.

        Raises:
            MissingOperationError: the bundle has no editor.
            InvalidInputError: the edit cannot be made; names it by ``field``.
        """
        budget = Budget.of(self._models["editor"].entry.attributes)
        return plan_edit(self.bundle.label_space, labels, mask, edit, budget, field)

    def reserve(self, count: int, priority: Priority = Priority.INTERACTIVE) -> AbstractContextManager[Room]:
        """Keep room in the queue for edits that are still to be prepared.

        Raises:
            MissingOperationError: the bundle has no editor.
            RuntimeServiceError: the editor is overloaded or stopping.
        """
        return self._models["editor"].reserve(count, priority)

    async def edit_all(
        self, requests: list[EditRequest], deadline: float | None, room: Room, *, deterministic: bool
    ) -> list[EditedLayout]:
        """One edited layout a request, in their order; all succeed or the first failure is raised."""
        # The noise of many adds up to a pause of the event loop.
        noises = await self._pool.run(lambda: [self._draw(request) for request in requests])
        return await gather_or_cancel(
            self._edit(request, noise, deadline, room, deterministic)
            for request, noise in zip(requests, noises, strict=True)
        )

    async def edit(
        self,
        request: EditRequest,
        deadline: float | None = None,
        *,
        deterministic: bool = False,
        priority: Priority = Priority.INTERACTIVE,
    ) -> EditedLayout:
        """Edit a layout.

        Args:
            request: what to edit.
            deadline: when the answer is worth nothing any more, in the event loop's time.
            deterministic: same bytes for the same request, alone or in any batch.
            priority: what the edit goes before.

        Raises:
            MissingOperationError: the bundle has no editor.
            RuntimeServiceError: the editor is overloaded, stopping or failed.
        """
        with self.reserve(1, priority) as room:
            return await self._edit(request, self._draw(request), deadline, room, deterministic)

    def _draw(self, request: EditRequest) -> dict[str, NDArray[np.float32]]:
        return self._models["editor"].noise(request.seed, request.index, "edit")

    async def _edit(
        self,
        request: EditRequest,
        noise: dict[str, NDArray[np.float32]],
        deadline: float | None,
        room: Room,
        deterministic: bool,
    ) -> EditedLayout:
        inputs: dict[str, NDArray[Any]] = {
            **noise,
            "labels": request.labels,
            "mask": request.mask.astype(np.uint8),
            "palette": request.plan.palette_E,
        }
        outputs = await self._models["editor"].infer(inputs, deadline, deterministic, room)
        # Masks of scattered pixels take milliseconds a frame: too long for the event loop.
        labels, region = await self._pool.run(_settle, outputs["edited"], request)
        self._observer.layout_edited(region)
        return EditedLayout(labels, region, self.engine(deterministic=deterministic))


def _settle(edited_HW: NDArray[np.uint8], request: EditRequest) -> tuple[NDArray[np.uint8], RegionShares]:
    # The graph promises to keep what is outside, but a file that somebody else made is no proof.
    labels_HW = keep_outside(edited_HW, request.labels, request.mask)
    return labels_HW, RegionShares.of(request.plan, labels_HW, request.mask)
