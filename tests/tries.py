"""Tries of one task, including worker and triggerer, without a scheduler or a database.

What travels between the two passes through Airflow's own encryption and serialisation, and each
side works on its own operator, as two processes would.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.triggers.base import BaseTrigger

    from airflow_provider_convertapi.conversions.request import CheckedConversion

TRIGGER_LIMIT = 30.0
"""Seconds after which a trigger that does not fire fails its test."""


@dataclass
class TaskInstance:
    """What operators read of a task instance, and the XComs they push."""

    try_number: int = 1
    max_tries: int = 0
    dag_id: str = "dag"
    run_id: str = "run"
    task_id: str = "convert"
    map_index: int = -1
    start_date: datetime = field(default_factory=lambda: datetime.now(UTC))
    xcom: dict[str, Any] = field(default_factory=dict)

    def xcom_push(self, *, key: str, value: Any) -> None:
        """Store a value; a second one with the same key would be an error in Airflow."""
        assert key not in self.xcom
        self.xcom[key] = value


def checked_conversion(*, find_inputs: bool = True, **given: Any) -> CheckedConversion:
    """Return a conversion as the hook checks it, with its defaults for what is not given.

    :param find_inputs: False where the job is under way, as `check_conversion` takes it.
    """
    from airflow_provider_convertapi.conversions.arguments import ConversionArguments
    from airflow_provider_convertapi.conversions.checking import check_conversion

    none_given = dict.fromkeys(argument.name for argument in fields(ConversionArguments))
    defaults = {
        "to_format": "pdf",
        "timeout": 1800,
        "poll_interval": 10,
        "durable": True,
        "on_quota_exhausted": "fail",
    }
    arguments: Any = none_given | defaults | given
    return check_conversion(ConversionArguments(**arguments), find_inputs=find_inputs)


def nothing() -> None:
    """Do nothing."""


def run_try(
    make: Callable[[], Any],
    ti: TaskInstance | None = None,
    *,
    deferred: Callable[[], None] = nothing,
    fired: Callable[[], None] = nothing,
) -> Any:
    """Run one try to its end, and return what the task returns.

    :param make: makes the operator; called once for the worker, once more for each resumption.
    :param deferred: done once the task has deferred, before the trigger runs.
    :param fired: done once the trigger has fired, before the worker resumes.
    """
    task_deferred = _task_deferred()
    ti = ti or TaskInstance()
    run = partial(execute, make(), ti)
    while True:
        try:
            return run()
        except task_deferred as deferral:
            trigger, method = reborn(deferral.trigger), deferral.method_name
        deferred()
        payload = fire(trigger)
        fired()
        run = partial(resume, make(), method, payload, ti)


def _task_deferred() -> Any:
    """Return the exception with which a task defers."""
    try:
        from airflow.sdk.exceptions import TaskDeferred
    except ImportError:  # Airflow before 3.2
        from airflow import exceptions

        return exceptions.TaskDeferred
    return TaskDeferred


def execute(operator: Any, ti: TaskInstance) -> Any:
    """Call `execute` as Airflow's task runner does, without its timeout."""
    return operator.execute(context={"ti": ti, "task": operator}, **_passport(operator))


def _passport(operator: Any) -> dict[str, object]:
    """Return what Airflow 2's task runner passes; without it a thread may call no `execute`."""
    from airflow.models import baseoperator

    passport = getattr(baseoperator, "_sentinel", None)
    return {f"{type(operator).__name__}__sentinel": passport} if passport else {}


def resume(operator: Any, method: str, payload: Any, ti: TaskInstance) -> Any:
    """Resume a deferred task with its trigger's event."""
    context = {"ti": ti, "task": operator}
    return operator.resume_execution(method, {"event": payload}, context)


def reborn(trigger: BaseTrigger) -> BaseTrigger:
    """Return the trigger as a triggerer creates it from the row in the database."""
    from airflow.models.trigger import Trigger

    row = Trigger.from_object(trigger)
    module, _, name = row.classpath.rpartition(".")
    made: BaseTrigger = getattr(import_module(module), name)(**row.kwargs)
    return made


def fire(trigger: BaseTrigger) -> Any:
    """Run a trigger until its event, and return that as the worker reads it."""
    return asyncio.run(fired_payload(trigger))


async def fired_payload(trigger: BaseTrigger) -> Any:
    """Return the payload of the trigger's one event, after a trip through JSON."""
    async with asyncio.timeout(TRIGGER_LIMIT):
        events = [event async for event in trigger.run()]
    assert 1 == len(events)
    return json.loads(json.dumps(events[0].payload))


@contextmanager
def done_when(ready: Callable[[], bool], act: Callable[[], object]) -> Iterator[None]:
    """Do something beside the block as soon as a condition holds, or after 20 seconds."""

    def wait() -> None:
        limit = time.monotonic() + 20
        while not ready() and time.monotonic() < limit:
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        thread.join()
