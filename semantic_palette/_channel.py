"""The gRPC channel of a client and the stubs on it."""

import json
from typing import Any

from semantic_palette.credentials import AuthorisedChannel, Credentials
from semantic_palette.grpc_conventions import CONNECTION_OPTIONS
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


class Connection:
    """A channel and the stubs of the four services on it. Their generated code carries no types, hence Any.

    Connections are made by the first call.

    Args:
        address: `HOST:PORT` or a gRPC target.
        credentials: of every call. Default: none.

    Raises:
        InvalidInputError: see `Credentials.open_channel`.
    """

    def __init__(self, address: str, credentials: Credentials | None = None) -> None:
        credentials = credentials or Credentials()
        self.channel = credentials.open_channel(address, _OPTIONS)
        authorised = AuthorisedChannel(self.channel, credentials.metadata())
        kinds: tuple[Any, ...] = (PaletteServiceStub, LayoutServiceStub, ImageServiceStub, FactoryServiceStub)
        self.palette, self.layout, self.image, self.factory = (kind(authorised) for kind in kinds)
