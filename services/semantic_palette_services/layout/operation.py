"""Generating layouts from palettes. K classes, Z latent size, H height, W width."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from semantic_palette.budget import exact_labels, integer_budget
from semantic_palette.constraints import Bounds
from semantic_palette.pair import Adherence, EngineIdentity
from semantic_palette.palette import histogram, kl_divergence
from semantic_palette.priority import Priority
from semantic_palette_services.bundle_selection import BundleView
from semantic_palette_services.concurrency import WorkerPool, gather_or_cancel
from semantic_palette_services.runtime.admission import Room
from semantic_palette_services.runtime.served_model import ServedModel
from semantic_palette_services.slots import Slots
from semantic_palette_services.tracing import traced


class QualityObserver(Protocol):
    """Is told how well every served layout follows its palette; must be quick."""

    def layout_served(
        self, adherence: Adherence, requested: NDArray[np.float64], achieved: NDArray[np.float64], kl: float
    ) -> None:
        """A layout was made: palettes ``[K]`` asked for and counted, KL in nats."""


@dataclass(frozen=True, slots=True, eq=False)
class LayoutRequest:
    """One layout to generate; its noise depends on (seed, index) alone."""

    palette: NDArray[np.float64]
    """float64 ``[K]``, summing to 1."""
    seed: int
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutOptions:
    """How layouts are generated."""

    adherence: Adherence = Adherence.NATURAL
    deterministic: bool = False
    bounds: Bounds | None = None
    """Used by EXACT alone: integer budgets round minima up and maxima down."""
    priority: Priority = Priority.INTERACTIVE


@dataclass(frozen=True, slots=True, eq=False)
class GeneratedLayout:
    """A layout and what it achieved."""

    labels: NDArray[np.uint8]
    """Class ids, uint8 ``[H, W]``."""
    achieved: NDArray[np.float64]
    """Palette counted in ``labels``, float64 ``[K]``."""
    kl: float
    """KL(requested || achieved) in nats."""
    engine: EngineIdentity


class LayoutOperation:
    """Generates layouts with the models of one bundle.

    Args:
        bundle: the bundle.
        models: of which ``layout`` is needed for NATURAL, ``(z [Z], palette [K]) -> labels [H, W]``, and
            ``layout_scores`` for EXACT, ``(z [Z], palette [K]) -> scores [K, H, W]``.
        pool: threads for exact budgets.
        observer: is told about every layout.
    """

    def __init__(
        self,
        bundle: BundleView,
        models: Mapping[str, ServedModel],
        *,
        pool: WorkerPool,
        observer: QualityObserver,
    ) -> None:
        self.bundle = bundle
        self._models = models
        self._pool = pool
        self._observer = observer
        # Scores are large. Of each priority no more of them exist than keep the threads busy and the device in full
        # batches; items beyond wait without scores.
        scores_model = models.get("layout_scores")
        needed = pool.threads + (scores_model.max_batch_size if scores_model else 0)
        self._score_maps = Slots(needed + needed // 3)  # of which one priority has `needed` at most

    def _model(self, options: LayoutOptions) -> ServedModel:
        return self._models["layout_scores" if options.adherence is Adherence.EXACT else "layout"]

    def engine(self, options: LayoutOptions) -> EngineIdentity:
        """What executes the model for these options."""
        return self._model(options).engine_for(deterministic=options.deterministic)

    def reserve(self, count: int, options: LayoutOptions) -> AbstractContextManager[Room]:
        """Keep room in the queue for layouts that are still to be prepared.

        Raises:
            MissingOperationError: the bundle has no model for these options.
            RuntimeServiceError: the model is overloaded or stopping.
        """
        return self._model(options).reserve(count, options.priority)

    async def generate_all(
        self, requests: list[LayoutRequest], options: LayoutOptions, deadline: float | None, room: Room
    ) -> list[GeneratedLayout]:
        """One layout a request, in their order; all succeed or the first failure is raised and the others dropped."""
        # The noise of many adds up to a pause of the event loop.
        noises = await self._pool.run(lambda: [self._draw(request, options) for request in requests])
        return await gather_or_cancel(
            self._generate(request, noise, options, deadline, room)
            for request, noise in zip(requests, noises, strict=True)
        )

    async def generate(
        self, request: LayoutRequest, options: LayoutOptions, deadline: float | None = None
    ) -> GeneratedLayout:
        """Generate a layout.

        Args:
            request: what to generate.
            options: how.
            deadline: when the answer is worth nothing any more, in the event loop's time.

        Raises:
            MissingOperationError: the bundle has no model for these options.
            RuntimeServiceError: the model is overloaded, stopping or failed.
        """
        with self.reserve(1, options) as room:
            return await self._generate(request, self._draw(request, options), options, deadline, room)

    def _draw(self, request: LayoutRequest, options: LayoutOptions) -> dict[str, NDArray[np.float32]]:
        return self._model(options).noise(request.seed, request.index, "layout")

    async def _generate(
        self,
        request: LayoutRequest,
        noise: dict[str, NDArray[np.float32]],
        options: LayoutOptions,
        deadline: float | None,
        room: Room,
    ) -> GeneratedLayout:
        infer = partial(
            self._model(options).infer,
            {**noise, "palette": request.palette.astype(np.float32)},
            deadline=deadline,
            deterministic=options.deterministic,
            room=room,
        )
        if options.adherence is Adherence.EXACT:
            async with self._score_maps.slot(options.priority):
                outputs = await infer()
                with traced("budget"):
                    labels = await self._pool.run(_meet_budget, outputs.pop("scores"), request.palette, options.bounds)
        else:
            labels = (await infer())["labels"]
        achieved = histogram(labels, self.bundle.label_space.num_classes)
        kl = float(kl_divergence(request.palette, achieved))
        self._observer.layout_served(options.adherence, request.palette, achieved, kl)
        return GeneratedLayout(labels, achieved, kl, self.engine(options))


def _meet_budget(
    scores_KHW: NDArray[np.float32], palette: NDArray[np.float64], bounds: Bounds | None
) -> NDArray[np.uint8]:
    counts = integer_budget(palette, scores_KHW.shape[1] * scores_KHW.shape[2], bounds)
    return exact_labels(scores_KHW, counts)
