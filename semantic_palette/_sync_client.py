"""The blocking client: the asyncio client on an event loop of its own."""

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Coroutine, Sequence
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from semantic_palette._async_client import AsyncClient
from semantic_palette._client_types import (
    BundleDescription,
    EditBatch,
    EditItem,
    EditSource,
    ImageBatch,
    ImageFormat,
    ImageItem,
    LayoutBatch,
    LayoutItem,
    LayoutLike,
    PaletteLike,
    SampledPalette,
)
from semantic_palette._pair_stream import PairStream, StreamedPair
from semantic_palette._retry import RetryPolicy
from semantic_palette._service_errors import ClientClosedError
from semantic_palette.constraints import Constraints
from semantic_palette.credentials import Credentials
from semantic_palette.pair import Adherence, EditedPair, Pair
from semantic_palette.priority import Priority

_Result = TypeVar("_Result")


class _LoopThread:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stopped = False
        # Nothing is given to a loop that no longer runs. Reentrant: the garbage collector may call `start` anywhere.
        self._lock = threading.RLock()
        self._thread = threading.Thread(target=self._serve, args=(self._loop,), name="semantic-palette", daemon=True)
        self._thread.start()

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop) -> None:
        async def cancel_the_rest() -> None:
            unfinished = asyncio.all_tasks() - {asyncio.current_task()}
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

        try:
            loop.run_forever()
            loop.run_until_complete(cancel_the_rest())
        finally:
            loop.close()

    def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Runs a coroutine and waits; an interrupted wait (Ctrl-C) cancels it."""
        future = self._submit(work)
        if future is None:
            raise ClientClosedError("the client is closed")
        try:
            return future.result()
        except CancelledError:
            raise ClientClosedError("the client was closed before the service answered") from None
        except BaseException:
            future.cancel()
            raise

    def start(self, work: Coroutine[Any, Any, object]) -> None:
        """Starts a coroutine without waiting, so that garbage collection never blocks."""
        self._submit(work)

    def stop(self, last_work: Coroutine[Any, Any, object]) -> None:
        """Runs a last coroutine, stops the loop and joins the thread."""

        async def finish() -> None:
            try:
                await last_work
            finally:
                self._loop.call_soon(self._loop.stop)

        with self._lock:
            self._submit(finish())
            self._stopped = True
        # The garbage collector may run this in the loop's own thread, which cannot wait for itself.
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _submit(self, work: Coroutine[Any, Any, _Result]) -> Future[_Result] | None:
        with self._lock:
            if not self._stopped:
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        return None


class PairIterator(Generic[StreamedPair]):
    """Pairs in order of index; made by `Client.generate_pairs` and `Client.edit_pairs`.

    An iterator and a context manager. Leaving the `with` block, `close` and dropping the last reference (a `for` loop
    that breaks does that) cancel the call.
    """

    def __init__(self, thread: _LoopThread, stream: PairStream[StreamedPair]) -> None:
        self._thread = thread
        self._stream = stream
        self._finalizer = weakref.finalize(self, _abandon, thread, stream)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StreamedPair:
        try:
            return self._thread.run(_next(self._stream))
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Cancels what is under way and waits until it is. Closing twice is allowed."""
        if self._finalizer.detach():
            with contextlib.suppress(ClientClosedError):  # the client was closed before, and this stream with it
                self._thread.run(self._stream.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


async def _next(stream: PairStream[StreamedPair]) -> StreamedPair:
    return await anext(stream)


def _abandon(thread: _LoopThread, stream: PairStream[Any]) -> None:
    thread.start(stream.aclose())


class Client:
    """Talks to the services at one address, blocking; arguments and errors are those of `AsyncClient`.

    Use it as a context manager, or call `close`: both cancel whatever is still under way and join the client's thread.
    A client may be shared by threads; it does not survive a fork.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        self._client = AsyncClient(address, timeout=timeout, retry=retry, credentials=credentials)
        self._thread = _LoopThread()
        self._finalizer = weakref.finalize(self, _close, self._thread, self._client)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Cancels calls and streams that are under way and joins the thread. Closing twice is allowed."""
        self._finalizer()

    def label_space(
        self, bundle: str | None = None, *, digest: str | None = None, version: str | None = None
    ) -> BundleDescription:
        """As `AsyncClient.label_space`."""
        return self._thread.run(self._client.label_space(bundle, digest=digest, version=version))

    def sample_palettes(
        self,
        count: int,
        *,
        seed: int = 0,
        first_index: int = 0,
        constraints: Constraints | None = None,
        bundle: str | None = None,
        digest: str | None = None,
    ) -> list[SampledPalette]:
        """As `AsyncClient.sample_palettes`."""
        return self._thread.run(
            self._client.sample_palettes(
                count, seed=seed, first_index=first_index, constraints=constraints, bundle=bundle, digest=digest
            )
        )

    def generate_layouts(
        self,
        items: Sequence[LayoutItem],
        *,
        adherence: Adherence | str = Adherence.NATURAL,
        deterministic: bool = False,
        constraints: Constraints | None = None,
        priority: Priority | str | None = None,
        bundle: str | None = None,
        digest: str | None = None,
    ) -> LayoutBatch:
        """As `AsyncClient.generate_layouts`."""
        return self._thread.run(
            self._client.generate_layouts(
                items,
                adherence=adherence,
                deterministic=deterministic,
                constraints=constraints,
                priority=priority,
                bundle=bundle,
                digest=digest,
            )
        )

    def translate_layouts(
        self,
        items: Sequence[ImageItem],
        *,
        deterministic: bool = False,
        image_format: ImageFormat = "png",
        image_quality: int = 0,
        priority: Priority | str | None = None,
        bundle: str | None = None,
        digest: str | None = None,
    ) -> ImageBatch:
        """As `AsyncClient.translate_layouts`."""
        return self._thread.run(
            self._client.translate_layouts(
                items,
                deterministic=deterministic,
                image_format=image_format,
                image_quality=image_quality,
                priority=priority,
                bundle=bundle,
                digest=digest,
            )
        )

    def edit_layouts(
        self,
        items: Sequence[EditItem],
        *,
        deterministic: bool = False,
        priority: Priority | str | None = None,
        bundle: str | None = None,
        digest: str | None = None,
    ) -> EditBatch:
        """As `AsyncClient.edit_layouts`."""
        return self._thread.run(
            self._client.edit_layouts(
                items, deterministic=deterministic, priority=priority, bundle=bundle, digest=digest
            )
        )

    def generate_pairs(
        self,
        count: int,
        *,
        seed: int = 0,
        first_index: int = 0,
        palettes: Sequence[PaletteLike] | None = None,
        constraints: Constraints | None = None,
        layouts: Sequence[LayoutLike] | None = None,
        adherence: Adherence | str = Adherence.NATURAL,
        deterministic: bool = False,
        image_format: ImageFormat = "png",
        image_quality: int = 0,
        priority: Priority | str | None = None,
        bundle: str | None = None,
        digest: str | None = None,
        timeout: float | None = None,
    ) -> PairIterator[Pair]:
        """As `AsyncClient.generate_pairs`."""
        stream = self._client.generate_pairs(
            count,
            seed=seed,
            first_index=first_index,
            palettes=palettes,
            constraints=constraints,
            layouts=layouts,
            adherence=adherence,
            deterministic=deterministic,
            image_format=image_format,
            image_quality=image_quality,
            priority=priority,
            bundle=bundle,
            digest=digest,
            timeout=timeout,
        )
        return PairIterator(self._thread, stream)

    def edit_pairs(
        self,
        sources: Sequence[EditSource],
        count: int | None = None,
        *,
        seed: int = 0,
        first_index: int = 0,
        deterministic: bool = False,
        image_format: ImageFormat = "png",
        image_quality: int = 0,
        priority: Priority | str | None = None,
        bundle: str | None = None,
        digest: str | None = None,
        timeout: float | None = None,
    ) -> PairIterator[EditedPair]:
        """As `AsyncClient.edit_pairs`."""
        stream = self._client.edit_pairs(
            sources,
            count,
            seed=seed,
            first_index=first_index,
            deterministic=deterministic,
            image_format=image_format,
            image_quality=image_quality,
            priority=priority,
            bundle=bundle,
            digest=digest,
            timeout=timeout,
        )
        return PairIterator(self._thread, stream)


def _close(thread: _LoopThread, client: AsyncClient) -> None:
    thread.stop(client.aclose())
