"""One try of the task: worker, triggerer, worker again, as Airflow runs them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_convertapi.operators.batch import ConvertApiBatchOperator
from airflow_provider_convertapi.operators.convert import ConvertApiOperator
from airflow_provider_convertapi.triggers.job import ConvertApiJobTrigger
from tests.airflow_api import TaskDeferred
from tests.simulation.trouble import KilledProcess, Trouble
from tests.simulation.world import connection
from tests.tries import TaskInstance, execute

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.simulation.tasks import Asked
    from tests.simulation.world import World

RETRIES = 3


@dataclass
class Outcome:
    """How a try ended.

    :param asked: the arguments with which it began; `asked_last`: those with which it ended.
    :param error: what it raised; None where it returned `value`.
    :param was_killed: whether the process was ended.
    :param first_bill: index of the first bill that came while it ran.
    :param told: everything that it showed: log, XComs, what travelled, errors.
    """

    who: str
    run_id: str
    asked: Asked
    asked_last: Asked
    trouble: Trouble
    started: float
    first_bill: int
    inputs: dict[str, int]
    """How many versions each input had when it began."""
    value: Any = None
    error: BaseException | None = None
    was_killed: bool = False
    deferrals: int = 0
    xcom: dict[str, Any] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    last_bill: int = 0
    overlapped: bool = False


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """Return the outcome of a whole task: the sum of its instances, or the first that failed."""
    for one in outcomes:
        if one.was_killed or one.error:
            return one
    first, *more = outcomes
    if not more:
        return first
    names = ("converted", "reused", "failed", "not_attempted", "cost")
    value = {name: sum(one.value[name] for one in outcomes) for name in names}
    told = [line for one in outcomes for line in one.told]
    return replace(first, value=value, told=told, last_bill=more[-1].last_bill)


class _Logged:
    """An operator, or a trigger, that logs to its story."""

    log: Any


def _operator(world: World, asked: Asked) -> Any:
    base = ConvertApiBatchOperator if asked.is_batch else ConvertApiOperator
    made = type(base.__name__, (base,), {"log": world.log})
    given = asked.arguments(world.uri, world.shard)
    return made(task_id="convert", retries=RETRIES, **given)


def run_try(
    world: World, trouble: Trouble, *, deferred: Callable[[int], None] = lambda _: None
) -> Outcome:
    """Run one try to its end.

    :param deferred: called whenever the task has deferred, with how often it had before.
    """
    outcome = Outcome(
        who=f"{world.instance}/{world.try_number}/{world.moment.now}",
        run_id=world.run_id,
        asked=world.asked,
        asked_last=world.asked,
        trouble=trouble,
        started=world.moment.now,
        first_bill=len(world.service.bills),
        inputs={name: len(versions) for name, versions in world.contents.items()},
    )
    ti = TaskInstance(
        try_number=world.try_number,
        max_tries=world.max_tries,
        dag_id=world.dag_id,
        map_index=world.shard if world.asked.shards > 1 else -1,
        run_id=world.run_id,
        start_date=datetime.fromtimestamp(world.moment.now, UTC),
        xcom=outcome.xcom,
    )
    before = world.present.trouble, world.service.who, world.disk.is_watched
    world.present.trouble, world.service.who = trouble, outcome.who
    first_line = len(world.kept.lines)
    try:
        outcome.value = _to_the_end(world, outcome, ti, deferred)
    except KilledProcess:
        outcome.was_killed = True
    except Exception as error:  # noqa: BLE001 - whatever it is, the invariants judge it
        if trouble.dead:
            outcome.was_killed = True
        else:
            outcome.error = error
    finally:
        world.present.trouble, world.service.who, world.disk.is_watched = before
    if outcome.was_killed:
        world.disk.release_locks()
    # Of a batch only records tell, which one that was broken off may not have written.
    is_whole = outcome.error is None or "BatchFailed" in type(outcome.error).__name__
    if not is_whole or outcome.was_killed or trouble.blocked:
        world.unrecorded.add(outcome.who)
    outcome.last_bill = len(world.service.bills)
    outcome.told += world.kept.lines[first_line:]
    outcome.told += [json.dumps(outcome.xcom), repr(outcome.value), *_texts(outcome.error)]
    return outcome


def _to_the_end(
    world: World, outcome: Outcome, ti: TaskInstance, deferred: Callable[[int], None]
) -> Any:
    resumed: tuple[str, Any] | None = None
    while True:
        os.environ["AIRFLOW_CONN_CONVERTAPI_DEFAULT"] = connection(world)
        operator = _operator(world, world.asked)
        outcome.asked_last = world.asked
        world.disk.is_watched = True
        try:
            if resumed is None:
                return execute(operator, ti)
            method, payload = resumed
            return getattr(operator, method)({"ti": ti, "task": operator}, event=payload)
        except TaskDeferred as deferral:
            trigger, method = deferral.trigger, deferral.method_name
        finally:
            world.disk.is_watched = False
        arguments = json.dumps(trigger.serialize()[1])
        outcome.told.append(arguments)
        deferred(outcome.deferrals)
        outcome.deferrals += 1
        os.environ["AIRFLOW_CONN_CONVERTAPI_DEFAULT"] = connection(world)
        payload = _fired(world, arguments, outcome)
        outcome.told.append(json.dumps(payload))
        resumed = method, json.loads(json.dumps(payload))


def _fired(world: World, arguments: str, outcome: Outcome) -> Any:
    """Run the trigger until its event; where the triggerer is killed, another one begins anew."""
    made = type("Trigger", (ConvertApiJobTrigger,), {"log": world.log})

    async def run() -> Any:
        return [event.payload async for event in made(**json.loads(arguments)).run()]

    worker, faults = world.present.trouble, outcome.trouble.in_trigger
    world.present.trouble = own = Trouble(dict(faults), met=outcome.trouble.met)
    outcome.trouble.in_trigger = {}  # of the first trigger of a try
    try:
        try:
            [payload] = world.loop.run_until_complete(run())
        except BaseException:
            if not own.dead:
                raise
            world.present.trouble = Trouble()
            [payload] = world.loop.run_until_complete(run())
    finally:
        world.present.trouble = worker
    return payload


def _texts(error: BaseException | None) -> list[str]:
    """Return what an error, and those behind it, would show in a traceback."""
    texts: list[str] = []
    while error is not None and len(texts) < 10:
        texts.append(f"{type(error).__name__}: {error} {error.args!r}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return texts
