"""Giving memory back to the system."""

from __future__ import annotations

import ctypes
import gc


def release_memory() -> None:
    """Collect what nobody refers to, and have the C library give free memory back to the system.

    An unloaded model leaves its weights on the allocator's free lists, where they still count as the process's own.
    glibc gives them back when it is told to; other libraries are left to themselves. Takes some tens of milliseconds,
    so call it in a thread; the collection, about half of it, holds Python's lock all the same.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
