"""A bundle in memory, as the registry keeps it and as others see it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from semantic_palette_services.bundle_selection import BundleView


class HeldBundle(BundleView, Protocol):
    """What the registry needs of a bundle."""

    async def drain(self) -> None:
        """Accept nothing new; return when everything accepted has been answered."""

    async def close(self) -> None:
        """Fail what waits, let finish what runs, free the engines."""


AnyBundle = TypeVar("AnyBundle", bound=HeldBundle)


class BundleState(StrEnum):
    """What requests a bundle in memory gets."""

    LOADED = "loaded"
    """Those that pin its version or digest."""
    ACTIVE = "active"
    """Those, and all for its name that pin neither."""
    RETIRED = "retired"
    """As LOADED, until it has had no request for a while."""


@dataclass(slots=True, eq=False)
class Entry(Generic[AnyBundle]):
    """A bundle in memory, how many requests it has, and when it goes; the registry alone sees it."""

    bundle: AnyBundle
    state: BundleState = BundleState.LOADED
    leases: int = 0
    revoked: bool = False
    delay: float = 0.0
    timer: asyncio.TimerHandle | None = None
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.idle.set()

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


@dataclass(frozen=True, slots=True)
class Held(Generic[AnyBundle]):
    """A bundle in memory, as it is now.

    Attributes:
        bundle: the bundle; only a lease keeps it loaded.
        state: what requests it gets.
        leases: requests and streams that it is answering.
    """

    bundle: AnyBundle
    state: BundleState
    leases: int
