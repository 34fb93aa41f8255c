"""Asking a server's admin port for its state."""

from __future__ import annotations

from grpc import aio

from semantic_palette._service_errors import service_error
from semantic_palette.credentials import AuthorisedChannel, Credentials
from semantic_palette.grpc_conventions import CONNECTION_OPTIONS
from semantic_palette.v1 import status_service_pb2 as pb
from semantic_palette.v1.status_service_pb2_grpc import StatusServiceStub


async def read_process_status(admin_address: str, timeout: float, credentials: Credentials) -> pb.GetStatusResponse:
    """The state of the process behind an admin port.

    Args:
        admin_address: ``HOST:PORT`` or a gRPC target.
        timeout: seconds to wait for the answer.
        credentials: of the call; where the server asks for tokens, one with the scope ``admin``.

    Raises:
        InvalidInputError: the address cannot be one, or the credentials cannot be used with it.
        ServiceError: the server did not answer, or refused.
    """
    async with credentials.open_channel(admin_address, CONNECTION_OPTIONS) as channel:
        stub = StatusServiceStub(AuthorisedChannel(channel, credentials.metadata()))  # type: ignore[no-untyped-call]
        try:
            answer: pb.GetStatusResponse = await stub.GetStatus(pb.GetStatusRequest(), timeout=timeout)
        except aio.AioRpcError as error:
            raise service_error(error, admin_address) from error
    return answer
