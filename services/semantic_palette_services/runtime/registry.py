"""The bundles in memory: which version of each answers a request, and how long an older one stays.

Of each name one version is active: requests that pin nothing get it. A request leases a version for as long as it
lasts, a stream included, so that activating another is one assignment: what is in flight finishes on the version that
it began with. A version that is no longer wanted is retired. It still answers requests that pin it, such as those of a
factory elsewhere whose stream is pinned to its digest, and is unloaded once it has had none for a while.

All methods are for the event loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Generic

from semantic_palette.errors import BundleNotFoundError, SemanticPaletteError
from semantic_palette_services.bundle_selection import BundleMismatchError, BundleSelection
from semantic_palette_services.runtime.errors import BundleInUseError, DrainingError
from semantic_palette_services.runtime.held_bundle import AnyBundle, BundleState, Entry, Held
from semantic_palette_services.runtime.memory import release_memory

logger = logging.getLogger(__name__)

FORCED_SECONDS = 5.0
"""Time that requests have to end once the bundle under them is unloaded by force."""


class BundleRegistry(Generic[AnyBundle]):
    """The bundles of one server process.

    Args:
        unload_delay: seconds without a request after which a retired bundle is unloaded.
        on_change: is told of every bundle whose state changes; None stands for unloaded.
    """

    def __init__(self, unload_delay: float, on_change: Callable[[AnyBundle, BundleState | None], None]) -> None:
        self._unload_delay = unload_delay
        self._on_change = on_change
        self._entries: list[Entry[AnyBundle]] = []
        self._active: dict[str, Entry[AnyBundle]] = {}
        self._default: str | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def default_name(self) -> str:
        """Name of the bundle for requests that name none: the first that was activated."""
        assert self._default is not None, "a server activates a bundle before it serves"
        return self._default

    @property
    def default(self) -> AnyBundle:
        """The active version of the default bundle; only a lease keeps it loaded."""
        return self._active[self.default_name].bundle

    @property
    def held(self) -> list[Held[AnyBundle]]:
        """Every bundle in memory, in the order in which they were loaded."""
        return [Held(entry.bundle, entry.state, entry.leases) for entry in self._entries]

    def find(self, selection: BundleSelection) -> Held[AnyBundle] | None:
        """The bundle in memory that a complete selection means, if there is one."""
        for entry in self._entries:
            if selection.admits(entry.bundle):
                return Held(entry.bundle, entry.state, entry.leases)
        return None

    def add(self, bundle: AnyBundle) -> None:
        """Hold a bundle that has been loaded; it answers requests that pin it."""
        self._entries.append(Entry(bundle))
        self._on_change(bundle, BundleState.LOADED)

    def keep(self, bundle: AnyBundle) -> None:
        """Let a held bundle stay until it is unloaded, even if it was retired."""
        entry = next(entry for entry in self._entries if entry.bundle is bundle)
        if entry.state is BundleState.RETIRED:
            entry.stop_timer()
            self._set_state(entry, BundleState.LOADED)

    @contextmanager
    def lease(self, selection: BundleSelection) -> Iterator[AnyBundle]:
        """The bundle that a request wants; it stays loaded within the block.

        Raises:
            BundleNotFoundError: there is no bundle of this name, or no version of it is active.
            BundleMismatchError: the digest or version that is asked for is not loaded.
            DrainingError: it is being unloaded by force.
        """
        entry = self._resolve(selection)
        if entry.revoked:
            raise DrainingError(f"bundle {entry.bundle.name}/{entry.bundle.version}")
        entry.stop_timer()
        entry.leases += 1
        entry.idle.clear()
        try:
            # The frame that waits here keeps the entry alone: a bundle that is closed under it can be freed.
            yield entry.bundle
        finally:
            self._release(entry)

    def activate(self, bundle: AnyBundle, *, keep_previous: bool = False) -> AnyBundle | None:
        """Give a held bundle every new request for its name that pins no other, from one request to the next.

        Args:
            bundle: the bundle.
            keep_previous: let the one before stay loaded; by default it is retired.

        Returns:
            The one before; None if there was none, or if it is this one.
        """
        entry = next(entry for entry in self._entries if entry.bundle is bundle)
        previous = self._active.get(bundle.name)
        entry.stop_timer()
        entry.revoked = False
        self._active[bundle.name] = entry
        self._set_state(entry, BundleState.ACTIVE)
        self._default = self._default or bundle.name
        if previous is None or previous is entry:
            return None
        if keep_previous:
            self._set_state(previous, BundleState.LOADED)
        else:
            self._retire(previous, self._unload_delay)
        return previous.bundle

    async def unload(self, selection: BundleSelection, *, force: bool = False) -> int:
        """Unload a version: at once if no request has it, else when the last has ended; then its memory is free.

        Args:
            selection: name and version.
            force: end its requests. They cannot begin anything more, have `FORCED_SECONDS` to finish what they have
                begun, and fail with DrainingError.

        Returns:
            How many requests still have it; 0 once it is unloaded.

        Raises:
            BundleNotFoundError: it is not loaded.
            BundleInUseError: it is the active version of the default bundle.
        """
        entry = next((entry for entry in self._entries if selection.admits(entry.bundle)), None)
        if entry is None:
            raise BundleNotFoundError(f"bundle {selection.name}/{selection.version}: not loaded")
        name = entry.bundle.name
        if self._active.get(name) is entry:
            if name == self._default:
                raise BundleInUseError(name, entry.bundle.version)
            del self._active[name]  # so that no new request finds it
        if force:
            entry.revoked = True
            with suppress(TimeoutError):
                await asyncio.wait_for(entry.idle.wait(), FORCED_SECONDS)
        if entry.leases and not force:
            self._retire(entry, delay=0.0)
            return entry.leases
        if entry in self._entries:  # a retired one may have gone meanwhile
            await asyncio.shield(self._begin_close(entry))
        return 0

    async def drain(self) -> None:
        """Every bundle accepts nothing new; return when everything accepted has been answered."""
        await asyncio.gather(*(entry.bundle.drain() for entry in self._entries))

    async def close(self) -> None:
        """Close every bundle, for the process ends; they still say what they are."""
        self._closed = True
        for entry in self._entries:
            entry.stop_timer()
        for entry in self._entries:
            await entry.bundle.close()
        while self._closing:
            await asyncio.gather(*self._closing)

    def _resolve(self, selection: BundleSelection) -> Entry[AnyBundle]:
        if not selection.name and not selection.digest:  # a digest alone finds its bundle, whatever its name
            selection = replace(selection, name=self.default_name)
        if not selection.digest and not selection.version:
            entry = self._active.get(selection.name)
            if entry is None:
                raise self._not_found(selection.name)
            return entry
        fitting = [entry for entry in self._entries if selection.admits(entry.bundle)]
        if not fitting:
            raise self._mismatch(selection)
        # A version that is named twice in memory, because its files were replaced, is the active or the newer one.
        return max(reversed(fitting), key=lambda entry: entry.state is BundleState.ACTIVE)

    def _not_found(self, name: str) -> BundleNotFoundError:
        served = ", ".join(repr(name) for name in self._active)
        return BundleNotFoundError(f"bundle {name[:80]!r} is not served here; served: {served}")

    def _mismatch(self, selection: BundleSelection) -> SemanticPaletteError:
        name = selection.name or self.default_name
        versions = [entry.bundle for entry in self._entries if entry.bundle.name == name]
        if not versions:
            return self._not_found(name)
        if selection.digest and all(selection.digest != bundle.digest for bundle in versions):
            digests = ", ".join(bundle.digest for bundle in versions)
            return BundleMismatchError(name, selection.digest, digests)
        loaded = ", ".join(bundle.version for bundle in versions)
        return BundleMismatchError(name, selection.version, loaded, kind="version")

    def _release(self, entry: Entry[AnyBundle]) -> None:
        entry.leases -= 1
        if entry.leases:
            return
        entry.idle.set()
        if entry.state is BundleState.RETIRED and entry in self._entries:
            self._schedule(entry)

    def _retire(self, entry: Entry[AnyBundle], delay: float) -> None:
        entry.delay = delay
        self._set_state(entry, BundleState.RETIRED)
        if not entry.leases:
            self._schedule(entry)

    def _set_state(self, entry: Entry[AnyBundle], state: BundleState) -> None:
        entry.state = state
        self._on_change(entry.bundle, state)

    def _schedule(self, entry: Entry[AnyBundle]) -> None:
        if self._closed:  # `close` sees to it
            return
        entry.stop_timer()
        entry.timer = asyncio.get_running_loop().call_later(entry.delay, self._begin_close, entry)

    def _begin_close(self, entry: Entry[AnyBundle]) -> asyncio.Task[None]:
        """Forget a bundle, so that no request finds it, and close it."""
        entry.stop_timer()
        self._entries.remove(entry)
        if self._active.get(entry.bundle.name) is entry:
            del self._active[entry.bundle.name]
        task = asyncio.create_task(self._close(entry))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task

    async def _close(self, entry: Entry[AnyBundle]) -> None:
        bundle = entry.bundle
        del entry.bundle  # requests that were cut off may keep the entry for a while
        try:
            await bundle.close()
        finally:
            self._on_change(bundle, None)
        logger.info("bundle %s/%s, digest %s: unloaded", bundle.name, bundle.version, bundle.digest)
        del bundle
        await asyncio.to_thread(release_memory)
