"""The trigger: what travels, when it fires, and what it never does."""

from __future__ import annotations

import asyncio
import json
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.api.ids import JobIds, key_check, seal
from airflow_provider_convertapi.clock import Clock
from airflow_provider_convertapi.surroundings import Surroundings, simulated
from tests.tries import fire, fired_payload, reborn

if TYPE_CHECKING:
    from convertapi_sandbox import Sandbox
    from tests.deferral.conftest import MakeTrigger, StartJob


def polls(sandbox: Sandbox, job_id: str | None = None) -> list[Any]:
    """Return the polls of a job, or of all."""
    return list(sandbox.requests.filter(method="GET", path=f"/async/job/{job_id or '*'}"))


def derivations(count: int) -> list[str]:
    """Return as many derivations, each unlike the others."""
    return [f"{index:064x}" for index in range(count)]


def test_arguments_survive_airflows_serialisations(
    make_trigger: MakeTrigger, sandbox: Sandbox
) -> None:
    """A triggerer makes the same trigger from the encrypted row, through either serialisation."""
    from airflow.serialization.serialized_objects import BaseSerialization

    trigger = make_trigger(
        [["a" * 64, 1, 1.5, ["0", "OverlayFile"]], ["b" * 64, 0, None, []]],
        share=0.8,
        report_at=7.25,
        cancel_on_kill=True,
        sealed_job_id=seal(sandbox.token, "z" * 32),
    )
    path, arguments = trigger.serialize()

    assert "airflow_provider_convertapi.triggers.job.ConvertApiJobTrigger" == path
    assert (path, arguments) == reborn(trigger).serialize()
    assert arguments == BaseSerialization.deserialize(BaseSerialization.serialize(arguments))
    assert arguments == json.loads(json.dumps(arguments))


def test_arguments_of_a_wave_fit_mysql(make_trigger: MakeTrigger) -> None:
    """500 jobs with an upload each, encrypted, stay below the 64 KiB of a MySQL TEXT column."""
    from airflow.models.trigger import Trigger

    from airflow_provider_convertapi.conversions.deferral import JobRef

    jobs = [
        JobRef(derivation, 3, round(time.time(), 1), ("0",)).to_list()
        for derivation in derivations(500)
    ]

    assert len(Trigger.from_object(make_trigger(jobs)).encrypted_kwargs) < 64 * 1024


def test_arguments_open_nothing(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """Neither token nor ids are among the arguments, in the representation or in the event."""
    job = start_job()
    trigger = make_trigger([job])

    texts = [json.dumps(trigger.serialize()), repr(trigger), json.dumps(fire(trigger))]

    [job_id] = sandbox.jobs
    for secret in (sandbox.token, job_id, *sandbox.files):
        assert not any(secret in text for text in texts)


def test_fires_when_the_job_is_done(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """The event echoes the job and says that there is something to read."""
    sandbox.jobs_take(polls=2)
    job = start_job()

    event = fire(reborn(make_trigger([job])))

    assert ("answered", key_check(sandbox.token)) == (event["status"], event["key_check"])
    assert ([job], [True]) == (event["jobs"], event["answered"])
    assert len(polls(sandbox)) >= 3


def test_fires_for_a_verdict(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """A failed job is also an answer: the worker reads it and raises it."""
    sandbox.fail("POST /async/convert/*", verdict=5002)

    event = fire(make_trigger([start_job()]))

    assert "answered" == event["status"]


def test_first_polls_are_close_together(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """A job of two seconds must not take ten: polls start close, whatever `poll_interval` says."""
    sandbox.jobs_take(polls=3)

    # The trigger has less time than one interval.
    event = fire(make_trigger([start_job()], poll_interval=60))

    assert "answered" == event["status"]


def test_waits_for_a_job_that_becomes_visible_late(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """A 404 within the settle time is not an answer."""
    job = start_job()
    sandbox.fail("GET /async/job/*", status=404, times=2)

    event = fire(make_trigger([job], settle=15.0))

    assert "answered" == event["status"]
    assert [404, 404] == [poll.status for poll in polls(sandbox)][:2]
    assert 200 == polls(sandbox)[-1].status


def test_fires_when_a_job_vanishes(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """A job that stays unknown for longer than the settle time is the worker's to explain."""
    job = start_job()
    sandbox.vanish_job()

    event = fire(make_trigger([job], settle=0.5))

    # Otherwise it would be "timeout", after 20 seconds.
    assert ("answered", [True]) == (event["status"], event["answered"])


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"drop": "before"}, id="reset"),
        pytest.param({"status": 500, "html": True}, id="gateway"),
        pytest.param({"status": 502}, id="bad gateway"),
        pytest.param({"truncate": 10}, id="truncated"),
    ],
)
def test_outage_is_waited_out(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox, fault: dict[str, Any]
) -> None:
    """Polls without an answer are tolerated until the deadline, not just a few times."""
    job = start_job()
    sandbox.fail("GET /async/job/*", times=12, **fault)

    event = fire(make_trigger([job], poll_interval=0.05))

    assert "answered" == event["status"]
    assert sandbox.faults[0].hits == 12


def test_outage_ends_with_the_deadline(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """An outage without end is a timeout: the job stays, and nothing is sent again."""
    job = start_job()
    sandbox.fail("GET /async/job/*", times=None, drop="before")

    event = fire(make_trigger([job], seconds=1.0))

    assert ("timeout", [False]) == (event["status"], event["answered"])
    assert 1 == len(sandbox.requests.filter(method="POST"))


def test_unreadable_answer_is_the_workers(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """Answers that cannot be understood fire the trigger: the worker meets the same."""
    job = start_job()
    sandbox.fail("GET /async/job/*", status=200, body=b"<html>Sign in</html>", times=None)

    event = fire(make_trigger([job]))

    assert ("answered", 3) == (event["status"], len(polls(sandbox)))


def test_odd_answer_is_not_the_jobs(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """A single page of a proxy does not send the worker to a job that is running."""
    sandbox.jobs_take(polls=3)
    job = start_job()
    sandbox.fail("GET /async/job/*", status=200, html=True, times=2)

    event = fire(make_trigger([job]))

    assert ("answered", 6) == (event["status"], len(polls(sandbox)))


def test_throttled_poll_slows_its_own_job_only(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """A 503 on one job's poll leaves the other's rhythm alone."""
    sandbox.jobs_take(polls=6)
    jobs = [start_job(derivation) for derivation in derivations(2)]
    slow = JobIds(sandbox.token, jobs[0][0]).job_id(0)
    sandbox.fail(f"GET /async/job/{slow}", status=503, headers={"Retry-After": "60"}, times=None)

    event = fire(make_trigger(jobs, share=0.5))

    assert [False, True] == event["answered"]
    assert 1 == len(polls(sandbox, slow))


def test_throttled_poll_is_tried_again(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """After the time that the service asked for, the job is polled again."""
    job = start_job()
    sandbox.fail("GET /async/job/*", status=503, headers={"Retry-After": "1"})

    event = fire(make_trigger([job]))

    assert "answered" == event["status"]
    assert all(b.at - a.at >= 1 for a, b in pairwise(polls(sandbox)[:2]))


def test_never_two_polls_of_one_job(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """While a poll is held open by the service, the job is not polled again."""
    sandbox.settings.concurrent_polls = "refused"
    sandbox.settings.poll_hold = 0.6
    sandbox.jobs_take(polls=3)
    jobs = [start_job(derivation) for derivation in derivations(3)]

    event = fire(make_trigger(jobs, poll_interval=0.05))

    assert "answered" == event["status"]
    assert 503 not in {poll.status for poll in polls(sandbox)}


def test_deadline_outlives_a_restart(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """A triggerer that restarts the trigger keeps the same deadline."""
    sandbox.jobs_take(polls=1000)
    trigger = make_trigger([start_job()], seconds=600.0)
    later = Clock(lambda: time.time() + 599.5, time.monotonic, time.sleep)

    async def killed() -> None:
        task = asyncio.create_task(fired_payload(trigger))
        while not polls(sandbox):  # noqa: ASYNC110 - the sandbox tells no event
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(killed())
    with simulated(Surroundings(clock=later)):
        event = fire(reborn(trigger))  # which waits for 30 seconds, not for 600 again

    assert "timeout" == event["status"]
    assert trigger.deadline <= later.time()
    assert 1 == len(sandbox.jobs)


def test_clock_set_back_while_it_waits(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """The time that was waited counts, so that no worker waits for the job once more."""
    sandbox.jobs_take(polls=1000)
    job = start_job()
    back = Clock(lambda: time.time() - 3600 * bool(polls(sandbox)), time.monotonic, time.sleep)

    with simulated(Surroundings(clock=back)):
        event = fire(make_trigger([job], deadline=time.time() + 1.5))

    assert ("timeout", [False]) == (event["status"], event["answered"])


def test_a_wave_is_watched_by_one_trigger(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """Many jobs share few connections, start spread, and are all waited for."""
    sandbox.jobs_take(polls=1)
    jobs = [start_job(derivation) for derivation in derivations(20)]

    spreads = []
    for _ in range(3):  # after a pause of a busy machine, polls that were spread come together
        before = len(sandbox.requests)
        event = fire(reborn(make_trigger(jobs)))
        assert (jobs, [True] * 20) == (event["jobs"], event["answered"])
        firsts: dict[str, float] = {}
        for poll in list(sandbox.requests)[before:]:
            firsts.setdefault(poll.path, poll.at)
        assert 20 == len(firsts)
        spreads.append(max(firsts.values()) - min(firsts.values()))

    assert 0.25 < max(spreads)


def test_a_share_of_the_wave_is_enough(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """With `share=0.8` four answers of five fire, and the event says which."""
    jobs = [start_job(derivation) for derivation in derivations(5)]
    slow = JobIds(sandbox.token, jobs[2][0]).job_id(0)
    sandbox.fail(f"GET /async/job/{slow}", status=502, times=None)

    event = fire(make_trigger(jobs, share=0.8))

    assert "answered" == event["status"]
    assert [True, True, False, True, True] == event["answered"]


def test_a_wave_reports_in_time(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """At `report_at` it fires with what there is, long before the deadline."""
    jobs = [start_job(derivation) for derivation in derivations(2)]
    slow = JobIds(sandbox.token, jobs[0][0]).job_id(0)
    sandbox.fail(f"GET /async/job/{slow}", status=502, times=None)

    event = fire(make_trigger(jobs, report_at=time.time() + 3))

    assert ("answered", [False, True]) == (event["status"], event["answered"])


def test_sealed_job_is_watched(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """A job that something else started is watched by its sealed id."""
    start_job()
    [job_id] = sandbox.jobs

    event = fire(make_trigger([], sealed_job_id=seal(sandbox.token, job_id)))

    assert ("answered", []) == (event["status"], event["jobs"])


def test_changed_key_is_said_at_once(
    make_trigger: MakeTrigger, start_job: StartJob, sandbox: Sandbox
) -> None:
    """With another key there are other ids, so nothing is polled."""
    event = fire(make_trigger([start_job()], key_check="00000000"))

    assert ("error", "00000000") == (event["status"], event["key_check"])
    assert [] == polls(sandbox)


def test_never_raises(
    make_trigger: MakeTrigger, start_job: StartJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is gone is an event: raised, it would cost the task its typed error."""
    trigger = make_trigger([start_job()])
    monkeypatch.delenv("AIRFLOW_CONN_CONVERTAPI_DEFAULT")

    assert "error" == fire(trigger)["status"]


def test_garbled_seal_is_an_error_event(make_trigger: MakeTrigger) -> None:
    """A seal that the key does not open fires, so that the worker sees for itself."""
    assert "error" == fire(make_trigger([], sealed_job_id="nonsense"))["status"]
