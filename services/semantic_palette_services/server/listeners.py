"""Opening the ports of a server, and closing them kindly.

The public port carries the services, health and reflection; the admin port what changes the server; the health port
health alone, for the kubelet; the metrics port what Prometheus scrapes.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from semantic_palette.errors import SemanticPaletteError
from semantic_palette.v1 import (
    model_service_pb2,
    model_service_pb2_grpc,
    status_service_pb2,
    status_service_pb2_grpc,
)
from semantic_palette_services.access.callers import Scope
from semantic_palette_services.grpc_options import server_options
from semantic_palette_services.models.operation import ModelOperation
from semantic_palette_services.models.servicer import ModelServicer
from semantic_palette_services.server.composition import SERVICE_FULL_NAMES, Services
from semantic_palette_services.server.decoding import DecodingInterceptor
from semantic_palette_services.server.health import HEALTH_SERVICE, Health
from semantic_palette_services.server.health_interceptor import HealthInterceptor
from semantic_palette_services.server.interceptor import CallInterceptor
from semantic_palette_services.server.metrics import Metrics
from semantic_palette_services.server.metrics_port import MetricsPort
from semantic_palette_services.server.security import Security
from semantic_palette_services.server.settings import ServerSettings
from semantic_palette_services.server.status_servicer import StatusServicer

_FAREWELL_SECONDS = 0.5
"""Time for refusals on their way, once no accepted call is left."""


_MAX_ADMIN_CALLS = 16
_MAX_ADMIN_MESSAGE_BYTES = 1 << 16
_MAX_HEALTH_MESSAGE_BYTES = 1 << 12


def _most_open_calls(limit: int) -> int:
    """Calls that gRPC lets in where our own limit is ``limit``: more, so that a burst meets ours, which says when to
    come back; not any number, because ours does not see calls that send no request.
    """
    return 4 * limit + 1024


class ListenError(SemanticPaletteError):
    """A port cannot be listened on."""


def open_metrics_port(settings: ServerSettings, metrics: Metrics, stack: AsyncExitStack) -> int:
    """Open the port that Prometheus scrapes; returns its number."""
    try:
        return stack.enter_context(MetricsPort(settings.host, settings.metrics_port, metrics.registry)).port
    except OSError as error:
        raise ListenError(f"metrics_port: cannot listen on {settings.host}:{settings.metrics_port}: {error}") from error


async def open_health_port(settings: ServerSettings, health: Health, stack: AsyncExitStack) -> int:
    """Open the health port, NOT_SERVING as long as health says so; returns its number."""
    server = aio.server(
        interceptors=(HealthInterceptor(), DecodingInterceptor()),
        options=server_options(max_connection_age_seconds=0.0, max_message_bytes=_MAX_HEALTH_MESSAGE_BYTES),
        maximum_concurrent_rpcs=_most_open_calls(0),
    )
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = _listen(server, "health_port", settings.host, settings.health_port)
    await server.start()
    stack.push_async_callback(server.stop, 0)
    return port


async def open_public_port(
    settings: ServerSettings,
    socket: str | None,
    services: Services,
    health: Health,
    interceptor: CallInterceptor,
    security: Security,
    stack: AsyncExitStack,
) -> str:
    """Open the public port, or the unix socket, and serve on it; returns its gRPC target. Leaving the stack drains."""
    age = settings.max_connection_age if socket is None else 0.0
    interceptors = (HealthInterceptor(), *security.interceptors(Scope.GENERATE), interceptor, DecodingInterceptor())
    server = aio.server(
        interceptors=interceptors,
        options=server_options(age, settings.max_message_bytes),
        maximum_concurrent_rpcs=_most_open_calls(settings.max_calls),
    )
    services.add_to(server)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if settings.reflection:
        names = [SERVICE_FULL_NAMES[service] for service in settings.services]
        reflection.enable_server_reflection((*names, HEALTH_SERVICE, reflection.SERVICE_NAME), server)
    if socket is None:
        host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
        address = _target(host, _listen(server, "port", settings.host, settings.port, security.credentials))
    else:
        address = f"unix:{socket}"
        server.add_insecure_port(address)
    await server.start()

    async def stop(error: type[BaseException] | None, *_: object) -> None:
        # Who leaves by an exception, such as the cancellation by a second signal, waits for nobody.
        await _stop(server, interceptor, settings.drain_grace if error is None else 0.0)

    stack.push_async_exit(stop)
    stack.callback(health.end_watches)
    stack.callback(services.drain)
    return address


async def open_admin_port(
    settings: ServerSettings,
    models: ModelOperation | None,
    status: StatusServicer,
    metrics: Metrics,
    security: Security,
    stack: AsyncExitStack,
) -> str | None:
    """Open the admin port, where the settings want one; returns its gRPC target.

    Args:
        settings: whether, and where.
        models: the bundles to administer; None where this process has none.
        status: tells the state of this process.
        metrics: are told about every call.
        security: the tokens that have the scope, and the certificates.
        stack: leaving it closes the port.
    """
    if settings.admin_port is None:
        return None
    interceptors = (
        *security.interceptors(Scope.ADMIN),
        CallInterceptor(metrics, _MAX_ADMIN_CALLS),
        DecodingInterceptor(),
    )
    server = aio.server(
        interceptors=interceptors,
        # Connections end here as well, so that those of a certificate whose CA was replaced do.
        options=server_options(settings.max_connection_age, _MAX_ADMIN_MESSAGE_BYTES),
        maximum_concurrent_rpcs=_most_open_calls(_MAX_ADMIN_CALLS),
    )
    status_service_pb2_grpc.add_StatusServiceServicer_to_server(status, server)  # type: ignore[no-untyped-call]
    names = [status_service_pb2.DESCRIPTOR.services_by_name["StatusService"].full_name, reflection.SERVICE_NAME]
    if models is not None:
        servicer = ModelServicer(models)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
        names.append(model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name)
    if settings.reflection:
        reflection.enable_server_reflection(names, server)
    host = "127.0.0.1" if settings.admin_host in ("0.0.0.0", "::") else settings.admin_host
    port = _listen(server, "admin_port", settings.admin_host, settings.admin_port, security.admin_credentials)
    address = _target(host, port)
    await server.start()
    stack.push_async_callback(server.stop, _FAREWELL_SECONDS)
    return address


async def _stop(server: aio.Server, interceptor: CallInterceptor, grace: float) -> None:
    """Let the calls that our services have accepted finish within ``grace`` seconds; cancelled, stop at once.

    Whatever else is open then, such as a stream of reflection that its caller forgot, is cut off soon after.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + grace
    try:
        await interceptor.drain(grace)
        await server.stop(min(max(0.0, deadline - loop.time()), _FAREWELL_SECONDS))
    except asyncio.CancelledError:
        await server.stop(0)
        raise


def _listen(
    server: aio.Server, setting: str, host: str, port: int, credentials: grpc.ServerCredentials | None = None
) -> int:
    target = _target(host, port)
    try:
        return server.add_insecure_port(target) if credentials is None else server.add_secure_port(target, credentials)
    except RuntimeError as error:
        raise ListenError(f"{setting}: cannot listen on {target}; is the port taken?") from error


def _target(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
