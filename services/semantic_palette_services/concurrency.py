"""Keeping the event loop free and leaving no task behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from semantic_palette_services.slots import Slots, current_priority

Parameters = ParamSpec("Parameters")
Item = TypeVar("Item")
Result = TypeVar("Result")

# Few enough to be over soon when they are not wanted any more, enough to make the way to a thread cheap.
_ITEMS_AT_A_TIME = 8


class WorkerPool:
    """A few threads for work that would block the event loop: exact budgets, image codecs, rejection sampling.

    No more jobs are handed to the threads than there are threads; the rest wait in the event loop, where the job of a
    caller that gives up vanishes before it has cost anything, and that of an interactive one goes first.

    Args:
        threads: number of threads.
        name: prefix of the threads' names.

    Attributes:
        threads: number of threads.
    """

    def __init__(self, threads: int, name: str = "worker") -> None:
        self.threads = threads
        self._executor = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)
        self._free = Slots(threads)

    async def run(
        self, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Call ``function`` in a thread of the pool and return what it returns or raise what it raises."""
        async with self._free.slot(current_priority()):
            return await asyncio.get_running_loop().run_in_executor(self._executor, lambda: function(*args, **kwargs))

    async def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Call ``function`` with each item in turn, a few at a time: what is left of the work of a caller that gives up
        is not done.
        """
        waiting, results = list(items), []
        for start in range(0, len(waiting), _ITEMS_AT_A_TIME):
            chunk = waiting[start : start + _ITEMS_AT_A_TIME]
            results += await self.run(lambda chunk: [function(item) for item in chunk], chunk)
        return results

    def close(self) -> None:
        """End the threads after the jobs that they are running."""
        self._executor.shutdown(wait=True, cancel_futures=True)


async def gather_or_cancel(coroutines: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Run coroutines concurrently; the first failure, or the caller's cancellation, cancels the others.

    Unlike ``asyncio.gather`` it leaves nothing running behind, and unlike ``asyncio.TaskGroup`` it raises the first
    exception itself, so that the table of errors sees its type.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        await cancel_and_wait(tasks)
        raise


async def cancel_and_wait(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel tasks and wait until they have ended, whatever they end with."""
    pending = list(tasks)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
