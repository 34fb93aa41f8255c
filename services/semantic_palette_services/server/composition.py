"""Puts the services of one process together: operations, the stages of the factory, servicers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from grpc import aio

from semantic_palette.credentials import Credentials
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
from semantic_palette_services.bundle_operations import BundleOperations
from semantic_palette_services.concurrency import WorkerPool
from semantic_palette_services.factory.local_stages import LocalImageStage, LocalLayoutStage, LocalPaletteStage
from semantic_palette_services.factory.operation import FactoryLimits, FactoryOperation
from semantic_palette_services.factory.remote_stages import RemoteImageStage, RemoteLayoutStage, RemotePaletteStage
from semantic_palette_services.factory.servicer import FactoryServicer
from semantic_palette_services.factory.stage_channel import StageChannel
from semantic_palette_services.factory.stages import ImageStage, LayoutStage, PaletteStage, Stages
from semantic_palette_services.image.servicer import ImageServicer
from semantic_palette_services.layout.servicer import LayoutServicer
from semantic_palette_services.limits import Limits
from semantic_palette_services.palette.servicer import PaletteServicer
from semantic_palette_services.runtime.registry import BundleRegistry
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
        bundles: the bundles with the models of these services; None where only a factory of remote stages is served.
        pool: threads for what would block the event loop.
        metrics: is told about pairs.
        health: of this process.
        stage_credentials: gives the credentials for services of other processes, from now on.
    """

    def __init__(
        self,
        settings: ServerSettings,
        bundles: BundleRegistry[BundleOperations] | None,
        pool: WorkerPool,
        metrics: Metrics,
        health: Health,
        stage_credentials: Callable[[], Credentials],
    ) -> None:
        self._settings = settings
        self._bundles = bundles
        self._stage_credentials = stage_credentials
        self._pool = pool
        self._channels = AsyncExitStack()
        self._limits = Limits(max_items=settings.max_items, max_pairs=settings.max_pairs)
        self._factory: FactoryOperation | None = None
        self._open_inference = self._open_inference_of(health) if "openinference" in settings.services else None
        if "factory" in settings.services:
            limits = FactoryLimits(
                window=_BATCHES_IN_WINDOW * settings.max_batch_size,
                max_in_flight=max(1, settings.max_queue // 2),
                max_streams=settings.max_streams,
            )
            self._factory = FactoryOperation(self._stages(), pool, metrics, limits)

    def _open_inference_of(self, health: Health) -> OpenInferenceServicer:
        # Imported where it is served alone: the protocol's messages have the same full names in every library that
        # speaks it, such as tritonclient, and a process can have them once.
        from semantic_palette_services.openinference.catalogue import ModelCatalogue
        from semantic_palette_services.openinference.servicer import OpenInferenceServicer

        window = _BATCHES_IN_WINDOW * self._settings.max_batch_size
        return OpenInferenceServicer(ModelCatalogue(self._here()), health, self._pool, self._limits, window)

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
        return LocalPaletteStage(self._here())

    def _layout_stage(self, address: str | None) -> LayoutStage:
        if address is not None:
            return RemoteLayoutStage(self._channel(address))
        return LocalLayoutStage(self._here(), self._pool)

    def _image_stage(self, address: str | None) -> ImageStage:
        if address is not None:
            return RemoteImageStage(self._channel(address))
        return LocalImageStage(self._here())

    def _here(self) -> BundleRegistry[BundleOperations]:
        assert self._bundles is not None, "settings promise an address or the service"
        return self._bundles

    def _channel(self, address: str) -> StageChannel:
        channel = StageChannel(address, self._settings.stage_timeout, self._stage_credentials)
        self._channels.push_async_callback(channel.close)
        return channel

    def add_to(self, server: aio.Server) -> None:
        """Add the servicers to a server that has not started."""
        services = self._settings.services
        if "palette" in services:
            palette = PaletteServicer(self._here(), self._pool, self._limits)
            palette_service_pb2_grpc.add_PaletteServiceServicer_to_server(palette, server)  # type: ignore[no-untyped-call]
        if "layout" in services:
            layout = LayoutServicer(self._here(), self._pool, self._limits)
            layout_service_pb2_grpc.add_LayoutServiceServicer_to_server(layout, server)  # type: ignore[no-untyped-call]
        if "image" in services:
            image = ImageServicer(self._here(), self._pool, self._limits)
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
