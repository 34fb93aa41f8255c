"""Puts the services of one process together: operations, the stages of the factory, servicers."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from grpc import aio

from semantic_palette.v1 import (
    factory_service_pb2,
    factory_service_pb2_grpc,
    image_service_pb2,
    image_service_pb2_grpc,
    layout_service_pb2,
    layout_service_pb2_grpc,
    palette_service_pb2,
    palette_service_pb2_grpc,
)
from semantic_palette_services.concurrency import WorkerPool
from semantic_palette_services.factory.local_stages import LocalImageStage, LocalLayoutStage, LocalPaletteStage
from semantic_palette_services.factory.operation import FactoryLimits, FactoryOperation
from semantic_palette_services.factory.remote_stages import RemoteImageStage, RemoteLayoutStage, RemotePaletteStage
from semantic_palette_services.factory.servicer import FactoryServicer
from semantic_palette_services.factory.stage_channel import StageChannel
from semantic_palette_services.factory.stages import ImageStage, LayoutStage, PaletteStage, Stages
from semantic_palette_services.image.operation import ImageOperation
from semantic_palette_services.image.servicer import ImageServicer
from semantic_palette_services.layout.edit_operation import EditOperation
from semantic_palette_services.layout.operation import LayoutOperation
from semantic_palette_services.layout.servicer import LayoutServicer
from semantic_palette_services.limits import Limits
from semantic_palette_services.palette.operation import PaletteOperation
from semantic_palette_services.palette.servicer import PaletteServicer
from semantic_palette_services.runtime.loaded_bundle import LoadedBundle
from semantic_palette_services.server.health import Health
from semantic_palette_services.server.metrics import Metrics
from semantic_palette_services.server.settings import ServerSettings, ServiceName

if TYPE_CHECKING:
    from semantic_palette_services.openinference.servicer import OpenInferenceServicer

SERVICE_FULL_NAMES: dict[ServiceName, str] = {
    "palette": palette_service_pb2.DESCRIPTOR.services_by_name["PaletteService"].full_name,
    "layout": layout_service_pb2.DESCRIPTOR.services_by_name["LayoutService"].full_name,
    "image": image_service_pb2.DESCRIPTOR.services_by_name["ImageService"].full_name,
    "factory": factory_service_pb2.DESCRIPTOR.services_by_name["FactoryService"].full_name,
    "openinference": "inference.GRPCInferenceService",
}

# A batch on the device, one that is ready, and one whose pairs are being read.
_BATCHES_IN_WINDOW = 3


class Services:
    """The services of this process. Close it after the server that they are added to.

    Args:
        settings: which services, and where the factory finds those of other processes.
        bundle: the bundle with the models of these services; None where only a factory of remote stages is served.
        pool: threads for what would block the event loop.
        metrics: is told about everything.
        health: of this process.
    """

    def __init__(
        self, settings: ServerSettings, bundle: LoadedBundle | None, pool: WorkerPool, metrics: Metrics, health: Health
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._channels = AsyncExitStack()
        self._limits = Limits(max_items=settings.max_items, max_pairs=settings.max_pairs)
        self._palette: PaletteOperation | None = None
        self._layout: LayoutOperation | None = None
        self._edits: EditOperation | None = None
        self._image: ImageOperation | None = None
        self._factory: FactoryOperation | None = None
        self._open_inference: OpenInferenceServicer | None = None
        if bundle is not None:
            self._load_operations(bundle, metrics)
            if "openinference" in settings.services:
                self._open_inference = self._open_inference_of(bundle, health)
        if "factory" in settings.services:
            limits = FactoryLimits(
                window=_BATCHES_IN_WINDOW * settings.max_batch_size,
                max_in_flight=max(1, settings.max_queue // 2),
                max_streams=settings.max_streams,
            )
            self._factory = FactoryOperation(self._stages(), pool, metrics, limits)

    def _load_operations(self, bundle: LoadedBundle, metrics: Metrics) -> None:
        if "palette" in self._settings.services:
            self._palette = PaletteOperation(bundle, bundle.palette_model, self._pool)
        if "layout" in self._settings.services:
            self._layout = LayoutOperation(bundle, bundle.models, pool=self._pool, observer=metrics)
            self._edits = EditOperation(bundle, bundle.models, self._pool, metrics)
        if "image" in self._settings.services:
            self._image = ImageOperation(bundle, bundle.models, bundle.style_bank, self._pool)

    def _open_inference_of(self, bundle: LoadedBundle, health: Health) -> OpenInferenceServicer:
        # Imported where it is served alone: the protocol's messages have the same full names in every library that
        # speaks it, such as tritonclient, and a process can have them once.
        from semantic_palette_services.openinference.catalogue import ModelCatalogue
        from semantic_palette_services.openinference.servicer import OpenInferenceServicer

        window = _BATCHES_IN_WINDOW * self._settings.max_batch_size
        return OpenInferenceServicer(ModelCatalogue(bundle), health, self._pool, self._limits, window)

    def _stages(self) -> Stages:
        addresses = self._settings.stage_addresses
        return Stages(
            self._palette_stage(addresses["palette"]),
            self._layout_stage(addresses["layout"]),
            self._image_stage(addresses["image"]),
        )

    def _palette_stage(self, address: str | None) -> PaletteStage:
        if address is not None:
            return RemotePaletteStage(self._channel(address))
        assert self._palette is not None, "settings promise an address or the service"
        return LocalPaletteStage(self._palette)

    def _layout_stage(self, address: str | None) -> LayoutStage:
        if address is not None:
            return RemoteLayoutStage(self._channel(address))
        assert self._layout is not None, "settings promise an address or the service"
        assert self._edits is not None, "it comes with the layout service"
        return LocalLayoutStage(self._layout, self._edits, self._pool)

    def _image_stage(self, address: str | None) -> ImageStage:
        if address is not None:
            return RemoteImageStage(self._channel(address))
        assert self._image is not None, "settings promise an address or the service"
        return LocalImageStage(self._image)

    def _channel(self, address: str) -> StageChannel:
        channel = StageChannel(address, self._settings.stage_timeout)
        self._channels.push_async_callback(channel.close)
        return channel

    def add_to(self, server: aio.Server) -> None:
        """Add the servicers to a server that has not started."""
        if self._palette is not None:
            palette = PaletteServicer(self._palette, self._limits)
            palette_service_pb2_grpc.add_PaletteServiceServicer_to_server(palette, server)  # type: ignore[no-untyped-call]
        if self._layout is not None and self._edits is not None:
            layout = LayoutServicer(self._layout, self._edits, self._pool, self._limits)
            layout_service_pb2_grpc.add_LayoutServiceServicer_to_server(layout, server)  # type: ignore[no-untyped-call]
        if self._image is not None:
            image = ImageServicer(self._image, self._pool, self._limits)
            image_service_pb2_grpc.add_ImageServiceServicer_to_server(image, server)  # type: ignore[no-untyped-call]
        if self._factory is not None:
            factory = FactoryServicer(self._factory, self._pool, self._limits)
            factory_service_pb2_grpc.add_FactoryServiceServicer_to_server(factory, server)  # type: ignore[no-untyped-call]
        if self._open_inference is not None:
            self._open_inference.add_to(server)

    def drain(self) -> None:
        """Begin nothing that takes long: streams finish what they have begun."""
        if self._factory is not None:
            self._factory.drain()
        if self._open_inference is not None:
            self._open_inference.drain()

    async def close(self) -> None:
        """Close the channels to other services."""
        await self._channels.aclose()
