"""What breaks off a conversion from outside: a stop, the end of a task's time, a clock that is set.

In direct mode nothing that was paid may be left to Airflow's retries, which would pay again.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from airflow_provider_convertapi.api.aclient import AsyncClient
from airflow_provider_convertapi.api.endpoints import get_job
from airflow_provider_convertapi.api.ids import JobIds
from airflow_provider_convertapi.api.session import note_first_byte
from airflow_provider_convertapi.conversions.polling import JobPoller
from airflow_provider_convertapi.conversions.running import prepare, proceed, run
from airflow_provider_convertapi.errors import ResultLostError, UnexpectedAnswerError
from tests.core.conversions.worker import LOG
from tests.tries import checked_conversion, done_when

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow_provider_convertapi.api.wire import Credential
    from convertapi_sandbox import Sandbox
    from tests.core.conversions.worker import Worker

HOURS = 3 * 3600.0

LATE = 1.0
"""Seconds after which a job can be seen: later than the first poll."""


class TimeIsUp(BaseException):
    """The task's time is over, which Airflow says by such an exception."""


@contextmanager
def once_billed(sandbox: Sandbox, action: Callable[[], object]) -> Iterator[None]:
    """Do something as soon as the service has billed a conversion, whose answer takes a while."""
    sandbox.fail("POST /convert", times=1, stall=1)
    with done_when(lambda: sandbox.billed > 0, action):
        yield


def test_stopped_while_a_paid_answer_arrives(
    sandbox: Sandbox, worker: Worker, letter: Path
) -> None:
    """The answer is the only copy, and paid: it is published before the task stops."""
    out = letter.parent / "o.pdf"

    with once_billed(sandbox, worker.session().stop):
        result = worker.convert("direct", source=letter, destination=out)

    assert out.read_bytes().startswith(b"%PDF")
    assert (1, 1) == (result.charged, sandbox.billed)


def test_time_is_up_while_the_answer_is_awaited(
    sandbox: Sandbox, worker: Worker, letter: Path
) -> None:
    """It may have been billed, so that no retry of Airflow may send it again."""
    conversion = checked_conversion(
        source=letter, destination=letter.parent / "o.pdf", durable=False
    )
    session = worker.session()
    session.time_is_up = (TimeIsUp,)

    def ring(*_: object) -> None:
        raise TimeIsUp

    before = signal.signal(signal.SIGUSR1, ring)
    main = threading.main_thread().ident or 0
    try:
        with (
            once_billed(sandbox, partial(signal.pthread_kill, main, signal.SIGUSR1)),
            pytest.raises(ResultLostError, match=r"1 of them now, and may be billed"),
        ):
            run(session, conversion)
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert 1 == sandbox.billed


class LosesAnswers(HTTPAdapter):
    """A connection that breaks once the work is done; something else happens just before."""

    def __init__(self, action: Callable[[], object]) -> None:
        super().__init__()
        self._action = action

    def send(self, *args: Any, **given: Any) -> requests.Response:
        """Send the request, and lose the answer."""
        note_first_byte()
        super().send(*args, **given).close()
        self._action()
        raise requests.ConnectionError("lost")


def test_input_written_after_it_was_sent(sandbox: Sandbox, worker: Worker, letter: Path) -> None:
    """A lost answer may have been billed, whatever became of the input since."""
    session = worker.session()
    lossy = LosesAnswers(lambda: letter.write_text("Another letter.\n"))
    session.client.session.mount("http://", lossy)
    out = letter.parent / "o.pdf"

    with pytest.raises(ResultLostError, match="may have been billed"):
        run(session, checked_conversion(source=letter, destination=out, durable=False))

    assert 1 == sandbox.billed


def leave(_: list[str]) -> bool:
    """End the process instead of judging."""
    raise SystemExit(1)


@pytest.mark.parametrize("check", [bool, leave], ids=["no temporary directory", "it exits"])
def test_check_that_cannot_judge(
    sandbox: Sandbox,
    worker: Worker,
    letter: Path,
    monkeypatch: pytest.MonkeyPatch,
    check: Callable[[list[str]], bool],
) -> None:
    """A paid answer that nobody can judge is permanent: a retry would pay again."""
    # The sandbox is in this process, too: it is not to start an engine without the directory.
    sandbox.answer(files=[("*.pdf", b"%PDF-1.7\n%%EOF\n")])
    if check is bool:
        monkeypatch.setattr(tempfile, "tempdir", f"{letter.parent}/not-there")

    with pytest.raises(ResultLostError, match=r"pays? again"):
        worker.convert(
            "direct", source=letter, destination=letter.parent / "o.pdf", result_check=check
        )

    assert 1 == sandbox.billed


def test_page_that_was_not_billed(sandbox: Sandbox, worker: Worker, letter: Path) -> None:
    """A proxy's page in place of the answer does not tell that anything was paid."""
    sandbox.fail("POST /convert", times=1, status=200, html=True)

    with pytest.raises(ResultLostError) as lost:
        worker.convert("direct", source=letter, destination=letter.parent / "o.pdf")

    assert "1 conversion(s) were submitted, 1 of them now, and may be billed." in str(lost.value)
    assert 0 == sandbox.billed


def test_redirect(sandbox: Sandbox, worker: Worker, letter: Path) -> None:
    """Nobody can tell whether what answers with one has converted before."""
    sandbox.fail("POST /convert", times=1, after_work=True, status=302, redirect="https://other/x")

    with pytest.raises(UnexpectedAnswerError, match="1 of them now, and may be billed"):
        worker.convert("direct", source=letter, destination=letter.parent / "o.pdf")

    assert 1 == sandbox.billed


@pytest.mark.parametrize("mode", ["durable", "direct"])
def test_token_that_cannot_be_had(
    sandbox: Sandbox, worker: Worker, letter: Path, mode: str
) -> None:
    """It comes before the request itself: nothing is said to be billed."""
    conversion = checked_conversion(
        source=letter, destination=letter.parent / "o.pdf", durable=mode != "direct"
    )
    session = worker.session()

    def no_token(_: Credential) -> str:
        raise UnexpectedAnswerError("no JWT in the answer")

    session.client.token = no_token

    with pytest.raises(UnexpectedAnswerError) as failure:
        run(session, conversion)

    assert "billed" not in str(failure.value)
    assert [] == list(sandbox.requests)


def test_download_that_is_missing_once(sandbox: Sandbox, worker: Worker, letter: Path) -> None:
    """A result that is there, as a look says, is asked for again."""
    sandbox.fail("GET /d", times=1, status=404)

    worker.convert("durable", source=letter, destination=letter.parent / "o.pdf")

    assert 1 == sandbox.billed


# --- clocks ----------------------------------------------------------------------------------


def test_clock_set_forward_while_a_job_is_invisible(
    sandbox: Sandbox, worker: Worker, letter: Path
) -> None:
    """A job that is paid, and may be invisible for a while, is not given up."""
    sandbox.settings.job_visible_after = LATE
    session = worker.session()
    session.settle = 10 * LATE
    # Forward by three hours as soon as the job was looked for.
    # Those are the look, the submit, and the first poll.
    session.client.clock = lambda: time.time() + HOURS * (len(sandbox.requests) > 2)

    run(session, checked_conversion(source=letter, destination=letter.parent / "o.pdf"))

    assert 1 == sandbox.billed


@pytest.mark.timeout(30)
def test_clock_set_back_before_a_retry(sandbox: Sandbox, worker: Worker, letter: Path) -> None:
    """A later try waits for the job of the try before, but not for hours."""
    session = worker.session(number=2)
    session.client.clock = lambda: time.time() - HOURS

    run(session, checked_conversion(source=letter, destination=letter.parent / "o.pdf"))

    assert 1 == sandbox.billed


def test_clock_set_forward_in_the_triggerer(sandbox: Sandbox, worker: Worker, letter: Path) -> None:
    """It does not report a job that it has not seen yet as one that has an answer."""
    sandbox.settings.job_visible_after = LATE
    session = worker.session()
    conversion = checked_conversion(source=letter, destination=letter.parent / "o.pdf")
    begun = proceed(session, conversion, prepare(session, conversion), defers=True)
    assert isinstance(begun, list)
    [ref] = begun
    job_id = JobIds(session.key, ref.derivation).job_id(ref.attempt)
    before = len(sandbox.requests)

    async def watch() -> list[bool]:
        async def token(_: object) -> str:
            return sandbox.token

        client = AsyncClient(
            sandbox.url,
            token,
            clock=lambda: time.time() + HOURS * (len(sandbox.requests) > before),
            monotonic=time.monotonic,
        )
        try:
            poller = JobPoller(client, 0.1, 10 * LATE, LOG)
            return await poller.wait_for([(job_id, ref.submitted)], enough=1, seconds=20)
        finally:
            await client.close()

    assert [True] == asyncio.run(watch())
    assert session.client.send(get_job(job_id)).conversion
