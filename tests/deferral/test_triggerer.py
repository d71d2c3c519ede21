"""What a trigger does to its triggerer: tokens, connections, event loop, kills."""

from __future__ import annotations

import asyncio
import json
import time
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.api.ids import JobIds
from tests.tries import fire, fired_payload, reborn

if TYPE_CHECKING:
    from convertapi_sandbox import Sandbox
    from tests.deferral.conftest import MakeTrigger, StartJob


def connect(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, **extra: Any) -> None:
    """Point the default connection at the sandbox, with these extras."""
    value = json.dumps(sandbox.airflow_connection | {"extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_CONVERTAPI_DEFAULT", value)


def bearers(sandbox: Sandbox) -> set[str]:
    """Return the tokens that polls carried."""
    polls = sandbox.requests.filter(method="GET", path="/async/job/*")
    return {poll.headers["authorization"].removeprefix("Bearer ") for poll in polls}


def unknown_jobs(count: int) -> list[list[Any]]:
    """Return jobs that the service does not know; nothing has to be converted for them."""
    return [[f"{index:064x}", 0, None, []] for index in range(count)]


def test_polls_carry_a_jwt_and_never_the_token(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """The triggerer signs its own JWT, and Airflow's masker knows it."""
    from tests.airflow_api import redact

    sandbox.requests.clear()
    fire(make_trigger([start_job()]))

    [jwt] = bearers(sandbox)
    assert 2 == jwt.count(".")
    assert "A ***" == redact(f"A {jwt}")


def test_api_token_where_the_connection_says_so(
    make_trigger: MakeTrigger,
    start_job: StartJob,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With `auth=api_token` polls carry the token itself."""
    job = start_job()
    connect(monkeypatch, sandbox, auth="api_token")

    fire(make_trigger([job]))

    assert {sandbox.token} == bearers(sandbox)


def test_triggers_share_one_jwt(
    make_trigger: MakeTrigger,
    start_job: StartJob,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten triggers at once and one later ask for a token once: the masker must not grow."""
    jobs = [start_job(f"{index:064x}") for index in range(3)]
    connect(monkeypatch, sandbox, auth="jwt_remote", namespace="shared")

    async def together() -> None:
        await asyncio.gather(*(fired_payload(make_trigger(jobs)) for _ in range(10)))

    asyncio.run(together())
    fire(make_trigger(jobs))

    assert 1 == len(sandbox.requests.filter(method="POST", path="/token/jwt"))
    assert 1 == len(bearers(sandbox))


def test_triggers_share_a_lookup(sandbox: Sandbox) -> None:
    """Ten triggers at once look their connection up once; one that is cancelled harms none."""
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook
    from airflow_provider_convertapi.hooks.triggerer import _lookups, read_settings

    asked: list[str] = []

    class CountingHook(ConvertApiHook):
        @classmethod
        def get_connection(cls, conn_id: str) -> Any:
            asked.append(conn_id)
            return super().get_connection(conn_id)

        @classmethod
        async def aget_connection(cls, conn_id: str) -> Any:
            asked.append(conn_id)
            return await super().aget_connection(conn_id)

    async def together() -> list[Any]:
        tasks = [asyncio.create_task(read_settings(CountingHook())) for _ in range(10)]
        await asyncio.sleep(0)  # until each of them waits
        tasks[0].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, *others = asyncio.run(together())

    assert isinstance(first, asyncio.CancelledError)
    assert [sandbox.token] * 9 == [settings.api_token for settings in others]
    assert ["convertapi_default"] == asked
    assert {} == _lookups


def test_refused_jwt_is_renewed_once(
    make_trigger: MakeTrigger,
    start_job: StartJob,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A 401 costs a second poll with a new JWT, and no more than that."""
    job = start_job()
    connect(monkeypatch, sandbox, auth="jwt_remote", namespace="renewed")
    sandbox.fail("GET /async/job/*", status=401, code=4012)

    event = fire(make_trigger([job]))

    assert ("answered", [True]) == (event["status"], event["answered"])
    assert 2 == len(sandbox.requests.filter(method="POST", path="/token/jwt"))


def test_jwt_that_was_signed_here_is_refused(
    make_trigger: MakeTrigger,
    start_job: StartJob,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The triggerer asks the service for one, says so, and uses it for all triggers after that."""
    job = start_job()
    connect(monkeypatch, sandbox, namespace="signed here")
    sandbox.fail("GET /async/job/*", status=401, code=4012)

    events = [fire(make_trigger([job])) for _ in range(2)]

    assert [[True]] * 2 == [event["answered"] for event in events]
    assert 1 == len(sandbox.requests.filter(method="POST", path="/token/jwt"))
    polls = sandbox.requests.filter(method="GET", path="/async/job/*")
    sent = [poll.headers["authorization"] for poll in polls]
    assert sent[0] != sent[1]
    assert sent[1:] == [sent[1]] * len(sent[1:])
    assert 1 == caplog.text.count("ConvertAPI refused a JWT that was signed here")


def test_triggers_that_are_refused_at_once(
    make_trigger: MakeTrigger, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is refused says with which JWT, so that all of them share the next one, too."""

    async def together() -> None:
        triggers = [make_trigger([job], settle=0) for job in unknown_jobs(16)]
        await asyncio.gather(*(fired_payload(trigger) for trigger in triggers))

    # Until the last has sent the first JWT, and long enough for the next to be another one.  On a
    # busy machine the last may be late; then each is held for longer.
    for delay in (1.1, 8.0):
        sandbox.reset()
        connect(monkeypatch, sandbox, auth="jwt_remote", namespace=f"refused after {delay}")
        fire(make_trigger(unknown_jobs(1), settle=0))
        sandbox.fail("GET /async/job/*", status=401, code=4012, times=16, delay=delay)
        asyncio.run(together())
        refused = sandbox.requests.filter(method="GET", path="/async/job/*", status=401)
        assert 16 == len(refused)
        if 1 == len({entry.headers["authorization"] for entry in refused}):
            break

    assert 2 == len(sandbox.requests.filter(method="POST", path="/token/jwt"))
    assert 2 == len(bearers(sandbox))


def test_refused_credential_is_the_workers(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """A permanent 401 fires immediately; the worker gets the same, and raises it."""
    job = start_job()
    sandbox.fail("GET /async/job/*", status=401, code=4012, times=None)

    event = fire(make_trigger([job]))

    assert "answered" == event["status"]
    assert 2 == len(sandbox.requests.filter(method="GET", path="/async/job/*", status=401))


def test_refused_api_token_is_not_sent_twice(
    make_trigger: MakeTrigger,
    start_job: StartJob,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where there is no JWT to renew, one refusal is enough."""
    job = start_job()
    connect(monkeypatch, sandbox, auth="api_token")
    sandbox.fail("GET /async/job/*", status=401, code=4013, times=None)

    fire(make_trigger([job]))

    assert 1 == len(sandbox.requests.filter(method="GET", path="/async/job/*"))


def test_many_triggers_use_few_connections(make_trigger: MakeTrigger, sandbox: Sandbox) -> None:
    """Triggers of one connection share its client, which the last one closes."""
    from airflow_provider_convertapi.hooks.triggerer import _clients

    clients: list[Any] = []

    async def together() -> None:
        triggers = [make_trigger([job], settle=60, seconds=2) for job in unknown_jobs(30)]
        tasks = [asyncio.create_task(fired_payload(trigger)) for trigger in triggers]
        while not all(task.done() for task in tasks):
            clients.extend(shared.client for shared in _clients.values())
            await asyncio.sleep(0.01)
        await asyncio.gather(*tasks)

    asyncio.run(together())

    assert 1 == len(set(map(id, clients)))
    assert {} == _clients


def test_loop_is_not_held_up(make_trigger: MakeTrigger, sandbox: Sandbox) -> None:
    """200 polls that the service holds for 0.3 s each leave the loop free.

    One that blocked would hold it up for as long. How long the longest stall is on a quiet machine
    with 1,000 jobs, the benchmark says.
    """
    sandbox.fail("GET /async/job/*", delay=0.3, times=None)
    fire(make_trigger(unknown_jobs(1), settle=0))  # a triggerer imports once
    lags: list[float] = []

    async def probe() -> None:
        while True:
            begin = time.perf_counter()
            await asyncio.sleep(0.005)
            lags.append(time.perf_counter() - begin - 0.005)

    async def together() -> None:
        watching = asyncio.create_task(probe())
        jobs = unknown_jobs(200)
        triggers = [make_trigger([job], settle=60) for job in jobs[:10]]
        triggers.append(make_trigger(jobs[10:], settle=60))
        tasks = [asyncio.create_task(fired_payload(trigger)) for trigger in triggers]
        while 200 > len({request.path for request in sandbox.requests}):
            assert not any(task.done() for task in tasks), "a trigger's time is up"
            await asyncio.sleep(0.5)  # not often: the question itself holds the loop up
        for task in (*tasks, watching):
            task.cancel()
        await asyncio.wait(tasks)

    asyncio.run(together())

    assert median(lags) < 0.2


# --- kills -----------------------------------------------------------------------------------


def leave(sandbox: Sandbox) -> tuple[int, int]:
    """Return how many jobs and documents the service has."""
    return len(sandbox.jobs), len(sandbox.files)


def uploaded(sandbox: Sandbox, job: list[Any]) -> list[Any]:
    """Store a document under the id that the job's first input would have."""
    import requests

    file_id = JobIds(sandbox.token, job[0]).file_id(job[1], "0")
    answer = requests.post(
        f"{sandbox.url}/upload?fileId={file_id}&filename=a.txt", data=b"a", timeout=5
    )
    assert 200 == answer.status_code
    return [*job[:3], ["0"]]


def wait_until_done(sandbox: Sandbox) -> None:
    """Wait until no job runs."""
    limit = time.monotonic() + 20
    while any(job["state"] == "running" for job in sandbox.jobs.values()):
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.mark.parametrize(("cancel", "left"), [(True, (0, 0)), (False, (1, 2))])
def test_on_kill_deletes_where_asked_to(
    make_trigger: MakeTrigger,
    start_job: StartJob,
    sandbox: Sandbox,
    cancel: bool,
    left: tuple[int, int],
) -> None:
    """A user's kill deletes job, result and upload with `cancel_on_kill`, else nothing."""
    job = uploaded(sandbox, start_job())
    wait_until_done(sandbox)

    asyncio.run(reborn(make_trigger([job], cancel_on_kill=cancel)).on_kill())

    assert left == leave(sandbox)


def test_on_kill_of_a_running_job(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """A running job is also deleted; its cost stays paid."""
    sandbox.jobs_take(polls=1000)

    asyncio.run(make_trigger([start_job()], cancel_on_kill=True).on_kill())

    assert {} == sandbox.jobs


def test_on_kill_never_raises_for_the_service(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """A service that refuses to delete leaves a warning, not an exception."""
    job = start_job()
    sandbox.fail("DELETE /async/job/*", status=400, times=None)

    asyncio.run(make_trigger([job], cancel_on_kill=True).on_kill())

    assert 1 == len(sandbox.jobs)


def test_on_kill_after_the_token_was_changed(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """With another key there are other ids, so nothing is asked for."""
    trigger = make_trigger([start_job()], cancel_on_kill=True, key_check="00000000")
    count = len(sandbox.requests)

    asyncio.run(trigger.on_kill())

    assert (count, 1) == (len(sandbox.requests), len(sandbox.jobs))


def test_on_kill_is_over_in_time(sandbox: Sandbox, start_job: StartJob) -> None:
    """A service that falls silent does not hold up the triggerer for longer than it was given."""
    import logging

    from airflow_provider_convertapi.api.aclient import AsyncClient
    from airflow_provider_convertapi.conversions.cancellation import cancel_jobs

    job = start_job()
    sandbox.fail("DELETE /async/job/*", stall=20)

    async def token(_: Any) -> str:
        return sandbox.token

    async def cancel() -> None:
        client = AsyncClient(sandbox.url, token, clock=time.time, monotonic=time.monotonic)
        jobs = [(JobIds(sandbox.token, job[0]), 0, ())]
        try:
            await cancel_jobs(client, jobs, logging.getLogger("test"), seconds=0.5)
        finally:
            await client.close()

    begin = time.monotonic()
    asyncio.run(cancel())

    assert time.monotonic() - begin < 10


@pytest.mark.parametrize(("by_user", "jobs"), [(True, 0), (False, 1)])
def test_only_a_users_kill_cancels(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox, by_user: bool, jobs: int
) -> None:
    """Airflow's own runner calls `on_kill` for a user's act; a shutdown leaves the job alone."""
    from airflow.jobs import triggerer_job_runner as airflow

    message = getattr(airflow, "_USER_ACTION_CANCEL_MSG", None)
    if message is None:
        pytest.skip("this Airflow never tells a trigger of a kill")
    sandbox.jobs_take(polls=1000)
    trigger = reborn(make_trigger([start_job()], cancel_on_kill=True))

    async def run() -> None:
        runner = airflow.TriggerRunner()
        task = asyncio.create_task(runner.run_trigger(1, trigger))
        runner.triggers[1] = {"task": task, "is_watcher": False, "name": "one", "events": 0}
        await asyncio.sleep(1)
        task.cancel(*([message] if by_user else []))
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())

    assert jobs == len(sandbox.jobs)
