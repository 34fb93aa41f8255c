"""From settings to a running server and back, in the right order.

Start: tracing, metrics and health ports (NOT_SERVING), device, bundles, services, public port, admin port, SERVING.
Drain: NOT_SERVING, a delay for load balancers to notice, no new calls and pairs, accepted ones finish, batchers,
device, health and metrics ports, traces.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from semantic_palette.errors import InvalidInputError
from semantic_palette_services.bundle_operations import BundleOperations
from semantic_palette_services.concurrency import WorkerPool
from semantic_palette_services.models.operation import ModelOperation
from semantic_palette_services.runtime.loaded_bundle import LoadedBundle
from semantic_palette_services.runtime.registry import BundleRegistry
from semantic_palette_services.runtime.store import ModelStore
from semantic_palette_services.server.bundle_loader import BundleLoader, load_at_start
from semantic_palette_services.server.composition import SERVICE_FULL_NAMES, Services
from semantic_palette_services.server.device import open_device
from semantic_palette_services.server.health import Health
from semantic_palette_services.server.interceptor import CallInterceptor, CallTracer
from semantic_palette_services.server.listeners import (
    open_admin_port,
    open_health_port,
    open_metrics_port,
    open_public_port,
)
from semantic_palette_services.server.metrics import Metrics
from semantic_palette_services.server.security import Security
from semantic_palette_services.server.settings import ServerSettings
from semantic_palette_services.server.status_servicer import StatusServicer

logger = logging.getLogger(__name__)

_NEEDS_OTEL = "tracing is there where OpenTelemetry is installed: pip install 'semantic-palette[otel]'"


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that serves.

    Attributes:
        address: gRPC target of the public port.
        health_port: port of the kubelet's health service; None where there is none.
        metrics_port: port that Prometheus scrapes; None where there is none.
        admin_address: gRPC target of the admin port; None where there is none.
        bundles: the bundles in memory; None for a factory of remote stages.
        metrics: the metrics.
    """

    address: str
    health_port: int | None
    metrics_port: int | None
    admin_address: str | None
    bundles: BundleRegistry[BundleOperations] | None
    metrics: Metrics

    @property
    def bundle(self) -> LoadedBundle | None:
        """The active version of the default bundle; None for a factory of remote stages."""
        return None if self.bundles is None else self.bundles.default.loaded


@asynccontextmanager
async def run_server(settings: ServerSettings, socket: str | None = None) -> AsyncIterator[RunningServer]:
    """Serve for as long as the context lasts, in this event loop; leaving it drains, leaving it by an error does not.

    Args:
        settings: what to serve, and how.
        socket: path of a unix socket to listen on instead of the ports.

    Raises:
        ListenError: a port is taken.
        InvalidInputError: a setting needs what is not installed.
        BundleError: the bundle is missing or corrupt.
        SecretFileError: a file with certificates or tokens cannot be used.
        RuntimeServiceError: no engine runs its models.
    """
    started, metrics = time.monotonic(), Metrics()
    names = [SERVICE_FULL_NAMES[service] for service in settings.services]
    health = Health(names)
    security = Security(settings, metrics)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(security.kept_fresh())
        tracer = _open_tracer(settings, stack)
        metrics_port = health_port = None
        if socket is None:
            metrics_port = open_metrics_port(settings, metrics, stack)
            health_port = await open_health_port(settings, health, stack)
        pool = WorkerPool(settings.worker_threads)
        stack.callback(pool.close)
        models = await _open_bundles(settings, pool, health, metrics, stack) if settings.needs_bundle else None
        bundles = None if models is None else models.bundles
        services = Services(settings, bundles, pool, metrics, health, security.stage_credentials)
        stack.push_async_callback(services.close)
        interceptor = CallInterceptor(metrics, settings.max_calls, tracer)
        address = await open_public_port(settings, socket, services, health, interceptor, security, stack)
        admin_address = None
        if socket is None:
            status = StatusServicer(names, health, lambda: interceptor.open_calls, bundles, metrics, started)
            admin_address = await open_admin_port(settings, models, status, metrics, security, stack)
        health.set_ready(True)
        stack.push_async_callback(_leave, settings.pre_stop_delay, health)
        yield RunningServer(address, health_port, metrics_port, admin_address, bundles, metrics)


def _open_tracer(settings: ServerSettings, stack: AsyncExitStack) -> CallTracer | None:
    if settings.otlp_endpoint is None:
        return None
    try:
        from semantic_palette_services.server.opentelemetry import otlp_tracer
    except ImportError as error:
        raise InvalidInputError("otlp_endpoint", settings.otlp_endpoint, _NEEDS_OTEL) from error
    batch_size = settings.max_batch_size
    tracer = otlp_tracer(settings.otlp_endpoint, ratio=settings.trace_ratio, max_batch_size=batch_size)
    stack.push_async_callback(tracer.close)
    return tracer


async def _open_bundles(
    settings: ServerSettings, pool: WorkerPool, health: Health, metrics: Metrics, stack: AsyncExitStack
) -> ModelOperation:
    store = ModelStore(settings.model_store)
    executor = open_device(settings, health, metrics, stack)
    loader = BundleLoader(settings, store, executor, pool, metrics)
    bundles = await load_at_start(settings, loader)
    stack.push_async_callback(bundles.close)
    stack.push_async_callback(bundles.drain)
    models = ModelOperation(store, bundles, loader.load, metrics)
    stack.push_async_callback(models.close)
    return models


async def _leave(pre_stop_delay: float, health: Health) -> None:
    logger.info("draining")
    health.drain()
    await asyncio.sleep(pre_stop_delay)
