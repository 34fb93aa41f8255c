"""Where the services are: at an address, or started in this process by an installed backend."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from semantic_palette.cli._errors import MissingExtraError

GROUP, NAME = "semantic_palette.backends", "local"
_WHAT, _EXTRA = "what runs the services in this process", "serve,cpu"


class Backend(Protocol):
    """Starts the services in the running event loop and yields their address until the context is left."""

    def __call__(self, model_store: Path, bundle: str | None, engine: str) -> AbstractAsyncContextManager[str]: ...


@asynccontextmanager
async def services(address: str | None, model_store: Path, bundle: str | None, engine: str) -> AsyncIterator[str]:
    """Yields the address of services: the one given, or one of services that live as long as this context.

    Raises:
        MissingExtraError: services in this process need an extra that is not installed.
    """
    if address is not None:
        yield address
        return
    async with AsyncExitStack() as stack:
        try:
            started = await stack.enter_async_context(_installed_backend()(model_store, bundle, engine))
        except ImportError as error:  # runtimes are imported no earlier than here
            raise MissingExtraError(_WHAT, _EXTRA, error) from error
        yield started


def _installed_backend() -> Backend:
    for entry_point in entry_points(group=GROUP, name=NAME):
        try:
            backend: Backend = entry_point.load()
        except ImportError as error:
            raise MissingExtraError(_WHAT, _EXTRA, error) from error
        return backend
    raise MissingExtraError(_WHAT, _EXTRA)
