"""An event loop with exact timers: a service that takes 200 ms does not take 201."""

from __future__ import annotations

import asyncio
import select
import selectors
import sys

_MOST_DESCRIPTORS = 1024  # select() accepts no higher number

if sys.platform == "linux":

    class _Selector(selectors.EpollSelector):
        """epoll with timeouts exact to the microsecond; it normally rounds up to milliseconds."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is not None and timeout > 0 and self.fileno() < _MOST_DESCRIPTORS:
                select.select([self], [], [], timeout)
                timeout = 0
            return super().select(timeout)

else:  # elsewhere the selector is exact
    _Selector = selectors.DefaultSelector


def new_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop whose timers are as exact as the machine allows."""
    return asyncio.SelectorEventLoop(_Selector())
