"""All services in the caller's process and event loop: what the command line uses where no address is given."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from semantic_palette_services.server.lifecycle import run_server
from semantic_palette_services.server.settings import ServiceName, read_settings

# The Open Inference Protocol is for clients that are not ours.
_SERVICES: tuple[ServiceName, ...] = ("palette", "layout", "image", "factory")


@asynccontextmanager
async def start(model_store: Path, bundle: str | None, engine: str = "auto") -> AsyncIterator[str]:
    """Serve a bundle on a unix socket in a private folder for as long as the context lasts.

    Args:
        model_store: folder of the bundles.
        bundle: ``name``, ``name/version`` or ``name/version@sha256``; None for the only bundle.
        engine: "auto", or the name of an engine.

    Yields:
        The gRPC address at which all four services answer, such as ``unix:/tmp/.../services.sock``.

    Raises:
        InvalidInputError: an argument, or a variable of the environment, is not allowed.
        BundleError: the bundle is missing or corrupt.
        RuntimeServiceError: no engine runs its models.
    """
    settings = read_settings(
        services=_SERVICES,
        model_store=model_store,
        bundle=bundle,
        engine=engine,
        palette_address=None,
        layout_address=None,
        image_address=None,
        # Of servers that listen to a network: who may open the socket is up to the file system.
        tls_certificate=None,
        tls_key=None,
        tls_client_ca=None,
        auth_tokens=None,
        admin_port=None,
        admin_client_ca=None,
        stage_token_file=None,
        stage_ca=None,
        stage_certificate=None,
        stage_key=None,
        pre_stop_delay=0.0,
    )
    with tempfile.TemporaryDirectory(prefix="palette-") as folder:
        async with run_server(settings, socket=str(Path(folder) / "services.sock")) as server:
            yield server.address
