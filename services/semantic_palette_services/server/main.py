"""A server as a process: it serves until it is told to stop, and drains."""

from __future__ import annotations

import asyncio
import logging
import os
import signal

from semantic_palette.grpc_conventions import is_loopback
from semantic_palette_services.server.lifecycle import RunningServer, run_server
from semantic_palette_services.server.settings import ServerSettings, unknown_variables

logger = logging.getLogger(__name__)


async def serve(settings: ServerSettings) -> None:
    """Serve until SIGTERM or SIGINT, then drain. A second signal, or one before the server is ready, stops at once.

    Raises:
        SemanticPaletteError: the server cannot start.
    """
    main = asyncio.current_task()
    assert main is not None
    stop = asyncio.Event()
    ready = False

    def on_signal() -> None:
        if stop.is_set() or not ready:
            main.cancel()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        async with run_server(settings) as server:
            ready = True
            _announce(settings, server)
            await stop.wait()
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        logger.warning("stopped before the server was ready or had drained")
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    logger.info("stopped")


def _announce(settings: ServerSettings, server: RunningServer) -> None:
    for held in server.bundles.held if server.bundles is not None else ():
        bundle = held.bundle
        logger.info("bundle %s/%s, digest %s: %s", bundle.name, bundle.version, bundle.digest, held.state)
    for name in unknown_variables(os.environ):
        logger.warning("%s is set, but there is no such setting", name)
    if settings.tls_client_ca is None and settings.auth_tokens is None and not is_loopback(settings.host):
        logger.warning("%s: anyone who reaches it may call; see auth_tokens and tls_client_ca", server.address)
    if server.admin_address is not None:
        logger.info("admin services at %s", server.admin_address)
    logger.info(
        "serving %s at %s, health port %s, metrics port %s",
        ", ".join(settings.services),
        server.address,
        server.health_port,
        server.metrics_port,
    )
