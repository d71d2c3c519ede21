"""The surroundings of this package: time, the network and threads.

A simulation replaces them, so that many nights pass quickly and in one thread.

This module may change from release to release.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from requests.adapters import BaseAdapter

    from airflow_provider_convertapi.api.exchange import Wire
    from airflow_provider_convertapi.api.wire import Request, Response
    from airflow_provider_convertapi.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The surroundings of all hooks and tasks of a process; None means the usual ones.

    :param new_adapter: returns the transport of one `requests.Session`.
    :param carry: sends a request of the triggerer, given the token, and notes on the `Wire`
        whether it was sent.
    :param new_pool: makes the pool that runs the tasks of a batch, with a `WorkerPool`'s arguments.
    """

    clock: Clock = SYSTEM_CLOCK
    new_adapter: Callable[[], BaseAdapter] | None = None
    carry: Callable[[Request, str, Wire], Awaitable[Response]] | None = None
    new_pool: Callable[..., Any] | None = None


_current = Surroundings()


def surroundings() -> Surroundings:
    """Return the surroundings of this process."""
    return _current


@contextmanager
def simulated(replacement: Surroundings) -> Iterator[None]:
    """Replace the surroundings of this process while the block runs."""
    global _current  # noqa: PLW0603 - of the process, as the real ones are
    before, _current = _current, replacement
    try:
        yield
    finally:
        _current = before
