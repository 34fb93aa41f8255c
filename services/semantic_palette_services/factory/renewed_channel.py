"""A channel whose credentials may change: tokens and certificates of the factory are renewed while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from grpc import aio

from semantic_palette.credentials import AuthorisedChannel, Credentials
from semantic_palette_services.grpc_options import channel_options


class RenewedChannel:
    """A channel as generated stubs use it; calls that begin after the credentials have changed go over a new one.

    Args:
        address: ``HOST:PORT`` or any gRPC target.
        credentials: gives the credentials of calls from now on, the same object as long as they have not changed.
        grace: seconds that calls under way have left on a channel that is replaced.

    Raises:
        InvalidInputError: the address cannot be one, or a token would cross a network to it in plaintext.
    """

    def __init__(self, address: str, credentials: Callable[[], Credentials], grace: float) -> None:
        self._address = address
        self._credentials = credentials
        self._grace = grace
        self._shown = credentials()
        self._channel = self._open()
        self._closing: set[asyncio.Task[None]] = set()

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """See `grpc.aio.Channel.unary_unary`."""

        def call(request: Any, **options: Any) -> Any:
            return self._current().unary_unary(*args, **kwargs)(request, **options)

        return call

    async def close(self) -> None:
        """Close the connections; calls in flight are cancelled."""
        await self._channel.close()
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _current(self) -> AuthorisedChannel:
        wanted = self._credentials()
        if wanted is not self._shown:
            self._shown, replaced = wanted, self._channel
            self._channel = self._open()
            task = asyncio.create_task(replaced.close(self._grace))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        return AuthorisedChannel(self._channel, self._shown.metadata())

    def _open(self) -> aio.Channel:
        return self._shown.open_channel(self._address, channel_options())
