"""What can be done with one bundle in memory."""

from __future__ import annotations

from typing import Protocol

from semantic_palette.label_space import LabelSpace
from semantic_palette_services.concurrency import WorkerPool
from semantic_palette_services.image.operation import ImageOperation
from semantic_palette_services.layout.edit_operation import EditObserver, EditOperation
from semantic_palette_services.layout.operation import LayoutOperation, QualityObserver
from semantic_palette_services.palette.operation import PaletteOperation
from semantic_palette_services.runtime.loaded_bundle import LoadedBundle


class ResultObserver(QualityObserver, EditObserver, Protocol):
    """Is told of everything that operations make; must be quick."""


class BundleOperations:
    """The operations of one loaded bundle. What needs a model that is not loaded says so when it is called.

    Attributes:
        loaded: the bundle, with its models.
        palette: draws palettes.
        layout: generates layouts.
        edits: edits layouts.
        image: makes images.
        observer: is told of layouts and edits.
        load_seconds: time that verifying, loading, checking and measuring it took.

    Args:
        loaded: the bundle.
        pool: threads for what would block the event loop.
        observer: is told of layouts and edits.
        load_seconds: see above.
    """

    def __init__(
        self, loaded: LoadedBundle, pool: WorkerPool, observer: ResultObserver, load_seconds: float = 0.0
    ) -> None:
        self.loaded = loaded
        self.load_seconds = load_seconds
        self.palette = PaletteOperation(loaded, loaded.palette_model, pool)
        self.layout = LayoutOperation(loaded, loaded.models, pool=pool, observer=observer)
        self.edits = EditOperation(loaded, loaded.models, pool, observer)
        self.image = ImageOperation(loaded, loaded.models, loaded.style_bank, pool)

    @property
    def name(self) -> str:
        """Name of the bundle."""
        return self.loaded.name

    @property
    def version(self) -> str:
        """Version of the bundle."""
        return self.loaded.version

    @property
    def digest(self) -> str:
        """Hex sha256 of the manifest."""
        return self.loaded.digest

    @property
    def label_space(self) -> LabelSpace:
        """The classes."""
        return self.loaded.label_space

    @property
    def height(self) -> int:
        """Height of layouts and images in pixels."""
        return self.loaded.height

    @property
    def width(self) -> int:
        """Width of layouts and images in pixels."""
        return self.loaded.width

    async def drain(self) -> None:
        """See `HeldBundle.drain`."""
        await self.loaded.drain()

    async def close(self) -> None:
        """See `HeldBundle.close`."""
        await self.loaded.close()
