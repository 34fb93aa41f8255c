"""A bundle in memory: its palette model, and its models behind engines and batchers."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import partial

from semantic_palette.errors import BundleError
from semantic_palette.label_space import LabelSpace
from semantic_palette.manifest import Manifest
from semantic_palette.palette_model import PaletteModel
from semantic_palette_services.runtime.executor import DeviceExecutor
from semantic_palette_services.runtime.golden import Golden
from semantic_palette_services.runtime.observer import BatchObserver
from semantic_palette_services.runtime.selection import advance, selection_steps
from semantic_palette_services.runtime.served_model import ServedModel, ServedModels
from semantic_palette_services.runtime.settings import RuntimeSettings
from semantic_palette_services.runtime.store import BundleFiles
from semantic_palette_services.runtime.style_bank import StyleBank

# What can be served, in the order in which models are loaded. A bundle holds any of them.
OPERATIONS = ("layout", "layout_scores", "editor", "image", "style_encoder")


class LoadedBundle:
    """A bundle that answers. Get one from `load`, in the event loop that will use it.

    Attributes:
        files: the bundle on disk.
        manifest: what is in the bundle.
        digest: hex sha256 of the manifest.
        palette_model: the bundle's distribution of palettes.
        models: models by operation; those that were asked for.
        style_bank: looks to borrow, where the bundle has some and its image model takes them.
    """

    def __init__(self, files: BundleFiles, palette_model: PaletteModel) -> None:
        self.files = files
        self.manifest: Manifest = files.manifest
        self.digest = files.digest
        self.palette_model = palette_model
        self.models = ServedModels(files.manifest)
        self.style_bank: StyleBank | None = None

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
    def operations(self) -> frozenset[str]:
        """Models that the bundle has, loaded or not."""
        return frozenset(self.manifest.models)

    @property
    def styled(self) -> bool:
        """Whether its images take styles, so that references count."""
        image = self.manifest.models.get("image")
        return image is not None and any(spec.name == "styles" for spec in image.inputs)

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
        models: Collection[str] | None = None,
        observer: BatchObserver | None = None,
    ) -> LoadedBundle:
        """Load a verified bundle; engines are chosen on the device's thread, where they will run.

        Args:
            files: the bundle, from `ModelStore.open`.
            settings: engine, threads, and limits of batches and queues.
            executor: the device.
            models: operations wanted, none of them for palettes only; by default all that the bundle has.
            observer: told of every event of the batchers.

        Raises:
            BundleError: the bundle lacks a model that is wanted, or a file of it cannot be read.
            EngineUnavailableError, EngineLoadError, ParityError: no engine runs a model, see `selection_steps`.
        """
        manifest = files.manifest
        wanted = [operation for operation in OPERATIONS if operation in (manifest.models if models is None else models)]
        missing = sorted(set(models or ()) - manifest.models.keys())
        if missing:
            has = ", ".join(sorted(manifest.models)) or "none"
            raise BundleError(f"bundle {manifest.name}: there is no model {', '.join(missing)}, only {has}")
        bundle = cls(files, await asyncio.to_thread(PaletteModel.load, files.path / manifest.palette_model.file))
        if not wanted:
            return bundle
        golden = await asyncio.to_thread(Golden.load, files.path / manifest.golden.file, manifest, wanted)
        try:
            for operation in wanted:
                entry = manifest.models[operation]
                path = files.path / entry.file
                steps = selection_steps(operation, path, entry, golden[operation], settings)
                # A turn of the device each: what is served meanwhile waits for one run of an engine, not for them all.
                while (selection := await executor.run(partial(advance, steps))) is None:
                    pass
                bundle.models[operation] = ServedModel(operation, entry, selection, executor, settings, observer)
            bundle.style_bank = await asyncio.to_thread(_load_style_bank, files, bundle.models.get("image"))
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


def _load_style_bank(files: BundleFiles, image: ServedModel | None) -> StyleBank | None:
    """The bank of a bundle whose image model takes styles; None for every other."""
    entry = files.manifest.style_bank
    if entry is None or image is None:
        return None
    for spec in image.entry.inputs:
        match spec.name, spec.shape:
            case "styles", [_, int(num_classes), int(style_size)]:
                return StyleBank.load(files.path / entry.file, num_classes, style_size)
    return None
