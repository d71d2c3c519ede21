"""What a batch says of files that failed, and of what it did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import BatchFailedError, TransientBatchFailedError
from tests.batch.test_several import forget
from tests.tries import TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.batch.nights import Night

MODES = pytest.mark.parametrize("durable", [True, False], ids=["durable", "direct"])


@MODES
def test_damaged_file(night: Night, durable: bool) -> None:
    """It is said what bars the file, and not that "the task fails now", also on another night."""
    (night.source / "a.pdf").write_bytes(b"%PDF-1.7 and no more")
    given: dict[str, Any] = {"to_format": "png", "durable": durable}

    with pytest.raises(BatchFailedError) as caught:
        night.run(TaskInstance(run_id="1"), **given)
    forget(night)
    with pytest.raises(BatchFailedError) as known:
        night.run(TaskInstance(run_id="2"), **given)

    for error in (caught.value, known.value):
        assert "a.pdf (pdf to png): " in str(error)
        assert "This was billed (1 conversion). It is not converted, and paid, again" in str(error)
        assert "the task fails now" not in str(error)
    assert "known from earlier, nothing paid" in str(known.value)


@MODES
def test_bad_parameter(night: Night, durable: bool) -> None:
    """A refused request may have been billed, is not counted as paid, and bars no file."""
    night.write("a.txt")
    night.sandbox.fail("POST *convert/*", status=400, code=4000, times=None)

    with pytest.raises(BatchFailedError) as caught:
        night.run(TaskInstance(), durable=durable)

    said = str(caught.value)
    assert ". 0 conversions were paid now" in said
    assert "fix what the batch asks for, such as its parameters" in said
    assert "fix the files" not in said
    assert 0 == night.sandbox.billed


@MODES
def test_lost_results(night: Night, durable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may have been billed, which is said, and the files need no fixing."""
    monkeypatch.setenv("AIRFLOW__CONVERTAPI__SETTLE", "0.5")
    night.write("a.txt")
    if durable:
        night.sandbox.settings.job_visible_after = 60.0
    else:
        night.sandbox.fail("POST /convert", drop="before", times=None)

    with pytest.raises(BatchFailedError) as caught:
        night.run(TaskInstance(), durable=durable)

    said = str(caught.value)
    assert ". 0 conversions were paid now, and 1 more may have been billed. Clear the task" in said
    assert "fix the files" not in said


@MODES
def test_unreachable_host(night: Night, durable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each failure names host and connection, and says that nothing was paid."""
    night.write("a.txt")
    uri = f"convertapi://:{night.sandbox.token}@127.0.0.1:9/?http_timeout=1&allow_http=true"
    monkeypatch.setenv("AIRFLOW_CONN_NOWHERE", uri.replace("/?", "/http?"))

    with pytest.raises(TransientBatchFailedError) as caught:
        night.run(TaskInstance(), durable=durable, convertapi_conn_id="nowhere", timeout=1)

    for word in ("a.txt", "http://127.0.0.1:9", "'nowhere'", "nothing was paid now", "proxies"):
        assert word in str(caught.value)


def test_log_names_what_was_converted_and_what_failed(
    night: Night, said: Callable[[], str]
) -> None:
    """Both lists are folded and bounded; a failure has its reason, and what to do."""
    night.write(*(f"{number:02}.txt" for number in range(53)))
    (night.source / "bad.pdf").write_bytes(b"%PDF-1.7 and no more")

    night.run(TaskInstance(), failure_policy="never", max_in_flight=8, durable=False)

    log = said()
    assert "::group::53 converted" in log
    assert "00.txt -> " in log
    assert 50 == log.count(".txt -> ")
    assert "And 3 more" in log
    assert "::group::1 failed" in log
    assert "with retry_failed=True" in log
