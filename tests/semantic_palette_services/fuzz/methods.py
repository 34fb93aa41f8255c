"""What there is to call: every method of every service that a server reflects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from semantic_palette.credentials import Metadata

# The reflection service is grpcio's own code, and what it answers to nonsense is not ours to decide.
_NOT_OURS = ("grpc.reflection.",)

# Their streams stay open for as long as the caller listens.
_ENDLESS = frozenset({"/grpc.health.v1.Health/Watch"})


@dataclass(frozen=True)
class Method:
    """An RPC.

    Attributes:
        path: as gRPC has it, ``/package.Service/Method``.
        request: class of its requests.
        response: class of its responses.
        streams: whether it answers with a stream.
        takes_stream: whether it takes a stream of requests, too.
    """

    path: str
    request: type[Message]
    response: type[Message]
    streams: bool
    takes_stream: bool = False

    @property
    def endless(self) -> bool:
        """Whether its stream ends only when the caller leaves."""
        return self.path in _ENDLESS

    @property
    def ours(self) -> bool:
        """Whether our table of errors makes its statuses."""
        return self.path.startswith(("/semantic_palette.", "/inference."))


def served_methods(address: str, metadata: Metadata = ()) -> list[Method]:
    """The methods of every service that the server at ``address`` reflects to calls with this metadata."""
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(grpc.intercept_channel(channel, _Carrying(metadata)))
        pool = DescriptorPool(database)
        names = [name for name in database.get_services() if not name.startswith(_NOT_OURS)]
        services = [pool.FindServiceByName(name) for name in sorted(names)]
        return [_method(method) for service in services for method in service.methods]


class _Carrying(grpc.StreamStreamClientInterceptor):
    """Adds metadata to calls of the reflection service."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        """See `grpc.StreamStreamClientInterceptor`."""
        return continuation(details._replace(metadata=self._metadata), requests)


def _method(descriptor: Any) -> Method:
    return Method(
        f"/{descriptor.containing_service.full_name}/{descriptor.name}",
        message_factory.GetMessageClass(descriptor.input_type),
        message_factory.GetMessageClass(descriptor.output_type),
        descriptor.server_streaming,
        descriptor.client_streaming,
    )
