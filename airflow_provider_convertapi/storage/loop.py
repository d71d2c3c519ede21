"""Run coroutines on the event loop of a store's file system.

This module may change from release to release.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

T = TypeVar("T")


def run(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    """Wait for a coroutine; if the task is stopped meanwhile, the coroutine is cancelled.

    `fsspec.asyn.sync` would let it go on, and an upload could end after its task.
    """
    running = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        return running.result()
    finally:
        running.cancel()  # does nothing to one that has ended


async def several(count: int, work: Callable[[], Awaitable[None]]) -> None:
    """Run the same work several times at once; if one fails, the others are cancelled."""
    # Not a `TaskGroup`: it raises an `ExceptionGroup`, whose error the callers would not recognise.
    workers = [asyncio.ensure_future(work()) for _ in range(count)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
