"""What servicers read from the context of a call."""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias

from grpc import aio

from semantic_palette_services.access.callers import current_caller
from semantic_palette_services.access.quota import Quota

Context: TypeAlias = "aio.ServicerContext[Any, Any]"


def deadline_of(context: Context) -> float | None:
    """When the caller's deadline passes, in the event loop's time; None where the caller gave none."""
    remaining: float | None = context.time_remaining()
    return None if remaining is None else asyncio.get_running_loop().time() + remaining


def quota_of_caller() -> Quota:
    """What the caller of the call that this task works for may use."""
    return current_caller.get().quota
