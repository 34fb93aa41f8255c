"""The gRPC channel of a client and the stubs on it."""

import json
from typing import Any

import grpc.aio

from semantic_palette.grpc_conventions import CONNECTION_OPTIONS, channel_target
from semantic_palette.v1.factory_service_pb2_grpc import FactoryServiceStub
from semantic_palette.v1.image_service_pb2_grpc import ImageServiceStub
from semantic_palette.v1.layout_service_pb2_grpc import LayoutServiceStub
from semantic_palette.v1.palette_service_pb2_grpc import PaletteServiceStub

_SERVICE_CONFIG = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})

_OPTIONS: tuple[tuple[str, str | int], ...] = (
    *CONNECTION_OPTIONS,
    ("grpc.service_config", _SERVICE_CONFIG),
    # The client retries by itself, because gRPC's retries can neither resume a stream nor read RetryInfo.
    ("grpc.enable_retries", 0),
    ("grpc.primary_user_agent", "semantic-palette"),
)


def open_channel(address: str) -> grpc.aio.Channel:
    """Opens a plaintext channel; connections are made by the first call."""
    return grpc.aio.insecure_channel(channel_target(address), options=_OPTIONS)


class Connection:
    """A channel and the stubs of the four services on it. Their generated code carries no types, hence Any."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        kinds: tuple[Any, ...] = (PaletteServiceStub, LayoutServiceStub, ImageServiceStub, FactoryServiceStub)
        self.palette, self.layout, self.image, self.factory = (kind(channel) for kind in kinds)
