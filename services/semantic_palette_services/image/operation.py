"""Translating layouts to images. H height, W width, Z latent size."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semantic_palette.noise import standard_normal
from semantic_palette.pair import EngineIdentity
from semantic_palette_services.bundle_selection import BundleView
from semantic_palette_services.concurrency import WorkerPool, gather_or_cancel
from semantic_palette_services.encoding import EncodedImage, ImageEncoding, ImageFormat, encode_image
from semantic_palette_services.runtime.batcher import Room
from semantic_palette_services.runtime.loaded_bundle import ServedModel


@dataclass(frozen=True, slots=True, eq=False)
class ImageRequest:
    """One layout to translate; the noise of its appearance depends on (seed, index) alone."""

    labels: NDArray[np.uint8]
    """Class ids, uint8 ``[H, W]``, of the bundle's size and label space."""
    seed: int
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOptions:
    """How layouts are translated."""

    encoding: ImageEncoding = field(default_factory=ImageEncoding)
    deterministic: bool = False


class ImageOperation:
    """Translates layouts with the image model of one bundle.

    Args:
        bundle: the bundle.
        model: ``(labels [H, W], z [Z]) -> image [H, W, 3]``.
        pool: threads to encode in.
    """

    def __init__(self, bundle: BundleView, model: ServedModel, pool: WorkerPool) -> None:
        self.bundle = bundle
        self._model = model
        self._pool = pool

    def engine(self, options: ImageOptions) -> EngineIdentity:
        """What executes the image model for these options."""
        return self._model.engine_for(deterministic=options.deterministic)

    def reserve(self, count: int) -> AbstractContextManager[Room]:
        """Keep room in the queue for images whose layouts are still to be decoded.

        Raises:
            RuntimeServiceError: the model is overloaded or stopping.
        """
        return self._model.reserve(count)

    async def translate_all(
        self, requests: list[ImageRequest], options: ImageOptions, deadline: float | None, room: Room
    ) -> list[EncodedImage]:
        """One image a request, in their order; all succeed or the first failure is raised and the others dropped."""
        # The noise of many adds up to a pause of the event loop.
        noises = await self._pool.run(lambda: [self._draw(request) for request in requests])
        return await gather_or_cancel(
            self._translate(request, noise, options, deadline, room)
            for request, noise in zip(requests, noises, strict=True)
        )

    async def translate(
        self, request: ImageRequest, options: ImageOptions, deadline: float | None = None
    ) -> EncodedImage:
        """Translate a layout and encode the image.

        Args:
            request: what to translate.
            options: how.
            deadline: when the answer is worth nothing any more, in the event loop's time.

        Raises:
            RuntimeServiceError: the model is overloaded, stopping or failed.
        """
        with self.reserve(1) as room:
            return await self._translate(request, self._draw(request), options, deadline, room)

    def _draw(self, request: ImageRequest) -> NDArray[np.float32]:
        return standard_normal(request.seed, request.index, "image", (self._model.latent_size,))

    async def _translate(
        self,
        request: ImageRequest,
        noise: NDArray[np.float32],
        options: ImageOptions,
        deadline: float | None,
        room: Room,
    ) -> EncodedImage:
        inputs: dict[str, NDArray[Any]] = {"labels": request.labels, "z": noise}
        outputs = await self._model.infer(inputs, deadline, options.deterministic, room)
        image = outputs["image"]
        if options.encoding.format is ImageFormat.RAW:
            # A copy of the bytes costs less than the way to a thread and back.
            return encode_image(image, options.encoding)
        return await self._pool.run(encode_image, image, options.encoding)
