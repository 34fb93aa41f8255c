"""From settings to a running server and back, in the right order.

Start: tracing, metrics and health ports (NOT_SERVING), device, bundle, services, public port, SERVING.
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
from semantic_palette_services.concurrency import WorkerPool
from semantic_palette_services.runtime.loaded_bundle import LoadedBundle
from semantic_palette_services.runtime.settings import RuntimeSettings
from semantic_palette_services.runtime.store import BundleReference, ModelStore
from semantic_palette_services.server.composition import SERVICE_FULL_NAMES, Services
from semantic_palette_services.server.device import open_device
from semantic_palette_services.server.health import Health
from semantic_palette_services.server.interceptor import CallInterceptor
from semantic_palette_services.server.listeners import open_health_port, open_metrics_port, open_public_port
from semantic_palette_services.server.metrics import Metrics
from semantic_palette_services.server.security import Security
from semantic_palette_services.server.settings import ServerSettings
from semantic_palette_services.tracing import Tracer

logger = logging.getLogger(__name__)

_NEEDS_OTEL = "tracing is there where OpenTelemetry is installed: pip install 'semantic-palette[otel]'"


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that serves.

    Attributes:
        address: gRPC target of the public port.
        health_port: port of the kubelet's health service; None where there is none.
        metrics_port: port that Prometheus scrapes; None where there is none.
        bundle: the bundle that is served; None for a factory of remote stages.
        metrics: the metrics.
    """

    address: str
    health_port: int | None
    metrics_port: int | None
    bundle: LoadedBundle | None
    metrics: Metrics


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
    metrics = Metrics()
    health = Health(SERVICE_FULL_NAMES[service] for service in settings.services)
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
        bundle = await _load_bundle(settings, health, metrics, stack) if settings.needs_bundle else None
        services = Services(settings, bundle, pool, metrics, health)
        stack.push_async_callback(services.close)
        interceptor = CallInterceptor(metrics, settings.max_calls, tracer)
        address = await open_public_port(settings, socket, services, health, interceptor, security, stack)
        health.set_ready(True)
        stack.push_async_callback(_leave, settings.pre_stop_delay, health)
        yield RunningServer(address, health_port, metrics_port, bundle, metrics)


def _open_tracer(settings: ServerSettings, stack: AsyncExitStack) -> Tracer | None:
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


async def _load_bundle(
    settings: ServerSettings, health: Health, metrics: Metrics, stack: AsyncExitStack
) -> LoadedBundle:
    started = time.perf_counter()
    reference = BundleReference.parse(settings.bundle)
    store = ModelStore(settings.model_store)
    files = await asyncio.to_thread(store.open, reference.name, reference.version, digest=reference.digest)
    executor = open_device(settings, health, metrics, stack)
    runtime = RuntimeSettings(
        engine=settings.engine,
        threads=settings.engine_threads,
        max_batch_size=settings.max_batch_size,
        max_queue=settings.max_queue,
        max_queue_seconds=settings.max_queue_seconds,
    )
    # What a bundle lacks is told to those who ask for it: few bundles have everything.
    models = [operation for operation in settings.models if operation in files.manifest.models]
    if settings.models and not models:
        logger.warning("bundle %s has no model for %s", files.manifest.name, ", ".join(settings.services))
    bundle = await LoadedBundle.load(files, runtime, executor, models, metrics)
    stack.push_async_callback(bundle.close)
    stack.push_async_callback(bundle.drain)
    metrics.bundle_loaded(bundle, time.perf_counter() - started)
    return bundle


async def _leave(pre_stop_delay: float, health: Health) -> None:
    logger.info("draining")
    health.drain()
    await asyncio.sleep(pre_stop_delay)
