"""Asynchronous jobs: start, poll, join, expiry, deletion, and what a job costs."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    from convertapi_sandbox import Sandbox

    Call = Callable[..., requests.Response]

JOB = "job0123456789abcdef0123456789abc"
START = f"/async/convert/file/to/zip?JobId={JOB}"


def test_job_runs_and_keeps_its_answer(sandbox: Sandbox, zipped: Call, poll: Call) -> None:
    """A job starts with the caller's id and answers its polls any number of times."""
    started = zipped(START)

    first, second = poll(JOB), poll(JOB)
    assert (200, {"JobId": JOB}) == (started.status_code, started.json())
    assert 200 == first.status_code
    assert base64.b64decode(first.json()["Files"][0]["FileData"]).startswith(b"PK")
    assert first.content == second.content
    assert (1, {JOB: {"state": "done", "polls": sandbox.jobs[JOB]["polls"]}}) == (
        sandbox.billed,
        sandbox.jobs,
    )


def test_job_without_an_id_gets_one(zipped: Call, poll: Call) -> None:
    """If the caller gives no id, the service generates 32 lower-case letters and digits."""
    job_id = zipped("/async/convert/file/to/zip").json()["JobId"]

    assert 32 == len(job_id)
    assert 200 == poll(job_id).status_code


@pytest.mark.parametrize("job_id", ["short", "J" * 32, "a" * 33, "../" + "a" * 29])
def test_malformed_id_is_refused(sandbox: Sandbox, zipped: Call, job_id: str) -> None:
    """An id of another shape is a 400 that names JobId, and nothing is billed."""
    answer = zipped("/async/convert/file/to/zip", params={"JobId": job_id})

    assert (400, 4000) == (answer.status_code, answer.json()["Code"])
    assert ["JobId"] == list(answer.json()["InvalidParameters"])
    assert 0 == sandbox.billed


def test_second_post_joins_the_known_job(sandbox: Sandbox, zipped: Call, poll: Call) -> None:
    """A second POST with a known id returns that id, does not convert and costs nothing."""
    zipped(START)
    poll(JOB)

    second = zipped(START)

    assert {"JobId": JOB} == second.json()
    assert [True, False] == [entry.paid for entry in sandbox.requests.filter(method="POST")]
    assert 1 == sandbox.billed


@pytest.mark.parametrize(("reading", "status", "billed"), [("refuse", 400, 1), ("bill", 200, 2)])
def test_second_post_can_be_read_otherwise(
    sandbox: Sandbox, zipped: Call, poll: Call, reading: str, status: int, billed: int
) -> None:
    """A switch makes the service refuse a known id, or convert and bill again."""
    sandbox.settings.known_job_id = reading  # type: ignore[assignment]  # each is listed
    zipped(START)
    poll(JOB)

    assert status == zipped(START).status_code
    poll(JOB)
    assert billed == sandbox.billed


def test_stored_results_outlive_in_the_record(
    sandbox: Sandbox, caller: requests.Session, zipped: Call, poll: Call
) -> None:
    """Deleting the documents does not change the job's answer, which is the receipt."""
    zipped(START, data={"StoreFile": "true"})
    before = poll(JOB)

    [file] = before.json()["Files"]
    assert 200 == caller.delete(f"/d/{file['FileId']}").status_code
    assert 404 == caller.get(file["Url"]).status_code
    assert before.json() == poll(JOB).json()
    assert {} == sandbox.files


def test_job_can_die_with_its_documents(
    sandbox: Sandbox, caller: requests.Session, zipped: Call, poll: Call
) -> None:
    """The other reading: a job whose document was deleted is unknown."""
    sandbox.settings.job_dies_with_documents = True
    zipped(START, data={"StoreFile": "true"})
    [file] = poll(JOB).json()["Files"]

    caller.delete(file["Url"])

    assert 404 == caller.get(f"/async/job/{JOB}").status_code


def test_verdict_is_kept_as_the_jobs_answer(
    sandbox: Sandbox, caller: requests.Session, poll: Call
) -> None:
    """A failed conversion is billed once and reports its error at every poll."""
    caller.post(
        f"/async/convert/pdf/to/merge?JobId={JOB}",
        files={"Files[0]": ("broken.pdf", b"%PDF-1.7 nothing else")},
    )

    answers = [poll(JOB), poll(JOB)]
    assert [500, 500] == [answer.status_code for answer in answers]
    assert answers[0].json() == answers[1].json()
    assert (1, "failed") == (sandbox.billed, sandbox.jobs[JOB]["state"])


def test_unknown_job_is_404(caller: requests.Session) -> None:
    """An id that nobody used is a 404 with a body."""
    answer = caller.get(f"/async/job/{JOB}")

    assert (404, 404) == (answer.status_code, answer.json()["Code"])


def test_delete_forgets_a_job_once(caller: requests.Session, zipped: Call, poll: Call) -> None:
    """DELETE answers 200, then 404."""
    zipped(START)
    poll(JOB)

    statuses = [caller.delete(f"/async/job/{JOB}").status_code for _ in range(2)]

    assert [200, 404] == statuses


def test_jobs_take_as_many_polls_as_told(
    sandbox: Sandbox, caller: requests.Session, zipped: Call, poll: Call
) -> None:
    """`jobs_take` counts the polls that answer 202, however fast the conversion is."""
    sandbox.jobs_take(polls=3)
    zipped(START)
    while sandbox.at_work:
        time.sleep(0.01)

    statuses = [caller.get(f"/async/job/{JOB}").status_code for _ in range(5)]

    assert [202, 202, 202, 200, 200] == statuses


def test_job_becomes_visible_late(
    sandbox: Sandbox, caller: requests.Session, zipped: Call, poll: Call
) -> None:
    """`job_visible_after` hides a job that was accepted, and billed, for a while."""
    other = "b" * 32
    sandbox.job_visible_after(600)
    zipped(START)
    sandbox.job_visible_after(0.3)
    started = time.monotonic()
    zipped(f"/async/convert/file/to/zip?JobId={other}")

    while caller.get(f"/async/job/{other}").status_code == 404:
        assert time.monotonic() < started + 10
        time.sleep(0.02)
    assert 0.3 <= time.monotonic() - started
    assert [200, 404] == [poll(job).status_code for job in (other, JOB)]
    while sandbox.at_work:
        time.sleep(0.01)
    assert 2 == sandbox.billed


def test_job_vanishes_on_demand(
    sandbox: Sandbox, caller: requests.Session, zipped: Call, poll: Call
) -> None:
    """`vanish_job` forgets one job; the documents stay."""
    zipped(START, data={"StoreFile": "true"})
    poll(JOB)

    sandbox.vanish_job(JOB)

    assert 404 == caller.get(f"/async/job/{JOB}").status_code
    assert 1 == len(sandbox.files)


def test_documents_expire_on_demand(
    sandbox: Sandbox, caller: requests.Session, zipped: Call, poll: Call
) -> None:
    """`expire_files` deletes documents as if they had expired; the job still lists them."""
    zipped(START, data={"StoreFile": "true"})
    [file] = poll(JOB).json()["Files"]

    sandbox.expire_files()

    assert 404 == caller.get(file["Url"]).status_code
    assert 200 == poll(JOB).status_code


def test_job_expires_after_its_lifetime(
    sandbox: Sandbox, caller: requests.Session, zipped: Call, poll: Call
) -> None:
    """A finished job older than `job_lifetime` is unknown."""
    zipped(START)
    poll(JOB)

    sandbox.settings.job_lifetime = 0.0

    assert 404 == caller.get(f"/async/job/{JOB}").status_code


def test_first_read_can_consume_a_job(
    sandbox: Sandbox, caller: requests.Session, zipped: Call, poll: Call
) -> None:
    """A switch makes a finished job answer 200 only once."""
    sandbox.settings.job_consumed_by_read = True
    zipped(START)

    assert 200 == poll(JOB).status_code
    assert 404 == caller.get(f"/async/job/{JOB}").status_code


def test_polls_need_no_credentials(caller: requests.Session, zipped: Call, poll: Call) -> None:
    """Anyone who knows the id may poll."""
    zipped(START)

    assert 200 == poll(JOB, headers={"Authorization": None}).status_code


def test_throttle_counts_running_jobs(sandbox: Sandbox, zipped: Call, poll: Call) -> None:
    """Above the allowed number of open conversions the answer is 503 with the documented body."""
    sandbox.settings.latency = 60.0
    sandbox.throttle_above(1)
    zipped(START)

    answer = zipped()

    sandbox.settings.latency = 0.0
    assert (503, 503) == (answer.status_code, answer.json()["Code"])
    poll(JOB)
    assert 1 == sandbox.billed
