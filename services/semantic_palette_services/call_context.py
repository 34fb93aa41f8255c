"""What servicers read from the context of a call."""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias

from grpc import aio

Context: TypeAlias = "aio.ServicerContext[Any, Any]"


def deadline_of(context: Context) -> float | None:
    """When the caller's deadline passes, in the event loop's time; None where the caller gave none."""
    remaining: float | None = context.time_remaining()
    return None if remaining is None else asyncio.get_running_loop().time() + remaining
