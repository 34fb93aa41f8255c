"""Who goes first where many wait for one device."""

from enum import StrEnum


class Priority(StrEnum):
    """How urgent a request is."""

    INTERACTIVE = "interactive"
    """Somebody waits for the answer: goes before everything that is bulk."""
    BULK = "bulk"
    """Many answers are wanted, and none of them soon: takes what the device has left, and a tenth of it at least."""
