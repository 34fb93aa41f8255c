"""Loading, activating, rolling back and unloading bundles while they are served."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from semantic_palette.errors import BundleError, BundleNotFoundError, InvalidInputError
from semantic_palette_services.access.callers import current_caller
from semantic_palette_services.bundle_operations import BundleOperations
from semantic_palette_services.bundle_selection import BundleSelection
from semantic_palette_services.runtime.errors import BundleRejectedError, RuntimeServiceError
from semantic_palette_services.runtime.held_bundle import Held
from semantic_palette_services.runtime.memory import release_memory
from semantic_palette_services.runtime.registry import BundleRegistry
from semantic_palette_services.runtime.store import BundleFiles, ModelStore

logger = logging.getLogger(__name__)

Load = Callable[[BundleFiles, float], Awaitable[BundleOperations]]
Result = TypeVar("Result")

_MAX_NAME = 128
_DIGEST = re.compile(r"[0-9a-f]{64}")


class ChangeObserver(Protocol):
    """Is told of changes; must be quick."""

    def change_ended(self, action: str, succeeded: bool) -> None:
        """A change ("load", "activate", "rollback", "unload") has been made, or has failed and changed nothing."""


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """A bundle in the store: its versions, oldest first, the active one and the one that was active before."""

    name: str
    versions: list[str]
    active: str | None
    previous: str | None


@dataclass(frozen=True, slots=True)
class Activation:
    """The bundle that is active now, and the version that was; None where none was."""

    held: Held[BundleOperations]
    previous: str | None


class ModelOperation:
    """Changes which bundles are served: one change after the other, each to its end even if its caller leaves.

    Whatever can fail comes before anything changes. To activate a version it is verified, loaded beside the others and
    held against its golden outputs; then the store's pointer is replaced, which a crash leaves at the old or the new
    version; and then the registry's, which cannot fail. So memory and store agree, and a process that starts again
    serves what this one did.

    Args:
        store: where bundles are.
        bundles: those in memory.
        load: loads a verified bundle; takes it, and when its verification began.
        observer: is told of changes.
    """

    def __init__(
        self, store: ModelStore, bundles: BundleRegistry[BundleOperations], load: Load, observer: ChangeObserver
    ) -> None:
        self.bundles = bundles
        self._store = store
        self._load = load
        self._observer = observer
        self._turn = asyncio.Lock()
        self._changes: set[asyncio.Task[Any]] = set()

    async def stored(self) -> list[StoredBundle]:
        """What is in the store."""
        return await asyncio.to_thread(self._read_store)

    async def load(self, name: str, version: str, digest: str = "") -> Held[BundleOperations]:
        """Hold a version in memory, for requests that pin it.

        Args:
            name: name of the bundle.
            version: version of the bundle.
            digest: hex sha256 that its manifest must have; default: any.

        Raises:
            InvalidInputError: this is not the name, version or digest of a bundle.
            BundleNotFoundError: there is no such version in the store.
            BundleRejectedError: it is corrupt, or no engine reproduces its golden outputs.
        """
        _check_given(name=name, version=version)
        _check_digest(digest)
        return await self._change("load", partial(self._load_to_stay, name, version, digest))

    async def activate(self, name: str, version: str, digest: str = "", *, keep_previous: bool = False) -> Activation:
        """Give a version every new request for the bundle that pins no other; loads it first, if it is not loaded.

        Args:
            name: name of the bundle.
            version: version of the bundle.
            digest: hex sha256 that its manifest must have; default: any.
            keep_previous: keep the version before loaded; by default it is unloaded when nobody uses it.

        Raises:
            InvalidInputError, BundleNotFoundError, BundleRejectedError: see `load`; also where the store cannot be
                written.
        """
        _check_given(name=name, version=version)
        _check_digest(digest)
        return await self._change("activate", partial(self._activate, name, version, digest, keep_previous))

    async def roll_back(self, name: str) -> Activation:
        """Activate the version that the store notes as active before.

        Raises:
            BundleNotFoundError: it notes none.
            InvalidInputError, BundleRejectedError: see `activate`.
        """
        _check_given(name=name)
        return await self._change("rollback", partial(self._roll_back, name))

    async def unload(self, name: str, version: str, *, force: bool = False) -> int:
        """Free the memory of a version; returns how many requests still keep it, see `BundleRegistry.unload`.

        Raises:
            InvalidInputError: name or version is missing.
            BundleNotFoundError: the version is not loaded.
            BundleInUseError: it is the active version of the default bundle.
        """
        _check_given(name=name, version=version)
        selection = BundleSelection(name=name, version=version)
        return await self._change("unload", partial(self.bundles.unload, selection, force=force))

    async def close(self) -> None:
        """Give up changes that are under way; the server stops."""
        for task in list(self._changes):
            task.cancel()
        await asyncio.gather(*self._changes, return_exceptions=True)

    async def _change(self, action: str, change: Callable[[], Awaitable[Result]]) -> Result:
        task = asyncio.create_task(self._in_turn(action, change))
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # Nobody is left who could be told how it ends; the log has it.
            task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            raise

    async def _in_turn(self, action: str, change: Callable[[], Awaitable[Result]]) -> Result:
        succeeded = False
        try:
            async with self._turn:
                result = await change()
            succeeded = True
            logger.info("%s, asked for by %s: done", action, current_caller.get().name)
        except (BundleError, RuntimeServiceError, InvalidInputError) as error:
            logger.warning("%s, asked for by %s, failed: %s", action, current_caller.get().name, error)
            raise
        finally:
            self._observer.change_ended(action, succeeded)
        return result

    async def _load_to_stay(self, name: str, version: str, digest: str) -> Held[BundleOperations]:
        bundle = (await self._ensure_loaded(name, version, digest)).bundle
        self.bundles.keep(bundle)
        return self._held(bundle.loaded.files)

    async def _ensure_loaded(self, name: str, version: str, digest: str) -> Held[BundleOperations]:
        started = time.perf_counter()
        try:
            files = await asyncio.to_thread(self._store.open, name, version, digest=digest or None)
            return await self._hold(files, started)
        except BundleNotFoundError:
            raise
        except (BundleError, RuntimeServiceError, OSError) as error:
            # What was loaded before the failure is free now.
            await asyncio.to_thread(release_memory)
            logger.warning("bundle %s/%s: %s", name, version, error)
            raise BundleRejectedError(f"{name}/{version}", self._store.without_root(str(error))) from error

    async def _hold(self, files: BundleFiles, started: float) -> Held[BundleOperations]:
        if self.bundles.find(_selection(files)) is None:
            self.bundles.add(await self._load(files, started))
            logger.info("bundle %s/%s, digest %s: loaded", files.manifest.name, files.manifest.version, files.digest)
        return self._held(files)

    def _held(self, files: BundleFiles) -> Held[BundleOperations]:
        held = self.bundles.find(_selection(files))
        assert held is not None, "nothing has unloaded it meanwhile"
        return held

    async def _activate(self, name: str, version: str, digest: str, keep_previous: bool) -> Activation:
        held_before = [held.bundle for held in self.bundles.held]
        bundle = (await self._ensure_loaded(name, version, digest)).bundle
        selection = _selection(bundle.loaded.files)
        try:
            # Leased, so that a retired version is not unloaded while the store is written.
            with self.bundles.lease(selection):
                await asyncio.to_thread(self._store.mark_active, bundle.loaded.files)
                before = self.bundles.activate(bundle, keep_previous=keep_previous)
        except OSError as error:
            if bundle not in held_before:
                await self.bundles.unload(selection)
            reason = f"the model store cannot note it as active: {error.strerror or error}"
            raise BundleRejectedError(f"{name}/{version}", reason) from error
        logger.info("bundle %s/%s, digest %s: active", name, version, bundle.digest)
        return Activation(self._held(bundle.loaded.files), None if before is None else before.version)

    async def _roll_back(self, name: str) -> Activation:
        version = await asyncio.to_thread(self._store.version_before, name)
        return await self._activate(name, version, digest="", keep_previous=False)

    def _read_store(self) -> list[StoredBundle]:
        store = self._store
        return [
            StoredBundle(name, store.versions(name), store.active_version(name), store.previous_version(name))
            for name in store.names()
        ]


def _selection(files: BundleFiles) -> BundleSelection:
    return BundleSelection(name=files.manifest.name, version=files.manifest.version, digest=files.digest)


def _check_given(**required: str) -> None:
    for field, value in required.items():
        if not 0 < len(value) <= _MAX_NAME:
            raise InvalidInputError(field, value, f"the {field} of a bundle is, at most {_MAX_NAME} characters")


def _check_digest(digest: str) -> None:
    if digest and not _DIGEST.fullmatch(digest):
        raise InvalidInputError("digest", digest, "64 hexadecimal digits are, in lower case")
