"""An event loop that wakes in time: a service that takes 200 ms does not take 201."""

from __future__ import annotations

import asyncio
import select
import selectors
import sys

_MOST_DESCRIPTORS = 1024  # the kernel's select() takes no higher number

if sys.platform == "linux":

    class _Selector(selectors.EpollSelector):
        """epoll that waits to the microsecond; by itself it rounds up to the millisecond."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is not None and timeout > 0 and self.fileno() < _MOST_DESCRIPTORS:
                select.select([self], [], [], timeout)
                timeout = 0
            return super().select(timeout)

else:  # elsewhere the selector is exact
    _Selector = selectors.DefaultSelector


def new_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop whose timers are as exact as the machine's."""
    return asyncio.SelectorEventLoop(_Selector())
