"""What travels between worker and triggerer, and a task that goes on in another process."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.conversions.deferral import JobEvent, JobRef
from airflow_provider_convertapi.conversions.running import prepare, proceed
from airflow_provider_convertapi.errors import (
    AuthenticationError,
    ConversionInterrupted,
    ResultExpiredError,
)
from tests.tries import checked_conversion

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_convertapi.conversions.session import Session
    from convertapi_sandbox import Sandbox
    from tests.core.conversions.worker import Worker

JOBS = [
    JobRef("a" * 64, 0, 1795824000.5),
    JobRef("b" * 64, 3, None, ("0", "OverlayFile")),
    JobRef("c" * 64, 1, 0.0, (), 2),
]


def begin(session: Session, **given: Any) -> list[JobRef]:
    """Begin a conversion, and return its jobs instead of waiting for them."""
    conversion = checked_conversion(**given)
    made = proceed(session, conversion, prepare(session, conversion), defers=True)
    assert isinstance(made, list)
    return made


@pytest.mark.parametrize("job", JOBS)
def test_job_survives_json(job: JobRef) -> None:
    """A job is a plain list, read back as it was; only a later step needs its fifth element."""
    entry = job.to_list()

    assert job == JobRef.from_list(json.loads(json.dumps(entry)))
    assert (4 if job.step == 1 else 5) == len(entry)


def test_event_survives_json() -> None:
    """An event is read back as it was."""
    event = JobEvent("answered", "0123abcd", tuple(JOBS), (True, False, True))

    assert event == JobEvent.parse(json.loads(json.dumps(event.payload())), expected=3)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"status": "done"}, id="unknown status"),
        pytest.param({"jobs": []}, id="no jobs"),
        pytest.param({"jobs": [["a" * 64]]}, id="job cut short"),
        pytest.param({"jobs": [["a" * 64, 4, None, []]]}, id="no attempt of ours"),
        pytest.param({"jobs": [["a" * 64, -1, None, []]]}, id="an attempt below 0"),
        pytest.param({"jobs": [["a" * 64, math.inf, None, []]]}, id="an attempt without end"),
        pytest.param({"answered": [True, True]}, id="an answer too many"),
        pytest.param({"key_check": ...}, id="no key check"),
        pytest.param(None, id="nothing"),
    ],
)
def test_foreign_event(change: dict[str, Any] | None) -> None:
    """An event that is not ours ends the try and leaves the job for the next."""
    event: Any = JobEvent("answered", "0123abcd", (JOBS[0],), (True,)).payload()
    if change is None:
        event = None
    else:
        event = {name: value for name, value in {**event, **change}.items() if value is not ...}

    with pytest.raises(ConversionInterrupted, match="next try collects it") as caught:
        JobEvent.parse(event, expected=None)

    assert caught.value.transient


def test_nothing_that_travels_opens_a_document(
    sandbox: Sandbox, worker: Worker, tmp_path: Path
) -> None:
    """Neither the token nor an id of a job, an upload or a result is in the event."""
    large = tmp_path / "large.txt"
    large.write_text("a line of text\n" * 80_000)
    session = worker.session()
    jobs = begin(session, source=large, to_format="zip", destination=tmp_path / "o.zip")

    event = worker.wait_for(session.key_check, jobs)

    assert (("0",), 1) == (jobs[0].uploads, jobs[0].step)
    secrets = [sandbox.token, *sandbox.jobs, *sandbox.files]
    assert 4 == len(secrets)
    assert [] == [secret for secret in secrets if secret in event]


@pytest.mark.parametrize("is_large", [False, True])
def test_input_is_gone_when_it_resumes(
    sandbox: Sandbox, worker: Worker, tmp_path: Path, is_large: bool
) -> None:
    """The job carries on without its source, and its upload is deleted all the same."""
    source = tmp_path / "source.txt"
    source.write_text("a line of text\n" * (80_000 if is_large else 1))
    out = tmp_path / "o.zip"
    given: dict[str, Any] = {"source": source, "to_format": "zip", "destination": out}
    session = worker.session()
    event = worker.wait_for(session.key_check, begin(session, **given))
    source.unlink()

    result = worker.resume(event, **given)

    assert ([str(out)], 1) == (result.outputs, result.charged)
    assert (1, {}) == (sandbox.billed, sandbox.files)


def test_token_was_changed_meanwhile(sandbox: Sandbox, worker: Worker, letter: Path) -> None:
    """Jobs that another token keyed cannot be found, and nothing is submitted in their place."""
    given: dict[str, Any] = {"source": letter, "destination": letter.parent / "o.pdf"}
    session = worker.session()
    event = worker.wait_for(session.key_check, begin(session, **given))
    worker.token = sandbox.rotate_token()

    with pytest.raises(AuthenticationError, match="'converter' was changed"):
        worker.resume(event, **given)

    assert 1 == sandbox.billed


def test_job_is_unknown_after_a_deferral(sandbox: Sandbox, worker: Worker, letter: Path) -> None:
    """A job that was accepted once is never submitted anew by itself."""
    given: dict[str, Any] = {
        "source": letter,
        "destination": letter.parent / "o.pdf",
        "poll_interval": 0.1,
    }
    session = worker.session()
    jobs = begin(session, **given)
    sandbox.vanish_job()

    with pytest.raises(ResultExpiredError, match="does not know the job"):
        worker.resume(worker.wait_for(session.key_check, jobs), **given)

    assert 1 == len(sandbox.requests.filter(method="POST", path="/async/convert/*"))
