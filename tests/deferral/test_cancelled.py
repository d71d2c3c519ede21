"""A trigger that is cancelled, at any of its awaits, harms no other and costs nothing."""

from __future__ import annotations

import asyncio
import gc
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.hooks import triggerer
from tests.tries import fired_payload

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    from airflow.triggers.base import BaseTrigger

    from convertapi_sandbox import Sandbox
    from tests.deferral.conftest import MakeTrigger, StartJob

MOST = 200
"""Awaits that a trigger may take until it has fired; more would mean that it never ends."""


@dataclass
class Cancelling:
    """Cancels a task where it, or a task that it made, awaits something for the n-th time."""

    n: int
    awaits: int = field(default=0, init=False)
    task: asyncio.Task[Any] | None = field(default=None, init=False)

    def count(self) -> None:
        """Note one more await."""
        self.awaits += 1
        if self.awaits == self.n:
            assert self.task is not None
            self.task.cancel()


_cancelling: ContextVar[Cancelling | None] = ContextVar("cancelling", default=None)


@dataclass
class Counted:
    """A coroutine whose awaits are counted."""

    inner: Coroutine[Any, Any, Any]
    counts: Cancelling

    def __await__(self) -> Generator[Any, Any, Any]:
        """Pass on what the coroutine waits for, and what comes of it."""
        resume: Any = self.inner.send
        given: Any = None
        while True:
            try:
                waits_for = resume(given)
            except StopIteration as end:
                return end.value
            self.counts.count()
            try:
                resume, given = self.inner.send, (yield waits_for)
            except BaseException as error:  # noqa: BLE001 - a cancellation, too
                resume, given = self.inner.throw, error


def _new_task(loop: asyncio.AbstractEventLoop, coro: Any, **how: Any) -> asyncio.Task[Any]:
    counts = _cancelling.get()

    async def counted() -> Any:
        assert counts is not None
        return await Counted(coro, counts)

    return asyncio.Task(counted() if counts else coro, loop=loop, **how)


async def _cancelled(trigger: BaseTrigger, n: int) -> bool:
    """Run a trigger, and cancel it at an await; tell whether it got that far."""
    counts = Cancelling(n)
    _cancelling.set(counts)
    counts.task = asyncio.create_task(fired_payload(trigger))
    _cancelling.set(None)
    try:
        await counts.task
    except asyncio.CancelledError:
        return True
    return False


@pytest.mark.long
@pytest.mark.timeout(120)
# Where aiohttp is cancelled while it closes, it leaves a coroutine of its own unawaited.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("shares", [False, True])
def test_cancelled_anywhere(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox, shares: bool
) -> None:
    """The next trigger of the job fires, and so does one that shares the client meanwhile."""
    job = start_job()

    async def sweep() -> int:
        asyncio.get_running_loop().set_task_factory(_new_task)
        for n in range(1, MOST):
            fired = [fired_payload(make_trigger([job]))] if shares else []
            others = [asyncio.create_task(one) for one in fired]
            was_cancelled = await _cancelled(make_trigger([job]), n)
            others.append(asyncio.create_task(fired_payload(make_trigger([job]))))
            events = await asyncio.gather(*others)
            assert {"answered"} == {event["status"] for event in events}
            assert {} == triggerer._clients  # noqa: SLF001 - what is left would be left for ever
            if not was_cancelled:
                return n
        return MOST

    assert 10 < asyncio.run(sweep()) < MOST
    gc.collect()  # which warns here, and not in the middle of a later test
    assert (1, 1) == (sandbox.billed, len(sandbox.jobs))
