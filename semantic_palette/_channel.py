"""The gRPC channel of a client: target, limits, keepalive and load balancing."""

import json
import re
from typing import Any

import grpc.aio

from semantic_palette.errors import InvalidInputError
from semantic_palette.v1.factory_service_pb2_grpc import FactoryServiceStub
from semantic_palette.v1.image_service_pb2_grpc import ImageServiceStub
from semantic_palette.v1.layout_service_pb2_grpc import LayoutServiceStub
from semantic_palette.v1.palette_service_pb2_grpc import PaletteServiceStub

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Largest message in either direction, in bytes; gRPC's own default for received messages is 4 MiB."""

_SCHEMES = ("dns:", "unix:", "unix-abstract:", "ipv4:", "ipv6:", "passthrough:")
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:/]+):(\d{1,5})")
_SERVICE_CONFIG = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})

_OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.service_config", _SERVICE_CONFIG),
    # The client retries by itself, because gRPC's retries can neither resume a stream nor read RetryInfo.
    ("grpc.enable_retries", 0),
    ("grpc.primary_user_agent", "semantic-palette"),
)


def channel_target(address: str) -> str:
    """Returns the gRPC target of an address.

    `HOST:PORT` becomes `dns:///HOST:PORT`, so that every address behind the name (a headless Service) gets its share of
    the calls; a target with a scheme (`unix:/path`, `dns:///...`, `ipv4:...`) is taken as it is.

    Raises:
        InvalidInputError: the address is neither.
    """
    if address.startswith(_SCHEMES):
        return address
    match = _HOST_PORT.fullmatch(address)
    if match is None or not 0 < int(match[2]) < 65536:
        raise InvalidInputError("address", address, "HOST:PORT with a port from 1 to 65535, or unix:/path")
    return f"dns:///{address}"


def open_channel(address: str) -> grpc.aio.Channel:
    """Opens a plaintext channel; connections are made by the first call."""
    return grpc.aio.insecure_channel(channel_target(address), options=_OPTIONS)


class Connection:
    """A channel and the stubs of the four services on it. Their generated code carries no types, hence Any."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        kinds: tuple[Any, ...] = (PaletteServiceStub, LayoutServiceStub, ImageServiceStub, FactoryServiceStub)
        self.palette, self.layout, self.image, self.factory = (kind(channel) for kind in kinds)
