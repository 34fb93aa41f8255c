"""Translating layouts to images. K classes, H height, W width, Z latent size, S style size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semantic_palette.pair import EngineIdentity
from semantic_palette.priority import Priority
from semantic_palette_services.bundle_selection import BundleView, MissingOperationError
from semantic_palette_services.concurrency import WorkerPool, gather_or_cancel
from semantic_palette_services.encoding import EncodedImage, ImageEncoding, ImageFormat, encode_image
from semantic_palette_services.image.style_cache import StyleCache, StyleReference
from semantic_palette_services.runtime.admission import Room
from semantic_palette_services.runtime.served_model import ServedModel
from semantic_palette_services.runtime.style_bank import StyleBank
from semantic_palette_services.tracing import traced


@dataclass(frozen=True, slots=True, eq=False)
class ImageRequest:
    """One layout to translate; the noise of its appearance depends on (seed, index) alone."""

    labels: NDArray[np.uint8]
    """Class ids, uint8 ``[H, W]``, of the bundle's size and label space."""
    seed: int
    index: int
    reference: StyleReference | None = None
    """Whose look to have; only styled image models take notice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOptions:
    """How layouts are translated."""

    encoding: ImageEncoding = field(default_factory=ImageEncoding)
    deterministic: bool = False
    priority: Priority = Priority.INTERACTIVE


@dataclass(frozen=True, slots=True)
class ImageRooms:
    """Places that are kept in the queues of the image model and, for references, of the style encoder."""

    image: Room
    styles: Room | None


class ImageOperation:
    """Translates layouts with the image model of one bundle.

    Args:
        bundle: the bundle.
        models: of which ``image`` is needed: ``labels [H, W]``, with ``z [Z]``, with ``styles [K, S]`` or with
            neither, ``-> image [H, W, 3]``; and, for references, ``style_encoder``:
            ``(image [H, W, 3], labels [H, W]) -> styles [K, S]``.
        style_bank: styles for the classes that no reference shows.
        pool: threads to encode in.
    """

    def __init__(
        self, bundle: BundleView, models: Mapping[str, ServedModel], style_bank: StyleBank | None, pool: WorkerPool
    ) -> None:
        self.bundle = bundle
        self._models = models
        self._style_bank = style_bank
        self._pool = pool
        self._encoded = StyleCache()

    @property
    def styled(self) -> bool:
        """Whether images take styles, so that references count.

        Raises:
            MissingOperationError: the bundle has no image model.
        """
        return self._models["image"].takes("styles")

    def engine(self, options: ImageOptions) -> EngineIdentity:
        """What executes the image model for these options."""
        return self._models["image"].engine_for(deterministic=options.deterministic)

    @contextmanager
    def reserve(
        self, count: int, references: int = 0, priority: Priority = Priority.INTERACTIVE
    ) -> Iterator[ImageRooms]:
        """Keep room in the queues for images whose layouts are still to be decoded.

        Args:
            count: number of images.
            references: how many of them have a reference.
            priority: of the images.

        Raises:
            MissingOperationError: the bundle has no image model or lacks what styled images need.
            RuntimeServiceError: a model is overloaded or stopping.
        """
        with ExitStack() as stack:
            styles = None
            if self.styled:
                if references:
                    styles = stack.enter_context(self._models["style_encoder"].reserve(references, priority))
                if references < count:
                    self._bank()
            yield ImageRooms(stack.enter_context(self._models["image"].reserve(count, priority)), styles)

    async def translate_all(
        self, requests: list[ImageRequest], options: ImageOptions, deadline: float | None, rooms: ImageRooms
    ) -> list[EncodedImage]:
        """One image a request, in their order; all succeed or the first failure is raised and the others dropped."""
        # The noise of many adds up to a pause of the event loop.
        appearances = await self._pool.run(lambda: [self._draw(request) for request in requests])
        return await gather_or_cancel(
            self._translate(request, appearance, options, deadline, rooms)
            for request, appearance in zip(requests, appearances, strict=True)
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
            MissingOperationError: the bundle has no image model or lacks what styled images need.
            RuntimeServiceError: a model is overloaded, stopping or failed.
        """
        with self.reserve(1, int(request.reference is not None), options.priority) as rooms:
            return await self._translate(request, self._draw(request), options, deadline, rooms)

    def _bank(self) -> StyleBank:
        if self._style_bank is None:
            raise MissingOperationError(self.bundle.name, "style_bank", self._models)
        return self._style_bank

    def _draw(self, request: ImageRequest) -> dict[str, NDArray[np.float32]]:
        """What (seed, index) decides of an image: noise, and styles for classes that no reference shows."""
        drawn = self._models["image"].noise(request.seed, request.index, "image")
        if self.styled and (request.reference is None or self._style_bank is not None):
            drawn["styles"] = self._bank().borrow(request.seed, request.index)
        return drawn

    async def _translate(
        self,
        request: ImageRequest,
        appearance: dict[str, NDArray[np.float32]],
        options: ImageOptions,
        deadline: float | None,
        rooms: ImageRooms,
    ) -> EncodedImage:
        inputs: dict[str, NDArray[Any]] = {"labels": request.labels, **appearance}
        if request.reference is not None and self.styled:
            borrowed = appearance.get("styles")
            inputs["styles"] = await self._styles(request.reference, borrowed, options, deadline, rooms)
        outputs = await self._models["image"].infer(inputs, deadline, options.deterministic, rooms.image)
        image = outputs["image"]
        if options.encoding.format is ImageFormat.RAW:
            # A copy of the bytes costs less than the way to a thread and back.
            return encode_image(image, options.encoding)
        with traced("encode", {"format": options.encoding.format.value}):
            return await self._pool.run(encode_image, image, options.encoding)

    async def _styles(
        self,
        reference: StyleReference,
        borrowed_KS: NDArray[np.float32] | None,
        options: ImageOptions,
        deadline: float | None,
        rooms: ImageRooms,
    ) -> NDArray[np.float32]:
        """The reference's styles of the classes that it shows, and borrowed ones of the others."""
        styles_KS = await self._encoded.get(
            reference,
            lambda: self._encode(reference, options, deadline, rooms),
            deterministic=options.deterministic,
        )
        if borrowed_KS is None:  # without a bank, what the encoder makes of absent classes: zeros
            return styles_KS
        shown_K = np.bincount(reference.labels.ravel(), minlength=len(styles_KS)) > 0
        return np.where(shown_K[:, None], styles_KS, borrowed_KS)

    async def _encode(
        self, reference: StyleReference, options: ImageOptions, deadline: float | None, rooms: ImageRooms
    ) -> NDArray[np.float32]:
        inputs: dict[str, NDArray[Any]] = {"image": reference.image, "labels": reference.labels}
        encoder = self._models["style_encoder"]
        return (await encoder.infer(inputs, deadline, options.deterministic, rooms.styles))["styles"]
