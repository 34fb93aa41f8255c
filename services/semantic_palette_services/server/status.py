"""What ``semantic-palette status`` finds out about a server."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.table import Table

from semantic_palette.credentials import AuthorisedChannel, Credentials
from semantic_palette.v1 import palette_service_pb2, palette_service_pb2_grpc
from semantic_palette_services.server.composition import SERVICE_FULL_NAMES

NOT_HERE = "not here"


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """The health of each service at an address, and the bundle of its palette service.

    Attributes:
        address: the address.
        services: "SERVING", "NOT_SERVING", "not here", or the gRPC status of the failure, by service.
        bundle: facts about the bundle; empty where no palette service tells them.
        problem: why nothing is known of a service, or of the bundle; None where all is known that there is.
    """

    address: str
    services: dict[str, str]
    bundle: dict[str, str]
    problem: str | None = None

    @property
    def serving(self) -> bool:
        """Whether there are services, and all of them serve."""
        here = [status for status in self.services.values() if status != NOT_HERE]
        return bool(here) and all(status == "SERVING" for status in here)

    def table(self) -> Table:
        """For people."""
        table = Table(title=self.address, title_justify="left", show_header=False)
        table.add_column()
        table.add_column(overflow="fold")
        problem = {} if self.problem is None else {"problem": self.problem}
        for name, value in (self.services | self.bundle | problem).items():
            table.add_row(name, value)
        return table

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "serving": self.serving}


async def read_status(address: str, timeout: float, credentials: Credentials) -> ServerStatus:
    """Ask the server at ``address``; waits at most ``timeout`` seconds for each answer.

    Raises:
        InvalidInputError: the address cannot be one, a file of the credentials cannot be read, or their token would
            cross a network in plaintext.
    """
    async with credentials.open_channel(address) as channel:
        services: dict[str, str] = {}
        problem = None
        for service, full_name in SERVICE_FULL_NAMES.items():
            try:
                services[service] = await _health(channel, full_name, timeout)
            except aio.AioRpcError as error:
                services[service] = error.code().name
                problem = error.details() or problem
        bundle: dict[str, str] = {}
        if services["palette"] == "SERVING":
            try:
                bundle = await _bundle(channel, credentials, timeout)
            except aio.AioRpcError as error:
                # Health, which needs no token, has said what there is to say about the services.
                if error.code() not in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
                    raise
                problem = error.details() or error.code().name
    return ServerStatus(address, services, bundle, problem)


async def _health(channel: aio.Channel, service: str, timeout: float) -> str:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    try:
        response = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=timeout)
    except aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return NOT_HERE
        raise
    return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)


async def _bundle(channel: aio.Channel, credentials: Credentials, timeout: float) -> dict[str, str]:
    authorised = AuthorisedChannel(channel, credentials.metadata())
    stub = palette_service_pb2_grpc.PaletteServiceStub(authorised)  # type: ignore[no-untyped-call]
    try:
        response = await stub.GetLabelSpace(palette_service_pb2.GetLabelSpaceRequest(), timeout=timeout)
    except aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:  # the health port tells of services that are elsewhere
            return {}
        raise
    return {
        "bundle": f"{response.bundle.name}/{response.bundle.version}",
        "digest": response.bundle.digest,
        "label space": f"{response.name}: " + ", ".join(entry.name for entry in response.classes),
        "size": f"{response.height} x {response.width} pixels (height x width)",
    }
