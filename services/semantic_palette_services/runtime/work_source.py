"""What a device works for: sources of work, and the models that have to be loaded again when it has died."""

from __future__ import annotations

from typing import Protocol

from semantic_palette.priority import Priority
from semantic_palette_services.runtime.errors import EngineDiedError


class WorkSource(Protocol):
    """Something that needs a device from time to time."""

    def run_turn(self, lead: Priority) -> None:
        """Take one unit of work, of the priority ``lead`` if there is some, and run it, in the device's thread.

        An exception that leaves it ends the device.
        """

    def has_work(self, priority: Priority) -> bool:
        """Whether work of this priority waits; called from any thread."""

    def predict_seconds(self, turns: float, priority: Priority) -> float:
        """Expected device time of the next ``turns`` turns with work of a priority, 0 where nothing is known.

        Called from any thread.
        """

    def running_seconds_left(self) -> float:
        """Expected rest of the turn that is running, 0 if none is or nothing is known; called from any thread."""

    def abandon(self, error: EngineDiedError) -> None:
        """The device has died or was closed: fail everything that waits or runs; called from any thread."""


class Tenant(Protocol):
    """A model that lives on a device, and has to be loaded again when its engine or the device has died."""

    @property
    def healthy(self) -> bool:
        """Whether the model answers."""

    async def reload(self) -> None:
        """Load the engines again, in the device's thread; afterwards the model answers."""
